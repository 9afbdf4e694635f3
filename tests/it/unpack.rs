//! Unpacking: what xz and we pack comes back, and nothing else does.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use imgforge::digest::file_sha512;
use imgforge::host::exec::Program;
use imgforge::pack::Profile;
use imgforge::pack::read::{Layout, ReadOptions, Unpacked, Unpacker, unpack};
use imgforge::pack::{Options, compress};
use imgforge::ui::{StageUi, Ui};
use imgforge::units::Size;
use tempfile::TempDir;

fn ui() -> StageUi {
    Ui::silent().stage("web-node", "unpack")
}

/// A disk with text, noise and holes.
fn disk(dir: &Path, size: u64) -> PathBuf {
    let path = dir.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    let text: Vec<u8> = (0..40_000u32)
        .flat_map(|n| format!("line {n}\n").into_bytes())
        .collect();
    let noise: Vec<u8> = (0..9_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_769).to_le_bytes())
        .collect();
    file.write_all_at(&text, size / 5).unwrap();
    file.write_all_at(&noise, size / 2 + 77).unwrap();
    path
}

fn packed(raw: &Path) -> PathBuf {
    let out = raw.with_extension("xz");
    let options = Options {
        profile: Profile::Nightly,
        ..Options::default()
    };
    compress(raw, &out, &options, &ui()).unwrap();
    out
}

fn xz(raw: &Path, arguments: &[&str], name: &str) -> PathBuf {
    let out = raw.with_file_name(name);
    let line = format!("xz {} -c \"$1\" > \"$2\"", arguments.join(" "));
    Program::new("sh")
        .args(["-c", &line, "sh"])
        .args([raw, &out])
        .run()
        .unwrap();
    out
}

fn equal(a: &Path, b: &Path) {
    Program::new("cmp").args([a, b]).run().unwrap();
}

fn unpacked(xz: &Path, options: &ReadOptions) -> imgforge::error::Result<(Unpacked, String)> {
    unpack(xz, &xz.with_extension("out"), options, &ui())
}

#[test]
fn what_was_packed_comes_back_with_its_holes_and_both_digests() {
    let dir = TempDir::new().unwrap();
    let raw = disk(dir.path(), (20 << 20) + 1234);
    let xz = packed(&raw);
    for threads in [1, 3] {
        let options = ReadOptions {
            threads: threads.try_into().ok(),
            plain: true,
            ..ReadOptions::default()
        };
        let (unpacked, stored) = unpacked(&xz, &options).unwrap();
        let out = xz.with_extension("out");
        equal(&raw, &out);
        assert_eq!(stored, file_sha512(&xz).unwrap());
        assert_eq!(unpacked.sha512, file_sha512(&raw).ok());
        assert_eq!(unpacked.size.as_bytes(), raw.metadata().unwrap().len());
        assert!(unpacked.allocated < Size::mib(2), "{unpacked:?}");
        assert!(out.metadata().unwrap().blocks() * 512 < 2 << 20);
    }
}

#[test]
fn what_xz_packs_in_any_of_its_ways_comes_back() {
    let dir = TempDir::new().unwrap();
    let raw = disk(dir.path(), 9 << 20);
    let ways: [&[&str]; 7] = [
        &["-1"],
        &["-T2", "-1", "--block-size=1MiB"],
        &["-1", "--block-size=3333333"],
        &["-1", "--check=none"],
        &["-1", "--check=crc32"],
        &["-1", "--check=sha256"],
        &["--x86", "--delta=dist=4", "--lzma2=preset=1,dict=8MiB"],
    ];
    for (number, way) in ways.iter().enumerate() {
        let file = xz(&raw, way, &format!("{number}.xz"));
        unpacked(&file, &ReadOptions::default()).unwrap();
        equal(&raw, &file.with_extension("out"));
    }
    // A block that is larger than what may wait in memory is read where it lies.
    let file = xz(&raw, &["--lzma2=preset=1,dict=64KiB"], "large.xz");
    let little = ReadOptions {
        threads: 1.try_into().ok(),
        memory: Some(Size::bytes(512 << 10)),
        ..ReadOptions::default()
    };
    unpacked(&file, &little).unwrap();
    equal(&raw, &file.with_extension("out"));
}

