//! Made-up guests: an ext4 disk with the few files by which an operating system is known.

use std::path::{Path, PathBuf};

use imgforge::host::exec::Program;
use imgforge::machine::Arch;

use super::toy::System;

/// A tree of files that becomes a whole-disk ext4 image.
#[derive(Debug)]
pub(crate) struct Phony {
    dir: tempfile::TempDir,
}

impl Phony {
    /// A Debian of a few files: enough for inspection, for package lists, and to be sealed.
    pub(crate) fn debian() -> Self {
        let phony = Self::empty();
        phony
            .file("etc/os-release", DEBIAN)
            .file("etc/debian_version", "13.1\n")
            .file("etc/fstab", "LABEL=phony / ext4 defaults 0 1\n")
            .file("etc/hostname", "phony\n")
            .file("var/lib/dpkg/status", DPKG_STATUS);
        phony
            .link("bin", "usr/bin")
            .link("lib", "usr/lib")
            .link("sbin", "usr/sbin");
        phony
    }

    /// A Fedora of a few files.
    pub(crate) fn fedora() -> Self {
        let phony = Self::empty();
        phony
            .link("etc/os-release", "../usr/lib/os-release")
            .file("usr/lib/os-release", FEDORA)
            .file("etc/fedora-release", "Fedora release 42 (Adams)\n")
            .file("etc/redhat-release", "Fedora release 42 (Adams)\n")
            .file("etc/fstab", "LABEL=phony / ext4 defaults 0 1\n");
        phony
            .link("bin", "usr/bin")
            .link("lib", "usr/lib")
            .link("sbin", "usr/sbin");
        phony
    }

    /// An Ubuntu of a few files.
    pub(crate) fn ubuntu() -> Self {
        let phony = Self::debian();
        phony
            .file("etc/os-release", UBUNTU)
            .file("etc/debian_version", "trixie/sid\n")
            .file("etc/lsb-release", UBUNTU_LSB);
        phony
    }

    /// A RHEL of the days of yum, of a few files.
    pub(crate) fn rhel() -> Self {
        let phony = Self::fedora();
        std::fs::remove_file(phony.dir.path().join("etc/os-release")).unwrap();
        let name = "Red Hat Enterprise Linux Server release 7.9 (Maipo)\n";
        phony
            .file("etc/os-release", RHEL)
            .file("usr/lib/os-release", RHEL)
            .file("etc/redhat-release", name);
        std::fs::remove_file(phony.dir.path().join("etc/fedora-release")).unwrap();
        phony
    }

