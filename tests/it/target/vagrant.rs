//! Boxes: added by Vagrant itself, and looked into by others.

use std::path::Path;

use imgforge::host::exec::Program;

use super::{GENERIC, World, debian, run, text, whole};
use crate::phony::Phony;

/// A Debian with what Vagrant needs, whose first free number is 1001.
fn machine() -> Phony {
    let modules: Vec<&str> = GENERIC.iter().copied().chain(["virtio_blk"]).collect();
    let phony = debian(&modules);
    phony
        .file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
        )
        .file("etc/group", "root:x:0:\nann:x:1000:\n")
        .file("etc/shadow", "root:*:1:0:99999:7:::\n")
        .mode("etc/shadow", 0o640)
        .file("etc/skel/.profile", "umask 022\n")
        .file(
            "etc/ssh/sshd_config",
            "Include /etc/ssh/sshd_config.d/*.conf\n",
        )
        .file("usr/bin/sudo", "sudo")
        .file("usr/sbin/sshd", "sshd");
    phony
}

#[test]
fn an_image_that_vagrant_cannot_use_is_refused() {
    let world = World::new();
    let disk = debian(&["virtio_blk", "virtio_net"]).disk(world.dir.path(), "web.raw");
    world
        .export(&disk, &["-t", "vagrant"])
        .exits(2)
        .says(&["the image has no sudo"]);
    let disk = debian(&["mptspi"]).disk(world.dir.path(), "old.raw");
    world
        .export(&disk, &["-t", "vagrant"])
        .exits(2)
        .says(&["6.12 lacks virtio_blk, virtio_net"]);
    assert!(world.made().is_empty());
}

#[test]
#[ignore = "vm: src/targets/vagrant"]
fn vagrant_adds_both_boxes() {
    let world = World::new();
    let disk = machine().disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "vagrant"]);
    assert_eq!(world.made(), ["web.libvirt.box", "web.virtualbox.box"]);
    added(&world);
    let unpacked = |provider: &str| {
        let dir = world.path(provider);
        std::fs::create_dir(&dir).unwrap();
        let file = world.path(&format!("out/web.{provider}.box"));
        run("tar", &["-C", text(&dir), "-xf", text(&file)]);
        dir
    };
    let (libvirt, virtualbox) = (unpacked("libvirt"), unpacked("virtualbox"));
    let image = libvirt.join("box.img");
    run("qemu-img", &["check", "-f", "qcow2", text(&image)]);
    let metadata = std::fs::read_to_string(libvirt.join("metadata.json")).unwrap();
    assert!(metadata.contains("\"virtual_size\": 1"), "{metadata}");
    let vmdk = virtualbox.join("box-disk001.vmdk");
    let same = [
        "compare",
        "-f",
        "qcow2",
        "-F",
        "vmdk",
        text(&image),
        text(&vmdk),
    ];
    run("qemu-img", &same);
    let told = super::disks::described(&virtualbox.join("box.ovf"));
    for words in ["harddisk @ SATA 0:0", "E1000", "virtualbox-2.2"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    account(&image);
}

