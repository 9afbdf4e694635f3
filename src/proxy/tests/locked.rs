//! A build that is bound to a lock.

use std::time::{Duration, SystemTime};

use super::*;
use crate::distro::{self, apt::Archive};
use crate::lock::Fetched;

const RELEASE: &str = "/debian/dists/x/InRelease";
const ABSENT: &str = "/debian/dists/x/Release.gpg";
const OTHER: &str = "/debian/pool/main/h/htop/htop_1_all.deb";

/// A proxy that has only what `record` has.
fn bound(world: &World, mirror: &str, record: &Record, offline: bool) -> (Proxy, Arc<Locked>) {
    let locked = Locked::new("web.lock", "web", record.clone()).offline(offline);
    let locked = Arc::new(locked);
    let proxy = Proxy::start(Settings {
        routes: vec![Route::new("debian", [mirror])],
        cache: Cache::new(world.dir.path(), None),
        scratch: world.dir.path().join("scratch"),
        log: world.log(),
        vouched_only: false,
        locked: Some(Arc::clone(&locked)),
        open: None,
    });
    (proxy.unwrap(), locked)
}

/// A mirror whose index nobody may keep, with a package.
fn mirror() -> Mirror {
    Mirror::start(|request| match request.split(' ').nth(1) {
        Some("/debian/dists/x/InRelease") => answer("200 OK", "", b"index"),
        Some("/debian/pool/main/h/hello/hello_1_all.deb") => answer("200 OK", "", b"package"),
        _ => answer("404 Not Found", "", b""),
    })
}

/// What a build fetched, and the mirror.
fn fetched(world: &World) -> (Record, Mirror) {
    let mirror = mirror();
    let proxy = world.proxy(&[&mirror]);
    assert_eq!(get(&proxy, RELEASE).body, b"index");
    assert_eq!(get(&proxy, DEB).body, b"package");
    assert_eq!(get(&proxy, ABSENT).status, 404);
    (proxy.finish(), mirror)
}

#[test]
fn what_is_locked_comes_from_the_cache_and_nothing_else_comes() {
    let world = World::new();
    let (record, mirror) = fetched(&world);
    let urls: Vec<&str> = record.fetched.iter().map(|one| one.url.as_str()).collect();
    assert_eq!(urls.len(), 2, "{urls:?}");
    assert_eq!(record.absent.len(), 1);
    let (proxy, locked) = bound(&world, &mirror.address, &record, false);
    assert_eq!(get(&proxy, RELEASE).body, b"index");
    assert_eq!(get(&proxy, DEB).body, b"package");
    assert_eq!(get(&proxy, ABSENT).status, 404);
    assert_eq!(locked.refused(), [""; 0]);
    assert_eq!(get(&proxy, OTHER).status, 403);
    let refused = locked.refused();
    assert!(
        refused[0].contains("htop_1_all.deb: not in the lock"),
        "{refused:?}"
    );
    assert_eq!(proxy.finish().fetched, record.fetched);
    assert_eq!(mirror.requests(), 3, "none of the locked build");
}

#[test]
fn a_changed_byte_in_the_cache_is_fetched_anew_or_refused() {
    let world = World::new();
    let (record, mirror) = fetched(&world);
    let index = &record.fetched[0];
    let blob = world.dir.path().join("cache/blobs");
    let blob = blob.join(&index.sha256[..2]).join(&index.sha256);
    let damage = || {
        assert_eq!(std::fs::read(&blob).unwrap(), b"index");
        std::fs::write(&blob, b"indeX").unwrap();
    };
    damage();
    let (proxy, locked) = bound(&world, &mirror.address, &record, true);
    assert_eq!(get(&proxy, RELEASE).status, 502);
    assert!(
        locked.refused()[0].contains("--offline"),
        "{:?}",
        locked.refused()
    );
    drop(proxy);
    let (proxy, locked) = bound(&world, &mirror.address, &record, false);
    assert_eq!(get(&proxy, RELEASE).body, b"index");
    assert_eq!(locked.refused(), [""; 0]);
    drop(proxy);
    damage();
    // It has another index by now.
    let other = Mirror::start(|_| answer("200 OK", "", b"newer"));
    let newer = Record {
        fetched: vec![Fetched {
            url: format!("{}/dists/x/InRelease", other.address),
            ..index.clone()
        }],
        ..Record::default()
    };
    let (proxy, locked) = bound(&world, &other.address, &newer, false);
    assert_ne!(get(&proxy, RELEASE).body, b"newer");
    assert_eq!(locked.refused().len(), 1);
}

#[test]
fn what_a_lock_names_stays_in_the_cache_as_long_as_there_is_a_lock() {
    let world = World::new();
    let (record, _) = fetched(&world);
    let lock = world.dir.path().join("web.lock");
    let [index, package] = [&record.fetched[0], &record.fetched[1]];
    std::fs::write(&lock, format!("a: sha256:{} 5", index.sha256)).unwrap();
    let cache = Cache::new(world.dir.path(), None);
    let digests = crate::lock::digests(&std::fs::read_to_string(&lock).unwrap());
    assert_eq!(cache.keep_locked(&lock, &digests).unwrap(), 0);
    assert_eq!(cache.clear().unwrap(), package.size);
    assert!(cache.content(&index.sha256).is_some());
    assert!(cache.content(&package.sha256).is_none());
    let both = [index, package].map(|one| one.sha256.clone());
    assert_eq!(cache.keep_locked(&lock, &both.into()).unwrap(), 1);
    // Whoever has it in another branch, or cannot read it now, still needs it.
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(cache.clear().unwrap(), 0);
    std::fs::create_dir(&lock).unwrap();
    assert_eq!(cache.clear().unwrap(), 0);
    std::fs::remove_dir(&lock).unwrap();
    let notes = std::fs::read_dir(world.dir.path().join("cache/locks")).unwrap();
    let month = Duration::from_secs(31 * 24 * 3600);
    for note in notes {
        let note = std::fs::File::open(note.unwrap().path()).unwrap();
        note.set_modified(SystemTime::now() - month).unwrap();
    }
    assert_eq!(cache.clear().unwrap(), index.size);
}

#[test]
fn an_archive_that_a_lock_does_not_name_is_not_asked() {
    let world = World::new();
    let record = Record {
        not_locked: ["file:///srv/debian".to_owned()].into(),
        ..Record::default()
    };
    let settings = |locked| Settings {
        routes: vec![],
        cache: Cache::new(world.dir.path(), None),
        scratch: world.dir.path().join("scratch"),
        log: world.log(),
        vouched_only: false,
        locked,
        open: None,
    };
    let (debian, _) = distro::suite("trixie").unwrap();
    let start = |settings: &Settings, archive: Option<&str>| {
        let archive = archive.map(Archive::at);
        let relay = ArchiveRelay::start(settings, debian, archive.as_ref());
        relay.map(drop).map_err(|error| error.message().to_owned())
    };
    let free = settings(None);
    assert_eq!(start(&free, None), Ok(()));
    let bound = settings(Some(Arc::new(Locked::new("web.lock", "web", record))));
    assert_eq!(start(&bound, Some("file:///srv/debian")), Ok(()));
    // Somebody has taken lines out of it, or it was made of an archive that nobody knew.
    let refused = |what: &str| Err(format!("{what} is not in web.lock"));
    assert_eq!(start(&bound, None), refused("the archive of Debian"));
    let other = "file:///srv/other";
    assert_eq!(start(&bound, Some(other)), refused(other));
}
