//! What is a machine's own.

use super::world::*;
use crate::phony::Phony;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIYZ4Tf8hGmB0hGJzHhVNmOhBm4cLjrnYpZvzfMMNqrx ops";

/// A Debian with accounts, a time zone, and ifupdown.
fn debian() -> Phony {
    let tree = Phony::debian();
    tree.file(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n",
    )
    .file("etc/group", "root:x:0:\nweb:x:1001:\nssl-cert:x:110:\n")
    .file("usr/share/zoneinfo/Europe/Berlin", "TZif2")
    .file("usr/share/zoneinfo/Etc/UTC", "TZif2")
    .link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    .file(
        "etc/network/interfaces",
        "source /etc/network/interfaces.d/*\n",
    )
    .file("home/web/.ssh/authorized_keys", "old\n");
    tree
}

fn world() -> (World, Disk, Machine) {
    let world = World::new();
    let disk = rooted(&world, "one", &debian());
    publish(&world, &disk, "web", "stable");
    let machine = Machine::new(&world);
    let keygen = Program::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "web-7"]);
    keygen
        .arg("-f")
        .arg(machine.path("ssh_host_ed25519_key"))
        .run()
        .unwrap();
    std::fs::write(machine.path("web.key"), "TOP SECRET\n").unwrap();
    std::fs::write(machine.path("user-data"), "#cloud-config\n").unwrap();
    std::fs::write(machine.path("meta-data"), "instance-id: web-7\n").unwrap();
    (world, disk, machine)
}

fn all() -> String {
    format!(
        "hostname: web-7.example.org\n\
         timezone: Europe/Berlin\n\
         ssh:\n  host-keys: [ssh_host_ed25519_key]\n  authorized-keys: {{web: ['{KEY}']}}\n\
         network: [{{mac: '52:54:00:12:34:56', addresses: [192.0.2.7/24], gateways: [192.0.2.1]}}]\n\
         seed: {{user-data: user-data, meta-data: meta-data}}\n\
         files:\n- {{path: /etc/ssl/private/web.key, file: web.key, owner: 'web:ssl-cert', mode: '0640'}}\n"
    )
}

#[test]
fn a_machine_file_changes_what_it_says_and_nothing_else() {
    let (world, image, machine) = world();
    let base = world.path("repo").display().to_string();
    let own = machine.path("machine.yaml");
    std::fs::write(&own, all()).unwrap();
    let disk = machine.disk_with(200 << 20, b"");
    let given = ["--machine", own.to_str().unwrap()];
    machine.deploy(&base, &disk, &given).unwrap();
    let (mut files, mut expected) = (tree(&disk).0, tree(&image.raw).0);
    let read = |name: &str| std::fs::read(machine.path(name)).unwrap();
    let public = String::from_utf8(read("ssh_host_ed25519_key.pub")).unwrap();
    for (path, mode, uid, gid, content) in [
        ("etc/hostname", 0o644, 0, 0, b"web-7.example.org\n".to_vec()),
        (
            "etc/ssh/ssh_host_ed25519_key",
            0o600,
            0,
            0,
            read("ssh_host_ed25519_key"),
        ),
        (
            "etc/ssh/ssh_host_ed25519_key.pub",
            0o644,
            0,
            0,
            public.into(),
        ),
        (
            "home/web/.ssh/authorized_keys",
            0o600,
            1000,
            1001,
            format!("{KEY}\n").into(),
        ),
        (
            "etc/ssl/private/web.key",
            0o640,
            1000,
            110,
            b"TOP SECRET\n".to_vec(),
        ),
        (
            "var/lib/cloud/seed/nocloud/user-data",
            0o600,
            0,
            0,
            b"#cloud-config\n".to_vec(),
        ),
        (
            "var/lib/cloud/seed/nocloud/meta-data",
            0o600,
            0,
            0,
            b"instance-id: web-7\n".to_vec(),
        ),
    ] {
        assert_eq!(
            files.remove(path),
            Some((0o100_000 | mode, uid, gid, content)),
            "{path}"
        );
        expected.remove(path);
    }
    let interfaces = files.remove("etc/network/interfaces.d/imgforge").unwrap().3;
    let interfaces = String::from_utf8(interfaces).unwrap();
    assert!(
        interfaces.starts_with("auto mac/52:54:00:12:34:56/=imgforge0\n"),
        "{interfaces}"
    );
    let zone = files.remove("etc/localtime").unwrap();
    assert_eq!(zone.3, b"../usr/share/zoneinfo/Europe/Berlin");
    expected.remove("etc/localtime").unwrap();
    assert_eq!(
        files.remove("home/web/.ssh"),
        Some((0o40_700, 1000, 1001, vec![]))
    );
    expected.remove("home/web/.ssh");
    for made in [
        "etc/ssh",
        "etc/ssl",
        "etc/ssl/private",
        "etc/network/interfaces.d",
        "var/lib/cloud",
        "var/lib/cloud/seed",
        "var/lib/cloud/seed/nocloud",
    ] {
        assert_eq!(files.remove(made), Some((0o40_755, 0, 0, vec![])), "{made}");
    }
    assert!(files == expected, "all else is the image's");
    let said = machine.deploy(&base, &disk, &given).unwrap();
    assert!(said.ends_with("already, nothing written"), "{said}");
    // What it names counts as it does itself.
    std::fs::write(machine.path("web.key"), "ANOTHER\n").unwrap();
    let error = machine.deploy(&base, &disk, &given).unwrap_err().render();
    assert!(
        error.contains("already, with another machine file"),
        "{error}"
    );
    assert!(
        !error.contains("ANOTHER") && !error.contains("SECRET"),
        "{error}"
    );
}

