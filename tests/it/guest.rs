//! libguestfs on made-up guests. One session takes some 9 seconds, so each asks many things.

mod children;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use imgforge::error::Kind;
use imgforge::guest::{Guestfs, Os};
use imgforge::host::accel::Accel;
use imgforge::host::exec::{Program, write_program};
use imgforge::runner::inject::{hold_instance, inject};

pub(crate) use children::child;

use crate::patience::wait_for;
use crate::phony::Phony;

/// A session with raw disks.
pub(crate) fn session(disks: &[&Path]) -> Guestfs {
    crate::slots::launch_on(disks, "raw").unwrap()
}

/// The guests of a build are given time and peace: what waits, waits longer where the host is slow.
fn patient(guest: &Guestfs) {
    let units = "/usr/lib/systemd/system";
    let wait = "systemd-networkd-wait-online.service";
    let fast = "/etc/systemd/system.conf.d/zz-imgforge.conf";
    guest
        .mkdir_p(&format!("/etc/systemd/system/{wait}.d"))
        .unwrap();
    guest.mkdir_p(units).unwrap();
    guest.mkdir_p("/etc/apt").unwrap();
    for path in ["/usr/lib/systemd/systemd", "/usr/bin/tar"] {
        guest.write(path, "").unwrap();
    }
    guest
        .write(
            &format!("{units}/{wait}"),
            "[Service]\nExecStart=/lib/wait\n",
        )
        .unwrap();
    guest
        .write(
            &format!("/etc/systemd/system/{wait}.d/50-any.conf"),
            "[Service]\nExecStart=\nExecStart=/lib/wait --any\n",
        )
        .unwrap();
    guest
        .ln_sf(
            "/dev/null",
            "/etc/systemd/system/NetworkManager-wait-online.service",
        )
        .unwrap();
    inject(guest, Accel::Kvm).unwrap();
    assert!(!guest.exists(fast).unwrap());
    inject(guest, Accel::Tcg).unwrap();
    let read = |path: &str| String::from_utf8(guest.read_file(path).unwrap()).unwrap();
    assert!(read(fast).contains(
        "DefaultTimeoutStartSec=540\nDefaultTimeoutStopSec=540\nDefaultDeviceTimeoutSec=540\n"
    ));
    assert_eq!(
        read(&format!("/etc/systemd/system/{wait}.d/zz-imgforge.conf")),
        "[Service]\nExecStart=\nExecStart=/lib/wait --any --timeout=720\n"
    );
    assert!(
        !guest
            .exists("/etc/systemd/system/NetworkManager-wait-online.service.d")
            .unwrap()
    );
    let held = read("/etc/needrestart/conf.d/zz-imgforge.conf");
    assert!(held.contains("{override_rc} = { qr(.) => 0 };"), "{held}");
}

#[test]
#[ignore = "vm: src/guest guestfs-sys"]
fn a_debian_is_mounted_read_written_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Phony::debian().disk(dir.path(), "disk.raw");
    let guest = session(&[&disk]);
    let os = guest.mount_root().unwrap();
    assert_eq!((os.distro.as_str(), os.major, os.minor), ("debian", 13, 1));
    assert_eq!(
        (os.package_format.as_str(), os.arch.as_str()),
        ("deb", "x86_64")
    );
    assert_eq!(os.osinfo, "debian13");
    assert_eq!(os.mountpoints, [("/".to_owned(), os.root.clone())]);
    let names: Vec<_> = guest
        .packages(&os.root)
        .unwrap()
        .into_iter()
        .map(|p| p.name)
        .collect();
    assert_eq!(names, ["openssh-server"]);

    // Not there, then there.
    hold_instance(&guest).unwrap();
    guest.mkdir_p("/usr/lib/imgforge-instance/steps").unwrap();
    hold_instance(&guest).unwrap();
    assert!(!guest.exists("/usr/lib/imgforge-instance").unwrap());
    assert!(
        guest
            .exists("/usr/lib/imgforge-instance.held/steps")
            .unwrap()
    );

    patient(&guest);

    guest.write("/root/a b", b"\x00bytes\xff").unwrap();
    guest.append("/root/a b", "more").unwrap();
    assert_eq!(guest.read_file("/root/a b").unwrap(), b"\x00bytes\xffmore");
    assert_eq!(guest.sh("cat /etc/hostname").unwrap(), "phony\n");
    assert_eq!(
        guest.command(&["/bin/busybox", "echo", "a  b"]).unwrap(),
        "a  b\n"
    );

    let error = guest.ls("/etc/nowhere").unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: listing /etc/nowhere failed
    caused by: ls0: opendir: /etc/nowhere: No such file or directory
    ");
    let error = guest.sh("echo no >&2; exit 3").unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: running a command in the guest failed
    caused by: sh: no
    ");
    guest.close().unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "scratch is left: {left:?}");
}

