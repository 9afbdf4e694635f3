//! Cuts of power at any place of an installation, on a disk in memory.

use super::plan::Plan;
use super::record::{PLACE, SIZE};
use super::*;
use crate::blockdev::SECTOR;
use crate::host::exec::Program;
use crate::pack::read::Known;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

const MIB: usize = 1 << 20;

/// What a disk was given to do.
#[derive(Debug, Clone)]
enum Call {
    Write(usize, Vec<u8>),
    Flush,
}

/// A disk in memory, which remembers what it was given to do.
#[derive(Debug)]
struct Memory {
    bytes: Mutex<Vec<u8>>,
    calls: Mutex<Vec<Call>>,
}

impl Memory {
    fn new(bytes: Vec<u8>) -> Memory {
        Memory {
            bytes: Mutex::new(bytes),
            calls: Mutex::default(),
        }
    }
}

impl Device for Memory {
    fn size(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }

    fn read(&self, into: &mut [u8], at: u64) -> Result<()> {
        let at = at as usize;
        into.copy_from_slice(&self.bytes.lock().unwrap()[at..at + into.len()]);
        Ok(())
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        let at = at as usize;
        self.bytes.lock().unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
        self.calls
            .lock()
            .unwrap()
            .push(Call::Write(at, bytes.to_vec()));
        Ok(())
    }

    fn zero(&self, at: u64, len: u64) -> Result<()> {
        self.write(&vec![0; len as usize], at)
    }

    fn flush(&self) -> Result<()> {
        self.calls.lock().unwrap().push(Call::Flush);
        Ok(())
    }

    fn write_first(&self, sector: &[u8; SECTOR]) -> Result<()> {
        self.write(sector, 0)?;
        self.flush()
    }
}

fn partition(raw: &Path, lines: &str) {
    let sfdisk = Program::new("sfdisk").arg("-q").arg(raw);
    sfdisk.input(format!("label: gpt\n{lines}")).run().unwrap();
}

/// An image of 6 MiB in blocks of 512 KiB: a root in its second partition.
fn image(dir: &Path) -> Known {
    let [raw, xz] = ["raw", "xz"].map(|name| dir.join(name));
    let file = File::create(&raw).unwrap();
    file.set_len(6 * MIB as u64).unwrap();
    partition(&raw, "start=2048, size=2048\nstart=4096\n");
    let mke2fs = Program::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-O", "^has_journal"]);
    let mke2fs = mke2fs.args(["-E", "offset=2097152"]).arg(&raw).arg("3M");
    mke2fs.run().unwrap();
    for at in [340, MIB + 100, 3 * MIB, 4 * MIB + 300_000] {
        file.write_all_at(&[7; 90], at as u64).unwrap();
    }
    let line = "xz -T2 -1 --block-size=512KiB -c \"$1\" > \"$2\"";
    let pack = Program::new("sh").args(["-c", line, "sh"]);
    pack.args([&raw, &xz]).run().unwrap();
    let sha512 = crate::digest::file_sha512(&xz).unwrap();
    Known::read(File::open(&xz).unwrap(), &sha512)
        .unwrap()
        .unwrap()
}

/// A disk of 9 MiB with another system on it.
fn another_system(dir: &Path) -> Vec<u8> {
    let raw = dir.join("other");
    let junk: Vec<u8> = (0..9 * MIB).map(|at| (at % 251) as u8 + 1).collect();
    std::fs::write(&raw, junk).unwrap();
    partition(&raw, "start=2048, size=2048\nstart=14336, size=1024\n");
    let file = File::options().write(true).open(&raw).unwrap();
    file.write_all_at(&vec![0; SIZE as usize], PLACE).unwrap();
    file.write_all_at(&[9; 90], 0).unwrap();
    std::fs::read(raw).unwrap()
}

fn published() -> Image {
    Image {
        name: "web".into(),
        entry: "web".into(),
        revision: 3,
        arch: "x86_64".into(),
        url: crate::http::Url::parse("http://h/web.xz").unwrap(),
        sha512: "00".into(),
        size: None,
        disk_size: 6 * MIB as u64,
        format: None,
        version: None,
        osinfo: None,
    }
}

/// What is this machine's own: something that is done once, and once only.
fn adapt(root: &crate::gpt::Partition, device: &dyn Device) -> Result<()> {
    let (at, mut bytes) = (root.start() + MIB as u64, [0; 90]);
    device.read(&mut bytes, at)?;
    device.write(&bytes.map(|byte| byte + 1), at)?;
    device.write(b"grown", root.start() + root.size() - 5)
}

