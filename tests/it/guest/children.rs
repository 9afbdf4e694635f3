//! What other tests run as a process of its own.

use std::path::{Path, PathBuf};

use imgforge::error::Kind;
use imgforge::host::exec::Program;
use imgforge::host::interrupt;

use super::session;
use crate::patience::{HANG, pause};
use crate::phony::Phony;

/// Runs a test of this file as a process of its own, as they end it or look at its output.
pub(crate) fn child(test: &str, dir: &Path) -> Program {
    crate::slots::this_test(&format!("guest::children::{test}"))
        .env("IMGFORGE_TEST_DIR", dir)
        .timeout(HANG)
}

/// The disk of a child. Alone it has proven nothing, so it fails.
fn child_disk() -> PathBuf {
    let dir = std::env::var_os("IMGFORGE_TEST_DIR").expect("run by another test");
    Phony::debian().disk(Path::new(&dir), "disk.raw")
}

#[test]
#[ignore = "child"]
fn is_interrupted() {
    let disk = child_disk();
    let guest = session(&[&disk]);
    std::thread::spawn(|| {
        // Mostly in the middle of the call; before it, it is an interruption as well.
        (0..25).for_each(|_| pause());
        interrupt::raise(15);
    });
    let error = guest.debug("sh", &["sleep 60"]).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted(15), "{error}");
    drop(guest);
    let error = crate::slots::launch_on(&[&disk], "raw").unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted(15), "{error}");
}

#[test]
#[ignore = "child"]
fn waits_to_be_killed() {
    let disk = child_disk();
    let guest = session(&[&disk]);
    let mut stdout = std::io::stdout();
    std::io::Write::write_all(&mut stdout, b"\nready\n").unwrap();
    drop(guest.debug("sh", &["while :; do sleep 60; done"]));
}

#[test]
#[ignore = "child"]
fn fails_in_many_ways() {
    let disk = child_disk();
    let guest = session(&[&disk]);
    assert!(guest.read_file("/x").is_err());
    assert!(guest.mount("/dev/nowhere", "/").is_err());
    assert!(guest.upload(Path::new("/nowhere"), "/x").is_err());
    drop(guest);
    let nowhere = Path::new("/nowhere.raw");
    let error = crate::slots::launch_on(&[nowhere], "raw").unwrap_err();
    assert!(
        error.to_string().contains("/nowhere.raw: No such file"),
        "{error}"
    );
}

#[test]
#[ignore = "child"]
fn starts_an_appliance() {
    let disk = child_disk();
    let said = match crate::slots::launch_on(&[&disk], "raw") {
        Ok(guest) => guest.close().map(|()| String::new()).unwrap(),
        Err(error) => error.render(),
    };
    std::fs::write(disk.with_extension("said"), said).unwrap();
}
