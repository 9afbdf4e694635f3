//! Targets with guests of their own: a cloud's image and a box, from one recipe, as their users
//! run them.

use imgforge::host::exec::Program;
use serde_json::Value;

use super::diskless::boot;
use super::ramdisk::seen_by_guests;
use super::whole::{file, world};
use super::{run, text};
use crate::server::Server;
use crate::support::{Run as _, World, external};

/// The steps of the targets install what is missing: cloud-init, an SSH server, sudo, rsync.
const RECIPE: &str = "\
name: web
install: {bootstrap: {suite: trixie}}
machine: {disk: 3GiB, memory: 1GiB}
pack: {profile: fast}
targets:
  openstack:
    user: ops
    properties: {hw_disk_bus: scsi}
    configure:
    - files: {content: own, to: /etc/own-step}
  vagrant: {providers: [libvirt]}
  qcow2: {}
  docker: {}
  incus: {}
";

const TARGETS: [&str; 5] = ["openstack", "vagrant", "qcow2", "docker", "incus"];

const WITHOUT_A_DISK: &str = "\
name: web
install: {bootstrap: {suite: trixie}}
machine: {disk: 3GiB, memory: 1GiB}
pack: {profile: fast}
targets:
  ramdisk: {verify: size, state: {label: keep, to: /srv/keep}}
";

#[test]
#[ignore = "clouds: src/targets src/stage src/runner src/steps"]
fn e2e_clouds_and_boxes_come_from_a_recipe() {
    let world = world(RECIPE);
    let out = world.path("out");
    let args = ["build", "web", "--publish", "stable", "-o", text(&out)];
    world.run(&args).ok();
    for end in [
        ".xz",
        ".openstack.qcow2",
        ".openstack.json",
        ".libvirt.box",
        ".qcow2",
        ".oci.tar",
        ".incus.qcow2",
        ".incus.tar.xz",
    ] {
        let (mine, published) = (
            file(&world, "out", end),
            file(&world, "repo/images/web/1", end),
        );
        run("cmp", &[text(&mine), text(&published)]);
    }
    tried(&world);
    openstack(&world);
    let listed = Program::new("incus-simplestreams")
        .args(["list", "--format", "json"])
        .dir(world.path("repo"))
        .text()
        .unwrap();
    assert!(listed.contains("virtual-machine"), "{listed}");
    let said = world.run(&["build", "web"]).ok().all();
    for target in TARGETS {
        let stage = format!("finish-{target}");
        let mut lines = said.lines().filter(|line| line.contains(&stage));
        assert!(lines.any(|line| line.contains("cached")), "{said}");
    }
    up(&world);
}