/// What is to be done with a disk, where what is on it may be lost or not.
fn decided(device: &Memory, replace: bool, plan: &Plan) -> Result<Decision> {
    let wanted = wanted(&published(), device.size(), "");
    decide(device, &wanted, replace, Some(plan))
}

/// Installs on a disk, in parts of 1 MiB; whether anything was left to do.
fn run(known: &Known, device: &Memory) -> bool {
    let plan = Plan::new(known, device.size()).unwrap();
    let record = match decided(device, true, &plan).unwrap() {
        Decision::Nothing => return false,
        Decision::Begin(record) | Decision::Resume(record) => record,
    };
    let installation = Installation {
        device,
        image: known,
        plan: &plan,
        // One after the other, so that each run is the same.
        threads: 1,
        part: MIB as u64,
        progress: &|_| (),
        adapt: &|device| adapt(&plan.root, device),
    };
    installation.run(record).unwrap();
    true
}

/// Without the record, which has the time.
fn without_record(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[PLACE as usize..(PLACE + SIZE) as usize].fill(0);
    bytes
}

/// What a disk may hold after a cut before call `end`: all that was flushed, and of the rest all, nothing,
/// the last alone, all but the first, or half of the last.
fn left(before: &[u8], calls: &[Call], end: usize) -> Vec<Vec<u8>> {
    let calls = &calls[..end];
    let flushed = calls.iter().rposition(|call| matches!(call, Call::Flush));
    let flushed = flushed.map_or(0, |at| at + 1);
    let apply = |bytes: &mut Vec<u8>, call: &Call, most: usize| {
        if let Call::Write(at, written) = call {
            let written = &written[..written.len().min(most)];
            bytes[*at..*at + written.len()].copy_from_slice(written);
        }
    };
    let mut base = before.to_vec();
    calls[..flushed]
        .iter()
        .for_each(|call| apply(&mut base, call, usize::MAX));
    let pending = &calls[flushed..];
    let with = |some: &[Call], most: usize| {
        let mut bytes = base.clone();
        if let Some((last, some)) = some.split_last() {
            some.iter()
                .for_each(|call| apply(&mut bytes, call, usize::MAX));
            apply(&mut bytes, last, most);
        }
        bytes
    };
    let tail = |from: usize| pending.get(from.min(pending.len())..).unwrap_or_default();
    vec![
        base.clone(),
        with(pending, usize::MAX),
        with(tail(1), usize::MAX),
        with(tail(pending.len().saturating_sub(1)), usize::MAX),
        // Half of a first sector is not written: disks write sectors whole.
        with(pending, SECTOR * 3),
    ]
}

#[test]
fn no_cut_leaves_a_half_system_that_looks_whole_and_the_next_run_finishes_it() {
    let dir = tempfile::tempdir().unwrap();
    let known = image(dir.path());
    let before = another_system(dir.path());
    let device = Memory::new(before.clone());
    assert!(run(&known, &device));
    let calls = std::mem::take(&mut *device.calls.lock().unwrap());
    let whole = device.bytes.lock().unwrap().clone();
    let image = std::fs::read(dir.path().join("raw")).unwrap();
    let (from, to) = (MIB + 4096, 2 * MIB);
    assert!(whole[from..to] == image[from..to], "the image is there");
    assert_eq!(
        whole[3 * MIB..3 * MIB + 90],
        [8; 90],
        "and what is its own, once"
    );
    // What an old partition behind the image, or a whole disk, would be known by is gone; what else is there
    // is not.
    assert!(
        whole[8 * MIB..9 * MIB - 40 * SECTOR]
            .iter()
            .all(|byte| *byte == 0)
    );
    assert!(whole[7 * MIB..7 * MIB + 1000] == [0; 1000]);
    assert!(whole[13 * MIB / 2..13 * MIB / 2 + 1000] == before[13 * MIB / 2..13 * MIB / 2 + 1000]);
    assert!(!run(&known, &device), "once");
    assert!(
        device.calls.lock().unwrap().is_empty(),
        "nothing is written"
    );

    let mut seen = HashSet::new();
    let mut resumed = 0;
    for end in 0..=calls.len() {
        for state in left(&before, &calls, end) {
            if !seen.insert(blake3::hash(&state)) {
                continue;
            }
            let first = &state[..SECTOR];
            if first == &whole[..SECTOR] {
                assert!(
                    without_record(&state) == without_record(&whole),
                    "cut at {end}"
                );
            } else if first == &before[..SECTOR] {
                assert!(state[MIB..] == before[MIB..], "cut at {end}");
            } else {
                assert!(first == [0; SECTOR], "cut at {end}");
            }
            let device = Memory::new(state);
            if run(&known, &device) {
                resumed += 1;
            }
            let now = device.bytes.lock().unwrap();
            assert!(
                without_record(&now) == without_record(&whole),
                "cut at {end}"
            );
        }
    }
    assert!(resumed > 40, "{resumed} cuts");
}

