//! Volumes that nobody looked at, and what cannot be: a finding, never silence.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;

use imgforge::guest::{Drive, Guestfs, Launch};

use super::*;

/// A key that every rule book knows.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7Yc3zq9vXwB2k\n-----END PRIVATE KEY-----\n";

/// A clean disk with a partition table and the phony's root in the first partition; the lines for
/// sfdisk follow, a partition each.
fn partitioned(phony: &Phony, dir: &Path, label: &str, more: &str) -> PathBuf {
    let disk = dir.join("disk.raw");
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(160 << 20).unwrap();
    let table = format!("label: {label}\nstart=2048, size=131072\n{more}");
    let sfdisk = Program::new("sfdisk").arg("-q").arg(&disk).input(table);
    sfdisk.run().unwrap();
    phony.in_first_partition(&disk);
    disk
}

/// Where the second partition of [`partitioned`] begins.
const SECOND: u64 = (2048 + 131_072) * 512;

fn put(disk: &Path, from: &Path, at: u64) {
    let bytes = std::fs::read(from).unwrap();
    let disk = std::fs::File::options().write(true).open(disk).unwrap();
    disk.write_all_at(&bytes, at).unwrap();
}

fn rules(found: &BTreeSet<(String, String)>) -> Vec<&str> {
    found.iter().map(|(rule, _)| rule.as_str()).collect()
}

#[test]
fn a_stale_boot_sector_does_not_hide_a_disk() {
    let phony = Phony::debian();
    phony.file("etc/site.key", KEY);
    let dir = tempfile::tempdir().unwrap();
    let disk = partitioned(&phony, dir.path(), "dos", "");
    let expected = BTreeSet::from([("private-key".to_owned(), "/etc/site.key".to_owned())]);
    assert_eq!(found_in(&disk, &[]), expected);
    let file = std::fs::File::options().write(true).open(&disk).unwrap();
    file.write_all_at(b"FAT16   ", 54).unwrap();
    assert_eq!(found_in(&disk, &[]), expected);
}

#[test]
fn hidden_files_of_a_fat_and_lost_ones_of_an_ext4_are_found() {
    let phony = Phony::debian();
    phony.file("orphan", KEY);
    let dir = tempfile::tempdir().unwrap();
    let disk = partitioned(&phony, dir.path(), "gpt", "size=40960\n");
    let fat = dir.path().join("fat");
    std::fs::File::create(&fat)
        .unwrap()
        .set_len(20 << 20)
        .unwrap();
    let key = dir.path().join("site.key");
    std::fs::write(&key, KEY).unwrap();
    Program::new("mkfs.vfat").arg(&fat).run().unwrap();
    let copy = Program::new("mcopy").arg("-i").arg(&fat).arg(&key);
    copy.arg("::site.key").run().unwrap();
    let hide = Program::new("mattrib").arg("+h").arg("-i").arg(&fat);
    hide.arg("::site.key").run().unwrap();
    put(&disk, &fat, SECOND);
    let image = format!("{}?offset=1048576", path(&disk));
    for line in ["ln /orphan /lost+found/#12", "rm /orphan"] {
        let debugfs = Program::new("debugfs").args(["-w", "-R", line, &image]);
        debugfs.run().unwrap();
    }
    let places: BTreeSet<String> = found_in(&disk, &[]).into_iter().map(|f| f.1).collect();
    let expected = ["/(partition 2)/site.key", "/lost+found/#12"];
    assert_eq!(places, BTreeSet::from(expected.map(String::from)));
}

#[test]
fn swap_and_zeroes_give_no_alarm_and_what_swap_holds_is_found() {
    let phony = Phony::debian();
    let dir = tempfile::tempdir().unwrap();
    let disk = partitioned(&phony, dir.path(), "gpt", "size=40960\nsize=40960\n");
    let swap = dir.path().join("swap");
    std::fs::File::create(&swap)
        .unwrap()
        .set_len(20 << 20)
        .unwrap();
    Program::new("mkswap").arg("-q").arg(&swap).run().unwrap();
    put(&disk, &swap, SECOND);
    let output = scan(&[path(&disk)]);
    assert_eq!((output.code, findings(&output).len()), (Some(0), 0));
    let file = std::fs::File::options().write(true).open(&disk).unwrap();
    file.write_all_at(KEY.as_bytes(), SECOND + (8 << 20))
        .unwrap();
    let expected = ("private-key".to_owned(), "/(partition 2)".to_owned());
    assert_eq!(found_in(&disk, &[]), BTreeSet::from([expected]));
}

