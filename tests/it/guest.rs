//! libguestfs on made-up guests. One session takes some 9 seconds, so each asks many things.

use std::path::Path;

use imgforge::guest::{Drive, Guestfs, Launch};
use imgforge::host::accel::Accel;

use crate::phony::Phony;

/// A session with raw disks.
pub(crate) fn session(disks: &[&Path]) -> Guestfs {
    let drives: Vec<_> = disks
        .iter()
        .map(|path| Drive {
            path,
            format: "raw",
            readonly: false,
        })
        .collect();
    Guestfs::launch(&Launch {
        drives: &drives,
        accel: Accel::Tcg,
        ui: None,
    })
    .unwrap()
}

#[test]
fn a_debian_is_mounted_read_written_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Phony::debian().disk(dir.path(), "disk.raw");
    let guest = session(&[&disk]);
    let os = guest.mount_root().unwrap();
    assert_eq!((os.distro.as_str(), os.major, os.minor), ("debian", 13, 1));
    assert_eq!(
        (os.package_format.as_str(), os.arch.as_str()),
        ("deb", "x86_64")
    );
    assert_eq!(os.osinfo, "debian13");
    assert_eq!(os.mountpoints, [("/".to_owned(), os.root.clone())]);
    let names: Vec<_> = guest
        .packages(&os.root)
        .unwrap()
        .into_iter()
        .map(|p| p.name)
        .collect();
    assert_eq!(names, ["openssh-server"]);

    guest.write("/root/a b", b"\x00bytes\xff").unwrap();
    guest.append("/root/a b", "more").unwrap();
    assert_eq!(guest.read_file("/root/a b").unwrap(), b"\x00bytes\xffmore");
    assert_eq!(guest.sh("cat /etc/hostname").unwrap(), "phony\n");
    assert_eq!(
        guest.command(&["/bin/busybox", "echo", "a  b"]).unwrap(),
        "a  b\n"
    );

    let error = guest.ls("/etc/nowhere").unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: listing /etc/nowhere failed
    caused by: ls0: opendir: /etc/nowhere: No such file or directory
    ");
    let error = guest.sh("echo no >&2; exit 3").unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: running a command in the guest failed
    caused by: sh: no
    ");
    guest.close().unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "scratch is left: {left:?}");
}
