//! Results in directories of others.

use super::*;
use crate::patience::wait_for;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// The directory's owner puts a link in the place of what is being written.
#[test]
fn a_link_in_the_place_of_an_unfinished_file_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("victim"), "theirs").unwrap();
    std::fs::set_permissions(at("victim"), Permissions::from_mode(0o600)).unwrap();
    let outlet = Outlet::of(&at("out")).unwrap();
    let new = outlet.create_named(0o600).unwrap();
    let name = at(new.name.as_ref().unwrap().to_str().unwrap());
    std::fs::remove_file(&name).unwrap();
    symlink(at("victim"), &name).unwrap();
    new.file().write_all(b"ours").unwrap();
    let readable = Permissions::from_mode(0o644);
    new.file().set_permissions(readable).unwrap();
    new.appear().unwrap();
    assert_eq!(std::fs::read(at("victim")).unwrap(), b"theirs");
    assert_eq!(at("victim").metadata().unwrap().mode() & 0o777, 0o600);
    assert!(at("out").is_symlink());
}

/// The directory's owner puts a link in the place of the directory.
#[test]
fn a_result_goes_to_the_directory_that_was_opened() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("named")).unwrap();
    std::fs::create_dir(at("etc")).unwrap();
    std::fs::write(at("made"), "ours").unwrap();
    let take = |outlet: &Outlet, made: &Path| outlet.take(made, None);
    for by in [Outlet::copy, take] {
        let outlet = Outlet::of(&at("named/passwd")).unwrap();
        std::fs::rename(at("named"), at("moved")).unwrap();
        symlink(at("etc"), at("named")).unwrap();
        by(&outlet, &at("made")).unwrap();
        assert_eq!(std::fs::read(at("moved/passwd")).unwrap(), b"ours");
        assert_eq!(at("etc").read_dir().unwrap().count(), 0);
        std::fs::remove_file(at("named")).unwrap();
        std::fs::rename(at("moved"), at("named")).unwrap();
    }
}

#[test]
fn what_comes_from_another_file_system_keeps_its_mode_and_its_holes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let made = File::create_new(at("made")).unwrap();
    made.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&made, b"data", 5 << 20).unwrap();
    made.set_permissions(Permissions::from_mode(0o4750))
        .unwrap();
    let made = File::open(at("made")).unwrap();
    Outlet::of(&at("out")).unwrap().bring(&made, None).unwrap();
    let data = at("out").metadata().unwrap();
    assert_eq!(data.mode() & 0o7777, 0o750, "no rights of its owner");
    assert!(data.blocks() * 512 < 1 << 20, "{} blocks", data.blocks());
    assert!(std::fs::read(at("out")).unwrap() == std::fs::read(at("made")).unwrap());
    assert_eq!(dir.path().read_dir().unwrap().count(), 2);
}

/// As on a file system without owners: root may not give a file away either.
#[test]
fn where_owners_cannot_be_changed_the_result_stays() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["old", "made", "far"] {
        std::fs::write(at(name), "ours").unwrap();
    }
    // Who is not root may not give it away anyway.
    drop(std::os::unix::fs::chown(at("old"), Some(1), Some(1)));
    let (old, far) = (
        at("old").metadata().unwrap(),
        File::open(at("far")).unwrap(),
    );
    let done = std::thread::scope(|scope| {
        let without = || {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::CHOWN);
            set_capabilities(None, sets).unwrap();
            let outlet = Outlet::of(&at("out")).unwrap();
            let taken = outlet.take(&at("made"), Some(&old));
            taken.and_then(|()| Outlet::of(&at("brought"))?.bring(&far, Some(&old)))
        };
        scope.spawn(without).join().unwrap()
    });
    done.unwrap();
    for name in ["out", "brought"] {
        assert_eq!(std::fs::read(at(name)).unwrap(), b"ours");
    }
}

#[test]
fn a_result_in_the_place_of_another_gets_its_owner_and_mode() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("old"), "old").unwrap();
    std::fs::set_permissions(at("old"), Permissions::from_mode(0o4640)).unwrap();
    let given = std::os::unix::fs::chown(at("old"), Some(1), Some(1)).is_ok();
    let old = at("old").metadata().unwrap();
    std::fs::write(at("made"), "new").unwrap();
    let outlet = Outlet::of(&at("old")).unwrap();
    outlet.take(&at("made"), Some(&old)).unwrap();
    let new = at("old").metadata().unwrap();
    assert_eq!((new.uid() == 1, new.gid() == 1), (given, given));
    assert_eq!(new.mode() & 0o7777, 0o640);
}

