//! `imgforge disk seal`: what it refuses, and that nothing is lost.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imgforge::host::exec::Program;
use imgforge::host::qemu_img::is_used;

use crate::patience::wait_for;
use crate::phony::Phony;
use crate::support::{Run as _, external, imgforge_with_guests, names};

fn imgforge(dir: &Path) -> Command {
    let mut command = imgforge_with_guests();
    command
        .args(["--progress", "plain", "--accel", "tcg", "--state"])
        .arg(dir.join("state"))
        .args(["disk", "seal"]);
    command
}

/// The exit code and both outputs.
pub(crate) fn seal(dir: &Path, args: &[&str]) -> (i32, String) {
    seal_with(dir, args, &[])
}

/// As `seal`, with these variables.
pub(crate) fn seal_with(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let mut command = imgforge(dir);
    command.args(args).envs(env.iter().copied()).said().both()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_list_is_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let (code, printed) = seal(dir.path(), &["--list"]);
    assert_eq!(code, 0);
    assert!(
        printed.contains("\nmachine-id              * Empty the machine id\n"),
        "{printed}"
    );
    assert!(
        printed.contains("\nfs-uuids                  Give file systems new UUIDs\n"),
        "{printed}"
    );
    assert!(!dir.path().join("state").exists());
}

#[test]
fn what_cannot_be_sealed_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let disk = file("disk.raw", &[0; 1 << 20]);
    let disk = text(&disk);
    let note = file("note.txt", b"not a disk\n");
    let other = file("there.raw", b"precious");
    let snapshots = dir.path().join("snapshots.qcow2");
    for args in [
        &["create", "-q", "-f", "qcow2"][..],
        &["snapshot", "-c", "one"],
    ] {
        let size = (args[0] == "create").then_some("1M");
        Program::new("qemu-img")
            .args(args)
            .arg(&snapshots)
            .args(size)
            .run()
            .unwrap();
    }
    for (args, expected) in [
        (&["/nowhere.raw"][..], "/nowhere.raw cannot be read"),
        (&[text(&note)], "no whole number of sectors"),
        (&[text(dir.path())], "is a directory"),
        (
            &[disk, "--format", "qcow2"],
            "cannot be opened as a qcow2 disk",
        ),
        (&[disk, "-o", text(&other)], "exists already"),
        (&[disk, "--keep", "etc/x"], "not an absolute path"),
        (
            &[disk, "--operations", "machineid"],
            "did you mean `machine-id`?",
        ),
        (
            &[disk, "--operations", "default,customize"],
            "so that all clones share them",
        ),
        (&[text(&snapshots)], "has internal snapshots"),
    ] {
        let (code, printed) = seal(dir.path(), args);
        assert_eq!(code, 2, "{args:?}: {printed}");
        assert!(printed.contains(expected), "{args:?}: {printed}");
    }
    assert_eq!(std::fs::read(other).unwrap(), b"precious");
}

#[test]
fn a_disk_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk.raw");
    std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
    // A machine that has not begun.
    let mut user = external(crate::slots::qemu(crate::slots::take(1)))
        .args(["-accel", "tcg", "-nodefaults", "-display", "none", "-S"])
        .args(["-device", "virtio-blk-pci,drive=disk", "-drive"])
        .arg(format!(
            "if=none,id=disk,format=raw,file={}",
            disk.display()
        ))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the machine's lock", || {
        let open = Program::new("qemu-io").args(["-f", "raw", "-c", "quit"]);
        open.arg(&disk).run().is_err()
    });
    let (code, printed) = seal(dir.path(), &[text(&disk)]);
    // It is that of the file, whatever has its name by now.
    let file = std::fs::File::open(&disk).unwrap();
    std::fs::rename(&disk, dir.path().join("moved.raw")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &disk).unwrap();
    let used = is_used(&file).unwrap();
    std::fs::remove_file(&disk).unwrap();
    std::fs::write(&disk, vec![0; 1 << 20]).unwrap();
    let another = std::fs::File::open(&disk).unwrap();
    assert!(!is_used(&another).unwrap());
    user.kill().unwrap();
    user.wait().unwrap();
    assert!(used);
    assert_eq!(code, 2, "{printed}");
    assert!(
        printed.contains("is in use by another process"),
        "{printed}"
    );
}

#[test]
#[ignore = "vm: src/sysprep src/guest src/scan"]
fn an_overlay_is_sealed_whole_and_a_failure_or_a_kill_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let phony = Phony::debian();
    phony.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    phony.file(
        "etc/ssh/ssh_host_ed25519_key",
        "a key of the build\n".repeat(500),
    );
    let base = phony.disk(dir.path(), "base.raw");
    let disk = dir.path().join("disk.qcow2");
    let create = Program::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
    create.args([&base, &disk]).run().unwrap();
    std::fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = [std::fs::read(&base).unwrap(), std::fs::read(&disk).unwrap()];

    let empty = dir.path().join("empty.raw");
    std::fs::write(&empty, vec![0; 8 << 20]).unwrap();
    let (code, printed) = seal(dir.path(), &[text(&empty)]);
    assert_eq!(code, 1, "{printed}");
    assert!(
        printed.contains("no operating system was found"),
        "{printed}"
    );
    assert_eq!(
        names(dir.path()),
        ["base.raw", "disk.qcow2", "empty.raw", "state"]
    );

    // Killed while the appliance works.
    let mut killed = imgforge(dir.path())
        .args([&disk, Path::new("--backing"), &base])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut sockets = None;
    wait_for("the session", || {
        sockets = noted(dir.path());
        sockets.is_some()
    });
    let sockets = sockets.unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(
        [std::fs::read(&base).unwrap(), std::fs::read(&disk).unwrap()],
        before
    );
    assert!(sockets.is_dir(), "{}", sockets.display());

    let (code, printed) = seal(dir.path(), &[text(&disk), "--backing", text(&base)]);
    assert_eq!(code, 0, "{printed}");
    assert!(
        printed.contains("cleared after an earlier run: removed"),
        "{printed}"
    );
    assert!(printed.contains("used of"), "{printed}");
    assert!(!sockets.exists(), "{}", sockets.display());
    assert_eq!(
        names(dir.path()),
        ["base.raw", "disk.qcow2", "empty.raw", "state"]
    );
    assert_eq!(std::fs::read(&base).unwrap(), before[0]);
    assert_eq!(
        std::fs::metadata(&disk).unwrap().permissions().mode() & 0o777,
        0o640
    );
    // Nothing of the build is in the result, nor behind it.
    std::fs::remove_file(&base).unwrap();
    let flat = dir.path().join("flat.raw");
    let convert = Program::new("qemu-img").args(["convert", "-f", "qcow2", "-O", "raw"]);
    convert.args([&disk, &flat]).run().unwrap();
    let bytes = std::fs::read(&flat).unwrap();
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(has("Debian GNU/Linux") && !has("a key of the build"));
}

/// The sockets that a session noted in a scratch directory below `dir`.
fn noted(dir: &Path) -> Option<PathBuf> {
    let below = |dir: &Path, prefix: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        named.map(|entry| entry.path()).collect()
    };
    let scratch = below(dir, ".imgforge-");
    let sessions = scratch
        .iter()
        .flat_map(|scratch| below(scratch, "guestfs-"));
    let mut links = sessions.map(|session| session.join("sockets"));
    links.find_map(|link| link.read_link().ok())
}
