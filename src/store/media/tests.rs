use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;
use crate::ui::Ui;

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    ledger: Ledger,
    ui: StageUi,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("state"));
        store.prepare().unwrap();
        World {
            ledger: Ledger::open(store.state()).unwrap(),
            ui: Ui::silent().stage("web", "install"),
            store,
            _dir: dir,
        }
    }

    fn media(&self) -> Media<'_> {
        Media {
            store: &self.store,
            ledger: &self.ledger,
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
    error: http://HOST/a.iso is not the file that was promised
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
            &Vouched::default(),
            &Vouched::default(),
        )
        .unwrap_err();
    let text = error.render().replace(&address, "http://HOST");
    insta::assert_snapshot!(text, @r"
    error: http://HOST/os/ is no install tree
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

/// A tree of Debian's shape over plain http, which no archive signs.
fn debian_tree() -> [(String, String); 3] {
    let images = "/installer-amd64/current/images";
    let netboot = format!("{images}/netboot/debian-installer/amd64/");
    let sums = format!(
        "{}  ./netboot/debian-installer/amd64/linux\n{}  ./netboot/debian-installer/amd64/initrd.gz\n",
        sha256("kernel"),
        sha256("initrd")
    );
    [
        (format!("{images}/SHA256SUMS"), sums),
        (format!("{netboot}linux"), "kernel".into()),
        (format!("{netboot}initrd.gz"), "initrd".into()),
    ]
}

fn serve(files: &[(String, String)]) -> String {
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    server(&files, false).0
}

#[test]
fn over_plain_http_a_server_does_not_vouch_for_itself() {
    let world = World::new();
    let files = debian_tree();
    let address = serve(&files);
    let tree = format!("{address}/installer-amd64");
    let (kernel, none) = (format!("{address}{}", files[1].0), Vouched::default());
    let error = world.media().tree(&tree, &none, &none).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Gate);
    let text = error.render().replace(&address, "http://HOST");
    insta::assert_snapshot!(text, @r"
    error: nothing vouches for the installer's http://HOST/installer-amd64/current/images/netboot/debian-installer/amd64/linux
    caused by: its digest comes from the same server, over plain http: who can change one can change both
    hint: take it over https, or write `boot-sha256: {kernel: …, initrd: …}` beside `media:`; `unverified-media: true` takes whatever comes
    ");
    let error = world.media().boot_file(&kernel, &none).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Gate);
    let info = "[images-x86_64]\nkernel = linux\ninitrd = initrd\n";
    let plain = [("/os/.treeinfo".to_owned(), info.to_owned())];
    let error = world
        .media()
        .tree(&format!("{}/os", serve(&plain)), &none, &none);
    assert!(
        error
            .unwrap_err()
            .render()
            .contains("no signature or digest covers it")
    );

    // Nor does it by naming a file of another server, or one that comes over https.
    for elsewhere in [
        "https://127.0.0.1:9/linux",
        "//127.0.0.1:9/linux",
        "../linux",
        "/linux",
    ] {
        let info = format!("[images-x86_64]\nkernel = {elsewhere}\ninitrd = initrd\n");
        let tree = [("/os/.treeinfo".to_owned(), info)];
        let error = world
            .media()
            .tree(&format!("{}/os", serve(&tree)), &none, &none);
        let error = error.unwrap_err();
        assert!(
            error.message().contains("is no path below"),
            "{elsewhere}: {error}"
        );
    }

    // The recipe does.
    let (kernel_sum, initrd_sum) = (sha256("kernel"), sha256("initrd"));
    let of = |sum| Vouched {
        sha256: Some(sum),
        unverified: false,
    };
    let found = world
        .media()
        .tree(&tree, &of(&kernel_sum), &of(&initrd_sum))
        .unwrap();
    assert_eq!(std::fs::read(found.initrd().path()).unwrap(), b"initrd");
    let file = world.media().boot_file(&kernel, &of(&kernel_sum)).unwrap();
    assert_eq!(file.path(), found.kernel().path());
    // (A digest that the store knows would need no server.)
    let error = world
        .media()
        .tree(&tree, &of(&sha256("another")), &of(&initrd_sum));
    assert!(
        error
            .unwrap_err()
            .message()
            .ends_with("is not the file that was promised")
    );

    // Or takes what comes: then the server's digests find what is broken, and no more.
    let taken = Vouched {
        sha256: None,
        unverified: true,
    };
    world.media().tree(&tree, &taken, &taken).unwrap();
    let mut broken = files;
    broken[2].1 = "broken".into();
    drop((found, file));
    world.store.evict(u64::MAX).unwrap();
    let tree = format!("{}/installer-amd64/", serve(&broken));
    let error = world.media().tree(&tree, &taken, &taken).unwrap_err();
    assert!(
        error
            .message()
            .ends_with("is not the file that was promised")
    );
}