#[test]
fn a_result_gets_the_group_of_a_directory_that_gives_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("made"), "ours").unwrap();
    std::fs::create_dir(at("shared")).unwrap();
    let mine = at("made").metadata().unwrap().gid();
    let other = rustix::process::getgroups().unwrap();
    let other = other.into_iter().map(|group| group.as_raw());
    let other = other.chain([1]).find(|group| *group != mine).unwrap();
    // An ordinary user without a second group gives it the only one.
    let given = std::os::unix::fs::chown(at("shared"), None, Some(other)).is_ok();
    std::fs::set_permissions(at("shared"), Permissions::from_mode(0o2775)).unwrap();
    let made = File::open(at("made")).unwrap();
    Outlet::of(&at("shared/out"))
        .unwrap()
        .bring(&made, None)
        .unwrap();
    let got = at("shared/out").metadata().unwrap().gid();
    assert_eq!(got, if given { other } else { mine });
}

/// Who is killed meanwhile leaves nothing.
#[test]
fn an_unfinished_file_has_no_name_where_the_file_system_can() {
    let dir = tempfile::tempdir().unwrap();
    let new = Outlet::of(&dir.path().join("out")).unwrap().create(0o600);
    let new = new.unwrap();
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    new.file().write_all(b"ours").unwrap();
    new.appear().unwrap();
    assert_eq!(std::fs::read(dir.path().join("out")).unwrap(), b"ours");
}

/// Its owner writes to it, or takes it from others, and sets its time back.
#[test]
fn a_file_that_changed_since_it_was_read_stays() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("made"), "sealed").unwrap();
    std::fs::write(at("disk"), "read").unwrap();
    let file = File::options().write(true).open(at("disk")).unwrap();
    let set_back = |was: &Metadata| file.set_modified(was.modified().unwrap()).unwrap();
    let changes: [&dyn Fn(); 2] = [&|| (&file).write_all(b"more").unwrap(), &|| {
        file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    }];
    for change in changes {
        let was = file.metadata().unwrap();
        let outlet = Outlet::over(&at("disk"), Overwrite::This(was.clone())).unwrap();
        wait_for("another time", || {
            change();
            set_back(&was);
            file.metadata().unwrap().ctime_nsec() != was.ctime_nsec()
        });
        let error = outlet.take(&at("made"), None).unwrap_err();
        assert!(error.message().contains("is not what was read"), "{error}");
        assert_ne!(std::fs::read(at("disk")).unwrap(), b"sealed");
    }
    let was = file.metadata().unwrap();
    let outlet = Outlet::over(&at("disk"), Overwrite::This(was)).unwrap();
    outlet.take(&at("made"), None).unwrap();
    assert_eq!(std::fs::read(at("disk")).unwrap(), b"sealed");
}

/// Root could rename over a device, too.
#[test]
fn a_result_takes_the_place_of_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("directory")).unwrap();
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(CWD, at("pipe"), pipe, Mode::RUSR, 0).unwrap();
    symlink("/dev/null", at("device")).unwrap();
    symlink("directory", at("link")).unwrap();
    for (name, what) in [
        ("directory", "a directory"),
        ("pipe", "a pipe"),
        ("device", "a device"),
        ("link", "a directory"),
    ] {
        let error = Outlet::of(&at(name)).unwrap_err();
        assert!(error.message().contains(what), "{name}: {error}");
        let folder = Folder::open(dir.path()).unwrap();
        let named = folder.outlet(name.as_ref(), Overwrite::Anything);
        assert!(named.is_err(), "{name}");
    }
    symlink("nowhere", at("dangling")).unwrap();
    Outlet::of(&at("dangling")).unwrap().write(b"new").unwrap();
    assert_eq!(std::fs::read(at("dangling")).unwrap(), b"new");
    assert!(!at("nowhere").exists());
}

#[test]
fn an_earlier_result_is_renewed_and_another_file_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let renewing = || {
        Outlet::renewing(&file, "none of ours", "name another", |found| {
            std::io::read_to_string(found).is_ok_and(|text| text.starts_with("ours"))
        })
    };
    renewing().unwrap().write(b"ours 1").unwrap();
    renewing().unwrap().write(b"ours 2").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"ours 2");
    // What came or changed once it was looked at stays, too.
    let outlet = renewing().unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "theirs").unwrap();
    outlet.write(b"ours 3").unwrap_err();
    let error = renewing().unwrap_err();
    assert!(error.message().contains("is none of ours"), "{error}");
    std::fs::remove_file(&file).unwrap();
    let outlet = renewing().unwrap();
    std::fs::write(&file, "theirs").unwrap();
    outlet.write(b"ours 3").unwrap_err();
    assert_eq!(std::fs::read(&file).unwrap(), b"theirs");
}