/// Its disks are told to the kernel by udev, one by one, through a device of btrfs' own.
#[test]
#[ignore = "vm: src/guest"]
fn a_btrfs_of_two_disks_is_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let disks = ["one", "two"].map(|name| {
        let disk = dir.path().join(name);
        std::fs::File::create(&disk)
            .unwrap()
            .set_len(200 << 20)
            .unwrap();
        disk
    });
    let disks = disks.each_ref().map(std::path::PathBuf::as_path);
    let guest = session(&disks);
    // The appliance's own disk may be any of the three. udev tells the kernel of what was made here only in a while.
    let make = "set -e; cd /dev
        made=$(cd /sys/block; grep -lx 409600 sd*/size | cut -d/ -f1)
        mkfs.btrfs -q -d raid1 -m raid1 $made
        btrfs device scan $made";
    guest.debug("sh", &[make]).unwrap();
    guest.mount("/dev/sda", "/").unwrap();
    guest.write("/file", "on both").unwrap();
    guest.close().unwrap();

    let guest = session(&disks);
    assert!(guest.inspect_os().is_ok());
    guest.mount("/dev/sdb", "/").unwrap();
    assert_eq!(guest.read_file("/file").unwrap(), b"on both");
    guest.close().unwrap();
}

#[test]
#[ignore = "vm: src/guest guestfs-sys"]
fn two_systems_none_and_one_on_lvm() {
    let dir = tempfile::tempdir().unwrap();
    let debian = Phony::debian();
    let first = debian.disk(dir.path(), "first.raw");
    let second = Phony::fedora().disk(dir.path(), "second.raw");
    let guest = session(&[&first, &second]);
    let error = guest.mount_root().unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: 2 operating systems were found on the disk, and an image has one
      | /dev/sda: 13.1
      | /dev/sdb: Fedora Linux 42 (Server Edition)
    hint: remove what does not belong to the image, on a copy: `sfdisk --delete COPY NUMBER` or `virt-resize --delete PARTITION DISK COPY`
    ");

    guest.mount("/dev/sdb", "/").unwrap();
    let os = Os {
        root: "/dev/sdb".into(),
        distro: guest.inspect_get_distro("/dev/sdb").unwrap(),
        major: guest.inspect_get_major_version("/dev/sdb").unwrap(),
        minor: 0,
        arch: "x86_64".into(),
        package_format: guest.inspect_get_package_format("/dev/sdb").unwrap(),
        mountpoints: vec![("/".into(), "/dev/sdb".into())],
        osinfo: String::new(),
        product: String::new(),
        filesystems: vec![("/dev/sdb".into(), "ext4".into())],
        notes: vec![],
    };
    assert_eq!(
        (os.distro.as_str(), os.major, os.package_format.as_str()),
        ("fedora", 42, "rpm")
    );
    crate::sysprep::seal_fedora(&guest, &os);
    guest.umount_all().unwrap();

    guest.mkfs("ext4", "/dev/sda", "", "").unwrap();
    guest.mkfs("ext4", "/dev/sdb", "boot", "").unwrap();
    let error = guest.mount_root().unwrap_err();
    assert_eq!(error.message(), "no operating system was found on the disk");
    assert!(
        error.render().contains("  | /dev/sda: ext4\n"),
        "{}",
        error.render()
    );

    guest.zero_device("/dev/sda").unwrap();
    guest.pvcreate("/dev/sda").unwrap();
    guest.vgcreate("vg", &["/dev/sda"]).unwrap();
    guest.lvcreate_free("root", "vg", 100).unwrap();
    guest.mkfs("ext4", "/dev/vg/root", "", "").unwrap();
    guest.mount("/dev/vg/root", "/").unwrap();
    let tar = dir.path().join("tree.tar");
    debian.file(
        "etc/fstab",
        "/dev/mapper/vg-root / ext4 defaults 0 1\n/dev/disk/by-label/boot /boot ext4 defaults 0 2\n\
         /dev/vdc /mnt auto defaults,nofail,comment=cloudconfig 0 2\n/dev/sr0 /media/cdrom0 udf noauto\n",
    );
    Program::new("tar")
        .args(["-C"])
        .arg(debian.path())
        .arg("-cf")
        .arg(&tar)
        .arg(".")
        .run()
        .unwrap();
    guest.tar_in(&tar, "/").unwrap();
    guest.umount_all().unwrap();
    let os = guest.mount_root().unwrap();
    assert_eq!(
        os.mountpoints,
        [
            ("/".into(), "/dev/vg/root".into()),
            ("/boot".into(), "/dev/sdb".to_owned())
        ]
    );
    let absent = "/dev/vdc, which fstab mounts at /mnt, is not on the disk";
    assert_eq!(os.notes, [absent]);
    guest.write("/boot/on-sdb", "").unwrap();
    assert_eq!(guest.mountpoints().unwrap().len(), 4);
    let out = dir.path().join("out.tar");
    guest.tar_out("/etc", &out).unwrap();
    let listed = Program::new("tar").arg("-tf").arg(&out).text().unwrap();
    assert!(listed.lines().any(|line| line == "./fstab"), "{listed}");
    guest.close().unwrap();
}

