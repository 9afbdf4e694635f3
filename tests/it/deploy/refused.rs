//! What stops before anything is written.

use super::world::*;

/// The disk is as it was, to the byte, and so is its time.
fn untouched(disk: &Path, act: impl FnOnce()) {
    let look = || {
        let changed = std::fs::metadata(disk).unwrap().modified().unwrap();
        (std::fs::read(disk).unwrap(), changed)
    };
    let before = look();
    act();
    assert!(look() == before);
}

#[test]
fn a_disk_with_anything_on_it_needs_to_be_given_up() {
    let (world, _) = one_root();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let disk = machine.disk_with(200 << 20, b"");
    let file = File::options().write(true).open(&disk).unwrap();
    let stopped = |what: &str| {
        untouched(&disk, || {
            let error = machine.deploy(&base, &disk, &[]).unwrap_err().render();
            assert!(
                error.contains("is not empty, and nothing was written"),
                "{error}"
            );
            assert!(
                error.contains(what) && error.contains("--replace"),
                "{error}"
            );
        });
    };
    // Where volumes of LVM, and members of a RAID, are known by.
    for at in [512, 4096, (200 << 20) - 4096] {
        file.write_all_at(b"x", at).unwrap();
        stopped("it has data that is not zeros, and no partition table");
        file.write_all_at(&[0], at).unwrap();
    }
    let sfdisk = |label: &str| {
        let sfdisk = Program::new("sfdisk").arg("-q").arg(&disk);
        sfdisk
            .input(format!("label: {label}\nsize=20M\nsize=30M\n"))
            .run()
            .unwrap();
    };
    sfdisk("dos");
    stopped("it has an MBR with 2 partitions");
    sfdisk("gpt");
    stopped("it has a GPT with 2 partitions");
    machine.deploy(&base, &disk, &["--replace"]).unwrap();
    // Another revision is something else.
    let two = rooted(&world, "two", &crate::phony::Phony::ubuntu());
    publish(&world, &two, "web", "stable");
    stopped("it has revision 1 of `web`");
    machine.deploy(&base, &disk, &["--replace"]).unwrap();
    assert!(tree(&disk).0 == tree(&two.raw).0);
}

#[test]
fn whatever_is_tampered_with_or_does_not_fit_is_stopped() {
    let (world, image) = one_root();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let disk = machine.disk_with(200 << 20, b"");
    let blob = std::fs::read_dir(world.path("repo/images/web/1")).unwrap();
    let mut blobs = blob.map(|file| file.unwrap().path());
    let blob = blobs
        .find(|path| path.extension().is_some_and(|end| end == "xz"))
        .unwrap();
    let good = std::fs::read(&blob).unwrap();
    assert_eq!(good.len() as u64, image.size.as_bytes());
    let server = Server::of(&world.path("repo"));
    // Its head, its blocks, and the index of these.
    for at in [3, 40, good.len() / 2, good.len() - 20, good.len() - 3] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&blob, &bad).unwrap();
        for base in [&base, &server.text("")] {
            untouched(&disk, || {
                let error = machine.deploy(base, &disk, &[]).unwrap_err().render();
                assert!(
                    error.contains("is not what the signed index says"),
                    "{at}: {error}"
                );
            });
        }
    }
    std::fs::write(&blob, &good[..good.len() - 100]).unwrap();
    untouched(&disk, || {
        machine.deploy(&base, &disk, &[]).unwrap_err();
        machine.deploy(&server.text(""), &disk, &[]).unwrap_err();
    });
    std::fs::write(&blob, &good).unwrap();
    let index = world.path("repo/index.asc");
    let signed = std::fs::read_to_string(&index).unwrap();
    std::fs::write(&index, signed.replace("[web]", "[wob]")).unwrap();
    untouched(&disk, || {
        drop(machine.deploy(&base, &disk, &[]).unwrap_err())
    });
    std::fs::write(&index, signed).unwrap();

    let small = machine.disk_with(IMAGE - (1 << 20), b"");
    untouched(&small, || {
        let error = machine.deploy(&base, &small, &[]).unwrap_err().render();
        let expected = "the disk has 71.0 MiB, and the image needs 72.0 MiB";
        assert!(error.contains(expected), "{error}");
    });
    let tiny = machine.disk_with(100 << 10, b"");
    let error = machine.deploy(&base, &tiny, &[]).unwrap_err().render();
    assert!(error.contains("the disk has 100.0 KiB"), "{error}");
}

