//! Many publishers and readers for long, and publishers killed at random.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use imgforge::digest::file_sha512;
use imgforge::index;
use imgforge::repository::verify::audit;

use super::world::*;
use crate::patience::wait_for;
use crate::slots::this_test;

/// Where the publisher that is killed publishes to.
const PLACE: &str = "IMGFORGE_TEST_PUBLISHER";

/// A small blob of its own; what is in it does not matter here.
fn blob(dir: &Path, text: &str) -> Disk {
    let xz = dir.join(format!("{text}.xz"));
    std::fs::write(&xz, text.repeat(100)).unwrap();
    Disk {
        raw: xz.clone(),
        size: Size::bytes(std::fs::metadata(&xz).unwrap().len()),
        virtual_size: Size::mib(1),
        sha512: file_sha512(&xz).unwrap(),
        xz,
    }
}

/// A signing key whose agent runs already, so that time goes into publications.
fn signer(home: &Home) -> Signer {
    home.gpg(&[
        "--quick-gen-key",
        "images@example.org",
        "ed25519",
        "sign",
        "never",
    ]);
    Signer::configured_in("images@example.org", &home.0).unwrap()
}

/// What any reader may do at any moment; says how many entries there were.
fn read(root: &Path) -> usize {
    let mut count = 0;
    for (index, up) in [("index.asc", ""), ("channels/nightly/index.asc", "../../")] {
        let Ok(signed) = std::fs::read(root.join(index)) else {
            continue;
        };
        let verified = verify(&signed, &root.join("imgforge.gpg")).unwrap();
        let entries = index::check(&index::parse(&verified.text).unwrap()).unwrap();
        for entry in &entries {
            let blob = root.join(entry.file.strip_prefix(up).unwrap());
            assert_eq!(Some(file_sha512(&blob).unwrap()), entry.sha512, "{index}");
        }
        count += entries.len();
    }
    count
}

#[test]
#[ignore = "e2e: src/repository src/gpg src/index"]
fn eight_publishers_and_four_readers_for_500_publications() {
    const PUBLISHERS: usize = 8;
    const PUBLICATIONS: usize = 500;
    let dir = TempDir::new().unwrap();
    let home = Home::new(dir.path().join("gnupg"));
    let settings = Settings::new(dir.path().join("repo"), signer(&home));
    let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (bound, reads) = (Mutex::new(BTreeSet::new()), AtomicUsize::new(0));
    let publisher = || {
        let repository = Repository::open(settings.clone()).unwrap();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= PUBLICATIONS {
                break;
            }
            // Readers keep up on every host: these wait for them.
            wait_for("a read", || reads.load(Ordering::Relaxed) >= number / 5);
            let disk = blob(dir.path(), &format!("blob {number}"));
            let name = ["a", "b", "c", "d", "e"][number % 5];
            let published = publish_with(&repository, &disk, |p| {
                p.name = name;
                p.channel = if number % 3 == 0 { "nightly" } else { "stable" };
            })
            .unwrap();
            assert!(published.changed);
            let fresh = bound.lock().unwrap().insert((name, published.revision));
            assert!(fresh, "{name}@{} came twice", published.revision);
        }
    };
    let reader = || {
        while !done.load(Ordering::Relaxed) {
            read(&settings.path);
            reads.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(reader);
        }
        let publishers: Vec<_> = (0..PUBLISHERS).map(|_| scope.spawn(publisher)).collect();
        let ends: Vec<_> = publishers.into_iter().map(|one| one.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok));
    });
    assert_eq!(bound.into_inner().unwrap().len(), PUBLICATIONS);
    let ui = Ui::silent().stage("repository", "verify");
    let report = audit(settings.path.to_str().unwrap(), &Signers::default(), &ui).unwrap();
    assert_eq!((report.faults, report.revisions), (vec![], PUBLICATIONS));
}

/// The process that is killed below.
#[test]
#[ignore = "child"]
fn publisher() {
    let dir = PathBuf::from(std::env::var_os(PLACE).expect("run by another test"));
    let own = TempDir::new().unwrap();
    let signer = Signer::configured_in("images@example.org", &dir.join("gnupg")).unwrap();
    let repository = Repository::open(Settings::new(dir.join("repo"), signer)).unwrap();
    for round in 0..1000 {
        let text = format!("{}-{round}", std::process::id());
        let disk = blob(own.path(), &text);
        let published = publish_with(&repository, &disk, |p| {
            p.companions = vec![Companion::bytes("provenance.json", text.clone()).signed()];
        });
        assert!(published.unwrap().changed);
        writeln!(std::io::stdout(), "\npublished").unwrap();
    }
}

#[test]
#[ignore = "e2e: src/repository src/gpg src/index"]
fn a_publisher_killed_at_200_random_moments_leaves_a_valid_repository() {
    let dir = TempDir::new().unwrap();
    let home = Home::new(dir.path().join("gnupg"));
    let signer = signer(&home);
    let settings = Settings::new(dir.path().join("repo"), signer);
    let repository = Repository::open(settings.clone()).unwrap();
    publish(&repository, &blob(dir.path(), "first"));
    let mut seen = BTreeSet::new();
    let mut interrupted = 0;
    // Reproducible, and spread over all that a publication does.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..200 {
        let child = this_test("repository::soak::publisher");
        let mut child = child.env(PLACE, dir.path()).spawn().unwrap();
        let mut said = BufReader::new(child.take_stdout()).lines();
        assert!(said.any(|line| line.unwrap().ends_with("published")));
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // From here on it is always at work.
        for _ in 0..random % 4000 {
            std::thread::yield_now();
        }
        // Sends SIGKILL.
        drop(child);
        assert_eq!(read(&settings.path), 1, "round {round}");
        let root = settings.path.to_str().unwrap();
        if round % 20 == 0 {
            let ui = Ui::silent().stage("repository", "verify");
            let report = audit(root, &Signers::default(), &ui).unwrap();
            assert_eq!(report.faults, Vec::<String>::new(), "round {round}");
        }
        let left = std::fs::read_dir(settings.path.join(".imgforge/incoming"));
        let unfinished = settings.path.join(".imgforge/journal.json").exists();
        interrupted += usize::from(unfinished || left.is_ok_and(|mut left| left.next().is_some()));
        let published = publish(&repository, &blob(dir.path(), &format!("round {round}")));
        assert!(
            published.changed && seen.insert(published.revision),
            "round {round}"
        );
    }
    assert!(
        interrupted > 5,
        "only {interrupted} kills met a publication at work"
    );
    let ui = Ui::silent().stage("repository", "verify");
    let report = audit(settings.path.to_str().unwrap(), &Signers::default(), &ui).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
    assert!(report.revisions > 200, "{report:?}");
}
