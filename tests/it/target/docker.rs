//! The container: read, unpacked and run by the tools of others.

use std::path::Path;

use serde_json::Value;

use super::{World, debian, guestfish, run, text};
use crate::phony::{HOME, Phony, with_home};

/// A machine with everything that a container must not have, and with what it must keep.
fn machine() -> Phony {
    let phony = debian(&["virtio_net"]);
    phony
        .file("boot/vmlinuz-6.12", "kernel")
        .file("usr/lib/grub/i386-pc/kernel.img", "grub")
        .file("usr/lib/firmware/x.bin", "firmware")
        .file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        .file("etc/resolv.conf", "nameserver 192.0.2.1\n")
        .file("etc/ssh/ssh_host_rsa_key", "key")
        .file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n",
        )
        .file("usr/bin/ping", std::fs::read("/bin/busybox").unwrap())
        .file(
            &format!("srv/{}/{}", "long".repeat(30), "name".repeat(40)),
            "deep",
        )
        .file("srv/one", "twice")
        .file("srv/empty", "")
        .file("srv/big", vec![7u8; 3 << 20]);
    let path = |name: &str| phony.path().join(name);
    std::fs::hard_link(path("srv/one"), path("srv/other")).unwrap();
    std::os::unix::fs::symlink("target/".repeat(20), path("srv/link")).unwrap();
    run("setcap", &["cap_net_raw+ep", text(&path("usr/bin/ping"))]);
    run("chown", &["33:44", text(&path("srv/big"))]);
    run("chmod", &["4755", text(&path("usr/bin/busybox"))]);
    run("setfacl", &["-m", "u:33:r", text(&path("srv/one"))]);
    run("mknod", &[text(&path("dev/null")), "c", "1", "3"]);
    run("mkfifo", &[text(&path("srv/pipe"))]);
    phony
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Unpacks the layer, as podman and Docker do, by umoci.
fn unpack(world: &World, reference: &str, archive: &str) -> std::path::PathBuf {
    let layout = world.path("layout");
    let to = format!("oci:{}:x", text(&layout));
    let from = format!("oci-archive:{archive}:{reference}");
    run("skopeo", &["copy", "--insecure-policy", "-q", &from, &to]);
    let bundle = world.path("bundle");
    let image = format!("{}:x", text(&layout));
    run("umoci", &["unpack", "--image", &image, text(&bundle)]);
    run(
        "oci-image-tool",
        &[
            "validate",
            "--type",
            "image",
            "--ref",
            "name=x",
            text(&layout),
        ],
    );
    bundle.join("rootfs")
}

#[test]
#[ignore = "vm: src/targets/docker src/targets/tree src/guest"]
fn a_container_is_what_the_machine_was_without_the_machine() {
    let world = World::new();
    let disk = machine().disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "docker"]);
    assert_eq!(world.made(), ["web.oci.tar"]);
    let archive = world.path("out/web.oci.tar");
    let archive = text(&archive);
    for transport in ["oci-archive", "docker-archive"] {
        let seen = json(&run(
            "skopeo",
            &["inspect", "--config", &format!("{transport}:{archive}")],
        ));
        assert_eq!(seen["config"]["Cmd"], serde_json::json!(["/bin/sh"]));
        assert_eq!(
            seen["config"]["Labels"]["org.opencontainers.image.title"],
            "web"
        );
        assert_eq!(seen["architecture"], "amd64");
    }
    let root = unpack(&world, "web:latest", archive);
    let has = |path: &str| root.join(path).symlink_metadata().is_ok();
    for path in [
        "boot/vmlinuz-6.12",
        "usr/lib/grub",
        "usr/lib/firmware",
        "usr/lib/modules",
        "dev/null",
        "etc/resolv.conf",
        "etc/hostname",
        "etc/ssh/ssh_host_rsa_key",
        "srv/pipe",
        "lost+found",
    ] {
        assert!(!has(path), "{path}");
    }
    for path in ["boot", "dev", "proc", "sys", "run", "tmp", "srv/empty"] {
        assert!(has(path), "{path}");
    }
    for path in ["etc/fstab", "etc/machine-id"] {
        assert_eq!(std::fs::read(root.join(path)).unwrap(), b"", "{path}");
    }
    kept(&root);
    let said = run(
        "chroot",
        &[text(&root), "/bin/sh", "-c", "echo $(( 6 * 7 )) from $0"],
    );
    assert_eq!(said, "42 from /bin/sh\n");
}