#[test]
fn what_the_image_or_the_machine_is_not_stops_before_anything_is_written() {
    let (world, _, machine) = world();
    let base = world.path("repo").display().to_string();
    let own = machine.path("machine.yaml");
    let disk = machine.disk_with(100 << 20, b"");
    for (text, expected) in [
        (
            "for: {mac: '02:00:00:00:00:01'}",
            "it has no network card 02:00:00:00:00:01",
        ),
        (
            "for: {serial: other}",
            "the machine file is for another machine",
        ),
        (
            "timezone: Europe/Atlantis",
            "the image does not have the time zone Europe/Atlantis",
        ),
        (
            "files: [{path: /a, file: web.key, owner: nobody-here}]",
            "the image does not have the account `nobody-here`",
        ),
        (
            "files: [{path: /etc/passwd/x, file: web.key}]",
            "/etc/passwd of the image is not a directory",
        ),
        (
            "files: [{path: /a/../b, file: web.key}]",
            "has a part that is empty, `.` or `..`",
        ),
        (
            "files: [{path: '/a\"\\nrm /b', file: web.key}]",
            "has a character that paths here cannot have",
        ),
        (
            "ssh: {host-keys: [ssh_host_rsa_key]}",
            "ssh_host_rsa_key cannot be read",
        ),
        (
            "ssh: {host-keys: [web.key]}",
            "is not named as `ssh_host_ed25519_key` is",
        ),
        (
            "ssh: {authorized-keys: {web: [ssh-ed25519]}}",
            "is not a public key",
        ),
        (
            "network: [{mac: 52-54}]",
            "is not the address of a network card",
        ),
        ("hostname: web_7", "is not a host name"),
        ("hostnam: web", "hostname"),
    ] {
        std::fs::write(&own, format!("{text}\n")).unwrap();
        let error = machine.deploy(&base, &disk, &["--machine", own.to_str().unwrap()]);
        let error = error.unwrap_err().render();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(
            std::fs::read(&disk).unwrap().iter().all(|byte| *byte == 0),
            "{text}"
        );
    }
    let tree = Phony::bare();
    let home = rooted(&world, "home", tree.file("ops/.profile", ""));
    publish(&world, &home, "web", "stable");
    std::fs::write(&own, "hostname: web-7\n").unwrap();
    let error = machine.deploy(&base, &disk, &["--machine", own.to_str().unwrap()]);
    let error = error.unwrap_err().render();
    assert!(error.contains("a root in its last partition"), "{error}");
    assert!(std::fs::read(&disk).unwrap().iter().all(|byte| *byte == 0));
}
