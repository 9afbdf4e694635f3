//! Incus, by its own tool for repositories.

use std::path::Path;

use imgforge::host::exec::Program;

use super::{World, debian, run, text};

fn simplestreams(dir: &Path, args: &[&str]) -> String {
    let said = Program::new("incus-simplestreams")
        .args(args)
        .dir(dir)
        .text();
    said.unwrap_or_else(|error| panic!("{}", error.render()))
}

#[test]
fn incus_takes_the_disk_with_its_metadata() {
    let world = World::new();
    let disk = debian(&["virtio_net", "virtio_scsi"]).disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "incus"]);
    assert_eq!(world.made(), ["web.incus.qcow2", "web.incus.tar.xz"]);
    let (qcow2, metadata) = (
        world.path("out/web.incus.qcow2"),
        world.path("out/web.incus.tar.xz"),
    );
    let same = ["compare", "-f", "raw", "-F", "qcow2"];
    run(
        "qemu-img",
        &[&same[..], &[text(&disk), text(&qcow2)]].concat(),
    );
    let words = run("tar", &["-xJOf", text(&metadata), "metadata.yaml"]);
    let script = "import sys, yaml; m = yaml.safe_load(sys.stdin); p = m['properties']; \
                  print(m['architecture'], m['creation_date'] > 0, p['os'], p['release'], \
                  p['requirements.secureboot'])";
    let read = Program::new("python3")
        .args(["-c", script])
        .input(words)
        .text()
        .unwrap();
    assert_eq!(read, "x86_64 True debian 13 false");
    // What it is known by there is what Incus itself computes.
    let dir = world.path("mirror");
    std::fs::create_dir(&dir).unwrap();
    simplestreams(&dir, &["add", text(&metadata), text(&qcow2)]);
    simplestreams(&dir, &["verify"]);
    let list = simplestreams(&dir, &["list", "--format", "json"]);
    let sum = format!("cat {} {} | sha256sum", text(&metadata), text(&qcow2));
    let sum = run("sh", &["-c", &sum]);
    assert!(
        list.contains(&sum[..64]) && list.contains("virtual-machine"),
        "{list}"
    );
    let cloud = debian(&["virtio_net"]).disk(world.dir.path(), "cloud.raw");
    world
        .export(&cloud, &["-t", "incus"])
        .exits(2)
        .says(&["6.12 lacks virtio_scsi"]);
}
