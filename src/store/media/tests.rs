use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::*;
use crate::machine::Arch;
use crate::ui::Ui;

mod vouched;

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    ledger: Ledger,
    ui: StageUi,
    files: Files,
    fetching: Fetching,
    cache: Cache,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("state"));
        store.prepare().unwrap();
        World {
            ledger: Ledger::open(store.state()).unwrap(),
            ui: Ui::silent().stage("web", "install"),
            files: Files::take(&[], dir.path(), dir.path().join("inputs"), true).unwrap(),
            fetching: Fetching::default(),
            cache: Cache::new(store.state(), None),
            store,
            _dir: dir,
        }
    }

    fn media(&self) -> Media<'_> {
        Media {
            store: &self.store,
            ledger: &self.ledger,
            arch: Arch::default(),
            files: &self.files,
            fetching: &self.fetching,
            cache: &self.cache,
            ui: &self.ui,
        }
    }
}

/// A server of files by path; it remembers what it was asked and can break off the first answer
/// of each file.
fn server(files: &[(&str, &str)], breaks: bool) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let seen = Arc::clone(&asked);
    let files: Vec<(String, String)> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let lower = head.to_ascii_lowercase();
            let range = lower.split("range: bytes=").nth(1);
            let first: usize = range.map_or(0, |r| r.split('-').next().unwrap().parse().unwrap());
            seen.lock().unwrap().push(format!("{path} from {first}"));
            let Some((_, text)) = files.iter().find(|(known, _)| *known == path) else {
                let no = "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                drop(stream.write_all(no.as_bytes()));
                continue;
            };
            let rest = &text[first..];
            let status = match first {
                0 => "200 OK".to_owned(),
                _ => format!(
                    "206 Partial\r\nContent-Range: bytes {first}-{}/{}",
                    text.len() - 1,
                    text.len()
                ),
            };
            let sent = if breaks && first == 0 {
                &rest[..rest.len() / 2]
            } else {
                rest
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nETag: \"{}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                text.len(),
                rest.len()
            );
            drop(stream.write_all(format!("{head}{sent}").as_bytes()));
        }
    });
    (address, asked)
}

/// SHA-256 of `medium`.
const MEDIUM: &str = "abf84041d2ba9bbd8e62bf70bb47c6f4fd1ea4f9a2e5bbac3b0b05d6c69b14b5";

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(text))
}

#[test]
fn a_file_with_a_digest_is_downloaded_once_wherever_it_comes_from() {
    let world = World::new();
    let sum = sha256("medium");
    let (one, asked) = server(&[("/a.iso", "medium")], false);
    let (two, asked_of_two) = server(&[("/b.iso", "medium")], false);
    let file = world
        .media()
        .file(&format!("{one}/a.iso"), Some(&sum))
        .unwrap();
    assert_eq!(std::fs::read(file.path()).unwrap(), b"medium");
    assert!(file.path().ends_with("a.iso"));
    let again = world
        .media()
        .file(&format!("{two}/b.iso"), Some(&sum))
        .unwrap();
    assert_eq!(
        (again.path(), again.sha256()),
        (file.path(), Some(sum.as_str()))
    );
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert!(asked_of_two.lock().unwrap().is_empty());
    // What is in use stays; what is not may go.
    assert!(world.store.evict(1).unwrap().is_empty());
    drop((file, again));
    assert_eq!(world.store.evict(1).unwrap().len(), 1);
}

