//! File systems that no kernel wrote, by e2fsprogs.

use std::path::{Path, PathBuf};

use super::*;
use crate::host::exec::Program;

/// A file system with `/a/b/file` and `/slash`, after `lines` of debugfs.
fn made(dir: &Path, lines: &[&str]) -> PathBuf {
    let tree = dir.join("tree");
    std::fs::create_dir_all(tree.join("a/b")).unwrap();
    std::fs::write(tree.join("a/b/file"), vec![7u8; 9000]).unwrap();
    std::fs::write(tree.join("slash"), "x").unwrap();
    let image = dir.join("image");
    Program::new("mke2fs")
        .args([
            "-q",
            "-t",
            "ext4",
            "-b",
            "1024",
            "-O",
            "^metadata_csum,^has_journal",
        ])
        .arg("-d")
        .arg(tree)
        .arg(&image)
        .arg("4M")
        .run()
        .unwrap();
    for line in lines {
        let debugfs = Program::new("debugfs").args(["-w", "-R", line]);
        debugfs.arg(&image).run().unwrap();
    }
    image
}

fn refused(image: &Path) -> String {
    let file = File::open(image).unwrap();
    read(&file, 0, 1).unwrap_err().to_string()
}

#[test]
fn a_sound_file_system_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::open(made(dir.path(), &[])).unwrap();
    let system = read(&file, 0, 1).unwrap().unwrap();
    let mut paths: Vec<_> = system
        .nodes
        .iter()
        .map(|node| node.path.as_slice())
        .collect();
    paths.sort_unstable();
    let expected: [&[u8]; 5] = [b"", b"a", b"a/b", b"a/b/file", b"slash"];
    assert_eq!(paths, expected);
}

#[test]
fn a_directory_within_itself_ends_the_walk() {
    let dir = tempfile::tempdir().unwrap();
    let why = refused(&made(dir.path(), &["ln /a /a/b/again"]));
    assert!(why.contains("/a/b/again is in two places"), "{why}");
    assert!(why.contains("e2fsck"), "{why}");
}

#[test]
fn extents_are_in_order_and_within_the_file_system() {
    // Four times the same node of the tree; a run past the end; a directory of 32 MiB.
    let header = |count: u32, depth: u32| {
        [
            format!("sif /a/b/file block[0] {}", 0xf30a | count << 16),
            format!("sif /a/b/file block[1] {}", 4 | depth << 16),
        ]
    };
    let mut twice: Vec<String> = header(4, 1).into();
    for entry in 0..4 {
        for (word, value) in [(0, 0), (1, 100), (2, 0)] {
            let word = 3 + 3 * entry + word;
            twice.push(format!("sif /a/b/file block[{word}] {value}"));
        }
    }
    let mut far: Vec<String> = header(1, 0).into();
    far.push("sif /a/b/file block[5] 0xfffffff0".into());
    let huge = vec!["sif /a block[4] 32768".to_owned()];
    for (lines, reason) in [
        (twice, "not in order"),
        (far, "lies outside"),
        (huge, "lies outside"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let why = refused(&made(dir.path(), &lines));
        assert!(why.contains(reason), "{why}, not {reason}");
    }
}

#[test]
fn a_name_is_one_part_of_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let image = made(dir.path(), &[]);
    let mut bytes = std::fs::read(&image).unwrap();
    let at = memchr::memmem::find(&bytes, b"\x05\x01slash").unwrap();
    bytes[at + 3] = b'/';
    std::fs::write(&image, &bytes).unwrap();
    let why = refused(&image);
    assert!(why.contains(r#""s/ash" is not a valid name"#), "{why}");
    bytes[at + 3] = 0;
    std::fs::write(&image, &bytes).unwrap();
    assert!(refused(&image).contains("is not a valid name"));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for (line, reason) in [
        ("sif /a/b/file size 0x7fffffffffffff", "larger than can be"),
        ("ssv inode_size 160", "superblock"),
        ("ssv blocks_count 20", "lies outside"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let why = refused(&made(dir.path(), &[line]));
        assert!(why.contains(reason), "{line}: {why}");
    }
}

#[test]
fn a_block_of_a_directory_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let image = made(dir.path(), &[]);
    let blocks = Program::new("debugfs").args(["-R", "blocks /a/b"]);
    let block = blocks.arg(&image).text().unwrap();
    let block = block.trim();
    // Two extents of a block each, and both are the same.
    let lines = [
        format!("sif /a/b block[0] {}", 0xf30a | 2 << 16),
        "sif /a/b block[6] 1".into(),
        "sif /a/b block[7] 1".into(),
        format!("sif /a/b block[8] {block}"),
    ];
    for line in lines {
        let debugfs = Program::new("debugfs").args(["-w", "-R", &line]);
        debugfs.arg(&image).run().unwrap();
    }
    let why = refused(&image);
    assert!(why.contains("share a block"), "{why}");
}

#[test]
fn names_and_holes_do_not_fill_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let image = made(dir.path(), &[]);
    let file = File::options().write(true).read(true).open(image).unwrap();
    file.set_len(6 << 30).unwrap();
    let mut block = [0; 1024];
    file.read_exact_at(&mut block, 1024).unwrap();
    let fs = Fs::open(&file, 0, 1, &block).unwrap().unwrap();
    assert!(fs.unread.get() < 1 << 30, "{}", fs.unread.get());
    let root = fs.node(ROOT, vec![]).unwrap().unwrap();
    // What is left does for the block's number.
    while fs.bound.borrow_mut().charge(NUMBERED + NAMED).is_ok() {}
    let why = fs.list(&root).unwrap_err().to_string();
    assert!(why.contains("list of files is larger"), "{why}");
}
