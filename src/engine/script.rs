//! What runs on a node: imgforge itself, with its events in a file that the caller reads.

use std::path::Path;

use super::Job;
use crate::host::exec::quote;

/// Where and as what a job's imgforge runs.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// The recipe repository.
    pub(super) root: &'a Path,
    /// The state directory.
    pub(super) state: &'a Path,
    /// That of the caller, where it is another one.
    pub(super) caller: Option<&'a Path>,
    /// The caller's global options.
    pub(super) globals: &'a [String],
    /// Directory for temporary files, on the node's disk.
    pub(super) scratch: Option<&'a str>,
    /// Whether root runs it.
    pub(super) root_user: bool,
}

/// The script of a job, whose events are appended to `events`.
///
/// A libvirt session is one per user and not per job, and would take the guests of others along when
/// the job that began it ends: each job has its own.
pub(super) fn script(job: &Job, place: &Place<'_>, events: &Path) -> String {
    let path = |path: &Path| quote(&path.to_string_lossy());
    let mut text = "#!/bin/sh\n".to_owned();
    if let Some(scratch) = place.scratch {
        text += &format!("TMPDIR={}\nexport TMPDIR\n", quote(scratch));
    }
    let has_daemon = place.globals.iter().any(|word| word == "--connect");
    let connect = match (has_daemon, place.root_user) {
        (false, true) => " --connect private",
        (false, false) => {
            text += "XDG_RUNTIME_DIR=$(mktemp -d /tmp/imgforge-job-XXXXXXXX) || exit 1\n\
                     export XDG_RUNTIME_DIR\n";
            ""
        }
        (true, _) => "",
    };
    // Who ends the job, ends the shell, too: imgforge would have no time to end its guests.
    text += "trap : TERM INT\n";
    // One that was killed has not ended its last line.
    text += &format!("echo >>{}\n", path(events));
    let globals: String = place
        .globals
        .iter()
        .map(|word| format!(" {}", quote(word)))
        .collect();
    let command: String = job.command[1..]
        .iter()
        .map(|word| format!(" {}", quote(word)))
        .collect();
    let caller = place
        .caller
        .map(|state| format!(" --caller-state {}", path(state)));
    let caller = caller.unwrap_or_default();
    text += &format!(
        "{} -C {} --state {} --progress json{globals}{connect}{command}{caller} 2>>{}\ncode=$?\n",
        path(place.program),
        path(place.root),
        path(place.state),
        path(events),
    );
    if !place.root_user && !has_daemon {
        text += "rm -rf \"$XDG_RUNTIME_DIR\"\n";
    }
    text + "exit $code\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Key;
    use crate::machine::Arch;

    #[test]
    fn a_job_has_a_daemon_of_its_own_and_an_ended_line_before_its_events() {
        let job = Job {
            name: "web".into(),
            image: "web".into(),
            key: Key::of(b"web"),
            parents: vec![],
            arch: Arch::default(),
            memory: 5120,
            processors: 2,
            time: 3600,
            until: None,
            done: false,
            command: ["imgforge", "build", "web", "--var", "a=b c"]
                .map(str::to_owned)
                .to_vec(),
        };
        let globals = ["--trust", "/srv/my recipes"].map(str::to_owned);
        let mut place = Place {
            program: Path::new("/usr/bin/imgforge"),
            root: Path::new("/srv/my recipes"),
            state: Path::new("/srv/state"),
            caller: None,
            globals: &globals,
            scratch: Some("/local"),
            root_user: false,
        };
        let events = Path::new("/srv/state/jobs/1/web.events");
        insta::assert_snapshot!(script(&job, &place, events));
        place.root_user = true;
        assert!(script(&job, &place, events).contains(" --connect private build web"));
        let own = ["--connect", "qemu:///system"].map(str::to_owned);
        place.globals = &own;
        let own = script(&job, &place, events);
        assert!(
            own.contains(" --connect qemu:///system build") && !own.contains("private"),
            "{own}"
        );
        (place.state, place.caller) = (Path::new("/local/state"), Some(Path::new("/srv/state")));
        let apart = script(&job, &place, events);
        assert!(
            apart.contains(" --state /local/state ")
                && apart.contains(" --caller-state /srv/state 2>>"),
            "{apart}"
        );
    }
}
