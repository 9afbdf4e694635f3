//! The containerDisk, as others unpack it.

use std::os::unix::fs::MetadataExt as _;

use serde_json::Value;

use super::{GENERIC, World, debian, run, text};
use crate::support::names;
use crate::support::registry::{Kind, Service};

#[test]
fn a_containerdisk_has_the_disk_and_nothing_else() {
    let world = World::new();
    let modules = [GENERIC, &["virtio_blk"]].concat();
    let disk = debian(&modules).disk(world.dir.path(), "web.raw");
    let service = Service::start(&world.path("registry"), Kind::default());
    let to = service.oci("vms");
    world.exports(&disk, &["-t", "kubevirt", "--push", &to]);
    assert_eq!(world.made(), ["web.containerdisk.tar"]);
    let archive = world.path("out/web.containerdisk.tar");
    let archive = text(&archive);
    for transport in ["oci-archive", "docker-archive"] {
        let seen = run(
            "skopeo",
            &["inspect", "--config", &format!("{transport}:{archive}")],
        );
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(
            (&seen["architecture"], &seen["os"]),
            (&"amd64".into(), &"linux".into())
        );
    }
    // What was pushed is the same, to the digest.
    let at = to.replacen("oci:", "docker:", 1) + "/web-containerdisk:latest";
    let raw = |of: &str| run("skopeo", &["inspect", "--tls-verify=false", "--raw", of]);
    let own = format!("oci-archive:{archive}");
    let plain = |of: &str| run("skopeo", &["inspect", "--raw", of]);
    assert_eq!(raw(&at), plain(&own));
    let copied = world.path("copied");
    let copied = format!("dir:{}", text(&copied));
    let copy = ["copy", "--insecure-policy", "--src-tls-verify=false", "-q"];
    run("skopeo", &[&copy[..], &[&at, &copied]].concat());
    let (layout, bundle) = (world.path("layout"), world.path("bundle"));
    let to = format!("oci:{}:x", text(&layout));
    let from = format!("oci-archive:{archive}:web-containerdisk:latest");
    run("skopeo", &["copy", "--insecure-policy", "-q", &from, &to]);
    let image = format!("{}:x", text(&layout));
    // Where the tests are not root, files are whoever's runs them; the archive says whose they are.
    run(
        "umoci",
        &["unpack", "--rootless", "--image", &image, text(&bundle)],
    );
    let root = bundle.join("rootfs");
    assert_eq!(names(&root), ["disk"]);
    assert_eq!(names(&root.join("disk")), ["web.qcow2"]);
    let unpacked = root.join("disk/web.qcow2");
    assert_eq!(unpacked.metadata().unwrap().mode() & 0o7777, 0o440);
    let formats = ["compare", "-f", "raw", "-F", "qcow2"];
    run(
        "qemu-img",
        &[&formats[..], &[text(&disk), text(&unpacked)]].concat(),
    );
    let listed = run(
        "sh",
        &[
            "-c",
            &format!(
                "tar -xOf {archive} manifest.json | grep -o 'blobs/sha256/[0-9a-f]*' | tail -n 1 | xargs tar -xOf {archive} | tar --numeric-owner -tv"
            ),
        ],
    );
    let lines: Vec<&str> = listed.lines().collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with("dr-xr-xr-x 107/107 ")
            && lines[1].starts_with("-r--r----- 107/107 "),
        "{listed}"
    );
}
