use super::*;

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
    let script = format!("sleep 600 & echo $! > {}; wait", pidfile.path().display());
    let error = Program::new("sh")
        .args(["-c", &script])
        .timeout(Duration::from_millis(300))
        .run()
        .unwrap_err();
    assert!(error.message().contains("did not end within"), "{error}");
    let pid = std::fs::read_to_string(pidfile.path()).unwrap();
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
    assert!(gone, "the child {pid} is still there");
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
    let began = Instant::now();
    let error = Program::new("sh")
        .args(["-c", "sleep 600 & exit 3"])
        .run()
        .unwrap_err();
    assert!(error.message().ends_with("exit code 3"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(60));
}