#[test]
fn blocks_come_in_any_order_and_some_are_there_already() {
    let dir = TempDir::new().unwrap();
    let raw = disk(dir.path(), 64 << 20);
    let xz = packed(&raw);
    let (file, source) = (File::open(&xz).unwrap(), File::open(&raw).unwrap());
    let layout = Layout::read(&file).unwrap();
    let path = dir.path().join("out");
    let out = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    let blocks = layout.blocks().to_vec();
    let here = blocks.len() / 5;
    let mut bytes = vec![0; blocks[here].len as usize];
    source
        .read_exact_at(&mut bytes, blocks[here].start)
        .unwrap();
    out.write_all_at(&bytes, blocks[here].start).unwrap();

    let options = ReadOptions {
        plain: true,
        ..ReadOptions::default()
    };
    let unpacker = Unpacker::start(layout, out, &path, &options).unwrap();
    unpacker.present(here).unwrap();
    for (index, place) in blocks.iter().enumerate().rev().filter(|(i, _)| *i != here) {
        let mut bytes = vec![0; place.stored as usize];
        file.read_exact_at(&mut bytes, place.offset).unwrap();
        unpacker.hand(index, bytes).unwrap();
    }
    let unpacked = unpacker.finish().unwrap();
    equal(&raw, &path);
    assert_eq!(unpacked.sha512, file_sha512(&raw).ok());
}

#[test]
fn a_block_that_never_came_is_an_error() {
    let dir = TempDir::new().unwrap();
    let xz = packed(&disk(dir.path(), 8 << 20));
    let layout = Layout::read(&File::open(&xz).unwrap()).unwrap();
    let path = dir.path().join("out");
    let out = File::create(&path).unwrap();
    let unpacker = Unpacker::start(layout, out, &path, &ReadOptions::default()).unwrap();
    let error = unpacker.hand(0, vec![0; 7]).unwrap_err();
    assert!(error.render().contains("not as long"), "{error}");
    assert!(unpacker.finish().is_err());
}

/// Every byte of a small file: header, block headers, data, padding, checks, index, footer.
#[test]
fn no_damaged_byte_goes_unnoticed_and_nothing_gets_the_name() {
    let dir = TempDir::new().unwrap();
    let raw = dir.path().join("disk.raw");
    let file = File::create(&raw).unwrap();
    file.set_len(70_000).unwrap();
    file.write_all_at(b"some words, and more words", 5000)
        .unwrap();
    let good = std::fs::read(packed(&raw)).unwrap();
    let bad = dir.path().join("bad.xz");
    let options = ReadOptions {
        threads: 1.try_into().ok(),
        ..ReadOptions::default()
    };
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&bad, bytes).unwrap();
        let error = unpacked(&bad, &options).expect_err("a damaged byte");
        let text = error.render();
        assert!(
            text.contains("damaged") || text.contains("not a .xz") || text.contains("unknown kind"),
            "byte {at}: {text}"
        );
    }
    let cuts = (0..good.len())
        .step_by(7)
        .chain(good.len() - 20..good.len());
    for len in cuts {
        std::fs::write(&bad, &good[..len]).unwrap();
        assert!(unpacked(&bad, &options).is_err(), "cut to {len}");
    }
    let more = [&good[..], &[0; 4]].concat();
    std::fs::write(&bad, more).unwrap();
    assert!(unpacked(&bad, &options).is_err());
    let twice = [&good[..], &good[..]].concat();
    std::fs::write(&bad, twice).unwrap();
    let error = unpacked(&bad, &options).unwrap_err();
    assert!(error.render().contains("more than one stream"), "{error}");
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_bomb_meets_limits() {
    let dir = TempDir::new().unwrap();
    let raw = disk(dir.path(), 9 << 20);
    // A dictionary of 1.5 GiB: a decoder would allocate it.
    let file = xz(
        &raw,
        &["--lzma2=preset=0,dict=1536MiB,mf=hc3,nice=3"],
        "dictionary.xz",
    );
    let options = ReadOptions {
        memory: Some(Size::mib(64)),
        ..ReadOptions::default()
    };
    let error = unpacked(&file, &options).unwrap_err();
    assert_eq!(error.kind(), imgforge::error::Kind::Host);
    assert!(error.render().contains("--memory"), "{}", error.render());
    // More zeros than are asked for: a pebibyte in a few kilobytes has to be expected.
    let limit = ReadOptions {
        largest: Some(Size::mib(8)),
        ..ReadOptions::default()
    };
    let error = unpacked(&packed(&raw), &limit).unwrap_err();
    assert!(error.render().contains("9.0 MiB"), "{}", error.render());
}