/// What is on the disk, as libguestfs' own shell sees it.
fn account(image: &Path) {
    let script = "cat /etc/passwd\ncat /etc/shadow\nstat /etc/shadow\ncat /etc/sudoers.d/vagrant\n\
                  cat /etc/ssh/sshd_config.d/01-vagrant.conf\n\
                  cat /home/vagrant/.ssh/authorized_keys\ncat /home/vagrant/.profile\n\
                  sh \"stat -c '%a %u %g %n' /etc/sudoers.d/vagrant /home/vagrant /home/vagrant/.profile \
                  /home/vagrant/.ssh /home/vagrant/.ssh/authorized_keys\"\n";
    let said = crate::slots::appliance("guestfish")
        .args(["--ro", "--format=qcow2", "-a"])
        .arg(image)
        .args(["-m", "/dev/sda"])
        .input(script)
        .text();
    let said = said.unwrap_or_else(|error| panic!("{}", error.render()));
    for line in [
        "ann:x:1000:1000::/home/ann:/bin/sh",
        "vagrant:x:1001:1001::/home/vagrant:/bin/sh",
        "vagrant:*:19000:0:99999:7:::",
        "vagrant ALL=(ALL) NOPASSWD: ALL",
        "UseDNS no",
        "umask 022",
        "440 0 0 /etc/sudoers.d/vagrant",
        "755 1001 1001 /home/vagrant",
        "644 1001 1001 /home/vagrant/.profile",
        "700 1001 1001 /home/vagrant/.ssh",
        "600 1001 1001 /home/vagrant/.ssh/authorized_keys",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
    let keys = said
        .lines()
        .filter(|line| line.ends_with(" vagrant insecure public key"));
    assert_eq!(keys.count(), 2, "{said}");
}

/// Vagrant adds the boxes from a catalogue, shows what they say, and refuses other bytes.
fn added(world: &World) {
    let home = world.path("vagrant.d");
    let vagrant = |args: &[&str]| {
        Program::new("vagrant")
            .args(args)
            .env("VAGRANT_HOME", &home)
            .env("VAGRANT_CHECKPOINT_DISABLE", "1")
    };
    let catalogue = world.path("web.json");
    let write = |version: &str, damage: &str| {
        let provider = |name: &str| {
            let file = world.path(&format!("out/web.{name}.box"));
            let sum = run("sha256sum", &[text(&file)]);
            let sum = sum.split(' ').next().unwrap().replacen(
                char::is_numeric,
                damage,
                usize::from(!damage.is_empty()),
            );
            serde_json::json!({"name": name, "url": text(&file), "checksum_type": "sha256", "checksum": sum})
        };
        let versions = serde_json::json!([{
            "version": version,
            "status": "active",
            "providers": [provider("libvirt"), provider("virtualbox")],
        }]);
        let all = serde_json::json!({"name": "acme/web", "versions": versions});
        std::fs::write(&catalogue, all.to_string()).unwrap();
    };
    write("1.0.0", "");
    for provider in ["libvirt", "virtualbox"] {
        vagrant(&["box", "add", "--provider", provider, text(&catalogue)])
            .run()
            .unwrap();
    }
    let listed = vagrant(&["box", "list", "-i"]).text().unwrap();
    for word in [
        "acme/web (libvirt, 1.0.0",
        "acme/web (virtualbox, 1.0.0",
        "os: debian",
    ] {
        assert!(listed.contains(word), "{listed}");
    }
    write("1.0.1", "x");
    let refused = vagrant(&["box", "add", "--provider", "libvirt", text(&catalogue)]).run();
    assert!(refused.unwrap_err().render().contains("checksum"));
}

/// Ubuntu packages the guest additions, in a component that the recipe has to name.
const ADDITIONS: &str = "\
name: web
install: {bootstrap: {suite: noble, components: [main, universe, multiverse], kernel: linux-image-generic}}
machine: {disk: 8GiB, memory: 1GiB}
pack: {profile: fast}
targets: {vagrant: {providers: [virtualbox]}}
";

#[test]
#[ignore = "clouds: src/targets/vagrant"]
fn e2e_guest_additions_are_installed_where_they_are_packaged() {
    let world = whole::world(ADDITIONS);
    let out = world.path("out");
    world.run(&["build", "web", "-o", text(&out)]).ok();
    let file = whole::file(&world, "out", ".virtualbox.box");
    run("tar", &["-C", text(&out), "-xf", text(&file)]);
    let vagrantfile = std::fs::read_to_string(out.join("Vagrantfile")).unwrap();
    assert!(!vagrantfile.contains("rsync"), "{vagrantfile}");
    let disk = out.join("box-disk001.vmdk");
    let said = crate::slots::appliance("guestfish")
        .args(["--ro", "-i", "--format=vmdk", "-a"])
        .arg(&disk)
        .input("exists /usr/sbin/mount.vboxsf\nsh \"find /usr/lib/modules -name vboxsf.ko*\"\n")
        .text();
    let said = said.unwrap_or_else(|error| panic!("{}", error.render()));
    assert!(
        said.starts_with("true") && said.contains("/vboxsf.ko"),
        "{said}"
    );
}
