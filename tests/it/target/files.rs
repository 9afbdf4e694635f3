//! WSL and Proxmox.

use super::{World, debian, run, text};

#[test]
#[ignore = "vm: src/targets"]
fn windows_finds_what_it_looks_for() {
    let world = World::new();
    let phony = debian(&["virtio_net"]);
    phony
        .file("etc/passwd", "root:x:0:0::/root:/bin/sh\n")
        .file("etc/shadow", "root:$y$j9T$salt$hash:19000:0:99999:7:::\n")
        .file("etc/resolv.conf", "nameserver 192.0.2.1\n")
        .file("usr/lib/systemd/systemd", "systemd")
        .file(
            "usr/lib/systemd/system/systemd-resolved.service",
            "[Unit]\n",
        )
        .file("etc/systemd/system/local.service", "[Unit]\n");
    let disk = phony.disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "wsl"]);
    assert_eq!(world.made(), ["web.wsl"]);
    let (root, file) = (tempfile::tempdir().unwrap(), world.path("out/web.wsl"));
    // At its root, with numbers for owners, and packed as Windows unpacks it.
    run(
        "tar",
        &[
            "--numeric-owner",
            "-C",
            text(root.path()),
            "-xzf",
            text(&file),
        ],
    );
    let read = |path: &str| std::fs::read_to_string(root.path().join(path)).unwrap();
    assert_eq!(read("etc/wsl.conf"), "[boot]\nsystemd=true\n");
    let script = "import configparser, sys; c = configparser.ConfigParser(); c.read(sys.argv[1]); \
                  print(c['oobe']['defaultName'], c['shortcut'].getboolean('enabled'))";
    let conf = root.path().join("etc/wsl-distribution.conf");
    assert_eq!(run("python3", &["-c", script, text(&conf)]), "web True\n");
    assert_eq!(read("etc/shadow"), "root:*:19000:0:99999:7:::\n");
    let has = |path: &str| root.path().join(path).symlink_metadata().is_ok();
    assert!(!has("etc/resolv.conf") && !has("usr/lib/modules"));
    let mask = root
        .path()
        .join("etc/systemd/system/systemd-resolved.service");
    assert_eq!(
        std::fs::read_link(mask).unwrap().to_str(),
        Some("/dev/null")
    );
}

/// The script says the same to `qm` whatever directory it is called from.
#[test]
fn proxmox_is_told_everything() {
    let world = World::new();
    let phony = debian(&["virtio_net", "virtio_scsi"]);
    phony
        .file("usr/bin/cloud-init", "")
        .file("usr/sbin/qemu-ga", "");
    let disk = phony.disk(world.dir.path(), "web.raw");
    world.exports(&disk, &["-t", "proxmox"]);
    assert_eq!(world.made(), ["web.proxmox.qcow2", "web.proxmox.sh"]);
    let script = world.path("out/web.proxmox.sh");
    run("shellcheck", &["-s", "sh", text(&script)]);
    let bin = world.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let script_of_qm = "#!/bin/sh\nprintf '%s|' qm \"$@\"; echo\n";
    imgforge::host::exec::write_program(&bin.join("qm"), script_of_qm).unwrap();
    let line = format!(
        "cd / && PATH={}:$PATH sh {} 9000 pool",
        text(&bin),
        text(&script)
    );
    let said = run("sh", &["-c", &line]);
    let disk = world.path("out/web.proxmox.qcow2").canonicalize().unwrap();
    let import = format!(
        "qm|set|9000|--scsi0|pool:0,import-from={},discard=on|",
        text(&disk)
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 5, "{said}");
    assert!(lines[0].starts_with("qm|create|9000|--name|web|") && lines[0].contains("|--agent|1|"));
    assert_eq!(lines[1], import);
    assert_eq!(
        lines[2],
        "qm|set|9000|--ide2|pool:cloudinit|--ipconfig0|ip=dhcp|"
    );
    assert_eq!(lines[4], "qm|template|9000|");
}
