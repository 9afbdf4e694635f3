//! Systems in directories, with what their kernels say of them.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::system::System;
use super::*;

/// A Debian on the second partition of a disk.
struct Fixture(tempfile::TempDir);

impl Fixture {
    fn debian() -> Fixture {
        let fixture = Fixture(tempfile::tempdir().unwrap());
        fixture.disk("vda", "pci0/virtio1", 40 << 30, "V1");
        fixture.part("vda", 1, "254:1", 1 << 20);
        fixture.part("vda", 2, "254:2", 1 << 26);
        fixture.mounted("24 1 254:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw\n");
        fixture.put("sys/kernel/kexec_loaded", "0\n");
        fixture.put(
            "proc/meminfo",
            "MemTotal:       2097152 kB\nMemAvailable:   1048576 kB\n",
        );
        fixture.put(
            "proc/cmdline",
            "BOOT_IMAGE=/vmlinuz root=UUID=1 ro quiet console=tty0 console=ttyS0,115200 pci=nomsi\n",
        );
        fixture
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn mounted(&self, lines: &str) {
        self.put("proc/self/mountinfo", lines);
    }

    fn disk(&self, name: &str, on: &str, size: u64, serial: &str) {
        let place = format!("sys/devices/{on}/block/{name}");
        self.put(&format!("{place}/size"), &(size / 512).to_string());
        self.put(&format!("{place}/serial"), serial);
        self.link(&place, &format!("sys/block/{name}"));
    }

    fn part(&self, disk: &str, number: u32, dev: &str, sectors: u64) {
        let place = format!("sys/block/{disk}/{disk}{number}");
        self.put(&format!("{place}/partition"), &number.to_string());
        self.put(&format!("{place}/dev"), dev);
        self.put(&format!("{place}/size"), &sectors.to_string());
        self.link(&place, &format!("sys/dev/block/{dev}"));
    }

    fn volume(&self, name: &str, dev: &str, uuid: &str) {
        let place = format!("sys/devices/virtual/block/{name}");
        self.put(&format!("{place}/size"), "2048");
        self.put(&format!("{place}/dm/uuid"), uuid);
        self.link(&place, &format!("sys/block/{name}"));
        self.link(&place, &format!("sys/dev/block/{dev}"));
    }

    fn link(&self, to: &str, path: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(self.root().join(to), path).unwrap();
    }
}

#[test]
fn a_plan_says_what_is_lost_and_what_is_kept() {
    let fixture = Fixture::debian();
    fixture.disk("sda", "pci0/ata1/0:0:0:0", 1 << 40, "S1");
    fixture.part("sda", 1, "8:1", 1 << 21);
    fixture.mounted(
        "24 1 254:2 / / rw shared:1 - ext4 /dev/vda2 rw\n\
         25 24 254:1 / /boot rw - ext4 /dev/vda1 rw\n\
         26 24 8:1 / /srv/my\\040files rw - xfs /dev/sda1 rw\n\
         27 24 0:5 / /proc rw - proc proc rw\n\
         29 24 7:0 / /snap/core ro - squashfs /dev/loop0 ro\n\
         28 24 0:41 / /mnt rw - nfs4 nas.example.org:/a rw\n",
    );
    fixture.put("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    fixture.put("etc/hostname", "web-7\n");
    fixture.put("etc/app.conf", "a\n");
    let image = Image {
        name: "web".into(),
        entry: "web".into(),
        revision: 12,
        arch: "x86_64".into(),
        url: crate::http::Url::parse("https://images.example.org/web.xz").unwrap(),
        sha512: "0".repeat(128),
        size: Some(400 << 20),
        disk_size: 4 << 30,
        format: None,
        version: None,
        osinfo: None,
    };
    fixture.put("dev/vda", "");
    let dev = std::fs::File::create(fixture.root().join("dev/vda")).unwrap();
    dev.set_len(40 << 30).unwrap();
    let keep = ["hostname", "machine-id", "/etc/app.conf"].map(|one| one.parse().unwrap());
    let Takeover::Planned(plan) = plan(fixture.root(), &image, &keep).unwrap() else {
        panic!("nothing is planned");
    };
    assert_eq!(
        plan.to_string(),
        "web revision 12 replaces the system on /dev/vda, 40.0 GiB, virtio, serial V1\n  \
           disk: found again by serial=V1, started by BIOS\n  \
           memory: 1.5 GiB of 2.0 GiB are needed\n  \
           lost: /dev/vda1, 512.0 MiB, /boot\n  \
           lost: /dev/vda2, 32.0 GiB, /\n  \
           stays: /dev/sda1, which the new system does not mount at /srv/my files\n  \
           stays: nas.example.org:/a, which the new system does not mount at /mnt\n  \
           kept: host name: web-7\n  \
           kept: /etc/machine-id\n  \
           kept: /etc/app.conf\n"
    );
}

/// Nothing is touched that is not understood: each says why.
#[test]
fn systems_that_are_not_one_disk_are_refused() {
    type Change = fn(&Fixture);
    let cases: [(Change, &str); 12] = [
        (
            |it| it.put("run/systemd/container", "lxc"),
            "it is a container, and shares its kernel with other systems",
        ),
        (
            |it| it.put("proc/1/environ", "A=1\0container=podman\0"),
            "it is a container, and shares its kernel with other systems",
        ),
        (
            |it| it.mounted("24 1 0:40 / / rw - overlay overlay rw\n"),
            "its root is in memory, or in layers (overlay)",
        ),
        (
            |it| it.mounted("24 1 0:40 / / rw - nfs nas:/root rw\n"),
            "its root is on the network (nfs, nas:/root)",
        ),
        (
            |it| it.mounted("24 1 0:40 / / rw - zfs tank/root rw\n"),
            "its root is tank/root (zfs), which is not a partition of one disk",
        ),
        (
            |it| {
                it.volume("dm-0", "253:0", "LVM-abc");
                it.mounted("24 1 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n");
            },
            "its root is on a volume of LVM, /dev/mapper/vg-root",
        ),
        (
            |it| {
                it.volume("dm-0", "253:0", "CRYPT-LUKS2-abc");
                it.mounted("24 1 253:0 / / rw - ext4 /dev/mapper/root rw\n");
            },
            "its root is on an encrypted volume (LUKS), /dev/mapper/root",
        ),
        (
            |it| {
                it.volume("md0", "9:0", "");
                it.mounted("24 1 9:0 / / rw - ext4 /dev/md0 rw\n");
            },
            "its root is on a RAID (MD), /dev/md0",
        ),
        (
            |it| {
                it.volume("dm-0", "253:0", "LVM-abc");
                it.put("sys/block/vda/vda1/holders/dm-0/dev", "253:0");
            },
            "a volume of LVM, /dev/dm-0, is active on /dev/vda1 of the same disk",
        ),
        (
            |it| {
                it.disk("sda", "pci0/ata1/0:0:0:0", 1 << 40, "S1");
                it.part("sda", 1, "8:1", 1 << 21);
                it.mounted(
                    "24 1 254:2 / / rw - ext4 /dev/vda2 rw\n\
                     26 24 8:1 / /boot/efi rw - vfat /dev/sda1 rw\n",
                );
            },
            "it starts from /boot/efi, which is /dev/sda1, and its root is on /dev/vda",
        ),
        (
            |it| {
                it.mounted(
                    "24 1 254:2 / / rw - ext4 /dev/vda2 rw\n\
                     26 24 0:50 / /srv rw - btrfs /dev/vda1 rw\n",
                );
            },
            "/dev/vda1 at /srv is of kind btrfs, and may be on several disks",
        ),
        (
            |it| {
                it.disk("vdb", "pci0/virtio2", 40 << 30, "V1");
            },
            "no serial number, WWID or size tells /dev/vda from the other disks, and its name may be another one at \
             the next start",
        ),
    ];
    for (change, why) in cases {
        let fixture = Fixture::debian();
        change(&fixture);
        let error = System::look(fixture.root()).unwrap_err();
        assert_eq!(
            error.message(),
            "this system cannot be replaced, and nothing was changed"
        );
        assert_eq!(error.causes(), [why]);
        assert!(error.hint_text().is_some(), "{why}");
    }
}

#[test]
fn a_disk_is_named_by_what_no_other_one_has() {
    for (serials, size, rule) in [
        (["V1", "V2"], 40 << 30, "serial=V1"),
        (["V1", "V1"], 80 << 30, "size>=40GiB,size<=40GiB"),
        (["V,1", "V,2"], 80 << 30, "size>=40GiB,size<=40GiB"),
        (["", ""], 1000 * 512, "size>=40GiB,size<=40GiB"),
    ] {
        let fixture = Fixture::debian();
        fixture.put("sys/block/vda/serial", serials[0]);
        fixture.disk("vdb", "pci0/virtio2", size, serials[1]);
        let system = System::look(fixture.root()).unwrap();
        assert_eq!((&*system.disk.name, &*system.rule), ("vda", rule));
    }
    let fixture = Fixture::debian();
    fixture.disk("vdb", "pci0/virtio2", 40 << 30, "V1");
    fixture.put("sys/block/vda/wwid", "naa.[5]\n");
    let system = System::look(fixture.root()).unwrap();
    assert_eq!(system.rule, "by-id=naa.[[]5[]]");
}

#[test]
fn a_kernel_that_starts_no_other_one_says_why() {
    type Change = fn(&Fixture);
    let cases: [(Change, &str); 4] = [
        (
            |it| std::fs::remove_file(it.root().join("sys/kernel/kexec_loaded")).unwrap(),
            "built without kexec",
        ),
        (
            |it| it.put("proc/sys/kernel/kexec_load_disabled", "1\n"),
            "kexec_load_disabled",
        ),
        (
            |it| {
                it.put(
                    "sys/kernel/security/lockdown",
                    "none [integrity] confidentiality\n",
                )
            },
            "locked down",
        ),
        (
            |it| {
                let name = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
                it.put(
                    &format!("sys/firmware/efi/efivars/{name}"),
                    "\u{6}\0\0\0\u{1}",
                );
            },
            "Secure Boot",
        ),
    ];
    let system = System::look(Fixture::debian().root()).unwrap();
    assert_eq!((system.no_kexec, system.uefi), (None, false));
    for (change, why) in cases {
        let fixture = Fixture::debian();
        change(&fixture);
        let system = System::look(fixture.root()).unwrap();
        assert!(
            system.no_kexec.is_some_and(|said| said.contains(why)),
            "{why}"
        );
    }
}

#[test]
fn what_is_kept_becomes_a_machine_file() {
    let fixture = Fixture::debian();
    for kind in ["ed25519", "rsa"] {
        fixture.put(&format!("etc/ssh/ssh_host_{kind}_key"), "private");
        fixture.put(&format!("etc/ssh/ssh_host_{kind}_key.pub"), "public");
    }
    fixture.put(
        "root/.ssh/authorized_keys",
        "# ops\nssh-ed25519 AAAA ops\n\n",
    );
    fixture.put("etc/resolv.conf", "nameserver 127.0.0.53\n");
    fixture.put("run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n");
    let keep = ["resolv-conf", "authorized-keys", "host-keys"].map(|one| one.parse().unwrap());
    let kept = Kept::read(fixture.root(), &keep).unwrap();
    assert_eq!(
        kept.told,
        [
            "host keys of SSH: ed25519, rsa",
            "authorized keys of root: 1",
            "/etc/resolv.conf"
        ]
    );
    let file = serde_json::to_value(&kept.file).unwrap();
    assert_eq!(
        file["ssh"]["authorized-keys"]["root"][0],
        "ssh-ed25519 AAAA ops"
    );
    let listed: Vec<String> = file["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let word = |key: &str| one[key].as_str().unwrap().to_owned();
            let content = String::from_utf8_lossy(&kept.files[&word("file")].0);
            format!("{} {} {}", word("path"), word("mode"), content.trim())
        })
        .collect();
    assert_eq!(
        listed,
        [
            "/etc/ssh/ssh_host_ed25519_key 0600 private",
            "/etc/ssh/ssh_host_ed25519_key.pub 0644 public",
            "/etc/ssh/ssh_host_rsa_key 0600 private",
            "/etc/ssh/ssh_host_rsa_key.pub 0644 public",
            "/etc/resolv.conf 0644 nameserver 192.0.2.53",
        ]
    );
}

#[test]
fn what_cannot_be_kept_stops_it() {
    let error = "host-key".parse::<Keep>().unwrap_err();
    assert!(error.contains("did you mean `host-keys`?"), "{error}");
    for word in ["network", "resolv-conf", "none", "all"] {
        assert!(error.contains(word), "{error}");
    }
    let fixture = Fixture::debian();
    fixture.put("etc/app/a.conf", "");
    fixture.put("etc/machine-id", "uninitialized\n");
    let none: [&str; 0] = [];
    for (keep, why) in [
        (&none[..], "nobody has said what of this system is kept"),
        (
            &["none", "hostname"],
            "--keep none excludes everything else",
        ),
        (&["host-keys"], "it has no host keys in /etc/ssh"),
        (&["machine-id"], "/etc/machine-id is not a machine id"),
        (&["hostname"], "reading"),
        (&["/etc/app"], "only files are kept, of 16 MiB at most"),
        (&["/etc/none"], "/etc/none cannot be kept"),
    ] {
        let keep: Vec<Keep> = keep.iter().map(|one| one.parse().unwrap()).collect();
        let error = Kept::read(fixture.root(), &keep).unwrap_err().render();
        assert!(error.contains(why), "{why}: {error}");
    }
}
