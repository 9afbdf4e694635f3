//! A published image with a boot partition and an ext4 root, and disks to put it on.

use std::collections::BTreeMap;

use imgforge::ext4::{Fs, Walk};
pub(crate) use imgforge::host::exec::Program;

use crate::phony::Phony;
pub(crate) use crate::pull::world::*;

/// Where the root is on the image, in bytes.
pub(crate) const ROOT: u64 = 4 << 20;

/// Bytes of the image.
pub(crate) const IMAGE: u64 = 72 << 20;

/// Packs a disk with such a root, published as `web` by who calls it.
pub(crate) fn rooted(world: &World, name: &str, tree: &Phony) -> Disk {
    packed(raw(world, name, tree))
}

/// The same, not packed yet: places for boot loaders are at 1 MiB (BIOS) and 2 MiB (UEFI).
pub(crate) fn raw(world: &World, name: &str, tree: &Phony) -> PathBuf {
    let raw = world.path(&format!("{name}.raw"));
    File::create(&raw).unwrap().set_len(IMAGE).unwrap();
    let sfdisk = Program::new("sfdisk").arg("-q").arg(&raw);
    let lines = "label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\n\
                 start=4096, size=4096, type=U\nstart=8192, size=131072\n";
    sfdisk.input(lines).run().unwrap();
    let mke2fs = Program::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-b", "4096"]);
    let mke2fs = mke2fs.args(["-E", &format!("offset={ROOT}"), "-d"]);
    let mke2fs = mke2fs.arg(tree.path()).arg(&raw).arg("64M");
    mke2fs.run().unwrap();
    let file = File::options().write(true).open(&raw).unwrap();
    file.write_all_at(b"boot code", 0).unwrap();
    file.write_all_at(&noise(1), 1 << 20).unwrap();
    raw
}

/// A repository with the image `web`, of a small Debian.
pub(crate) fn one_root() -> (World, Disk) {
    let world = World::new();
    let disk = rooted(&world, "one", &Phony::debian());
    publish(&world, &disk, "web", "stable");
    (world, disk)
}

/// What a file is: permissions and type, owner, group, and content or target.
pub(crate) type Told = (u32, u32, u32, Vec<u8>);

/// Every file of the root on a disk, and how many bytes the file system has.
pub(crate) fn tree(disk: &Path) -> (BTreeMap<String, Told>, u64) {
    let file = File::open(disk).unwrap();
    let fs = Fs::open(&file, ROOT).unwrap();
    let files = Walk::new(&fs).map(|found| {
        let (path, inode) = found.unwrap();
        let content = match () {
            () if inode.is_file() => fs.read(&inode, 1 << 30).unwrap(),
            () if inode.is_link() => fs.link(&inode).unwrap(),
            () => vec![],
        };
        let told = (inode.mode, inode.uid, inode.gid, content);
        (String::from_utf8(path).unwrap(), told)
    });
    let files = files.collect();
    let mut count = [0; 4];
    file.read_exact_at(&mut count, ROOT + 1024 + 4).unwrap();
    (files, u64::from(u32::from_le_bytes(count)) * 4096)
}

impl Machine {
    /// A disk of this machine, in a file, with something in it.
    pub(crate) fn disk_with(&self, size: u64, content: &[u8]) -> PathBuf {
        let path = self.path("disk");
        let file = File::create(&path).unwrap();
        file.set_len(size).unwrap();
        for at in (0..size).step_by(1 << 20).filter(|_| !content.is_empty()) {
            file.write_all_at(content, at + 700).unwrap();
        }
        path
    }

    /// `imgforge deploy disk`, of `web` in the repository at `base`.
    pub(crate) fn deploy(&self, base: &str, disk: &Path, more: &[&str]) -> Result<String> {
        self.deploying(base, disk).args(more).text()
    }

    /// `imgforge deploy medium`, of `web` in the repository at `base`, to this machine's directory.
    pub(crate) fn medium(&self, base: &str, more: &[&str]) -> Result<String> {
        let medium = self.program().args(["deploy", "medium"]);
        let medium = medium.arg(format!("{base}#web")).arg("--key");
        let medium = medium.arg(self.key()).arg("--output").arg(self.path(""));
        medium.args(["--arch", "x86_64"]).args(more).text()
    }

    /// The same as [`Machine::deploy`], as a program.
    pub(crate) fn deploying(&self, base: &str, disk: &Path) -> Program {
        let deploy = self.program().args(["deploy", "disk"]);
        let deploy = deploy.arg(format!("{base}#web")).arg("--disk").arg(disk);
        let deploy = deploy.args(["--arch", "x86_64", "--key"]);
        deploy.arg(self.key())
    }
}