#[test]
fn a_huge_sparse_file_costs_nothing_and_its_data_is_found() {
    let phony = Phony::debian();
    let lastlog = phony.path().join("var/log/lastlog");
    let file = std::fs::File::create(&lastlog).unwrap();
    file.set_len(200 << 30).unwrap();
    file.write_all_at(KEY.as_bytes(), 150 << 30).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let disk = phony.disk(dir.path(), "disk.raw");
    for file in [&disk, phony.path()] {
        let output = scan(&[path(file)]);
        let report = output.json();
        let bytes = report["bytes"].as_u64().unwrap();
        assert!(bytes < 64 << 20, "{bytes}");
        let details = report["findings"].as_array().unwrap().iter();
        let details: Vec<&str> = details.map(|f| f["detail"].as_str().unwrap()).collect();
        let place = format!("at byte {}", 150u64 << 30);
        assert!(details.contains(&place.as_str()), "{details:?}");
    }
}

#[test]
fn what_cannot_be_searched_is_refused_and_can_be_accepted() {
    let phony = Phony::debian();
    phony.file("opt/cut.gz", &b"\x1f\x8b\x08 and nothing that decodes"[..]);
    let dir = tempfile::tempdir().unwrap();
    let disk = phony.disk(dir.path(), "disk.raw");
    for line in ["mkdir /srv2", "sif /srv2 flags 0x80800"] {
        let debugfs = Program::new("debugfs").args(["-w", "-R", line]);
        debugfs.arg(&disk).run().unwrap();
    }
    let found = found_in(&disk, &[]);
    assert_eq!(rules(&found), ["not-searched", "not-searched"], "{found:?}");
    scan(&[path(&disk)]).exits(4);
    let accepted = scan(&[path(&disk), "--allow", "not-searched"]);
    assert_eq!(accepted.code, Some(0));
    // Nothing at all is no clean disk, whatever is accepted.
    let zeroes = dir.path().join("zeroes.raw");
    std::fs::File::create(&zeroes)
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    let nothing = scan(&[path(&zeroes), "--allow", "not-searched"]);
    assert_eq!(nothing.code, Some(4));
}

#[test]
#[ignore = "vm: src/scan"]
fn a_signal_ends_the_scan_within_one_file() {
    let phony = Phony::debian();
    // A file that decodes to gibibytes is at work for long.
    let zeroes = Program::new("head").args(["-c", "4000M", "/dev/zero"]);
    let mut zeroes = zeroes.spawn().unwrap();
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    std::io::copy(&mut zeroes.take_stdout(), &mut packed).unwrap();
    phony.file("opt/bomb.gz", packed.finish().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let disk = phony.disk(dir.path(), "disk.raw");
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut child = imgforge_with_guests()
            .args(["--progress", "json", "disk", "scan", path(&disk)])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("looking for leftovers") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0);
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(128 + signal.as_raw()), "{rest}");
    }
}

/// Volumes whose files only an appliance can read, or nobody: md, ISO 9660, ZFS, and no file
/// system at all.
#[test]
#[ignore = "vm: src/scan src/guest"]
fn volumes_that_imgforge_does_not_read_itself_are_read_or_refused() {
    let phony = Phony::debian();
    let dir = tempfile::tempdir().unwrap();
    let disk = partitioned(
        &phony,
        dir.path(),
        "gpt",
        "size=40960\nsize=40960\nsize=40960\n",
    );
    let files = dir.path().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("site.key"), KEY).unwrap();
    let iso = dir.path().join("iso");
    let xorriso = Program::new("xorriso").args(["-as", "mkisofs", "-quiet", "-R", "-o"]);
    xorriso.arg(&iso).arg(&files).run().unwrap();
    put(&disk, &iso, SECOND);
    let file = std::fs::File::options().write(true).open(&disk).unwrap();
    // The uberblocks by which a member of a ZFS pool is known.
    let third = SECOND + 40_960 * 512;
    for n in 0..32u64 {
        let block: Vec<u8> = [0x00ba_b10c, 5000, 100 + n, 1, 1_700_000_000]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect();
        let at = third + (128 << 10) + n * 1024;
        file.write_all_at(&block, at).unwrap();
    }
    // Something that no program knows, far behind zeroes.
    file.write_all_at(KEY.as_bytes(), third + 40_960 * 512 + (1 << 20))
        .unwrap();
    let found = found_in(&disk, &["--accel", "tcg"]);
    let told: Vec<(&str, &str)> = found.iter().map(|f| (f.0.as_str(), f.1.as_str())).collect();
    assert_eq!(
        told,
        [
            ("not-searched", "/(partition 3)/"),
            ("not-searched", "/(partition 4)/"),
            ("private-key", "/(/dev/sda2)/site.key"),
        ]
    );
}

