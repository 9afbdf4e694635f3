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
    let mut other = bytes;
    other[1 << 20..(1 << 20) + 4].copy_from_slice(b"XFSB");
    other[(1 << 20) + 1024..(1 << 20) + 2048].fill(0);
    std::fs::write(toy.path("other.raw"), other).unwrap();
    toy.image(&["convert", "-O", "qcow2", "other.raw", "other.qcow2"]);
    let index = toy.index("other.qcow2", "install", None);
    assert!(index.files.is_empty());
    assert!(
        index.unread[0].starts_with("partition 1: "),
        "{:?}",
        index.unread
    );
}
