//! Every operation on planted trees, the identity, and that what was removed is gone from the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imgforge::guest::{Guestfs, Os};
use imgforge::host::exec::Program;
use imgforge::sysprep::{
    Declared, ImageIdentity, OPERATIONS, OVERLAY_CLUSTER, Operation, Run, Seal, SealProgress,
    TrimMethod, empty_journals, seal, select,
};

use crate::phony::Phony;

/// Beside what the operations name.
const STAYING: &[&str] = &[
    "etc/hostname",
    "home/ann/.ssh/authorized_keys",
    "var/lib/dpkg/status",
];

/// In no file after sealing, and in no block.
const MARKER: &str = "a secret that must leave the disk";

/// An `authorized_keys` with a line that nobody declares.
const KEYS: &str = "ssh-ed25519 AAAA declared\nssh-ed25519 BBBB of the build\n";

/// A path, its content before and afterwards, and the operation.
type Example = (
    &'static str,
    Option<String>,
    Option<&'static str>,
    &'static str,
);

/// The examples of operations.
fn examples(wanted: impl Fn(&Operation) -> bool) -> Vec<Example> {
    // Longer than an inode holds, so that it has a block of its own.
    let secret = || Some(format!("{MARKER}\n").repeat(40));
    let mut all = vec![];
    for one in OPERATIONS.iter().filter(|one| wanted(one)) {
        let name = one.name;
        let edited = one.edited.iter();
        all.extend(one.gone.iter().map(|path| (*path, secret(), None, name)));
        all.extend(
            one.emptied
                .iter()
                .map(|path| (*path, secret(), Some(""), name)),
        );
        all.extend(edited.map(|(path, a, b)| (*path, Some((*a).into()), Some(*b), name)));
        all.extend(one.made.iter().map(|path| (*path, None, Some(""), name)));
    }
    all
}

/// Files that stay.
fn staying() -> impl Iterator<Item = &'static str> {
    let named = OPERATIONS.iter().flat_map(|one| one.stay);
    STAYING.iter().chain(named).copied()
}

/// Those that are for a Debian, too.
fn on_debian(operation: &Operation) -> bool {
    operation.is_for("deb")
}

fn assert_sealed(guest: &Guestfs, examples: &[Example]) {
    for (path, _, after, operation) in examples {
        let path = format!("/{path}");
        let exists = guest.exists(&path).unwrap();
        let found = exists.then(|| String::from_utf8(guest.read_file(&path).unwrap()).unwrap());
        assert_eq!(found.as_deref(), *after, "{operation}: {path}");
    }
}

fn planted_debian() -> Phony {
    let phony = Phony::debian();
    for (path, before, ..) in examples(on_debian) {
        if let Some(content) = before {
            phony.file(path, content);
        }
    }
    for path in staying().filter(|path| !phony.path().join(path).exists()) {
        phony.file(path, format!("{path} stays\n"));
    }
    phony.file(
        "var/lib/dbus/machine-id",
        "0123456789abcdef0123456789abcdef\n",
    );
    for home in ["home/bob", "var/lib/pg"] {
        phony.file(&format!("{home}/.ssh/authorized_keys"), KEYS);
    }
    phony.file("tmp/large", format!("{MARKER}\n").repeat(200_000));
    phony.file("usr/lib/systemd/system/ssh.service", "[Service]\n");
    phony.link("tmp/dangling", "/nowhere");
    phony.link("tmp/trap", "/etc");
    phony
}

/// Everything but what makes new UUIDs.
fn run_seal(guest: &Guestfs, os: &Os, declared: &Declared) -> SealProgress {
    run_operations(&["all", "-fs-uuids"], guest, os, declared)
}

fn run_operations(chosen: &[&str], guest: &Guestfs, os: &Os, declared: &Declared) -> SealProgress {
    let operations = select(chosen).unwrap();
    let identity = ImageIdentity {
        id: "phony".into(),
        version: "0123456789ab".into(),
    };
    seal(
        guest,
        os,
        &Seal {
            operations: &operations,
            identity: Some(&identity),
            declared,
            files: &[("/etc/apt/sources.list".into(), "# none\n".into())],
            luks_keys: &[],
            relabel_at_boot: true,
            ui: None,
        },
    )
    .unwrap()
}

/// Every file with its inode's data and every file's digest, as the guest's own shell sees them.
fn everything(guest: &Guestfs) -> BTreeMap<String, String> {
    let inodes = "find / -xdev -exec stat -c '%n|%a %u %g %s %Y %Z %F' {} +";
    let digests =
        "find / -xdev -type f -exec md5sum {} + | sed 's/^\\([^ ]*\\)  \\(.*\\)/\\2 digest|\\1/'";
    guest
        .sh(&format!("PATH=/bin; for i in find stat md5sum sed; do busybox ln -sf busybox /bin/$i; done; {inodes}; {digests}"))
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once('|'))
        // What the command above itself makes and touches.
        .filter(|(name, _)| !name.starts_with("/usr/bin"))
        .map(|(name, data)| (name.to_owned(), data.to_owned()))
        .collect()
}