/// The real system without a disk keeps a directory on one, over a restart, and does not come up
/// on a root that is too short.
#[test]
#[ignore = "clouds: src/targets/ramdisk"]
fn e2e_a_machine_without_a_disk_keeps_a_directory_on_one() {
    let world = world(WITHOUT_A_DISK);
    let out = world.path("out");
    world.run(&["build", "web", "-o", text(&out)]).ok();
    let manifest = std::fs::read(file(&world, "out", ".ramdisk.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let memory = manifest["min-ram"].as_u64().unwrap();
    let keep = world.path("keep.img");
    run("truncate", &["-s", "64M", text(&keep)]);
    run("mke2fs", &["-q", "-t", "ext4", "-L", "keep", text(&keep)]);
    let server = Server::of(&out);
    let base = seen_by_guests(&server, "");
    let count = "until mountpoint -q /srv/keep; do sleep 1; done; echo boot >>/srv/keep/boots; \
                 wc -l /srv/keep/boots >/dev/ttyS0; sync";
    let cmdline = format!(
        "console=ttyS0 panic=1 no_timer_check root=ramdisk imgforge.base={base} \
         systemd.run=\"/bin/sh -c '{count}'\" systemd.run_success_action=poweroff \
         systemd.run_failure_action=poweroff"
    );
    let [kernel, initrd] = [".vmlinuz", ".initrd"].map(|end| file(&world, "out", end));
    let drive = format!("if=virtio,format=raw,file={}", text(&keep));
    let load = || {
        let words = ["-kernel", text(&kernel), "-initrd", text(&initrd)];
        let more = ["-append", &cmdline, "-drive", &drive];
        let net = [
            "-netdev",
            "user,id=n",
            "-device",
            "virtio-net-pci,netdev=n,romfile=",
        ];
        boot(
            world.dir.path(),
            memory,
            &[&words[..], &more, &net].concat(),
        )
    };
    for number in 1..=2 {
        let said = load();
        assert!(
            said.contains(&format!("{number} /srv/keep/boots")),
            "{said}"
        );
    }
    let squashfs = file(&world, "out", ".squashfs");
    run("truncate", &["-s", "-4096", text(&squashfs)]);
    let said = load();
    assert!(
        said.contains("imgforge: stopped: the root is not complete"),
        "{said}"
    );
    assert!(!said.contains("3 /srv/keep/boots"), "{said}");
}

/// What both clones of a target were asked, and answered.
fn tried(world: &World) {
    for (target, asked) in [
        ("openstack", ["cloud-init status", "its file system"]),
        ("vagrant", ["usedns no", "vagrant@127.0.0.1"]),
    ] {
        let stage = format!("finish-{target}");
        let find = [text(&world.path("state/store")), "-name", "meta.json"].map(str::to_owned);
        let find: Vec<&str> = find.iter().map(String::as_str).collect();
        let metas = run("find", &find);
        let metas = metas
            .lines()
            .map(|path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap());
        let metas: Vec<Value> = metas.filter(|meta| meta["stage"] == *stage).collect();
        assert_eq!(metas.len(), 1, "{stage}");
        let clones = metas[0]["facts"]["gate"]["clones"].as_array().unwrap();
        assert_eq!(clones.len(), 2, "{stage}");
        for clone in clones {
            let commands = clone["commands"].as_array().unwrap();
            assert!(commands.iter().all(|it| it["code"] == 0), "{commands:?}");
            for word in asked {
                let has = |it: &&Value| it["command"].as_str().unwrap().contains(word);
                assert!(commands.iter().any(|it| has(&it)), "{word}: {commands:?}");
            }
        }
    }
}

/// What is on the disk for Glance, as libguestfs' own shell sees it.
fn openstack(world: &World) {
    let disk = file(world, "out", ".openstack.qcow2");
    run("qemu-img", &["check", "-f", "qcow2", text(&disk)]);
    let script = "cat /etc/own-step\necho\ncat /etc/cloud/cloud.cfg.d/90_imgforge.cfg\n\
                  filesize /etc/machine-id\nexists /var/lib/cloud/instance\n\
                  exists /usr/lib/imgforge\nglob-expand /etc/ssh/ssh_host_*\n";
    let said = crate::slots::appliance("guestfish")
        .args(["--ro", "-i", "--format=qcow2", "-a"])
        .arg(&disk)
        .input(script)
        .text();
    let said = said.unwrap_or_else(|error| panic!("{}", error.render()));
    assert!(
        said.contains("own") && said.contains("\"name\":\"ops\""),
        "{said}"
    );
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.ends_with(&["0", "false", "false"]), "{said}");
    let manifest = std::fs::read_to_string(file(world, "out", ".openstack.json")).unwrap();
    assert!(
        manifest.contains("\"os_admin_user\": \"ops\""),
        "{manifest}"
    );
    assert!(
        manifest.contains("\"hw_scsi_model\": \"virtio-scsi\""),
        "{manifest}"
    );
}

/// Vagrant adds the box from the catalogue and brings a machine up, with a libvirt and a network
/// of its own.
fn up(world: &World) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vagrant/up.sh");
    let dir = world.path("vagrant");
    std::fs::create_dir(&dir).unwrap();
    let catalogue = world.path("repo/vagrant/web.json");
    let mut command = external("timeout");
    command
        .args(["-k", "30", "3000", "unshare", "--net", "--mount", "--pid"])
        .args(["--fork", "--kill-child", "--mount-proc", "sh", script])
        .args([&dir, &catalogue]);
    let said = command.said().ok().all();
    let all = "vagrant: root is 0 and the folder is there";
    assert!(said.contains(all), "{said}");
}