#[test]
fn a_broken_download_goes_on_and_the_wrong_file_is_refused() {
    let world = World::new();
    let (address, asked) = server(&[("/a.iso", "0123456789")], true);
    let url = format!("{address}/a.iso");
    let file = world
        .media()
        .file(&url, Some(&sha256("0123456789")))
        .unwrap();
    assert_eq!(std::fs::read(file.path()).unwrap(), b"0123456789");
    assert_eq!(*asked.lock().unwrap(), ["/a.iso from 0", "/a.iso from 5"]);
    let error = world.media().file(&url, Some(MEDIUM)).unwrap_err();
    let text = error.render().replace(&address, "http://HOST");
    insta::assert_snapshot!(text, @r"
    error: http://HOST/a.iso is not the expected file
    caused by: expected sha256 abf84041d2ba9bbd8e62bf70bb47c6f4fd1ea4f9a2e5bbac3b0b05d6c69b14b5, found 84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882
    hint: if the file was changed on purpose, write its new digest into the recipe
    ");
    let part = world
        .store
        .part(&Key::of(format!("media\nsha256 {MEDIUM}").as_bytes()));
    assert!(!part.exists());
}

#[test]
fn a_kept_file_that_was_written_to_is_fetched_again() {
    let world = World::new();
    let (address, asked) = server(&[("/a.iso", "medium"), ("/b.iso", "second")], false);
    for (name, text, sum) in [
        ("a.iso", "medium", Some(sha256("medium"))),
        ("b.iso", "second", None),
    ] {
        asked.lock().unwrap().clear();
        let get = || {
            let file = world
                .media()
                .file(&format!("{address}/{name}"), sum.as_deref());
            let file = file.unwrap();
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
            file.path().to_owned()
        };
        let path = get();
        // Of the same size and time: only the bytes tell.
        let time = path.metadata().unwrap().modified().unwrap();
        std::fs::write(&path, "EVILEV").unwrap();
        let written = std::fs::File::options().write(true).open(&path).unwrap();
        written.set_modified(time).unwrap();
        get();
        get();
        let asked = asked.lock().unwrap();
        let whole = asked.iter().filter(|line| line.ends_with("from 0")).count();
        assert!(whole >= 2, "{asked:?}");
    }
}

#[test]
fn without_a_digest_the_servers_version_decides() {
    let world = World::new();
    let (address, asked) = server(&[("/linux", "kernel")], false);
    let url = format!("{address}/linux");
    let first = world.media().file(&url, None).unwrap();
    let second = world.media().file(&url, None).unwrap();
    assert_eq!(first.path(), second.path());
    assert_eq!(first.sha256(), Some(sha256("kernel").as_str()));
    assert_eq!(
        asked.lock().unwrap().len(),
        3,
        "asked twice, downloaded once"
    );
}

#[test]
fn missing_files_and_trees_say_what_to_do() {
    let world = World::new();
    let error = world.media().file("/nowhere/a.iso", None).unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: there is no file /nowhere/a.iso
    hint: put it there, or correct the recipe: `media:` of virt-install, `image:` of import
    ");
    let unknown = world
        .media()
        .file("https://iso.invalid/a.iso", None)
        .unwrap_err();
    assert!(unknown.hint_text().unwrap().contains("--var"));
    let (address, _) = server(&[], false);
    let error = world
        .media()
        .tree(
            &format!("{address}/os"),
            &InstallerDigests::default(),
            &InstallerDigests::default(),
            &InstallerDigests::default(),
        )
        .unwrap_err();
    let text = error.render().replace(&address, "http://HOST");
    insta::assert_snapshot!(text, @r"
    error: http://HOST/os/ is not an install tree
    caused by: it has neither .treeinfo nor images/SHA256SUMS
    hint: `location:` is the directory that holds .treeinfo (Fedora and its relatives) or current/images/ (Debian): open it in a browser, or use `iso:` or `boot:`
    ");
    let error = world
        .media()
        .file(&format!("{address}/a.iso"), None)
        .unwrap_err();
    let text = error.render().replace(&address, "http://HOST");
    insta::assert_snapshot!(text, @r"
    error: downloading http://HOST/a.iso failed
    caused by: http://HOST/a.iso does not exist
    hint: check the address; the server answered that there is no such file
    ");
}

#[test]
fn a_medium_that_a_lock_names_stays_as_long_as_there_is_a_lock() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (file, lock) = (dir.path().join("x.iso"), dir.path().join("web.lock"));
    std::fs::write(&file, "medium").unwrap();
    let sha256 = Sha256::of(b"medium");
    let other = put(
        &world.store,
        &world.ledger,
        URL,
        &Sha256::of(b"other"),
        &file,
    )
    .unwrap_err();
    assert!(
        other.message().contains("x.iso is not http"),
        "{}",
        other.render()
    );
    put(&world.store, &world.ledger, URL, &sha256, &file).unwrap();
    std::fs::write(&lock, format!("x: sha256:{sha256} 6")).unwrap();
    world.cache.keep_locked(&lock, &[].into()).unwrap();
    assert!(world.store.evict(u64::MAX).unwrap().is_empty());
    let found = kept::kept(&world.store, &sha256).unwrap();
    assert_eq!(std::fs::read(found).unwrap(), b"medium");
    std::fs::remove_file(&lock).unwrap();
    assert!(world.store.evict(u64::MAX).unwrap().is_empty());
    let mut notes = std::fs::read_dir(world.store.state().join("cache/locks")).unwrap();
    let note = std::fs::File::open(notes.next().unwrap().unwrap().path()).unwrap();
    let month = Duration::from_secs(31 * 24 * 3600);
    note.set_modified(SystemTime::now() - month).unwrap();
    assert_eq!(world.store.evict(u64::MAX).unwrap().len(), 1);
    assert_eq!(kept::kept(&world.store, &sha256), None);
}

/// The address of a medium.
const URL: &str = "http://a.example/x.iso";
