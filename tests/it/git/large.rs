//! A commit of more than a program's output may have here.

use std::fmt::Write as _;

use super::Repo;
use imgforge::git::publishable_by;
use imgforge::host::exec::Program;

/// So many blobs of so many bytes, which nothing makes smaller, are more than 256 MiB.
const BLOBS: usize = 320_000;
const BYTES: usize = 900;

#[test]
#[ignore = "e2e: src/git src/host/exec"]
fn a_commit_of_many_small_files_is_published_from() {
    let repo = Repo::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut stream =
        b"commit refs/heads/blobs\ncommitter Me <me@example.org> 0 +0000\ndata 0\n".to_vec();
    let mut names = String::new();
    for number in 0..BLOBS {
        let name = format!("d{}/{number}", number % 512);
        writeln!(names, "{name}").unwrap();
        stream.extend(format!("M 100644 inline {name}\ndata {BYTES}\n").into_bytes());
        for _ in 0..BYTES / 4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            stream.extend(&state.to_le_bytes()[..4]);
        }
        stream.push(b'\n');
    }
    let root = repo.dir.path();
    let git = |args: &[&str], input: Vec<u8>| {
        Program::new("git")
            .args(args)
            .dir(root)
            .input(input)
            .run()
            .unwrap();
    };
    git(&["fast-import", "--quiet"], stream);
    git(&["read-tree", "blobs"], vec![]);
    git(
        &["update-index", "--skip-worktree", "--stdin"],
        names.into_bytes(),
    );
    repo.commit("one", true);
    let signers = repo.signers("a");
    publishable_by(root, true, &[], Some(&signers))
        .unwrap()
        .unwrap();
}
