//! `imgforge attach`, which only looks.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::patience::wait_for;
use crate::pipeline::{BUILD, fake, real};
use crate::support::World;

/// The build goes on, and who only looked is told so.
#[test]
fn who_stops_watching_a_build_is_told_that_it_goes_on() {
    let world = World::importing();
    let (begun, go) = (world.path("begun"), world.path("go"));
    let script = format!(
        "if mkfifo {go}; then touch {begun}; read -r _ <{go}; fi; exec {real} \"$@\"",
        begun = begun.display(),
        real = real(),
        go = go.display()
    );
    let path = fake(&world, &script);
    let mut build = world.command(&BUILD);
    let mut build = build
        .env("PATH", &path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the import", || begun.exists());
    // What a guest says.
    world.write("state/logs/small/install-console.log", "hello\n");
    let mut attach = world.command(&["attach", "small"]);
    let mut attach = attach
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(attach.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "hello\n");
    let pid = rustix::process::Pid::from_child(&attach);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let end = attach.wait_with_output().unwrap();
    assert_eq!(end.status.code(), Some(130));
    assert_eq!(
        String::from_utf8_lossy(&end.stderr),
        "error: interrupted\n\
         hint: the build goes on; `imgforge attach small` shows its guest again\n"
    );
    std::fs::write(&go, "\n").unwrap();
    assert!(build.wait().unwrap().success());
}