#[test]
#[ignore = "vm: src/guest guestfs-sys"]
fn an_interrupted_call_ends_with_its_appliance() {
    let dir = tempfile::tempdir().unwrap();
    let output = child("is_interrupted", dir.path()).text().unwrap();
    assert!(output.contains("1 passed"), "{output}");
    assert_eq!(processes_with(dir.path()), [""; 0]);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "scratch is left: {left:?}");
}

/// Its QEMU, which read a hostile disk, has put another name into the overlay that it writes to.
#[test]
#[ignore = "vm: src/guest src/host/layers.rs"]
fn an_overlay_that_an_appliance_has_changed_is_told_however_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let base = Phony::debian().disk(dir.path(), "base.raw");
    std::fs::copy(&base, dir.path().join("evil.raw")).unwrap();
    for closed in [true, false] {
        let own = dir.path().join(if closed { "closed" } else { "dropped" });
        std::fs::create_dir(&own).unwrap();
        let overlay = own.join("overlay.qcow2");
        let create = Program::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw"]);
        let create = create.args(["-b", "../base.raw"]).arg(&overlay);
        create.dir(&own).run().unwrap();
        let guest = crate::slots::launch_on(&[&overlay], "qcow2").unwrap();
        imgforge::host::layers::sound(&own).unwrap();
        let mut bytes = std::fs::read(&overlay).unwrap();
        let name = bytes
            .windows(11)
            .position(|name| name == b"../base.raw")
            .unwrap();
        bytes[name..name + 11].copy_from_slice(b"../evil.raw");
        std::fs::write(&overlay, bytes).unwrap();
        match closed {
            true => assert_eq!(guest.close().unwrap_err().kind(), Kind::Breach),
            false => drop(guest),
        }
        let error = imgforge::host::layers::sound(&own).unwrap_err();
        assert_eq!(error.kind(), Kind::Breach);
        assert!(error.message().contains("overlay.qcow2"), "{error}");
    }
}

