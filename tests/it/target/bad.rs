//! Disks that a target cannot be made of: said before the long work, and nothing half is left.

use std::path::PathBuf;

use imgforge::host::accel::Accel;
use imgforge::machine::Machine;
use imgforge::targets::{self, About, SystemDisk, TargetContext};
use imgforge::ui::Ui;

use super::{GENERIC, World, debian, run, text};
use crate::phony::Phony;
use crate::support::Run as _;

#[test]
fn a_kernel_without_the_drivers_is_refused() {
    let world = World::new();
    let cloud = debian(&["virtio_net", "virtio_scsi"]).disk(world.dir.path(), "cloud.raw");
    world
        .export(&cloud, &["-t", "ova"])
        .exits(2)
        .says(&["6.12 lacks mptspi, e1000", "linux-image-amd64"]);
    let none = Phony::debian().disk(world.dir.path(), "none.raw");
    world
        .export(&none, &["-t", "vmdk"])
        .exits(2)
        .says(&["needs a kernel in the image"]);
    assert!(world.made().is_empty());
    world.exports(&cloud, &["-t", "gcp"]);
}

/// All targets are asked before one of them works.
#[test]
fn a_target_that_cannot_be_made_is_told_of_before_the_others_work() {
    let world = World::new();
    let cloud = debian(&["virtio_net", "virtio_scsi"]).disk(world.dir.path(), "cloud.raw");
    let said = world
        .export(&cloud, &["-t", "raw", "-t", "ova"])
        .exits(2)
        .all();
    assert!(said.contains("of the target `ova`"), "{said}");
    assert!(world.made().is_empty(), "{said}");
    let said = world
        .export(&cloud, &["-t", "vmdk", "-t", "raw", "-t", "ova"])
        .exits(2)
        .all();
    assert!(said.contains("2 of 3 targets failed"), "{said}");
    for target in ["vmdk", "ova"] {
        assert!(
            said.contains(&format!("of the target `{target}`")),
            "{said}"
        );
    }
    assert!(world.made().is_empty(), "{said}");
}

/// A container of it would say that it is for another one.
#[test]
fn nothing_is_told_of_a_system_for_an_architecture_that_nobody_knows() {
    let world = World::new();
    let phony = Phony::debian();
    let s390x = [
        &b"\x7fELF\x02\x02\x01"[..],
        &[0; 9],
        &[0, 2, 0, 22],
        &[0; 64],
    ]
    .concat();
    phony.file("usr/bin/busybox", s390x);
    let disk = phony.disk(world.dir.path(), "web.raw");
    let said = world.export(&disk, &["-t", "docker"]).exits(2).all();
    assert!(
        said.contains("an architecture that imgforge does not know"),
        "{said}"
    );
    world.exports(&disk, &["-t", "qcow2"]);
}

#[test]
fn machines_of_x86_64_start_a_system_of_32_bits_and_there_is_no_container_of_it() {
    let world = World::new();
    let phony = Phony::debian();
    let i386 = [
        &b"\x7fELF\x01\x01\x01"[..],
        &[0; 9],
        &[2, 0, 3, 0],
        &[0; 64],
    ]
    .concat();
    phony.file("usr/bin/busybox", i386);
    let disk = phony.disk(world.dir.path(), "web.raw");
    let said = world.export(&disk, &["-t", "openstack", "-t", "docker"]);
    said.exits(2)
        .says(&["for 32-bit x86, and imgforge makes no `docker`"]);
    // It is looked at as a disk of x86-64 is.
    let said = world.export(&disk, &["-t", "openstack"]);
    said.exits(2).says(&["needs a kernel in the image"]);
}

/// What shows only at work stops nothing else; a target that is named twice is made once.
#[test]
fn a_target_that_fails_does_not_keep_the_others_from_being_made() {
    let world = World::new();
    let phony = Phony::debian();
    std::fs::remove_file(phony.path().join("usr/bin/sh")).unwrap();
    let disk = phony.disk(world.dir.path(), "web.raw");
    let all = ["-t", "docker", "-t", "raw", "-t", "qcow2", "-t", "raw"];
    let said = world.export(&disk, &all).exits(2).all();
    assert!(said.contains("neither /bin/bash nor /bin/sh"), "{said}");
    assert_eq!(world.made(), ["web.qcow2", "web.raw"], "{said}");
}

/// A recipe whose kernel will not do is told so before anything runs.
#[test]
fn a_recipe_with_a_kernel_for_clouds_is_refused_at_once() {
    let world = World::new();
    let body = "install: {bootstrap: {suite: trixie}}\ntargets: {raw: {}, ova: {}}\n";
    world.image("web", body);
    let refused = world.run(&["build", "web"]).exits(2);
    refused.says(&["`ova` needs a generic kernel"]);
    let refused = world.run(&["build", "web", "--target", "gcp"]).exits(2);
    refused.says(&["it asks for raw, ova"]);
    assert!(!world.path("state").exists());
}

#[test]
fn two_systems_and_none_are_refused_where_it_matters() {
    let world = World::new();
    let part = debian(GENERIC).disk(world.dir.path(), "part");
    let disk = world.path("two.raw");
    run("truncate", &["-s", "140M", text(&disk)]);
    let table = "label: gpt\\nstart=2048,size=131072\\nsize=131072\\n";
    run(
        "sh",
        &[
            "-c",
            &format!("printf '{table}' | sfdisk -q {}", text(&disk)),
        ],
    );
    for seek in ["1", "65"] {
        run(
            "dd",
            &[
                &format!("if={}", text(&part)),
                &format!("of={}", text(&disk)),
                "bs=1M",
                &format!("seek={seek}"),
                "conv=notrunc",
                "status=none",
            ],
        );
    }
    world
        .export(&disk, &["-t", "ova"])
        .exits(2)
        .says(&["several operating systems", "partition 1, partition 2"]);
    let empty = world.path("empty.raw");
    run("truncate", &["-s", "8M", text(&empty)]);
    world
        .export(&empty, &["-t", "azure"])
        .exits(2)
        .says(&["no operating system"]);
    assert!(world.made().is_empty());
    world.exports(&disk, &["-t", "qcow2"]);
}