#[test]
fn what_an_archive_has_signed_is_vouched_for() {
    use crate::host::exec::Program;
    let world = World::new();
    let home = world._dir.path().join("gnupg");
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&home)
        .unwrap();
    let gpg = || {
        let gpg = Program::new("gpg").arg("--homedir").arg(&home);
        gpg.args(["--batch", "--passphrase", "", "--pinentry-mode", "loopback"])
    };
    for name in ["archive", "stranger"] {
        let key = ["--quick-gen-key", name, "ed25519", "sign", "never"];
        gpg().args(key).run().unwrap();
        let path = world._dir.path().join(name);
        std::fs::write(path, gpg().args(["--export", name]).output().unwrap()).unwrap();
    }
    let [(_, sums), ..] = debian_tree();
    let below = "main/installer-amd64/current/images/SHA256SUMS";
    let sign = |text: &str, by: &[&str]| {
        let keys = by.iter().flat_map(|key| ["--local-user", key]);
        let signed = gpg()
            .args(keys)
            .args(["--digest-algo", "SHA512", "--clearsign"]);
        String::from_utf8(signed.input(text.as_bytes()).output().unwrap()).unwrap()
    };
    let release = format!(
        "Origin: Debian\nSuite: stable\nCodename: trixie\nSHA256:\n {} {} {below}\n",
        sha256(&sums),
        sums.len()
    );
    let judge = |release: String, suite: &str, sums: &str| {
        let address = serve(&[(format!("/debian/dists/{suite}/InRelease"), release)]);
        let images = format!("{address}/debian/dists/{suite}/main/installer-amd64/current/images/");
        let images = Url::parse(&images).unwrap();
        let keyring = world._dir.path().join("archive");
        archive::signed(&Client::new().unwrap(), &images, sums.as_bytes(), |_| {
            Ok(keyring.clone())
        })
        .map_err(|error| error.render())
    };
    let good = sign(&release, &["archive"]);
    assert_eq!(judge(good.clone(), "trixie", &sums), Ok(true));
    // One key of several is enough, as with apt.
    assert_eq!(
        judge(sign(&release, &["stranger", "archive"]), "trixie", &sums),
        Ok(true)
    );
    let silent = release.replace(below, "main/other");
    assert_eq!(
        judge(sign(&silent, &["archive"]), "trixie", &sums),
        Ok(false)
    );
    for (release, suite, sums, words) in [
        (good.clone(), "trixie", "other", "is not what"),
        (
            good.clone(),
            "forky",
            sums.as_str(),
            "it is of trixie, not of forky",
        ),
        (
            good.replace("stable", "table"),
            "trixie",
            &sums,
            "the text was changed",
        ),
        (
            sign(&release, &["stranger"]),
            "trixie",
            &sums,
            "none of the keys",
        ),
        (release, "trixie", &sums, "not a clear-signed text"),
    ] {
        let error = judge(release, suite, sums).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
    let agent = Program::new("gpgconf").arg("--homedir").arg(&home);
    agent.args(["--kill", "all"]).run().unwrap();
}

/// Whoever is on the way of a mirror could have a file of the host booted in a guest that has a
/// network.
#[test]
fn a_tree_of_another_host_names_no_file_of_this_one() {
    let world = World::new();
    let secret = world._dir.path().join("secret");
    std::fs::write(&secret, "a key of the host").unwrap();
    for scheme in ["file", "FILE", "File"] {
        let initrd = format!("{scheme}://{}", secret.display());
        let tree = format!(
            "[images-x86_64]\nkernel = linux\ninitrd = {initrd}\n[checksums]\n\
             linux = sha256:{}\n{initrd} = sha256:{}\n",
            sha256("kernel"),
            sha256("a key of the host")
        );
        let files = [("/os/.treeinfo", tree.as_str()), ("/os/linux", "kernel")];
        let (address, asked) = server(&files, false);
        let error = world
            .media()
            .tree(
                &format!("{address}/os"),
                &Vouched::default(),
                &Vouched::default(),
            )
            .unwrap_err();
        let text = error.render();
        assert!(text.contains("is no path below"), "{text}");
        let asked = asked.lock().unwrap().clone();
        assert!(asked.iter().all(|one| one.contains("/os/")), "{asked:?}");
    }
}
