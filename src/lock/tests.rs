use super::*;
use crate::digest::Sha256;

fn file(url: &str, content: &[u8]) -> Fetched {
    Fetched {
        url: url.to_owned(),
        sha256: Sha256::of(content).as_str().to_owned(),
        size: content.len() as u64,
    }
}

fn record() -> Record {
    Record {
        mirrors: Some(Mirrors {
            main: "http://a.example/debian".into(),
            security: Some("http://a.example/debian-security".into()),
        }),
        fetched: vec![
            file("http://a.example/debian/dists/x/InRelease", b"index"),
            file(
                "http://a.example/debian/pool/main/b/bash/bash_5.deb",
                b"bash",
            ),
        ],
        absent: BTreeSet::from(["http://a.example/debian/dists/x/Release.gpg".into()]),
        not_locked: BTreeSet::from(["keys.example".into()]),
        ..Record::default()
    }
}

fn lock() -> Lock {
    let stage = |stage: &str, record| Stage {
        image: "web".into(),
        stage: stage.into(),
        recipe: Key::of(stage.as_bytes()).as_str().to_owned(),
        record,
    };
    let mut lock = Lock::new("web", "2026-11-30T15:00:00Z".parse().unwrap());
    lock.from = Some(Parent {
        image: "site#debian".into(),
        revision: 7,
        sha512: "ab".repeat(64),
        entry: None,
    });
    lock.stages = vec![
        stage("install", record()),
        stage("configure", Record::default()),
    ];
    lock.packages = vec!["dash 0.5 amd64".into(), "bash 1:5.2 amd64".into()];
    lock
}

/// A lock with this text, read for `web`.
fn read(text: &str) -> Result<Lock> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.lock");
    std::fs::write(&path, text).unwrap();
    Lock::read(&path, "web")
}

