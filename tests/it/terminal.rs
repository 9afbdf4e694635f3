//! A build on a terminal: tmux, which is one, says what stands on its screen.

use std::process::Command;

use crate::patience::wait_for;
use crate::support::{Run as _, World, external};

/// The signs of live lines.
const TURNS: &str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
const LONG: &str = "an-image-whose-name-tells-everything-that-is-in-it-and-more";

/// Twelve images whose installation waits until somebody opens `gate` for writing.
fn twelve() -> (World, String) {
    let world = World::new();
    world.disk_file("files/disk.raw");
    let names = (1..12).map(|number| format!("web-{number:02}"));
    for name in names.chain([LONG.to_owned()]) {
        let body =
            "install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB, memory: 64MiB}\n";
        world.image(&name, body);
    }
    let gate = world.path("gate");
    external("mkfifo").arg(&gate).said().ok();
    let real = imgforge::host::exec::find("qemu-img").unwrap();
    let (real, gate) = (real.display(), gate.display());
    let wait = format!("case $1 in convert) : <{gate};; esac\nexec {real} \"$@\"");
    let path = world.script("qemu-img", &wait);
    (world, path)
}

/// A terminal with one program in it.
struct Tmux<'a>(&'a World);

impl<'a> Tmux<'a> {
    /// Starts `command`, in so many columns.
    fn new(world: &'a World, columns: usize, command: &Command) -> Self {
        let config = "set -g remain-on-exit on\nset -g status off\n";
        world.write("tmux.conf", config);
        let tmux = Tmux(world);
        let words = command.get_envs().map(|(name, value)| match value {
            Some(value) => vec![format!("{}={}", name.display(), value.display())],
            None => vec!["-u".into(), name.display().to_string()],
        });
        // What is left out of the environment comes before what is put in.
        let mut words: Vec<Vec<String>> = words.collect();
        words.sort_by_key(|words| words.len() == 1);
        let args = std::iter::once(command.get_program()).chain(command.get_args());
        let args = args.map(|word| word.display().to_string());
        let mut new = tmux.command();
        new.args([
            "new-session",
            "-d",
            "-y",
            "60",
            "-x",
            &columns.to_string(),
            "env",
        ]);
        new.args(words.concat()).args(args).said().ok();
        tmux
    }

    fn command(&self) -> Command {
        let mut command = external("tmux");
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        command
            .arg("-S")
            .arg(self.0.path("tmux"))
            .arg("-f")
            .arg(self.0.path("tmux.conf"));
        command
    }

    fn ask(&self, args: &[&str]) -> String {
        self.command().args(args).said().ok().out
    }

    fn resize(&self, columns: usize, rows: usize) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.ask(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// The rows of the screen that are not empty.
    fn rows(&self) -> Vec<String> {
        let text = self.ask(&["capture-pane", "-p"]);
        let rows = text
            .lines()
            .map(str::trim_end)
            .filter(|row| !row.is_empty());
        rows.map(str::to_owned).collect()
    }

    /// Waits until the screen has nothing but the live lines of twelve images, below each other and cut to
    /// `columns`.
    fn shows_twelve_in(&self, columns: usize) {
        let mut last = vec![];
        let long = columns / 4 - 1;
        wait_for("twelve lines and nothing else", || {
            last = self.rows();
            let names = (1..12).map(|number| format!(" web-{number:02} "));
            let mut names = names.chain([format!(" {} ", cut(LONG, long))]);
            last.len() == 12
                && names.all(|name| last.iter().filter(|row| row.contains(&name)).count() == 1)
                && last
                    .iter()
                    .all(|row| row.starts_with(|sign| TURNS.contains(sign)))
                && last
                    .iter()
                    .all(|row| row.contains("  0:") && row.contains("conver"))
        });
        let column = |row: &String| row.find(" install").map(|at| row[..at].chars().count());
        let at = column(&last[0]);
        assert!(
            at.is_some() && last.iter().all(|row| column(row) == at),
            "{last:#?}"
        );
        assert!(
            last.iter().all(|row| row.chars().count() < columns),
            "{last:#?}"
        );
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        drop(self.command().arg("kill-server").output());
    }
}

/// A name in a column of `width`, of which the last shows that there is more.
fn cut(name: &str, width: usize) -> String {
    match name.len() <= width + 1 {
        true => name.to_owned(),
        false => format!("{}…", &name[..width]),
    }
}

/// The numbers of the colours and other looks on a screen.
fn looks(screen: &str) -> Vec<&str> {
    let sequences = screen.split("\u{1b}[").skip(1);
    sequences
        .filter_map(|rest| rest.split('m').next())
        .collect()
}

fn build_looks_right(columns: usize, colour: bool) {
    let (world, path) = twelve();
    let mut build = world.showing("auto", &["build", "--all", "--until", "install"]);
    build
        .env("PATH", path)
        .env("NO_COLOR", if colour { "" } else { "1" });
    let tmux = Tmux::new(&world, columns, &build);
    tmux.shows_twelve_in(columns);
    let screen = tmux.ask(&["capture-pane", "-p", "-e"]);
    let looks = looks(&screen);
    match colour {
        // Those that a light and a dark theme choose; none is the background or a grey.
        true => assert!(
            looks.iter().all(|look| ["36", "39", "0"].contains(look)),
            "{looks:?}"
        ),
        false => assert!(looks.is_empty(), "{looks:?}"),
    }
    assert_eq!(screen.contains("\u{1b}[36m"), colour);
    for narrower in [60, 40, 120, columns] {
        tmux.resize(narrower, 60);
        tmux.shows_twelve_in(narrower);
    }
    tmux.resize(columns, 8);
    wait_for("as many lines as there is room for", || {
        tmux.rows()
            .last()
            .is_some_and(|row| row == "  … and 6 more")
    });
    tmux.resize(columns, 60);
    let open = std::fs::OpenOptions::new()
        .write(true)
        .open(world.path("gate"))
        .unwrap();
    wait_for("the end", || {
        tmux.ask(&["display-message", "-p", "#{pane_dead}"]).trim() == "1"
    });
    drop(open);
    let rows = tmux.rows();
    for name in (1..12)
        .map(|number| format!("web-{number:02}"))
        .chain([LONG.to_owned()])
    {
        let done = format!("✓ {name} install  ");
        let lines = rows.iter().filter(|row| row.starts_with(&done)).count();
        assert_eq!(lines, 1, "{name}: {rows:#?}");
    }
    let last = rows.iter().rposition(|row| row.starts_with('✓')).unwrap();
    assert!(
        rows[last + 1].starts_with("IMAGE "),
        "no live line is left: {rows:#?}"
    );
}

#[test]
fn twelve_images_look_right_in_80_columns_with_colours_and_after_each_resize() {
    build_looks_right(80, true);
}

#[test]
fn twelve_images_look_right_in_200_columns_without_colours_and_after_each_resize() {
    build_looks_right(200, false);
}