/// The disk gets another system while the blob is fetched.
#[test]
fn what_comes_onto_the_disk_meanwhile_is_not_overwritten() {
    let (world, _) = one_root();
    let machine = Machine::new(&world);
    let disk = machine.disk_with(200 << 20, b"");
    let (root, other) = (world.path("repo"), disk.clone());
    let server = Server::start(move |request, _| {
        if request.path.ends_with(".xz") {
            let file = File::options().write(true).open(&other).unwrap();
            file.write_all_at(b"LABELONE", 512).unwrap();
        }
        Answer::directory(request, &root)
    });
    let error = machine.deploy(&server.text(""), &disk, &[]).unwrap_err();
    assert!(
        error.render().contains("the disk is not empty"),
        "{}",
        error.render()
    );
    let bytes = std::fs::read(&disk).unwrap();
    let others = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
    assert_eq!(
        others.map(|(at, _)| at).collect::<Vec<_>>(),
        (512..520).collect::<Vec<_>>()
    );
}

/// An image whose root could not grow, or that has no place for what is remembered. Whoever writes a medium learns
/// it, and not whoever boots it.
#[test]
fn images_that_cannot_be_put_onto_a_disk_are_stopped() {
    let world = World::new();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let server = Server::of(&world.path("repo"));
    let raw = world.path("bad.raw");
    let luks = b"LUKS\xba\xbe";
    for (table, at, magic, expected) in [
        (
            "label: dos\nsize=8M\n",
            0,
            &b""[..],
            "its disk has an MBR, and no GPT",
        ),
        (
            "label: gpt\nsize=8M\n",
            1 << 20,
            luks,
            "an encrypted volume (LUKS)",
        ),
        (
            "label: gpt\nsize=8M\n",
            (1 << 20) + 512,
            b"LABELONE",
            "volumes of LVM",
        ),
        (
            "label: gpt\nsize=8M\n",
            (1 << 20) + 4096,
            b"\xfc\x4e\x2b\xa9",
            "a RAID (MD)",
        ),
        (
            "label: gpt\nsize=8M\n",
            1 << 20,
            b"XFSB",
            "XFS, which cannot grow here",
        ),
        (
            "label: gpt\nsize=8M\n",
            970 << 10,
            b"x",
            "something is in its first MiB",
        ),
    ] {
        let file = File::create(&raw).unwrap();
        file.set_len(16 << 20).unwrap();
        let sfdisk = Program::new("sfdisk").arg("-q").arg(&raw);
        sfdisk.input(table).run().unwrap();
        file.write_all_at(magic, at).unwrap();
        publish(&world, &packed(raw.clone()), "web", "stable");
        let disk = machine.disk_with(32 << 20, b"");
        untouched(&disk, || {
            let error = machine.deploy(&base, &disk, &[]).unwrap_err().render();
            assert!(error.contains(expected), "{error}");
        });
        let error = machine.medium(&server.text(""), &["--disk", "only"]);
        let error = error.unwrap_err().render();
        assert!(error.contains(expected), "{error}");
    }
    assert!(!machine.path("web.initrd").exists());
}

#[test]
fn what_is_not_a_disk_is_said_to_be_none() {
    let (world, _) = one_root();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let pipe = machine.path("pipe");
    Program::new("mkfifo").arg(&pipe).run().unwrap();
    for (disk, expected) in [
        (pipe.to_str().unwrap(), "pipe is not a disk"),
        ("/dev/null", "/dev/null is not a disk"),
        ("/dev/sda?offset=0", "has a `?` in its name"),
        ("/nowhere/sda", "there is no disk /nowhere/sda"),
        ("first", "`first` is not a condition; write `only`"),
    ] {
        let error = machine.deploy(&base, Path::new(disk), &[]).unwrap_err();
        assert!(error.render().contains(expected), "{}", error.render());
    }
}