/// A cut never lets anything be overwritten that somebody has put there since.
#[test]
fn what_others_put_on_the_disk_after_a_cut_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let known = image(dir.path());
    let other = another_system(dir.path());
    let device = Memory::new(vec![0; 9 * MIB]);
    assert!(run(&known, &device));
    let calls = std::mem::take(&mut *device.calls.lock().unwrap());
    let plan = Plan::new(&known, device.size()).unwrap();
    let states = (0..=calls.len()).map(|end| left(&vec![0; 9 * MIB], &calls, end).swap_remove(1));
    let mut told = HashSet::new();
    for mut state in states {
        // Another installer writes its table, and leaves the record.
        state[..PLACE as usize].copy_from_slice(&other[..PLACE as usize]);
        let device = Memory::new(state);
        let error = decided(&device, false, &plan).unwrap_err();
        told.insert(error.causes().concat());
    }
    let mut told: Vec<_> = told.into_iter().collect();
    told.sort();
    assert_eq!(
        told,
        [
            "it has a GPT with 2 partitions",
            "it has a GPT with 2 partitions, and an interrupted installation of revision 3 of `web`",
            "it has a GPT with 2 partitions, and had revision 3 of `web` before",
        ]
    );
}

/// Nor what has no table: a volume, a file system or swap space on the disk as a whole.
#[test]
fn what_others_put_on_the_disk_without_a_table_is_not_ours_either() {
    let dir = tempfile::tempdir().unwrap();
    let known = image(dir.path());
    let empty = vec![0; 9 * MIB];
    let device = Memory::new(empty.clone());
    let plan = Plan::new(&known, device.size()).unwrap();
    assert!(run(&known, &device));
    let calls = std::mem::take(&mut *device.calls.lock().unwrap());
    let mut seen = HashSet::new();
    for end in 0..=calls.len() {
        for state in left(&empty, &calls, end) {
            if !seen.insert(blake3::hash(&state[..MIB])) {
                continue;
            }
            let is_whole = state[..SECTOR] != [0; SECTOR];
            let device = Memory::new(state);
            // As it is, the same command goes on.
            decided(&device, false, &plan).unwrap();
            for (at, magic) in [
                (512, &b"LABELONE"[..]),
                (1080, &[0x53, 0xef]),
                (4086, b"SWAPSPACE2"),
                ((64 << 10) + 64, b"_BHRfS_M"),
            ] {
                if is_whole && at > plan::TABLE {
                    continue;
                }
                let part = at..at + magic.len();
                let before = device.bytes.lock().unwrap()[part.clone()].to_vec();
                device.bytes.lock().unwrap()[part.clone()].copy_from_slice(magic);
                let decision = decided(&device, false, &plan);
                assert!(decision.is_err(), "cut at {end}, {at}: {decision:?}");
                device.bytes.lock().unwrap()[part].copy_from_slice(&before);
            }
        }
    }
    assert!(seen.len() > 8, "{} states", seen.len());
}

/// The power was cut before the last record, and the machine has run since then.
#[test]
fn a_whole_disk_that_was_in_use_gets_its_record_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let known = image(dir.path());
    let device = Memory::new(vec![0; 9 * MIB]);
    assert!(run(&known, &device));
    let mut record = Record::read(&device).unwrap().unwrap();
    (record.state, record.installed) = (State::Committing, None);
    record.write(&device).unwrap();
    let raw = dir.path().join("used");
    std::fs::write(&raw, &*device.bytes.lock().unwrap()).unwrap();
    let label = Program::new("sfdisk").args(["-q", "--part-label"]);
    label.arg(&raw).args(["2", "mine"]).run().unwrap();
    let file = File::options().write(true).open(&raw).unwrap();
    file.write_all_at(b"another core.img", 20 << 10).unwrap();
    let used = std::fs::read(&raw).unwrap();
    let device = Memory::new(used.clone());
    assert!(run(&known, &device));
    let now = device.bytes.lock().unwrap();
    assert!(without_record(&now) == without_record(&used));
    drop(now);
    assert!(!run(&known, &device), "once");
}
