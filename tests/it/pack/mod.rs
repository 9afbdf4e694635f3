//! The .xz files are what the reference tools accept, and always the same.

mod others;

mod cache;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use imgforge::host::exec::Program;
use imgforge::pack::{BlockCache, Options, Packed, compress, flatten};
use imgforge::pack::{Filter, Profile};
use imgforge::ui::{StageUi, Ui};
use imgforge::units::Size;
use tempfile::TempDir;

fn ui() -> StageUi {
    Ui::silent().stage("web-node", "pack")
}

fn options(profile: Profile, threads: usize) -> Options<'static> {
    Options {
        profile,
        threads: threads.try_into().ok(),
        ..Options::default()
    }
}

/// Bytes that do not compress, the same ones every time.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A sparse file with data at some places.
fn raw(dir: &Path, size: u64, data: &[(u64, &[u8])]) -> PathBuf {
    let path = dir.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(size).unwrap();
    for (at, bytes) in data {
        file.write_all_at(bytes, *at).unwrap();
    }
    path
}

fn pack(raw: &Path, profile: Profile, threads: usize) -> (PathBuf, Packed) {
    let out = raw.with_extension(format!("{threads}.xz"));
    let packed = compress(raw, &out, &options(profile, threads), &ui()).unwrap();
    (out, packed)
}

/// The rows of `xz --list --robot -vv` that begin with `kind`.
fn rows(xz: &Path, kind: &str) -> Vec<Vec<String>> {
    let text = Program::new("xz")
        .args(["--list", "--robot", "-vv"])
        .arg(xz)
        .text()
        .unwrap();
    text.lines()
        .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>())
        .filter(|row| row[0] == kind)
        .collect()
}

fn unpacked_equals(xz: &Path, raw: &Path) {
    Program::new("xz").args(["-t"]).arg(xz).run().unwrap();
    for threads in ["-T1", "-T0"] {
        let script = format!(
            "xz {threads} -dc {} | cmp - {}",
            xz.display(),
            raw.display()
        );
        Program::new("bash")
            .args(["-o", "pipefail", "-c", &script])
            .run()
            .unwrap();
    }
}

#[test]
fn sizes_around_a_block_unpack_to_the_same_bytes() {
    const BLOCK: u64 = 3 << 20;
    let noise = noise(3 * BLOCK as usize);
    let text = b"all work and no play ".repeat(160_000);
    // What it is, size, data at some places, and how many blocks are all zeros.
    type Case<'a> = (&'a str, u64, Vec<(u64, &'a [u8])>, u64);
    let cases: Vec<Case<'_>> = vec![
        ("nothing", 0, vec![], 0),
        ("one byte", 1, vec![(0, b"x")], 0),
        (
            "a block less a byte",
            BLOCK - 1,
            vec![(0, &text[..BLOCK as usize - 1])],
            0,
        ),
        ("a block", BLOCK, vec![(0, &noise[..BLOCK as usize])], 0),
        (
            "a block and a byte",
            BLOCK + 1,
            vec![(0, &noise[..BLOCK as usize + 1])],
            0,
        ),
        ("a hole", 5 * BLOCK, vec![], 5),
        ("a hole that ends early", 5 * BLOCK + 4097, vec![], 6),
        ("written zeros", 2 * BLOCK, vec![(0, &[0; 3 << 20])], 2),
        (
            "data between holes",
            9 * BLOCK,
            vec![(3 * BLOCK - 100, &text[..300])],
            7,
        ),
        (
            "data at the end",
            3 * BLOCK + 10,
            vec![(3 * BLOCK + 9, b"x")],
            3,
        ),
        (
            "noise and text",
            8 * BLOCK,
            vec![(0, &noise), (5 * BLOCK, &text)],
            3,
        ),
    ];
    for (what, size, data, zeros) in cases {
        let dir = TempDir::new().unwrap();
        let raw = raw(dir.path(), size, &data);
        let (xz, packed) = pack(&raw, Profile::Nightly, 2);
        unpacked_equals(&xz, &raw);
        assert_eq!(packed.zero_blocks, zeros, "{what}");
        assert_eq!(packed.blocks, size.div_ceil(BLOCK), "{what}");
        assert_eq!(
            packed.size.as_bytes(),
            xz.metadata().unwrap().len(),
            "{what}"
        );
        assert_eq!(
            packed.sha512,
            imgforge::digest::file_sha512(&xz).unwrap(),
            "{what}"
        );
        assert_eq!(packed.virtual_size.as_bytes(), size, "{what}");
    }
}