/// Contents, owners, modes, links, capabilities, lists of access.
fn kept(root: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let meta = |path: &str| root.join(path).symlink_metadata().unwrap();
    assert_eq!(
        std::fs::read(root.join("srv/big")).unwrap(),
        vec![7u8; 3 << 20]
    );
    assert_eq!((meta("srv/big").uid(), meta("srv/big").gid()), (33, 44));
    assert_eq!(meta("usr/bin/busybox").mode() & 0o7777, 0o4755);
    assert_eq!(meta("srv/one").ino(), meta("srv/other").ino());
    assert_eq!(meta("srv/one").nlink(), 2);
    let link = std::fs::read_link(root.join("srv/link")).unwrap();
    assert_eq!(link, Path::new(&"target/".repeat(20)));
    let deep = format!("srv/{}/{}", "long".repeat(30), "name".repeat(40));
    assert_eq!(std::fs::read(root.join(deep)).unwrap(), b"deep");
    let capabilities = run("getcap", &[text(&root.join("usr/bin/ping"))]);
    assert!(
        capabilities.trim_end().ends_with("cap_net_raw=ep"),
        "{capabilities}"
    );
    let list = run("getfacl", &["-n", "-p", text(&root.join("srv/one"))]);
    assert!(list.contains("user:33:r--"), "{list}");
}

/// podman takes the archive and gives the image its name; skopeo writes it back as it was.
#[test]
#[ignore = "vm: src/targets/docker src/targets/tree src/guest"]
fn podman_loads_it_and_skopeo_copies_it_both_ways() {
    let world = World::new();
    let disk = machine().disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "docker", "--name", "acme-web"]);
    let archive = world.path("out/acme-web.oci.tar");
    let store = [
        "--root".to_owned(),
        text(&world.path("podman")).to_owned(),
        "--runroot".into(),
        text(&world.path("podman-run")).into(),
        "--storage-driver".into(),
        "vfs".into(),
    ];
    let podman = |words: &[&str]| {
        let words: Vec<&str> = store
            .iter()
            .map(String::as_str)
            .chain(words.iter().copied())
            .collect();
        run("podman", &words)
    };
    let loaded = podman(&["load", "-i", text(&archive)]);
    assert!(loaded.contains("acme-web:latest"), "{loaded}");
    let seen = json(&podman(&["image", "inspect", "acme-web:latest"]));
    assert_eq!(seen[0]["Config"]["Cmd"], serde_json::json!(["/bin/sh"]));
    let docker = format!(
        "docker-archive:{}:acme-web:latest",
        text(&world.path("copy.tar"))
    );
    let back = format!(
        "oci-archive:{}:acme-web:latest",
        text(&world.path("back.tar"))
    );
    let from = format!("oci-archive:{}", text(&archive));
    run(
        "skopeo",
        &["copy", "--insecure-policy", "-q", &from, &docker],
    );
    run(
        "skopeo",
        &["copy", "--insecure-policy", "-q", &docker, &back],
    );
    let diff = |from: &str| json(&run("skopeo", &["inspect", "--config", from]))["rootfs"].clone();
    assert_eq!(diff(&from), diff(&back));
}

#[test]
#[ignore = "vm: src/targets/docker src/targets/tree src/guest"]
fn what_cannot_run_is_no_container() {
    let world = World::new();
    let phony = machine();
    std::fs::remove_file(phony.path().join("usr/bin/sh")).unwrap();
    let disk = phony.disk(world.dir.path(), "web.raw");
    world
        .export(&disk, &["-t", "docker"])
        .exits(2)
        .says(&["neither /bin/bash nor /bin/sh"]);
    phony.file("usr/bin/sh", "not a program\n");
    let disk = phony.disk(world.dir.path(), "web.raw");
    world
        .export(&disk, &["-t", "docker"])
        .exits(4)
        .says(&["nothing runs in the container"]);
    assert!(world.made().is_empty());
}

/// The image's own shell tells which machine it runs on: a kernel's name for one of its boots.
#[test]
#[ignore = "vm: src/targets/docker src/targets/tree src/guest"]
fn the_shell_of_an_image_does_not_run_on_the_host() {
    const BOOT: &str = "/proc/sys/kernel/random/boot_id";
    let host = std::fs::read_to_string(BOOT).unwrap();
    for target in ["docker", "wsl"] {
        let world = World::new();
        let phony = machine();
        std::fs::remove_file(phony.path().join("usr/bin/sh")).unwrap();
        let shell = format!("#!/usr/bin/busybox sh\necho boot $(cat {BOOT}) >&2; exit 3\n");
        phony
            .file("usr/bin/sh", shell)
            .mode("usr/bin/sh", 0o755)
            .file("usr/bin/cat", std::fs::read("/bin/busybox").unwrap())
            .mode("usr/bin/cat", 0o755);
        let disk = phony.disk(world.dir.path(), "web.raw");
        let said = world.export(&disk, &["-t", target]).exits(4).all();
        let said_boot = said.split("boot ").nth(1).and_then(|rest| rest.get(..36));
        let boot: uuid::Uuid = said_boot.unwrap_or_default().parse().unwrap();
        assert_ne!(boot.to_string(), host.trim(), "{said}");
    }
}

