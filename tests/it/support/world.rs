//! A recipe repository of a test, with its state directory, and imgforge in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use imgforge::gpg::Signer;
use imgforge::host::exec;
use imgforge::stage::StageId;
use imgforge::ui::Ui;
use serde_json::Value;
use tempfile::TempDir;

use crate::patience::wait_for;

use super::program::{
    IMGFORGE, Run as _, Said, excerpt, imgforge, imgforge_at, imgforge_with_guests, tool, under,
};
use super::toy::target;

/// A stage that is the quickest of all, of the disk that [`World::importing`] has.
pub(crate) const IMPORT: &str =
    "install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB}\n";

/// What nobody's processes run as.
pub(crate) const NOBODY: u32 = 65534;

/// The names of the stages from the first to this one.
pub(crate) fn stages_to(last: &str) -> Vec<&'static str> {
    let last = last.parse().unwrap();
    let all = StageId::ALL.iter().filter(|stage| **stage <= last);
    all.map(|stage| stage.name()).collect()
}

/// A directory with an imgforge.yaml, which has its state below `state`.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    home: TempDir,
    guests: bool,
    args: Vec<&'static str>,
    env: Vec<(&'static str, OsString)>,
    /// Begins every recipe, after its name.
    common: String,
    signer: OnceLock<Signer>,
}

impl World {
    /// For verbs that start neither a guest nor an appliance: they have a home of their own.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        World::at(dir).with(&["--accel", "tcg"])
    }

    /// For verbs that may start guests. Their home is the user's, where libvirt keeps what it learnt
    /// about QEMU.
    pub(crate) fn with_guests(name: &str) -> Self {
        // libguestfs, libvirt and gpg dislike long paths; /var/tmp survives large files.
        let prefix = format!("imgforge-{name}-");
        let dir = TempDir::with_prefix_in(prefix, "/var/tmp");
        World::at(dir.unwrap()).for_guests()
    }

    /// With the image `small`, which imports a disk of 4 MiB.
    pub(crate) fn importing() -> Self {
        let world = World::new();
        world.disk_file("files/disk.raw");
        world.image("small", IMPORT);
        world
    }

    fn at(dir: TempDir) -> Self {
        let world = World {
            dir,
            home: tempfile::tempdir().unwrap(),
            guests: false,
            args: vec![],
            env: vec![],
            common: String::new(),
            signer: OnceLock::new(),
        };
        world.configure("");
        world
    }

    /// Its commands may start guests.
    #[must_use]
    pub(crate) fn for_guests(mut self) -> Self {
        self.guests = true;
        self
    }

    /// Gives every command these arguments.
    #[must_use]
    pub(crate) fn with(mut self, args: &[&'static str]) -> Self {
        self.args.extend(args);
        self
    }

    /// Sets a variable of every command.
    #[must_use]
    pub(crate) fn with_env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Begins every recipe so, after its name.
    #[must_use]
    pub(crate) fn with_recipes_of(mut self, text: &str) -> Self {
        self.common = text.to_owned();
        self
    }

    /// What is published is signed by it; imgforge's own key is in the state directory.
    #[must_use]
    pub(crate) fn with_signer(self, signer: Signer) -> Self {
        assert!(self.signer.set(signer).is_ok(), "it has one");
        self
    }

    pub(crate) fn signer(&self) -> &Signer {
        let own = || Signer::own(&self.path("state"), &Ui::silent()).unwrap();
        self.signer.get_or_init(own)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, making its directories.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Changes a file's text, which has to have `from`.
    #[track_caller]
    pub(crate) fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "no `{from}` in {text}");
        self.write(name, text.replace(from, to));
    }

    /// Writes imgforge.yaml.
    pub(crate) fn configure(&self, text: &str) {
        self.write("imgforge.yaml", format!("state: state\n{text}"));
    }

    /// Writes the recipe of an image.
    pub(crate) fn image(&self, name: &str, body: &str) {
        let text = format!("name: {name}\n{}{body}", self.common);
        self.write(&format!("recipes/{name}.yaml"), text);
    }

    /// Writes a disk of 4 MiB with the signature of a boot sector.
    pub(crate) fn disk_file(&self, name: &str) {
        let mut disk = vec![0u8; 4 << 20];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        self.write(name, disk);
    }

    /// Writes a script; the `PATH` on which it comes first.
    pub(crate) fn script(&self, name: &str, text: &str) -> String {
        let bin = self.path("bin");
        std::fs::create_dir_all(&bin).unwrap();
        exec::write_program(&bin.join(name), &format!("#!/bin/sh\n{text}\n")).unwrap();
        let rest = std::env::var("PATH").unwrap();
        format!("{}:{rest}", bin.display())
    }

    /// imgforge in this directory.
    #[track_caller]
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.showing("plain", args)
    }

    /// Kills imgforge as soon as `ready`.
    #[track_caller]
    pub(crate) fn kill_when(&self, args: &[&str], mut ready: impl FnMut() -> bool) {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut killed = command.spawn().unwrap();
        wait_for("the moment to kill imgforge", || {
            let ended = killed.try_wait().unwrap();
            assert!(ended.is_none(), "it ended by itself: {ended:?}");
            ready()
        });
        killed.kill().unwrap();
        killed.wait().unwrap();
    }

    /// As [`World::command`], with this `--progress`.
    #[track_caller]
    pub(crate) fn showing(&self, progress: &str, args: &[&str]) -> Command {
        let mut command = match self.guests {
            true => imgforge_with_guests(),
            false => imgforge(),
        };
        if !self.guests {
            command.env("HOME", self.home.path());
        }
        command.arg("-C").arg(self.dir.path());
        command.args(["--progress", progress]).args(&self.args);
        let env = self.env.iter().map(|(name, value)| (name, value));
        command.args(args).envs(env);
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.command(args).said()
    }

    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Said {
        self.run(args).ok()
    }

    /// What a failed build says of the command that goes on, whose verb and what follows it are these words.
    pub(crate) fn goes_on(&self, words: &str) -> String {
        let dir = self.dir.path().display().to_string();
        let globals = [&["-C", &dir], &self.args[..]].concat().join(" ");
        format!("resume: `imgforge {globals} {words}` goes on at this stage\n")
    }

    /// imgforge as another user than root, whom this directory is given to.
    pub(crate) fn as_nobody(&self, args: &[&str]) -> Command {
        let own = format!("{NOBODY}:{NOBODY}");
        let (binary, dir) = (self.path("imgforge"), self.path(""));
        std::fs::copy(IMGFORGE, &binary).unwrap();
        tool("chown", &["-R", &own, dir.to_str().unwrap()]);
        let [uid, gid] = ["--reuid", "--regid"].map(|word| format!("{word}={NOBODY}"));
        let nobody = ["setpriv", &uid, &gid, "--clear-groups", "--"];
        let mut command = imgforge_at(&binary);
        command.args(self.command(args).get_args()).env("HOME", dir);
        let env = self.env.iter().map(|(name, value)| (name, value));
        under(&nobody, command.envs(env))
    }

    /// The stages of a plan, of all its images.
    #[track_caller]
    pub(crate) fn planned(&self, args: &[&str]) -> Vec<Value> {
        let plans = self.ok(&[&["plan", "--json"], args].concat()).json();
        let plans = plans.as_array().unwrap().iter();
        let stages = plans.flat_map(|plan| plan["stages"].as_array().unwrap().clone());
        stages.collect()
    }

    /// The names in the store.
    pub(crate) fn stored(&self) -> Vec<String> {
        names(&self.path("state/store"))
    }

    /// Processes whose command line names something in this directory.
    pub(crate) fn left_over(&self) -> Vec<String> {
        processes(self.dir.path().to_str().unwrap())
    }
}

