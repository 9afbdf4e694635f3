//! Tables of partitions, against the programs that everybody uses.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use imgforge::gpt::{HEAD, SECTOR, TAIL, Table};
use imgforge::host::exec::Program;

const ENDS: usize = (TAIL * SECTOR) as usize;

fn disk(dir: &Path, mib: u64, lines: &str) -> PathBuf {
    let raw = dir.join("disk.raw");
    File::create(&raw).unwrap().set_len(mib << 20).unwrap();
    let sfdisk = Program::new("sfdisk").arg("-q").arg(&raw);
    sfdisk.input(format!("label: gpt\n{lines}")).run().unwrap();
    raw
}

/// Moves and grows the table of a disk to its size now.
fn rewrite(raw: &Path, grow: bool) {
    let file = File::options().read(true).write(true).open(raw).unwrap();
    let size = file.metadata().unwrap().len();
    let mut head = vec![0; (HEAD * SECTOR) as usize];
    file.read_exact_at(&mut head, 0).unwrap();
    let mut table = Table::parse(&head).unwrap().moved(size / SECTOR).unwrap();
    if grow {
        table.grow_last().unwrap();
    }
    table.write_head(&mut head);
    file.write_all_at(&head, 0).unwrap();
    file.write_all_at(&table.tail(), size - ENDS as u64)
        .unwrap();
}

/// sfdisk's own way is the right one, to the byte.
#[test]
fn a_moved_table_is_the_one_that_sfdisk_makes() {
    let dir = tempfile::tempdir().unwrap();
    for (mib, grown) in [(8, 8), (8, 9), (40, 300)] {
        let raw = disk(dir.path(), mib, "size=2M\nsize=3M, name=home\n");
        let ours = dir.path().join("ours.raw");
        std::fs::copy(&raw, &ours).unwrap();
        for file in [&raw, &ours] {
            let file = File::options().write(true).open(file).unwrap();
            // Both leave the backup where it was.
            let old = (mib << 20) - ENDS as u64;
            file.write_all_at(&[0; ENDS], old).unwrap();
            file.set_len(grown << 20).unwrap();
        }
        let sfdisk = Program::new("sfdisk").args(["-q", "--relocate", "gpt-bak-std"]);
        sfdisk.arg(&raw).run().unwrap();
        rewrite(&ours, false);
        Program::new("cmp").args([&raw, &ours]).run().unwrap();
    }
}

#[test]
fn the_last_partition_grows_and_other_programs_find_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    for grown in [10, 100, 1 << 12] {
        let raw = disk(dir.path(), 10, "start=6144\nstart=2048, size=2048\n");
        let file = File::options().write(true).open(&raw).unwrap();
        file.set_len(grown << 20).unwrap();
        rewrite(&raw, true);
        let sgdisk = Program::new("sgdisk").arg("-v").arg(&raw).text().unwrap();
        assert!(sgdisk.contains("No problems found"), "{sgdisk}");
        let sfdisk = Program::new("sfdisk").arg("--json").arg(&raw);
        let read: serde_json::Value = sfdisk.json().unwrap();
        let part = &read["partitiontable"]["partitions"][0];
        let number = |name: &str| part[name].as_u64().unwrap();
        let end = (grown - 1) << 11;
        assert_eq!(
            (number("start"), number("start") + number("size")),
            (6144, end)
        );
    }
}

#[test]
fn every_damaged_byte_of_a_table_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let raw = disk(dir.path(), 8, "size=2M\n");
    let head = std::fs::read(raw).unwrap()[..(HEAD * SECTOR) as usize].to_vec();
    let table = Table::parse(&head).unwrap();
    assert!(table.moved(6000).is_err(), "it ends in sector 6143");
    for at in (512..512 + 92).chain(1024..head.len()) {
        let mut damaged = head.clone();
        damaged[at] ^= 4;
        assert!(Table::parse(&damaged).is_err(), "{at}");
    }
    assert!(Table::parse(&head[..2000]).is_err() && Table::parse(&[]).is_err());
}