#[test]
fn words_that_are_wrong_are_told_at_once() {
    let world = World::new();
    let disk = debian(GENERIC).disk(world.dir.path(), "web.raw");
    let said = world.export(&disk, &["-t", "floppy"]).exits(2).all();
    let all: Vec<&str> = targets::TARGETS.iter().map(|target| target.name).collect();
    let all = format!("the targets are {}", all.join(", "));
    assert!(said.contains(&all), "{said}");
    world
        .export(&disk, &["-t", "raw", "--name", "a/b"])
        .exits(2);
    world
        .export(&world.path("nothing"), &["-t", "raw"])
        .exits(2);
    assert!(world.made().is_empty() && !world.path("state").exists());
}

/// A disk whose content no compression makes smaller.
fn noisy(world: &World) -> PathBuf {
    let noise: Vec<u8> = (0..6u32 << 18)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let phony = debian(GENERIC);
    phony.file("srv/noise", noise);
    phony.disk(world.dir.path(), "web.raw")
}

/// A file system that takes no more bytes: what was complete stays, nothing else is there.
#[test]
fn a_full_disk_leaves_no_half_file() {
    let world = World::new();
    let disk = noisy(&world);
    for target in ["qcow2", "raw", "ova", "azure", "gcp", "incus"] {
        let limit = ["prlimit", "--fsize=2000000"];
        world
            .exporting(&limit, &disk, &["-t", target])
            .said()
            .exits(1)
            .says(&["error: "]);
        assert!(world.made().is_empty(), "{:?}", world.made());
    }
    let drafts = run("find", &[text(&world.path("state")), "-size", "+100k"]);
    assert_eq!(drafts, "");
}

/// A state directory on a file system that is full before the files are complete.
#[test]
fn a_full_file_system_is_told_of_and_nothing_is_left() {
    let world = World::new();
    let disk = noisy(&world);
    let state = world.path("state");
    std::fs::create_dir(&state).unwrap();
    let small = "mount -t tmpfs -o size=3m,mode=0700 small \"$1\" && shift && exec \"$@\"";
    let before = ["unshare", "-m", "sh", "-c", small, "sh", text(&state)];
    for target in ["docker", "wsl", "gcp", "incus"] {
        let said = world
            .exporting(&before, &disk, &["-t", target])
            .said()
            .exits(1)
            .all();
        // What may unpack to any size is ended before that.
        let full = ["No space left", "is nearly full"];
        let told = full.iter().any(|words| said.contains(words));
        assert!(told, "{target}: {said}");
        assert!(world.made().is_empty(), "{:?}", world.made());
    }
}

/// Neither systemd nor a package manager, and a name that nobody knows.
#[test]
fn an_unknown_distribution_is_told_of_as_it_calls_itself() {
    let world = World::new();
    let phony = Phony::debian();
    std::fs::remove_file(phony.path().join("var/lib/dpkg/status")).unwrap();
    std::fs::remove_file(phony.path().join("etc/debian_version")).unwrap();
    phony.file("etc/os-release", "ID=plan10\nVERSION_ID=4\n");
    let disk = phony.disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "docker"]);
    for (target, words) in [
        ("openstack", "needs a kernel in the image"),
        ("vagrant", "needs a kernel in the image"),
        ("ramdisk", "needs a kernel in the image"),
    ] {
        let said = world.export(&disk, &["-t", target]).exits(2).all();
        assert!(said.contains(words), "{target}: {said}");
    }
    assert_eq!(world.made(), ["web.oci.tar"]);
}

/// What the steps of a recipe's target could not do is said before a guest starts.
#[test]
fn a_guest_that_could_not_install_anything_is_not_started() {
    let asked = |phony: &Phony, name: &str| {
        let world = World::new();
        let disk = phony.disk(world.dir.path(), "web.raw");
        let source = SystemDisk::new(disk, "raw", world.dir.path().to_owned(), Accel::Tcg);
        let about = About {
            name: "web".into(),
            version: String::new(),
            title: "Web".into(),
            os: "debian".into(),
            os_version: "13".into(),
            created: 0,
        };
        let ui = Ui::silent().stage("web", "finish");
        let site = TargetContext {
            source: &source,
            about: &about,
            gate: None,
            proving: true,
            machine: &Machine::default(),
            dir: world.dir.path(),
            scratch: world.dir.path(),
            ui: &ui,
        };
        let target = targets::find(name).unwrap();
        let asked = targets::preflight(&target, &site);
        asked.map_err(|error| (error.kind().exit_code(), error.render()))
    };
    for name in ["openstack", "vagrant"] {
        let refused = |phony: &Phony, words: &str| {
            let (code, said) = asked(phony, name).unwrap_err();
            assert_eq!(code, 2, "{said}");
            assert!(said.contains(words), "{name}: {said}");
        };
        refused(&Phony::debian(), "needs a kernel in the image");
        refused(&debian(&["mptspi"]), "6.12 lacks virtio_blk");
        let phony = debian(&["virtio_blk", "virtio_net"]);
        refused(&phony, "the image has no package manager");
        phony.file("usr/bin/apt-get", "");
        asked(&phony, name).unwrap();
        phony.file("etc/os-release", "ID=plan10\nVERSION_ID=4\n");
        refused(&phony, "called on plan10");
    }
}