fn appliance(disk: &Path) -> Guestfs {
    let drives = &[Drive::writable(disk, "raw")];
    let launch = Launch {
        drives,
        accel: imgforge::host::accel::Accel::Tcg,
        ui: None,
    };
    crate::slots::launch(&launch).unwrap()
}

/// Which letter the kernel gives the disk, of five partitions, nobody knows: `$d` is it. The
/// appliance's own has none.
fn in_shell(guest: &Guestfs, line: &str) {
    let disk_is = "udevadm settle; d=$(echo /dev/sd?5); d=${d%5};";
    drop(guest.debug("sh", &[&format!("{disk_is} {line}")]).unwrap());
}

/// Layers of which an appliance makes devices: a mirror with one of its members, and a thin pool,
/// whose own devices hold no files; half of a RAID without redundancy gives none.
#[test]
#[ignore = "vm: src/scan src/guest"]
fn files_in_a_raid_and_on_a_thin_volume_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let phony = Phony::debian();
    let mebibytes = "size=81920\nsize=81920\nsize=12288\nsize=12288\n";
    let disk = partitioned(&phony, dir.path(), "gpt", mebibytes);
    let guest = appliance(&disk);
    let sh = |line: &str| in_shell(&guest, line);
    sh("mdadm --create /dev/md/r --run --level=1 --raid-devices=2 ${d}2 missing");
    sh("udevadm settle; mke2fs -q -t ext4 /dev/md/r; mkdir /m; mount /dev/md/r /m");
    sh("mkdir /m/root; echo x >/m/root/.bash_history; umount /m; mdadm --stop /dev/md/r");
    sh("mdadm --create /dev/md/s --run --level=0 --raid-devices=2 ${d}4 ${d}5");
    sh("udevadm settle; mdadm --stop /dev/md/s; cat /dev/zero >${d}5 2>/dev/null; true");
    sh("modprobe dm_thin_pool; pvcreate -q ${d}3; vgcreate -q v ${d}3");
    sh("lvcreate -qq -y -L 20m -T v/pool; lvcreate -qq -y -V 32m -T v/pool -n data");
    sh("mke2fs -q -t ext4 /dev/v/data; mount /dev/v/data /m; echo x >/m/.zsh_history; umount /m");
    guest.close().unwrap();
    let found = found_in(&disk, &["--accel", "tcg"]);
    let places: Vec<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    assert_eq!(
        rules(&found),
        ["not-searched", "shell-history", "shell-history"],
        "{found:?}"
    );
    assert!(places.contains(&"/(partition 4)/"), "{places:?}");
    assert!(
        places.contains(&"/(/dev/v/data)/.zsh_history"),
        "{places:?}"
    );
    let in_raid = places
        .iter()
        .any(|place| place.ends_with("/root/.bash_history"));
    assert!(in_raid, "{places:?}");
}

