use super::*;
use crate::store::digests::Digests;

struct World {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("checkout");
        std::fs::create_dir(&root).unwrap();
        World { dir, root }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// What a plan reads of these.
    fn walked(&self, names: &[&str]) -> Vec<Walked> {
        let digests = Digests::open(self.dir.path());
        let one = |name: &&str| {
            let path = self.root.join(name);
            let found = digests.walk(&path).unwrap();
            Walked {
                path,
                found,
                installer: false,
            }
        };
        names.iter().map(one).collect()
    }

    fn take(&self, read: &[Walked]) -> Result<Files> {
        Files::take(read, &self.root, self.dir.path().join("inputs"), true)
    }

    fn refused(&self, read: &[Walked], words: &str) {
        let error = self.take(read).unwrap_err().render();
        let advice = "changed since the build was planned";
        assert!(error.contains(words) && error.contains(advice), "{error}");
        assert!(error.contains("build again"), "{error}");
        assert!(!self.dir.path().join("inputs").exists(), "nothing is left");
    }
}

#[test]
fn a_stage_reads_the_bytes_of_its_plan_whatever_happens_to_the_checkout() {
    let world = World::new();
    world.write("scripts/harden.sh", "#!/bin/sh\nright\n");
    world.write("site/etc/motd", "hello\n");
    symlink("motd", world.root.join("site/etc/issue")).unwrap();
    symlink("site", world.root.join("near")).unwrap();
    let read = world.walked(&["scripts/harden.sh", "site", "near/etc/motd", "./near"]);
    let files = world.take(&read).unwrap();
    world.write("scripts/harden.sh", "#!/bin/sh\nevil\n");
    std::fs::remove_dir_all(world.root.join("site")).unwrap();
    let text = |name: &str| std::fs::read_to_string(files.root().join(name)).unwrap();
    assert_eq!(text("scripts/harden.sh"), "#!/bin/sh\nright\n");
    for motd in ["site/etc/motd", "near/etc/motd", "site/etc/issue"] {
        assert_eq!(text(motd), "hello\n", "{motd}");
    }
    let link = files.root().join("site/etc/issue");
    assert!(link.symlink_metadata().unwrap().is_symlink());
    files.unchanged().unwrap();
    let dir = files.root();
    drop(files);
    assert!(!dir.exists());
}

#[test]
fn what_is_no_longer_what_was_planned_is_refused() {
    let world = World::new();
    let name = "scripts/harden.sh";
    world.write(name, "#!/bin/sh\nright\n");
    symlink("harden.sh", world.root.join("scripts/link")).unwrap();
    let read = world.walked(&["scripts"]);
    drop(world.take(&read).unwrap());
    world.write(name, "#!/bin/sh\nevil\n");
    world.refused(&read, name);
    world.write(name, "#!/bin/sh\nright\n");
    drop(world.take(&read).unwrap());
    let path = world.root.join(name);
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    world.refused(&read, "permissions");
    std::fs::remove_file(&path).unwrap();
    world.refused(&read, name);
    rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    world.refused(&read, "it is not a file");
    std::fs::remove_file(&path).unwrap();
    world.write(name, "#!/bin/sh\nright\n");
    std::fs::remove_file(world.root.join("scripts/link")).unwrap();
    symlink("/etc/passwd", world.root.join("scripts/link")).unwrap();
    world.refused(&read, "the link leads elsewhere");
}

/// Of a file that is too large to copy, the bytes that were hashed are those that are used.
#[test]
fn a_large_file_is_held_by_what_it_is_and_asked_in_the_end() {
    let world = World::new();
    let path = world.root.join("disk.raw");
    File::create(&path).unwrap().set_len(LARGE).unwrap();
    let read = world.walked(&["disk.raw"]);
    let files = world.take(&read).unwrap();
    let copy = files.copy(&path).unwrap();
    // Another one in its place, and the right one back.
    std::fs::rename(&path, world.root.join("aside")).unwrap();
    std::fs::write(&path, "evil").unwrap();
    assert_eq!(copy.metadata().unwrap().len(), LARGE);
    drop(files);

    std::fs::rename(world.root.join("aside"), &path).unwrap();
    let files = world.take(&read).unwrap();
    files.unchanged().unwrap();
    let write = |byte: u8| {
        let file = File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[byte], 5).unwrap();
    };
    write(1);
    write(0);
    let error = files.unchanged().unwrap_err().render();
    assert!(error.contains("disk.raw changed"), "{error}");
    drop(files);
    assert_eq!(
        path.metadata().unwrap().len(),
        LARGE,
        "it stays where it is"
    );

    // Where files get other owners meanwhile, it is copied.
    let dir = world.dir.path().join("inputs");
    let files = Files::take(&read, &world.root, dir, false).unwrap();
    write(1);
    files.unchanged().unwrap();
}

#[test]
fn a_link_of_a_tree_lets_nothing_be_written_outside() {
    let world = World::new();
    world.write("real/file", "text");
    std::fs::create_dir(world.root.join("tree")).unwrap();
    symlink(world.root.join("real"), world.root.join("tree/out")).unwrap();
    let error = world.take(&world.walked(&["tree", "tree/out/file"]));
    let error = error.unwrap_err().render();
    assert!(error.contains("leads through a link"), "{error}");
    assert_eq!(
        std::fs::read_to_string(world.root.join("real/file")).unwrap(),
        "text"
    );
}

#[test]
fn packages_of_a_local_install_tree_are_not_copied() {
    let world = World::new();
    for name in ["os/.treeinfo", "os/images/vmlinuz", "os/Packages/x.rpm"] {
        world.write(name, "x");
    }
    let mut read = world.walked(&["os"]);
    read[0].installer = true;
    let files = world.take(&read).unwrap();
    let there = |name: &str| files.root().join("os").join(name).exists();
    assert!(there(".treeinfo") && there("images/vmlinuz"));
    assert!(!there("Packages/x.rpm"));
}

/// Two stages at a time use one medium; one that others may write is copied.
#[test]
fn another_stages_link_is_no_change_and_what_others_write_is_no_link() {
    use std::os::unix::fs::MetadataExt as _;
    let world = World::new();
    let path = world.root.join("disk.raw");
    File::create(&path).unwrap().set_len(LARGE).unwrap();
    let read = world.walked(&["disk.raw"]);
    let first = world.take(&read).unwrap();
    let inode = |files: &Files| files.copy(&path).unwrap().metadata().unwrap().ino();
    let own = path.metadata().unwrap().ino();
    assert_eq!(inode(&first), own);
    let second = Files::take(&read, &world.root, world.dir.path().join("second"), true).unwrap();
    assert_eq!(inode(&second), own);
    drop(second);
    first.unchanged().unwrap();
    drop(first);

    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&world.root, open).unwrap();
    let files = world.take(&read).unwrap();
    assert_ne!(inode(&files), own);
    assert_eq!(files.copy(&path).unwrap().metadata().unwrap().len(), LARGE);
}