#[test]
fn there_is_one_stream_of_blocks_with_sizes_and_crc64() {
    let dir = TempDir::new().unwrap();
    let raw = raw(
        dir.path(),
        (40 << 20) + 512,
        &[(0, &noise(1 << 20)), (20 << 20, b"x")],
    );
    let (xz, packed) = pack(&raw, Profile::Publish, 2);
    assert_eq!((packed.blocks, packed.zero_blocks), (3, 1));
    let file = &rows(&xz, "file")[0];
    assert_eq!(
        (file[1].as_str(), file[2].as_str(), file[6].as_str()),
        ("1", "3", "CRC64")
    );
    let blocks = rows(&xz, "block");
    let sizes: Vec<&str> = blocks.iter().map(|row| row[7].as_str()).collect();
    assert_eq!(sizes, ["16777216", "16777216", "8389120"]);
    for row in &blocks {
        // Flags: the header has the compressed and the uncompressed size.
        assert_eq!(row[12], "cu", "{row:?}");
        assert_eq!(row[15], "--lzma2=dict=8MiB", "{row:?}");
    }
}

#[test]
fn the_bytes_do_not_depend_on_threads_or_holes() {
    let dir = TempDir::new().unwrap();
    let noise = noise(6 << 20);
    let sparse = raw(dir.path(), 18 << 20, &[((1 << 20) + 5, &noise)]);
    let (one, _) = pack(&sparse, Profile::Nightly, 1);
    let first = std::fs::read(&one).unwrap();
    for threads in [2, 3] {
        let (xz, packed) = pack(&sparse, Profile::Nightly, threads);
        assert_eq!(packed.threads, threads);
        assert!(std::fs::read(xz).unwrap() == first, "{threads} threads");
    }
    let full = dir.path().join("full.raw");
    std::fs::write(&full, std::fs::read(&sparse).unwrap()).unwrap();
    let (xz, packed) = pack(&full, Profile::Nightly, 2);
    assert_eq!(packed.zero_blocks, 3);
    assert!(std::fs::read(xz).unwrap() == first, "without holes");
}

/// Code of this processor.
fn code() -> Vec<u8> {
    let program = std::fs::read("/proc/self/exe").unwrap();
    program[program.len() / 4..][..3 << 20].to_vec()
}

#[test]
#[ignore = "long: src/pack"]
fn every_profile_unpacks_and_has_the_filter_for_code_only_if_asked() {
    let dir = TempDir::new().unwrap();
    let text = b"the quick brown fox ".repeat(200_000);
    let raw = raw(
        dir.path(),
        36 << 20,
        &[(1 << 20, &text), (20 << 20, &code())],
    );
    for profile in [Profile::Publish, Profile::Nightly, Profile::Fast] {
        for filter in [Filter::None, Filter::X86] {
            let out = dir.path().join("disk.xz");
            let options = Options {
                filter,
                ..options(profile, 2)
            };
            compress(&raw, &out, &options, &ui()).unwrap();
            unpacked_equals(&out, &raw);
            let filters = rows(&out, "block").into_iter().map(|row| row[15].clone());
            let x86: Vec<bool> = filters.map(|text| text.contains("--x86")).collect();
            let here = filter == Filter::X86 && cfg!(target_arch = "x86_64");
            assert_eq!(x86.contains(&true), here, "{x86:?}");
            assert!(!x86[0], "{x86:?}");
        }
    }
}