    /// A tree of nothing.
    pub(crate) fn bare() -> Self {
        Phony {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn empty() -> Self {
        let phony = Phony {
            dir: tempfile::tempdir().unwrap(),
        };
        for dir in [
            "boot", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr/bin",
            "usr/lib", "usr/sbin", "var/lib", "var/log", "var/tmp",
        ] {
            std::fs::create_dir_all(phony.dir.path().join(dir)).unwrap();
        }
        // Inspection learns the architecture from a program; the host's own shell is one.
        std::fs::copy("/bin/busybox", phony.dir.path().join("usr/bin/busybox")).unwrap();
        phony.link("usr/bin/sh", "busybox");
        phony
    }

    /// With a shell of this architecture.
    pub(crate) fn on(self, arch: Arch) -> Self {
        let busybox = std::fs::read(System::of(arch).busybox).unwrap();
        self.file("usr/bin/busybox", busybox);
        self
    }

    /// Adds a file, making its directories.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.dir.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.dir.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Sets the mode of a file.
    pub(crate) fn mode(&self, path: &str, mode: u32) -> &Self {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(self.dir.path().join(path), permissions).unwrap();
        self
    }

    /// Writes the tree into a tar file, `DIR/NAME`.
    pub(crate) fn tar(&self, dir: &Path, name: &str) -> PathBuf {
        let tar = dir.join(name);
        Program::new("tar")
            .arg("-C")
            .arg(self.path())
            .args(["--numeric-owner", "-cf"])
            .arg(&tar)
            .arg(".")
            .run()
            .unwrap();
        tar
    }

    /// The tree on the host.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a raw disk of 64 MiB, `DIR/NAME`, that is one ext4 file system.
    pub(crate) fn disk(&self, dir: &Path, name: &str) -> PathBuf {
        let disk = dir.join(name);
        std::fs::File::create(&disk)
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        Program::new("mke2fs")
            .args(["-q", "-t", "ext4", "-b", "4096", "-L", "phony", "-d"])
            .arg(self.path())
            .arg(&disk)
            .run()
            .unwrap();
        disk
    }

    /// Writes an ext4 file system of 64 MiB behind the first MiB of a disk, where its table has the
    /// first partition.
    pub(crate) fn in_first_partition(&self, disk: &Path) {
        Program::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-L", "phony"])
            .args(["-E", "offset=1048576", "-d"])
            .arg(self.path())
            .arg(disk)
            .arg("64M")
            .run()
            .unwrap();
    }
}

/// How the second partition of [`with_home`] may be named.
pub(crate) const HOME: [&str; 4] = [
    "11111111-2222-4333-8444-555555555502",
    "my homes",
    "aaaaaaaa-0000-4000-8000-000000000002",
    "the homes",
];

/// Writes a raw disk, `DIR/NAME`, with a GPT of two ext4: the root, and one of a type (a GUID) whose
/// UUID, label, PARTUUID and PARTLABEL are [`HOME`].
pub(crate) fn with_home(dir: &Path, name: &str, trees: [&Phony; 2], kind: &str) -> PathBuf {
    let disk = dir.join(name);
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(72 << 20).unwrap();
    let [uuid, label, partuuid, partlabel] = HOME;
    let table = format!(
        "label: gpt\nstart=2048, size=98304\n\
         start=100352, size=40960, uuid={partuuid}, name=\"{partlabel}\", type={kind}\n"
    );
    let sfdisk = Program::new("sfdisk").arg("-q").arg(&disk);
    sfdisk.input(table).run().unwrap();
    for (tree, at, size, extra) in [
        (trees[0], 1, "48M", &["-L", "phony"][..]),
        (trees[1], 49, "20M", &["-L", label, "-U", uuid]),
    ] {
        let offset = format!("offset={}", at << 20);
        Program::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-E", &offset])
            .args(extra)
            .arg("-d")
            .arg(tree.path())
            .arg(&disk)
            .arg(size)
            .run()
            .unwrap();
    }
    disk
}

const DEBIAN: &str = "\
PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"
NAME=\"Debian GNU/Linux\"
VERSION_ID=\"13\"
ID=debian
";

const FEDORA: &str = "\
NAME=\"Fedora Linux\"
VERSION_ID=42
ID=fedora
PRETTY_NAME=\"Fedora Linux 42 (Server Edition)\"
";

const UBUNTU: &str = "\
PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"
NAME=\"Ubuntu\"
VERSION_ID=\"24.04\"
ID=ubuntu
ID_LIKE=debian
";

const UBUNTU_LSB: &str = "\
DISTRIB_ID=Ubuntu
DISTRIB_RELEASE=24.04
DISTRIB_CODENAME=noble
DISTRIB_DESCRIPTION=\"Ubuntu 24.04.1 LTS\"
";

const RHEL: &str = "\
NAME=\"Red Hat Enterprise Linux Server\"
VERSION_ID=\"7.9\"
ID=\"rhel\"
PRETTY_NAME=\"Red Hat Enterprise Linux\"
";

const DPKG_STATUS: &str = "\
Package: openssh-server
Status: install ok installed
Architecture: amd64
Version: 1:10.0p1-7

Package: imaginary
Status: install ok installed
Architecture: all
Version: 2.5
";