/// A FAT that has lost a file, and swap space with a key: the same wherever they lie.
#[test]
#[ignore = "vm: src/scan src/guest"]
fn what_imgforge_reads_itself_is_accounted_for_behind_lvm_raid_and_luks() {
    let dir = tempfile::tempdir().unwrap();
    let phony = Phony::debian();
    let parts = "size=81920\nsize=20480\nsize=65536\nsize=16384\n";
    let disk = partitioned(&phony, dir.path(), "gpt", parts);
    let fat = lossy_fat(dir.path());
    put(&disk, &fat, SECOND + (81_920 + 20_480 + 65_536) * 512);
    let guest = appliance(&disk);
    let sh = |line: &str| in_shell(&guest, line);
    sh("udevadm settle; pvcreate -q ${d}2; vgcreate -q v ${d}2; lvcreate -qq -y -L 12m -n fat v");
    sh("lvcreate -qq -y -L 12m -n used v; lvcreate -qq -y -L 12m -n new v");
    sh("mdadm --create /dev/md/r --run --level=1 --raid-devices=2 ${d}3 missing");
    sh(
        "printf sesame | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 \
        --pbkdf-force-iterations 1000 --key-file=- ${d}4",
    );
    sh("printf sesame | cryptsetup open --key-file=- ${d}4 c; udevadm settle");
    sh("for to in v/fat md/r mapper/c; do dd if=${d}5 of=/dev/$to bs=1M; done");
    sh("mkswap /dev/v/used; mkswap /dev/v/new");
    guest
        .write_device("/dev/v/used", KEY.as_bytes(), 8 << 20)
        .unwrap();
    guest
        .write_device("/dev/v/new", KEY.as_bytes(), 3000)
        .unwrap();
    sh("sync; cryptsetup close c; mdadm --stop /dev/md/r; vgchange -an v");
    guest.close().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "sesame").unwrap();
    let found = found_in(&disk, &["--accel", "tcg", "--luks-key", path(&key)]);
    let of = |rule: &str| -> BTreeSet<&str> {
        let found = found.iter().filter(|(which, _)| which == rule);
        found.map(|(_, place)| place.as_str()).collect()
    };
    assert_eq!(of("private-key"), BTreeSet::from(["/(v-new)", "/(v-used)"]));
    let lost = of("not-searched");
    assert!(lost.len() == 4 && found.len() == 6, "{found:?}");
    for place in ["/(partition 5)/", "/(/dev/v/fat)/"] {
        assert!(lost.contains(place), "{lost:?}");
    }
    for upper in ["/(/dev/md", "/(/dev/mapper/"] {
        assert!(
            lost.iter().any(|place| place.starts_with(upper)),
            "{lost:?}"
        );
    }
}

/// A FAT with a file whose name is deleted, and its clusters are not.
fn lossy_fat(dir: &Path) -> PathBuf {
    let (fat, key) = (dir.join("fat"), dir.join("site.key"));
    std::fs::File::create(&fat)
        .unwrap()
        .set_len(8 << 20)
        .unwrap();
    Program::new("mkfs.vfat").arg(&fat).run().unwrap();
    std::fs::write(&key, "nothing that any rule knows").unwrap();
    let copy = Program::new("mcopy").arg("-i").arg(&fat).arg(&key);
    copy.arg("::SITE.KEY").run().unwrap();
    let mut bytes = std::fs::read(&fat).unwrap();
    let name = bytes.windows(11).position(|name| name == b"SITE    KEY");
    bytes[name.unwrap()] = 0xe5;
    std::fs::write(&fat, bytes).unwrap();
    fat
}

/// The kernel gives the extended partition of a DOS table a device, which holds the table only.
#[test]
#[ignore = "vm: src/scan src/guest"]
fn a_logical_partition_that_an_appliance_reads_gives_no_alarm() {
    let phony = Phony::debian();
    let dir = tempfile::tempdir().unwrap();
    let more = "start=135168, size=90000, type=5\nstart=137216, size=40960, type=83\n";
    let disk = partitioned(&phony, dir.path(), "dos", more);
    let files = dir.path().join("files");
    std::fs::create_dir_all(files.join("root")).unwrap();
    std::fs::write(files.join("root/.bash_history"), "ls\n").unwrap();
    let iso = dir.path().join("iso");
    let xorriso = Program::new("xorriso").args(["-as", "mkisofs", "-quiet", "-R", "-o"]);
    xorriso.arg(&iso).arg(&files).run().unwrap();
    put(&disk, &iso, 137_216 * 512);
    let found = found_in(&disk, &["--accel", "tcg"]);
    assert_eq!(rules(&found), ["shell-history"], "{found:?}");
}
