//! Disks of others: what is not read of them, and what lies in compressed clusters.

use super::*;

/// File systems that are made by their own programs, in a partition.
#[test]
fn file_systems_that_are_not_read_are_named() {
    for (name, format, expected) in [
        (
            "xfs",
            &["mkfs.xfs", "-q", "-f"][..],
            "xfs is not read without an appliance",
        ),
        (
            "btrfs",
            &["mkfs.btrfs", "-q", "-f"],
            "btrfs is not read without an appliance",
        ),
        ("swap", &["mkswap"], ""),
        (
            "luks",
            &[
                "cryptsetup",
                "luksFormat",
                "-q",
                "--pbkdf",
                "pbkdf2",
                "--iter-time",
                "1",
            ],
            "it is encrypted",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("part");
        let make = std::fs::File::create(&part).unwrap();
        make.set_len(320 << 20).unwrap();
        let format = Program::new(format[0]).args(&format[1..]).arg(&part);
        format.input("secret").run().unwrap();
        let disk = dir.path().join("disk.raw");
        std::fs::File::create(&disk)
            .unwrap()
            .set_len(324 << 20)
            .unwrap();
        let table = Program::new("sfdisk").arg("-q").arg(&disk);
        table
            .input("label: gpt\nstart=2048, size=655360\n")
            .run()
            .unwrap();
        let copy =
            Program::new("dd").args(["bs=1M", "seek=1", "conv=notrunc,sparse", "status=none"]);
        let copy = copy.arg(format!("if={}", part.display()));
        copy.arg(format!("of={}", disk.display())).run().unwrap();
        let layer = dir.path().join("disk.qcow2");
        let convert = Program::new("qemu-img").args(["convert", "-O", "qcow2"]);
        convert.arg(&disk).arg(&layer).run().unwrap();
        let ui = Ui::silent().stage(name, "install");
        let index = index_layer(dir.path(), &layer, Layer::default(), None, &[], &ui).unwrap();
        let told: &[String] = match expected {
            "" => &[],
            expected => &[format!("partition 1: {expected}")],
        };
        assert_eq!(
            (index.unread.as_slice(), index.files.len()),
            (told, 0),
            "{name}"
        );
        assert_eq!(index.used.is_some(), told.is_empty(), "{name}");
    }
}

#[test]
fn compressed_clusters_and_foreign_file_systems() {
    let toy = Toy::new();
    toy.image(&["convert", "-c", "-O", "qcow2", "base.raw", "small.qcow2"]);
    let index = toy.index("small.qcow2", "install", None);
    let as_ever = toy.index("1.qcow2", "install", None);
    assert_eq!(index, as_ever);
    let raw = toy.path("base.raw");
    let bytes = std::fs::read(&raw).unwrap();
    // What a file system, a volume of LVM and a member of a RAID begin with.
    for (name, at, magic) in [
        ("xfs", 0, &b"XFSB"[..]),
        ("lvm", 512, b"LABELONE"),
        ("raid", 4096, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ] {
        let mut other = bytes.clone();
        let part = &mut other[1 << 20..];
        part[1024..2048].fill(0);
        part[at..at + magic.len()].copy_from_slice(magic);
        let (raw, layer) = (format!("{name}.raw"), format!("{name}.qcow2"));
        std::fs::write(toy.path(&raw), other).unwrap();
        toy.image(&["convert", "-O", "qcow2", &raw, &layer]);
        let index = toy.index(&layer, "install", None);
        assert!(index.files.is_empty(), "{name}");
        let told = &index.unread[0];
        assert!(told.starts_with("partition 1: "), "{name}: {told}");
    }
}
