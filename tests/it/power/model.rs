//! The model itself: a sync that is missing shows.

use std::collections::BTreeSet;

use super::disk::{Disk, Kind, Tree};
use super::trace::{Replay, parse};

/// What a file `to` may be after a power loss at the end of these calls; nothing: not there.
fn left(calls: &str) -> BTreeSet<Option<Vec<u8>>> {
    let old = Kind::File(b"old".to_vec());
    let mut replay = Replay::new(
        Disk::of(&Tree::from([("to".into(), old)])),
        std::path::Path::new("/d"),
    );
    for call in parse(calls) {
        replay.call(&call);
    }
    let content = |tree: Tree| match tree.get("to") {
        Some(Kind::File(bytes)) => Some(bytes.clone()),
        Some(other) => panic!("{other:?}"),
        None => None,
    };
    replay.disk.states().into_iter().map(content).collect()
}

const WRITE: &str = r#"7 openat(AT_FDCWD</>, "/d/new", O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0666) = 3</d/new>
7 write(3</d/new>, "n\145w\0011\18", 7) = 7
"#;
const SYNC: &str = "7 fsync(3</d/new>) = 0\n";
const RENAME: &str = "7 rename(\"/d/new\", \"/d/to\") = 0\n";
const SYNC_DIR: &str = "7 fsync(4</d>) = 0\n";

fn some(contents: &[&str]) -> BTreeSet<Option<Vec<u8>>> {
    let all = contents.iter().map(|text| Some(text.as_bytes().to_vec()));
    all.collect()
}

#[test]
fn what_is_synced_before_and_after_its_rename_is_new() {
    let calls = [WRITE, SYNC, RENAME, SYNC_DIR].concat();
    assert_eq!(left(&calls), some(&["new\u{1}1\u{1}8"]));
}

#[test]
fn a_directory_that_is_not_synced_may_have_the_old_name() {
    let calls = [WRITE, SYNC, RENAME].concat();
    assert_eq!(left(&calls), some(&["old", "new\u{1}1\u{1}8"]));
}

#[test]
fn a_file_that_is_not_synced_may_be_empty_or_half_there() {
    let calls = [WRITE, RENAME, SYNC_DIR].concat();
    assert_eq!(left(&calls), some(&["", "new", "new\u{1}1\u{1}8"]));
}

#[test]
fn a_file_that_is_written_over_may_be_anything() {
    let calls = [
        "7 openat(AT_FDCWD</d>, \"to\", O_WRONLY|O_TRUNC) = 3</d/to>\n",
        "7 write(3</d/to>, \"longer\", 6) = 6\n",
    ];
    assert_eq!(left(&calls.concat()), some(&["old", "lon", "longer"]));
}

#[test]
fn a_new_directory_that_its_parent_does_not_have_loses_what_is_in_it() {
    let calls = [
        "7 mkdir(\"/d/sub\", 0777) = 0\n",
        "7 rename(\"/d/to\", \"/d/sub/to\") = 0\n",
        "7 fsync(4</d/sub>) = 0\n",
    ];
    // The rename lasts where the sync was; the name that it took away may be gone as well.
    assert_eq!(left(&calls.concat()), [None, Some(b"old".to_vec())].into());
}

#[test]
fn calls_of_processes_that_interrupt_each_other_are_put_together() {
    let calls = [
        WRITE,
        "7 fsync(3</d/new> <unfinished ...>\n",
        "8 write(1</dev/null>, \"a, \\\"b\\\"\", 6) = 6\n",
        "7 <... fsync resumed>) = 0\n",
        RENAME,
        "8 fsync(4</d>) = -1 EIO (Input/output error)\n",
        "8 +++ exited with 0 +++\n",
    ];
    assert_eq!(left(&calls.concat()), some(&["old", "new\u{1}1\u{1}8"]));
}