fn overlay(base: &Path) -> std::path::PathBuf {
    let overlay = base.with_extension("qcow2");
    let clusters = format!("cluster_size={OVERLAY_CLUSTER}");
    Program::new("qemu-img")
        .args([
            "create", "-q", "-f", "qcow2", "-F", "raw", "-o", &clusters, "-b",
        ])
        .args([base, &overlay])
        .run()
        .unwrap();
    overlay
}

fn contains(file: &Path, text: &str) -> bool {
    let bytes = std::fs::read(file).unwrap();
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

/// Locks files of a whole-disk ext4 as hardened machines have them; extents are a flag, too.
fn lock(disk: &Path) {
    for (path, flags) in [
        ("/root/.bash_history", "0x80020"),
        ("/var/log/nginx/access.log", "0x80010"),
        ("/tmp/.hidden/file", "0x80010"),
    ] {
        Program::new("debugfs")
            .args(["-w", "-R", &format!("sif {path} flags {flags}")])
            .arg(disk)
            .run()
            .unwrap();
    }
}

/// Those on disks have tests of their own.
#[test]
fn every_operation_on_files_has_an_example_of_its_own() {
    let all = examples(|_| true);
    for operation in OPERATIONS {
        let name = operation.name;
        let on_disks = matches!(operation.run, Run::Devices(_));
        let named = all.iter().any(|(.., of)| *of == name);
        assert!(named || on_disks, "{name} has no example");
    }
    for (path, ..) in &all {
        let of: BTreeSet<_> = all
            .iter()
            .filter(|one| one.0 == *path)
            .map(|one| one.3)
            .collect();
        assert_eq!(of.len(), 1, "{path}: {of:?}");
        assert!(
            staying().all(|other| other != *path),
            "{path} stays, and does not"
        );
    }
}

/// Writes and removes what is secret, and reserves its blocks for files; all times are known.
const RESERVE: &str = r#"set -e
mkdir -p /sysroot/srv; cd /sysroot/srv
yes 'a secret that must leave the disk' | head -c 4194304 >removed
sync; rm removed; sync
touch 'in part'; fallocate -l 50000 'in part'
printf written | dd of='in part' bs=4096 seek=4 conv=notrunc
fallocate -n -o 50000 -l 100000 'in part'
avail=$(df -k --output=avail /sysroot | tail -n 1)
fallocate -l "$((avail - 2048))k" 'it is reserved'
setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 'in part'
chmod u+s 'in part'
touch -d @1000000000 *
"#;

#[test]
#[ignore = "vm: src/sysprep src/guest"]
fn a_sealed_debian_has_lost_what_was_planted_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let phony = planted_debian();
    let base = phony.disk(dir.path(), "base.raw");
    lock(&base);
    let disk = overlay(&base);
    assert!(contains(&base, MARKER));
    let guest = crate::slots::launch_on(&[&disk], "qcow2").unwrap();
    let os = guest.mount_root().unwrap();
    guest
        .write("/tmp/written-now", format!("{MARKER}\n").repeat(500))
        .unwrap();
    guest.debug("sh", &[RESERVE]).unwrap();
    let keep = Declared {
        accounts: ["ann".to_owned()].into(),
        keys: ["bob", "pg"]
            .map(|user| {
                (
                    user.to_owned(),
                    ["ssh-ed25519 AAAA declared".to_owned()].into(),
                )
            })
            .into(),
        ..Declared::default()
    };

    let report = run_seal(&guest, &os, &keep);
    assert_eq!(report.given.filesystems.len(), 1);
    assert_eq!(report.given.filesystems[0].how, TrimMethod::Discarded);
    insta::assert_snapshot!(report.warnings().join("\n"), @r"
    /root/.bash_history was locked by `chattr +a`: taken off, the file is gone
    /var/log/nginx/access.log was locked by `chattr +i`: taken off, put back
    files below /tmp/.hidden were locked by flags (chattr)
    ");
    let [reserved, rest] = ["srv/it is reserved", "srv/in part"].map(|path| {
        let line = format!("stat -c '%s %Y' '/sysroot/{path}'; filefrag -v '/sysroot/{path}' | grep -c unwritten; true");
        guest.debug("sh", &[&line]).unwrap()
    });
    assert!(reserved.ends_with(" 1000000000\n1"), "{reserved}");
    assert!(rest.starts_with("50000 1000000000\n"), "{rest}");
    let part = "/srv/in part";
    assert_eq!(guest.lstat(part).unwrap().mode & 0o7777, 0o4644);
    let capabilities = guest.attribute(part, "security.capability").unwrap();
    assert_eq!(capabilities[..8], [1, 0, 0, 2, 0, 4, 0, 0]);

    assert!(
        guest
            .flags("/var/log/nginx/access.log")
            .unwrap()
            .contains('i')
    );
    assert!(report.freed() > 6 << 20, "{report:?}");
    assert_sealed(&guest, &examples(on_debian));
    for path in staying() {
        let before = std::fs::read(phony.path().join(path)).unwrap();
        assert_eq!(
            guest.read_file(&format!("/{path}")).unwrap(),
            before,
            "{path}"
        );
    }
    for home in ["/home/bob", "/var/lib/pg"] {
        let keys = guest
            .read_file(&format!("{home}/.ssh/authorized_keys"))
            .unwrap();
        assert_eq!(keys, b"ssh-ed25519 AAAA declared\n", "{home}");
    }
    assert_eq!(guest.ls("/tmp").unwrap(), [""; 0]);
    assert_eq!(guest.lstat("/etc/machine-id").unwrap().mode, 0o100_444);
    assert_eq!(
        guest.readlink("/var/lib/dbus/machine-id").unwrap(),
        "/etc/machine-id"
    );
    let wanted = "/etc/systemd/system/multi-user.target.wants/imgforge-ssh-hostkeys.service";
    assert!(guest.exists(wanted).unwrap());
    let release = String::from_utf8(guest.read_file("/etc/os-release").unwrap()).unwrap();
    assert!(
        release.ends_with("IMAGE_ID=phony\nIMAGE_VERSION=0123456789ab\n"),
        "{release}"
    );

    first_boots(&guest, &os, &keep);

    let once = everything(&guest);
    assert!(once.contains_key("/etc/hostname digest"), "{once:?}");
    run_seal(&guest, &os, &keep);
    let twice = everything(&guest);
    let changed: Vec<_> = twice
        .iter()
        .filter(|(name, _)| !name.contains("/srv/"))
        .filter(|(name, data)| once.get(*name) != Some(data))
        .collect();
    assert!(
        changed.is_empty() && once.len() == twice.len(),
        "a second run changed {changed:?}"
    );
    empty_journals(&guest, &os).unwrap();
    guest.close().unwrap();

    let flat = dir.path().join("flat.raw");
    Program::new("qemu-img")
        .args(["convert", "-O", "raw"])
        .args([&disk, &flat])
        .run()
        .unwrap();
    assert!(contains(&flat, "etc/hostname stays") || contains(&flat, "phony"));
    crate::layouts::assert_free_blocks_are_zero(&flat, 0);
    assert!(
        !contains(&flat, MARKER),
        "free blocks still have what was removed"
    );
    assert_journal_is_empty(&flat);
}

/// An image may want a first boot that is one for systemd; one that does is left so.
fn first_boots(guest: &Guestfs, os: &Os, keep: &Declared) {
    let first = Declared {
        first_boot: true,
        ..keep.clone()
    };
    // All others have nothing left to do.
    let run = |declared| run_operations(&["machine-id"], guest, os, declared);
    for declared in [&first, &first, keep] {
        run(declared);
        let id = guest.read_file("/etc/machine-id").unwrap();
        assert_eq!(id, b"uninitialized\n");
        assert_eq!(guest.lstat("/etc/machine-id").unwrap().mode, 0o100_444);
    }
    guest.write("/etc/machine-id", "0123\n").unwrap();
    run(keep);
    assert_eq!(guest.read_file("/etc/machine-id").unwrap(), b"");
}

/// The journal of a raw ext4 disk has its superblock and zeroes, and the disk is in order.
fn assert_journal_is_empty(disk: &Path) {
    let journal = Program::new("debugfs")
        .args(["-R", "cat <8>"])
        .arg(disk)
        .output()
        .unwrap();
    assert_eq!(journal[..4], [0xc0, 0x3b, 0x39, 0x98]);
    let rest = &journal[4096..];
    assert!(rest.len() > 1 << 20 && rest.iter().all(|byte| *byte == 0));
    Program::new("e2fsck")
        .args(["-f", "-n"])
        .arg(disk)
        .run()
        .unwrap();
}

/// Seals a Fedora that is mounted already, as another session has one anyway.
pub(crate) fn seal_fedora(guest: &Guestfs, os: &Os) {
    let planted = examples(|one| !on_debian(one));
    for (path, before, ..) in &planted {
        let path = format!("/{path}");
        guest.mkdir_p(path.rsplit_once('/').unwrap().0).unwrap();
        guest.write(&path, before.as_ref().unwrap()).unwrap();
    }
    guest.mkdir_p("/var/lib/dbus").unwrap();
    guest.write("/var/lib/dbus/machine-id", "0123\n").unwrap();
    guest
        .ln_sf("/var/lib/dbus/machine-id", "/etc/machine-id")
        .unwrap();

    run_seal(guest, os, &Declared::default());
    assert_sealed(guest, &planted);
    assert!(!planted.is_empty());
    assert!(!guest.is_symlink("/etc/machine-id").unwrap());
    assert_eq!(guest.read_file("/etc/machine-id").unwrap(), b"");
    assert_eq!(
        guest.readlink("/etc/os-release").unwrap(),
        "../usr/lib/os-release"
    );
    let release = String::from_utf8(guest.read_file("/usr/lib/os-release").unwrap()).unwrap();
    assert!(release.contains("IMAGE_ID=phony\n"), "{release}");
}