/// A failed test shows what its builds did last, and keeps all that they logged.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_logs();
        }
    }
}

/// How many of the newest logs are shown.
const SHOWN: usize = 3;

impl World {
    #[allow(
        clippy::print_stderr,
        reason = "the harness shows what a failed test has printed"
    )]
    fn keep_logs(&self) {
        let logs = self.path("state/logs");
        let kept = target().join("proofs/left");
        let name = self.dir.path().file_name().unwrap_or_default();
        let kept = kept.join(name.to_string_lossy().trim_start_matches('.'));
        let mut files = vec![];
        for image in names(&logs) {
            drop(std::fs::create_dir_all(kept.join(&image)));
            for name in names(&logs.join(&image)) {
                let name = Path::new(&image).join(name);
                drop(std::fs::copy(logs.join(&name), kept.join(&name)));
                let written = std::fs::metadata(logs.join(&name)).and_then(|file| file.modified());
                files.push((written.ok(), name));
            }
        }
        files.retain(|(_, name)| name.extension().is_some_and(|end| end == "log"));
        files.sort();
        for (_, name) in files.iter().rev().take(SHOWN).rev() {
            let text = String::from_utf8_lossy(&std::fs::read(logs.join(name)).unwrap_or_default())
                .into_owned();
            eprintln!("---- {}\n{}", name.display(), excerpt(&text, 12, 24));
        }
        if !files.is_empty() {
            eprintln!("all logs: {}", kept.display());
        }
    }
}

/// The names in a directory that may not be there, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The command lines with this word, of all processes.
pub(crate) fn processes(word: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(word)).collect()
}