#[test]
#[ignore = "vm: src/guest guestfs-sys"]
fn a_killed_process_takes_its_appliance_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = child("waits_to_be_killed", dir.path()).spawn().unwrap();
    let mut lines = BufReader::new(running.take_stdout()).lines();
    assert!(
        lines.any(|line| line.is_ok_and(|line| line == "ready")),
        "{}",
        running.stderr_tail()
    );
    assert!(!processes_with(dir.path()).is_empty());
    // Dropping it sends SIGKILL.
    drop(running);
    wait_for("the appliance's end", || {
        processes_with(dir.path()).is_empty()
    });
}

#[test]
#[ignore = "vm: src/guest guestfs-sys"]
fn nothing_is_written_to_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let program = child("fails_in_many_ways", dir.path());
    let mut running = program.spawn().unwrap();
    let output = std::io::read_to_string(running.take_stdout()).unwrap();
    assert!(output.contains("1 passed"), "{output}");
    assert_eq!(running.stderr_tail(), "");
    running.wait().unwrap();
}

#[test]
#[ignore = "vm: src/guest guestfs-sys"]
fn an_appliance_that_qemu_aborts_or_that_stalls_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let hypervisor = dir.path().join("qemu");
    // Does as it is told, once for each machine: nobody, who runs it for root, may read the orders.
    let orders = dir.path().join("orders");
    let script = "#!/bin/sh\ncase \" $* \" in *\" -append \"*) ;; *) exec qemu-system-x86_64 \"$@\";; esac\n\
                  read -r order <ORDERS\ncase \"$order $*\" in\n\
                  abort*) echo 'Assertion `true'\\'' failed.' >&2; kill -ABRT $$;;\n\
                  stall*) for second in 43 64; do\n\
                  echo \"[   $second.17] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\"; done\n\
                  exec qemu-system-x86_64 -S \"$@\";;\nesac\nexec qemu-system-x86_64 \"$@\"\n";
    let script = script.replace("ORDERS", orders.to_str().unwrap());
    write_program(&hypervisor, &script).unwrap();
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), all).unwrap();
    let mkfifo = Program::new("mkfifo").args(["-m", "0644"]);
    mkfifo.arg(&orders).run().unwrap();
    let both = std::fs::File::options().read(true).write(true).open(orders);
    let (both, mut lines) = {
        let both = both.unwrap();
        let reader = BufReader::new(both.try_clone().unwrap());
        (both, reader.lines())
    };
    for (order, times, starts, fails) in [
        ("abort\n", 1, 2, false),
        ("abort\n", 9, 3, true),
        ("stall\n", 1, 2, false),
    ] {
        let given = [order.repeat(times), "run\n".repeat(9 - times)].concat();
        (&both).write_all(given.as_bytes()).unwrap();
        let child = child("starts_an_appliance", dir.path());
        child.env("LIBGUESTFS_HV", &hypervisor).run().unwrap();
        let said = std::fs::read_to_string(dir.path().join("disk.said")).unwrap();
        assert_eq!(!said.is_empty(), fails, "{said}");
        (&both).write_all(b"end\n").unwrap();
        let left = lines.by_ref().map_while(Result::ok);
        assert_eq!(9 - left.take_while(|line| line != "end").count(), starts);
    }
}

/// The appliances of the test's own child.
fn processes_with(dir: &Path) -> Vec<String> {
    let marker = format!("IMGFORGE_TEST_DIR={}\0", dir.display());
    let has = |path: &Path| {
        let all = std::fs::read(path.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&all).contains(&marker)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| has(&entry.path()))
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains("guestfsd.sock"))
        .collect()
}