/// As Ubuntu's server installer names partitions, beside what no container can have.
#[test]
#[ignore = "vm: src/targets/docker src/targets/tree src/guest"]
fn a_partition_that_udev_names_is_in_the_container() {
    let world = World::new();
    let root = Phony::debian();
    let home = Phony::bare();
    home.file("ann/notes", "of a user\n");
    let fstab = format!(
        "/dev/disk/by-uuid/{} /home ext4 defaults 0 1\n/dev/vdc /mnt auto nofail\n/srv/a /b none bind\n",
        HOME[0]
    );
    root.file("etc/fstab", fstab);
    let linux = "0fc63daf-8483-4772-8e79-3d69d8477de4";
    let disk = with_home(world.dir.path(), "web.raw", [&root, &home], linux);
    let said = world.exports(&disk, &["-t", "docker"]);
    for told in [
        "/dev/vdc, which fstab mounts at /mnt, is not on the disk",
        "fstab shows /srv/a at /b as well",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
    let unpacked = unpack(&world, "web:latest", text(&world.path("out/web.oci.tar")));
    let notes = std::fs::read(unpacked.join("home/ann/notes")).unwrap();
    assert_eq!(notes, b"of a user\n");
}

/// A client would take them for deletions: of the file itself, and of the one that they name.
#[test]
#[ignore = "vm: src/targets/docker src/targets/tree src/guest"]
fn a_name_that_deletes_is_refused() {
    let world = World::new();
    let phony = machine();
    phony
        .file("srv/odd/.wh.notes", "x")
        .file("srv/odd/notes", "x")
        .file("srv/sub/.wh..wh..opq", "x");
    let disk = phony.disk(world.dir.path(), "web.raw");
    let said = world.export(&disk, &["-t", "docker"]).exits(2).all();
    for words in ["/srv/odd/.wh.notes", "/srv/sub/.wh..wh..opq", "deletes"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(world.made().is_empty());
}

/// A database of mostly holes is told of: in an archive it is all there.
#[test]
#[ignore = "vm: src/targets/docker src/targets/tree src/guest"]
fn a_file_of_holes_is_told_of() {
    let world = World::new();
    let phony = machine();
    let path = phony.file("srv/data.mdb", "x").path().join("srv/data.mdb");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(300 << 20).unwrap();
    let disk = phony.disk(world.dir.path(), "web.raw");
    let said = world.exports(&disk, &["-t", "docker"]);
    let told = "/srv/data.mdb is 300.0 MiB large, with 4.0 KiB of data";
    assert!(said.contains(told), "{said}");
}

/// LVM is for the appliance: the same container comes out.
#[test]
#[ignore = "clouds: src/targets src/guest"]
fn e2e_a_machine_on_logical_volumes_gives_the_same_container() {
    let world = World::new();
    let phony = machine();
    let (plain, tree) = (
        phony.disk(world.dir.path(), "web.raw"),
        world.path("tree.tar"),
    );
    run(
        "tar",
        &[
            "-C",
            text(phony.path()),
            "--xattrs",
            "--acls",
            "-cf",
            text(&tree),
            ".",
        ],
    );
    let lvm = world.path("lvm.raw");
    let script = format!(
        "sparse {} 200M\nrun\npart-disk /dev/sda mbr\npvcreate /dev/sda1\nvgcreate vg /dev/sda1\n\
         lvcreate-free root vg 100\nmkfs ext4 /dev/vg/root\nmount /dev/vg/root /\n\
         tar-in {} / xattrs:true acls:true\nwrite /etc/fstab \"/dev/vg/root / ext4 defaults 0 1\\n\"\n",
        text(&lvm),
        text(&tree)
    );
    guestfish(&world.path("script"), &script);
    world.exports(&lvm, &["-t", "docker", "--name", "lvm"]);
    world.exports(&plain, &["-t", "docker", "--name", "plain"]);
    let list = |name: &str| {
        let archive = world.path(&format!("out/{name}.oci.tar"));
        let dir = tempfile::tempdir().unwrap();
        run("tar", &["-C", text(dir.path()), "-xf", text(&archive)]);
        let blobs = run(
            "sh",
            &["-c", &format!("ls -S {}/blobs/sha256/*", text(dir.path()))],
        );
        let layer = blobs.lines().next().unwrap().to_owned();
        let words = [
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "-tvvzf",
            &layer,
        ];
        let listed = run("tar", &words);
        // Times of directories differ, as the files were copied.
        let lines = listed.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (head, tail) = (words[..3.min(words.len())].join(" "), words.get(5..));
            format!("{head} {}", tail.unwrap_or_default().join(" "))
        });
        lines.collect::<Vec<_>>()
    };
    let (one, other) = (list("lvm"), list("plain"));
    assert!(
        one.iter()
            .any(|line| line.contains("security.capability") || line.contains("cap")),
        "{one:?}"
    );
    assert_eq!(one, other);
}