#[test]
fn a_lock_is_a_text_to_review() {
    insta::assert_snapshot!(lock(), @r#"
    # What the last build of web fetched.
    # `imgforge lock web` writes it; `imgforge build web --locked` fetches nothing else.
    imgforge-lock: 1
    image: "web"
    clock: 2026-11-30T15:00:00Z
    from:
      image: "site#debian"
      revision: 7
      sha512: "abababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababab"
    stages:
      - image: "web"
        stage: "install"
        recipe: "97fbcdc4d69244b820a0ff85294dd8048c3a80cf21e7b242077d94f941a5b262"
        mirrors:
          main: "http://a.example/debian"
          security: "http://a.example/debian-security"
        fetched:
          "http://a.example/debian/dists/x/InRelease": "sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6 5"
          "http://a.example/debian/pool/main/b/bash/bash_5.deb": "sha256:37d2b12d5d9abc2a364ef9448767ee03938e383c0284193477dc7618f4b7c6c2 4"
        absent:
          - "http://a.example/debian/dists/x/Release.gpg"
        not-locked:
          - "keys.example"
      - image: "web"
        stage: "configure"
        recipe: "6b067d4dea51ca0d66955f255199f92a64ea893931716cf5eab4fac4e7de872d"
    packages:
      - "bash 1:5.2 amd64"
      - "dash 0.5 amd64"
    # end
    "#);
}

#[test]
fn what_is_written_is_read() {
    let mut lock = lock();
    lock.packages.sort();
    assert_eq!(read(&lock.to_string()).unwrap(), lock);
    let empty = Lock::new("web", lock.clock);
    assert_eq!(read(&empty.to_string()).unwrap(), empty);
}

/// A lock with everything that one can name.
fn full() -> Lock {
    let mut lock = lock();
    lock.packages.sort();
    lock.from.as_mut().unwrap().entry = Some(ParentEntry {
        channel: Some("stable".into()),
        name: "debian".into(),
        arch: "x86_64".into(),
        url: "https://site.example/debian-7.xz".into(),
        size: Some(9),
        disk_size: 1 << 30,
        format: None,
        version: Some("12ab".into()),
        osinfo: Some("debian13".into()),
    });
    let beside = Record {
        beside: BTreeMap::from([("empty".into(), Record::default())]),
        ..record()
    };
    lock.stages[1].record = Record {
        media: vec![file("https://a.example/x.iso", b"medium")],
        archives: vec![file("collections a/requirements.yml", b"archive")],
        beside: BTreeMap::from([("toolbox ansible-trixie".into(), beside)]),
        ..Record::default()
    };
    lock
}

#[test]
fn what_was_made_beside_has_lines_of_its_own() {
    let lock = full();
    assert_eq!(read(&lock.to_string()).unwrap(), lock, "{lock}");
    let text = lock.to_string();
    let at = text
        .find("  - image: \"web\"\n    stage: \"configure\"")
        .unwrap();
    let end = text[at..].find("mirrors:").unwrap();
    insta::assert_snapshot!(&text[at..at + end], @r#"
    - image: "web"
      stage: "configure"
      recipe: "6b067d4dea51ca0d66955f255199f92a64ea893931716cf5eab4fac4e7de872d"
      media:
        "https://a.example/x.iso": "sha256:c082456a7766e23a18db084cd34b6ff510baef506548b897cc80e9b7d3e121c8 6"
      archives:
        "collections a/requirements.yml": "sha256:0eb3e36bfb24dcd9bb1d1bece1531216b59539a8fde17ee80224af0653c92aa3 7"
      beside:
        "toolbox ansible-trixie":
    "#);
}

#[test]
fn everything_that_a_lock_names_is_listed_once() {
    let names = full().names();
    let shown: Vec<_> = names
        .iter()
        .map(|one| (one.kind, one.url.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            (Kind::Download, "http://a.example/debian/dists/x/InRelease"),
            (
                Kind::Download,
                "http://a.example/debian/pool/main/b/bash/bash_5.deb"
            ),
            (Kind::Archive, "collections a/requirements.yml"),
            (Kind::Medium, "https://a.example/x.iso"),
            (Kind::Parent, "https://site.example/debian-7.xz"),
        ]
    );
    assert_eq!(
        names[0].digest,
        format!("sha256:{}", record().fetched[0].sha256)
    );
    assert_eq!(names[0].size, Some(5));
    assert_eq!(names[4].digest, format!("sha512:{}", "ab".repeat(64)));
    let without = lock().names();
    assert_eq!(without.last().unwrap().url, "site#debian");
}

#[test]
fn half_a_lock_is_none() {
    let text = lock().to_string();
    for (at, _) in text.match_indices('\n') {
        if at + 1 == text.len() {
            continue;
        }
        let error = read(&text[..at]).unwrap_err();
        assert!(
            error.message().ends_with("web.lock is broken"),
            "{}",
            error.render()
        );
        assert!(error.hint_text().unwrap().contains("imgforge lock web"));
    }
}

#[test]
fn what_is_wrong_in_a_lock_is_named() {
    let text = lock().to_string();
    for (from, to, said) in [
        ("imgforge-lock: 1", "imgforge-lock: 2", "it has version 2"),
        ("sha256:", "md5:", "is not `sha256:HEX SIZE`"),
        ("absent:", "abscent:", "abscent"),
        (
            "image: \"web\"\nclock",
            "image: \"db\"\nclock",
            "of `db`, not of `web`",
        ),
        ("clock: 2026", "clock: yesterday", "clock"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = read(&text.replacen(from, to, 1)).unwrap_err().render();
        assert!(error.contains(said), "{said}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let none = Lock::read(&dir.path().join("web.lock"), "web").unwrap_err();
    assert_eq!(none.message(), "web has no lock");
}

#[test]
fn a_clock_behind_the_lock_is_refused() {
    let lock = lock();
    lock.check_clock(lock.clock).unwrap();
    let error = lock
        .check_clock("2026-11-30T14:59:59Z".parse().unwrap())
        .unwrap_err();
    assert!(error.render().contains("14:59:59"), "{}", error.render());
    assert!(error.hint_text().unwrap().contains("set the clock"));
}

#[test]
fn a_stage_that_asks_for_more_fails_and_names_it() {
    let lock = lock();
    let locked = lock.binding("web", "install", false).unwrap();
    let fetching = Fetching::new(Some(locked.clone()));
    fetching.judge(Ok(())).unwrap();
    let [one, other] = [
        "http://a.example/debian/dists/x/InRelease",
        "http://a.example/htop.deb",
    ];
    assert_eq!(locked.find(["http://b.example/x", one]).unwrap().size, 5);
    assert!(locked.find([other]).is_none());
    locked.refuse(other, NOT_LOCKED);
    locked.refuse(one, "the transfer broke");
    locked.serve(one);
    for made in [Ok(()), Err(crate::error::Error::stage("apt failed"))] {
        let error = fetching.judge(made).unwrap_err();
        let lines = error.evidence_lines();
        assert_eq!(lines, [format!("{other}: {NOT_LOCKED}")]);
        assert!(error.message().contains("web.lock"));
        assert!(error.hint_text().unwrap().contains("`imgforge lock web`"));
    }
    assert!(lock.need("web", "configure-2").is_err());
}

#[test]
fn a_record_stays_with_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Record::read(dir.path()).unwrap(), None);
    let fetching = Fetching::default();
    fetching.write(dir.path(), false).unwrap();
    assert_eq!(Record::read(dir.path()).unwrap(), None);
    fetching.add(record());
    // Asked for again, it was another one.
    let newer = file("http://a.example/debian/dists/x/InRelease", b"newer");
    fetching.file(newer.clone());
    fetching.write(dir.path(), true).unwrap();
    let read = Record::read(dir.path()).unwrap().unwrap();
    assert_eq!(read.fetched, [newer, record().fetched[1].clone()]);
    assert_ne!(read.digest(), record().digest());
    std::fs::write(dir.path().join(FILE), "{").unwrap();
    assert!(Record::read(dir.path()).is_err());
}

#[test]
fn digests_are_found_in_whatever_is_left_of_a_lock() {
    let text = lock().to_string();
    let all = digests(&text);
    assert_eq!(all.len(), 2);
    assert!(all.contains(&record().fetched[0].sha256));
    let end = text.find("bash_5.deb").unwrap();
    assert_eq!(digests(&text[..end + 30]).len(), 1);
}

#[test]
fn packages_are_compared() {
    let now = ["bash 1:5.2 amd64".to_owned(), "htop 3 amd64".to_owned()];
    assert_eq!(
        lock().packages_changed(&now),
        ["+ htop 3 amd64", "- dash 0.5 amd64"]
    );
}

#[test]
fn each_architecture_has_a_lock() {
    let recipe = Path::new("/r/recipes/web.yaml");
    assert_eq!(path(recipe, "web"), Path::new("/r/recipes/web.lock"));
    assert_eq!(
        path(recipe, "web:arm64"),
        Path::new("/r/recipes/web.arm64.lock")
    );
}

#[test]
fn a_lock_of_a_newer_imgforge_is_told_as_such_and_not_as_broken() {
    let text = lock()
        .to_string()
        .replace("imgforge-lock: 1", "imgforge-lock: 2");
    for text in [text.replace("clock:", "time:"), text.replace("# end\n", "")] {
        let error = read(&text).unwrap_err();
        let said = error.render();
        assert!(said.contains("web.lock is of a newer imgforge"), "{said}");
        assert!(!said.contains("imgforge lock"), "{said}");
    }
}

#[test]
fn a_stage_twice_is_refused() {
    let mut lock = lock();
    lock.stages.push(lock.stages[0].clone());
    let said = read(&lock.to_string()).unwrap_err().render();
    assert!(said.contains("web.lock is broken"), "{said}");
    assert!(said.contains("the stage install of web twice"), "{said}");
}

#[test]
fn what_is_no_file_is_no_lock_and_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.lock");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
    let endless = dir.path().join("endless.lock");
    std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
    for path in [path, endless] {
        let error = Lock::read(&path, "web").unwrap_err();
        assert!(error.message().ends_with("lock is no lock"), "{error}");
    }
}
