//! Disks for Glance.

use serde_json::{Value, json};

use super::{World, debian, run, text};

fn disk(world: &World, cloud_init: bool) -> std::path::PathBuf {
    let phony = debian(&["virtio_blk", "virtio_net"]);
    phony.file("usr/sbin/qemu-ga", "");
    if cloud_init {
        phony.file("usr/bin/cloud-init", "");
    }
    phony.disk(world.dir.path(), "web.raw")
}

#[test]
fn glance_is_told_what_the_image_is() {
    let world = World::new();
    let disk = disk(&world, true);
    world.ok(&disk, &["-t", "openstack"]);
    assert_eq!(world.made(), ["web.openstack.json", "web.openstack.qcow2"]);
    let made = world.path("out/web.openstack.qcow2");
    let text_of = std::fs::read_to_string(world.path("out/web.openstack.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text_of).unwrap();
    let sum = run("sha512sum", &[text(&made)]);
    assert!(
        sum.starts_with(manifest["sha512"].as_str().unwrap()),
        "{sum}"
    );
    assert_eq!(
        (&manifest["min-disk"], &manifest["disk-format"]),
        (&json!(1), &json!("qcow2"))
    );
    for (key, value) in [
        ("os_distro", "debian"),
        ("os_version", "13"),
        ("os_admin_user", "debian"),
        ("hw_qemu_guest_agent", "yes"),
        ("architecture", "x86_64"),
    ] {
        assert_eq!(manifest["properties"][key], value, "{key}");
    }
    let line = manifest["create"].as_str().unwrap();
    let start = "openstack image create --disk-format qcow2 --container-format bare --file \
                 web.openstack.qcow2 --min-disk 1 --min-ram ";
    assert!(line.starts_with(start) && line.ends_with(" web"), "{line}");
    let info: Value =
        serde_json::from_str(&run("qemu-img", &["info", "--output=json", text(&made)])).unwrap();
    assert_eq!(info["format-specific"]["data"]["compat"], "1.1");
    assert!(info.get("backing-filename").is_none());
}

#[test]
fn an_image_without_cloud_init_is_refused() {
    let world = World::new();
    let disk = disk(&world, false);
    let (code, said) = world.export(&disk, &["-t", "openstack"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("has no cloud-init"), "{said}");
    assert!(world.made().is_empty());
}
