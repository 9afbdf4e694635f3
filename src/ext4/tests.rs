//! File systems that no kernel wrote, by e2fsprogs.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::host::exec::Program;

/// Every path.
fn walked(file: &File) -> io::Result<Vec<Vec<u8>>> {
    let fs = Fs::open(file, 0)?;
    let mut paths = vec![];
    for found in Walk::new(&fs) {
        let (path, inode) = found?;
        fs.runs(&inode)?;
        fs.xattrs(&inode)?;
        paths.push(path);
    }
    Ok(paths)
}

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
    walked(&file).unwrap_err().to_string()
}

#[test]
fn a_sound_file_system_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::open(made(dir.path(), &[])).unwrap();
    let mut paths = walked(&file).unwrap();
    paths.sort_unstable();
    let expected: [&[u8]; 5] = [b"a", b"a/b", b"a/b/file", b"lost+found", b"slash"];
    assert_eq!(paths, expected);
}

/// A file system of this kind, with blocks of so many bytes and what is in `tree`, after `lines`.
fn filled(dir: &Path, kind: [&str; 2], lines: &[&str]) -> PathBuf {
    let image = dir.join("image");
    let make = Program::new("mke2fs").args(["-q", "-t", kind[0], "-b", kind[1], "-d"]);
    let make = make.arg(dir.join("tree")).arg(&image).arg("24M");
    make.run().unwrap();
    for line in lines {
        let debugfs = Program::new("debugfs").args(["-w", "-R", line]);
        debugfs.arg(&image).run().unwrap();
    }
    image
}

/// With holes, parts that are allocated only, maps of three levels and trees of two, a second name,
/// and directories with an index.
#[test]
fn contents_are_what_debugfs_reads() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("many")).unwrap();
    let bytes: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(tree.join("long"), &bytes[..1_500_001]).unwrap();
    std::fs::write(tree.join("torn"), &bytes[..900_000]).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    for at in [5 << 10, 300 << 10, 80 << 20] {
        sparse.write_all_at(&bytes[..3000], at).unwrap();
    }
    for number in 0..400 {
        let name = format!("many/{number:0100}");
        std::fs::write(tree.join(name), number.to_string()).unwrap();
    }
    std::os::unix::fs::symlink("many/../torn", tree.join("short")).unwrap();
    std::os::unix::fs::symlink(format!("{}torn", "./".repeat(200)), tree.join("far")).unwrap();
    let torn = (0..40).map(|n| format!("punch /torn {} {}", 4 * n + 1, 4 * n + 2));
    let written = (20..40).map(|n| format!("fallocate /torn {} {}", 4 * n + 1, 4 * n + 1));
    let more = ["ln /torn /again", "sif /torn links_count 2"].map(String::from);
    let lines: Vec<String> = torn.chain(written).chain(more).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for kind in ["ext2", "ext3", "ext4"] {
        for size in ["1024", "4096"] {
            let lines = match kind {
                "ext4" => &lines[..],
                _ => &lines[lines.len() - 2..],
            };
            let image = filled(dir.path(), [kind, size], lines);
            let index = Program::new("e2fsck").args(["-fyD"]).done_with(1);
            index.arg(&image).run().unwrap();
            let file = File::open(&image).unwrap();
            let fs = Fs::open(&file, 0).unwrap();
            let mut files = 0;
            for found in Walk::new(&fs) {
                let (path, inode) = found.unwrap();
                if !inode.is_file() {
                    continue;
                }
                files += 1;
                let path = format!("/{}", String::from_utf8(path).unwrap());
                if path.starts_with("/many/") && files % 50 > 0 {
                    continue;
                }
                let ours = fs.read(&inode, 1 << 30).unwrap();
                let cat = Program::new("debugfs").args(["-R", &format!("cat {path}")]);
                let theirs = cat.arg(&image).output().unwrap();
                assert!(ours == theirs, "{kind} {size}: {path}");
            }
            assert_eq!(files, 404, "{kind} {size}");
            let torn = fs.find("torn").unwrap().unwrap();
            for path in ["/short", "far/", "/many/../../far", "/many/./..//again"] {
                let found = fs.find(path).unwrap().unwrap();
                assert_eq!(found.number, torn.number, "{path}");
            }
            for path in ["/none", "/torn/x", "/many/0"] {
                assert!(fs.find(path).unwrap().is_none(), "{path}");
            }
            std::fs::remove_file(&image).unwrap();
        }
    }
}

#[test]
fn what_is_not_known_here_is_for_the_appliance() {
    for line in [
        "feature needs_recovery",
        "feature inline_data",
        "ssv rev_level 0",
        "sif /slash flags 0x10000000",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = File::open(made(dir.path(), &[line])).unwrap();
        let kind = walked(&file).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::Unsupported, "{line}");
    }
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

/// Its one block, not at its beginning but behind its end.
#[test]
fn a_directory_has_no_holes() {
    let dir = tempfile::tempdir().unwrap();
    let why = refused(&made(dir.path(), &["sif /a/b block[3] 7"]));
    assert!(why.contains("a directory has holes"), "{why}");
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
        "sif /a/b size 2048".into(),
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
    let fs = Fs::open(&file, 0).unwrap();
    assert!(fs.unread.get() < 1 << 30, "{}", fs.unread.get());
    let root = fs.root().unwrap();
    // What is left does for the block's number.
    while fs.charge(NUMBERED + names::NAMED).is_ok() {}
    let why = fs.list(&root).unwrap_err().to_string();
    assert!(why.contains("list of files is larger"), "{why}");
}

#[test]
fn a_small_disk_has_no_endless_list_of_files() {
    let mut bound = Bound::of(1 << 20);
    let charged = (0..100_000).take_while(|_| bound.charge(LONGEST_PATH).is_ok());
    assert!((10_000..20_000).contains(&charged.count()));
}