#[test]
fn a_failure_leaves_nothing_and_says_why() {
    let dir = TempDir::new().unwrap();
    let raw = raw(dir.path(), 1 << 20, &[]);
    let missing = dir.path().join("missing/disk.xz");
    let error = compress(&raw, &missing, &options(Profile::Fast, 1), &ui()).unwrap_err();
    assert!(error.message().starts_with("writing "), "{error}");

    let out = dir.path().join("disk.xz");
    let error = compress(
        &dir.path().join("no.raw"),
        &out,
        &options(Profile::Fast, 1),
        &ui(),
    );
    assert!(error.unwrap_err().message().starts_with("reading "));
    let little = Options {
        memory: Some(Size::mib(1)),
        ..Options::default()
    };
    let error = compress(&raw, &out, &little, &ui()).unwrap_err();
    assert_eq!(error.kind(), imgforge::error::Kind::Host);
    assert!(!out.exists());
}

/// The real program on a file system of 2 MiB, in a name space of its own.
#[test]
fn a_full_disk_is_said_to_be_full_and_nothing_gets_the_name() {
    let dir = TempDir::new().unwrap();
    let raw = raw(dir.path(), 4 << 20, &[(0, &noise(4 << 20))]);
    let (xz, _) = pack(&raw, Profile::Fast, 2);
    let small = dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    for (verb, input) in [("pack --profile fast", &raw), ("unpack", &xz)] {
        let script = "mount -t tmpfs -o size=2m none \"$1\" || exit 99
            \"$2\" --state \"$1/state\" -q disk $3 \"$4\" -o \"$1/out\" 2>&1
            echo \"exit $?\"; find \"$1\" -name 'out*' -o -name '.imgforge*'";
        let text = Program::new("sh")
            .in_namespaces(&["--user", "--map-root-user", "--mount"])
            .args(["-c", script, "sh"])
            .arg(&small)
            .args([crate::support::IMGFORGE, verb])
            .arg(input)
            .text()
            .unwrap();
        let full = ["the disk is full", "is nearly full"];
        let told = full.iter().any(|words| text.contains(words));
        assert!(told, "{verb}: {text}");
        assert!(text.trim_end().ends_with("exit 1"), "{verb}: {text}");
    }
}

#[test]
fn a_limit_on_file_sizes_is_told_and_nothing_gets_the_name() {
    let dir = TempDir::new().unwrap();
    let raw = raw(dir.path(), 4 << 20, &[(0, &noise(4 << 20))]);
    // Units of 512 bytes.
    let script =
        "ulimit -f 6000; cd \"$1\"; \"$2\" --state state -q disk pack --profile fast \"$3\" -o out.xz 2>&1
        echo \"exit $?\"; find . -name 'out*' -o -name '.imgforge*'";
    let text = Program::new("dash")
        .args(["-c", script, "dash"])
        .arg(dir.path())
        .arg(crate::support::IMGFORGE)
        .arg(&raw)
        .text()
        .unwrap();
    assert!(text.contains("`ulimit -f`"), "{text}");
    assert!(text.trim_end().ends_with("exit 1"), "{text}");
}

/// A reporter that writes to the disk as soon as it is told of progress.
struct Meddler(PathBuf);

impl imgforge::ui::Reporter for Meddler {
    fn event(&self, event: &imgforge::ui::Event) {
        if matches!(event, imgforge::ui::Event::Progress { .. }) {
            let file = File::options().write(true).open(&self.0).unwrap();
            file.write_all_at(b"changed", 100).unwrap();
        }
    }
}

#[test]
fn a_disk_that_changes_meanwhile_gets_no_name() {
    let dir = TempDir::new().unwrap();
    let raw = raw(dir.path(), 4 << 20, &[(0, &noise(2 << 20))]);
    let out = dir.path().join("disk.xz");
    let ui = Ui::new(Meddler(raw.clone())).stage("i", "pack");
    let error = compress(&raw, &out, &options(Profile::Fast, 2), &ui).unwrap_err();
    assert!(error.message().contains("changed while"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
