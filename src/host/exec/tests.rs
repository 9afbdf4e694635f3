use super::*;
use crate::patience::wait_for;

#[test]
fn a_failure_names_the_command_and_its_last_words() {
    let error = Program::new("sh")
        .args(["-c", "echo gone >&2; exit 7"])
        .run()
        .unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: `sh -c 'echo gone >&2; exit 7'` ended with exit code 7
      | gone
    ");
}

#[test]
fn a_quoted_word_is_one_word_of_a_shell_and_says_the_same() {
    for (word, quoted) in [
        ("", "''"),
        ("format=qcow2,size=10", "format=qcow2,size=10"),
        ("https://h.example/a%20b", "https://h.example/a%20b"),
        ("a b", "'a b'"),
        ("$HOME `x` *", "'$HOME `x` *'"),
        ("it's", "\"it's\""),
        ("a'b$c\"d!", "\"a'b\"'$c\"d!'"),
        ("a\\b\n^c", "\"a\\\\b\n\"'^c'"),
        ("é~{a,b}", "'é~{a,b}'"),
    ] {
        assert_eq!(quote(word), quoted);
        let line = format!("printf '%s|' {quoted}");
        let said = Program::new("sh").args(["-c", &line]).text().unwrap();
        assert_eq!(said, format!("{word}|"));
    }
}

#[test]
fn the_environment_is_clean_and_input_is_given() {
    let text = Program::new("sh")
        .args(["-c", "cat; echo $LANG$CARGO_MANIFEST_DIR"])
        .input("in ")
        .text();
    assert_eq!(text.unwrap(), "in C.UTF-8");
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_its_children() {
    let pidfile = tempfile::NamedTempFile::new().unwrap();
    let script = format!(
        "sleep infinity & echo $! > {}; wait",
        pidfile.path().display()
    );
    let said = || std::fs::read_to_string(pidfile.path()).unwrap();
    // A time in which the script can begin, on this host.
    let mut limit = Duration::from_millis(100);
    while said().is_empty() {
        let program = Program::new("sh").args(["-c", &script]).timeout(limit);
        let error = program.run().unwrap_err();
        assert!(error.message().contains("did not end within"), "{error}");
        limit *= 2;
    }
    let stat = format!("/proc/{}/stat", said().trim());
    wait_for("the child's end", || {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
}

#[test]
fn who_looks_at_a_foreign_file_has_little_memory_and_time() {
    let limits = || Program::new("sh").args(["-c", "ulimit -v; ulimit -t"]);
    assert_eq!(limits().on_foreign_file().text().unwrap(), "1048576\n30");
    let longer = limits().on_foreign_content(1800);
    assert_eq!(longer.text().unwrap(), "1048576\n1800");
}

#[test]
fn a_flood_is_not_kept() {
    let flood = Program::new("sh").args(["-c", "exec head -c 300M /dev/zero"]);
    let error = flood.output().unwrap_err();
    assert!(error.message().contains("printed more than 256"), "{error}");
}

#[test]
fn a_missing_program_is_the_hosts_fault() {
    let error = Program::new("no-such-program-here").run().unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Host);
}

#[test]
fn lines_of_both_streams_reach_the_tap() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    Program::new("sh")
        .args(["-c", "echo one; echo two >&2; printf three"])
        .lines(move |line| sink.lock().unwrap().push(line.to_owned()))
        .unwrap();
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, ["one", "three", "two"]);
}

#[test]
fn a_full_disk_is_named_whatever_program_met_it() {
    let error = Program::new("sh")
        .args(["-c", "echo 'write: No space left on device' >&2; exit 1"])
        .hint("install it anew")
        .run()
        .unwrap_err();
    assert_eq!(error.hint_text(), Some(crate::error::DISK_FULL));
}

#[test]
fn a_child_that_a_program_leaves_behind_does_not_hold_imgforge() {
    let error = Program::new("sh")
        .args(["-c", "sleep infinity & exit 3"])
        .run()
        .unwrap_err();
    assert!(error.message().ends_with("exit code 3"), "{error}");
}

/// A guest's tree with a shell in it, and a directory of the host with a link to that.
fn guest() -> (tempfile::TempDir, GuestTree) {
    let dir = tempfile::tempdir().unwrap();
    let tree = GuestTree::new(dir.path().join("tree")).unwrap();
    let bin = tree.data().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::copy(find("sh").unwrap(), bin.join("sh")).unwrap();
    std::os::unix::fs::symlink("tree/bin/sh", dir.path().join("innocent")).unwrap();
    (dir, tree)
}

#[test]
fn nothing_of_a_guest_is_started() {
    let (dir, tree) = guest();
    let shell = tree.data().join("bin/sh");
    let link = dir.path().join("innocent");
    let run = |program: &Path| Program::at(program).args(["-c", "echo ran"]).text();
    for program in [&shell, &link, &dir.path().join("tree/../tree/bin/sh")] {
        let error = run(program).unwrap_err();
        assert!(error.message().contains("belongs to a guest"), "{error}");
    }
    let inside = Program::at(&shell).in_namespaces(&["--mount"]).run();
    assert!(inside.unwrap_err().message().contains("belongs to a guest"));
    // The very same files are anybody's once they are no guest's.
    drop(tree);
    assert_eq!(run(&link).unwrap(), "ran");
}

#[test]
fn what_starts_another_program_unseen_is_not_started() {
    let (_dir, tree) = guest();
    for program in ["chroot", "unshare", "env", "setpriv"] {
        let error = Program::new(program)
            .arg(tree.data())
            .args(["/bin/sh", "-c", "echo ran"])
            .text()
            .unwrap_err();
        assert!(error.message().contains("nobody has looked at"), "{error}");
    }
}
