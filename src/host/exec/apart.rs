//! Programs that read files of others: root's see those files, and no more of this host.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Program, find};
use crate::error::Result;

/// What shows a program its files, and takes everything else from it.
const SCRIPT: &str = include_str!("apart.sh");

/// Name spaces of its own, which end with it.
const SPACES: &[&str] = &[
    "--mount",
    "--net",
    "--ipc",
    "--pid",
    "--fork",
    "--kill-child",
];

/// The capabilities of a program that may do nothing special, and of one that opens files of users.
const NONE: &str = "-all";
const OPENS: &str = "-all,+dac_override";

/// What keeps a program from doing more where it can have no name spaces, as setpriv(1) takes it.
pub(super) const WITHOUT: [&str; 4] = [
    "--bounding-set=-all,+dac_override",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--no-new-privs",
];

/// Where the programs of a system are. Others are the user's own, and may need what nobody knows.
const SYSTEM: [&str; 6] = ["/usr", "/bin", "/sbin", "/opt", "/nix/store", "/gnu/store"];

/// What a program may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Change,
    Make,
}

/// A file that a program may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    path: PathBuf,
    access: Access,
}

impl Shown {
    /// Whether root can open it without a capability for that.
    fn is_open_to_root(&self) -> bool {
        let wanted = if self.access == Access::Read {
            0o400
        } else {
            0o600
        };
        let meta = self.path.metadata();
        meta.is_ok_and(|meta| meta.uid() == 0 && meta.permissions().mode() & wanted == wanted)
    }
}

impl Program {
    /// Where root starts it, it sees the system's programs and the files that it is shown, has no
    /// network, and may do nothing that another user may not, but open those files.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.apart.get_or_insert_default();
        self
    }

    /// The files that it sees, where it sees no others.
    #[cfg(test)]
    pub(crate) fn sees(&self) -> Option<Vec<&Path>> {
        let files = self.apart.as_ref()?.iter();
        Some(files.map(|file| &*file.path).collect())
    }

    /// Shows it a file to read.
    #[must_use]
    pub fn seeing(self, file: impl AsRef<Path>) -> Self {
        self.shown(file.as_ref(), Access::Read)
    }

    /// Shows it a file to change.
    #[must_use]
    pub fn changing(self, file: impl AsRef<Path>) -> Self {
        self.shown(file.as_ref(), Access::Change)
    }

    /// Shows it a file to write, which need not be there.
    #[must_use]
    pub fn making(self, file: impl AsRef<Path>) -> Self {
        self.shown(file.as_ref(), Access::Make)
    }

    fn shown(mut self, file: &Path, access: Access) -> Self {
        let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let files = self.apart.get_or_insert_default();
        match files.iter_mut().find(|known| known.path == path) {
            Some(known) if known.access == Access::Read => known.access = access,
            Some(_) => {}
            None => files.push(Shown { path, access }),
        }
        self
    }
}

/// What is put before `program`, so that it sees these files only; nothing where it cannot be so.
pub(super) fn words(program: &Path, files: &[Shown]) -> Vec<OsString> {
    let system = SYSTEM.iter().any(|dir| program.starts_with(dir));
    match system && possible().is_ok() {
        true => wrapped(files).unwrap_or_default(),
        false => vec![],
    }
}

fn wrapped(files: &[Shown]) -> Option<Vec<OsString>> {
    let mut words: Vec<OsString> = vec![find("unshare")?.into()];
    words.extend(SPACES.iter().map(Into::into));
    words.extend(["--".into(), find("bash")?.into()]);
    for Shown { path, .. } in files.iter().filter(|file| file.access == Access::Make) {
        // Its directory has other files: it gets this one. What fails, the program tells.
        drop(File::create_new(path));
    }
    let files: Vec<_> = files.iter().filter(|file| file.path.exists()).collect();
    let own = files.iter().all(|file| file.is_open_to_root());
    let bound = if own { NONE } else { OPENS };
    words.extend(["-c", SCRIPT, "apart", bound].map(Into::into));
    for Shown { path, access } in files {
        words.push(if *access == Access::Read { "r" } else { "w" }.into());
        words.push(path.into());
    }
    words.push("--".into());
    Some(words)
}

/// Whether this process can give others name spaces of their own: root in many containers cannot.
///
/// # Errors
/// Why it cannot.
pub fn possible() -> Result<()> {
    static POSSIBLE: OnceLock<Result<()>> = OnceLock::new();
    let nothing = || {
        let nothing = Program::new("bash").args(["-c", SCRIPT, "apart", NONE, "--", "true"]);
        nothing.in_namespaces(SPACES).run()
    };
    POSSIBLE.get_or_init(nothing).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Part of /proc is hidden there, and who could make another one would see it.
    #[test]
    fn programs_are_set_apart_also_where_no_other_proc_can_be_made() {
        const CONTAINER: &[&str] = &["--user", "--map-root-user", "--mount"];
        let spaces = SPACES.join(" ");
        let container = format!(
            "mount -t tmpfs hidden /proc/sys; exec unshare {} bash -c '\
             if mount -t proc another /proc; then exit 9; fi; \
             exec unshare {spaces} -- bash -c \"$0\" apart {NONE} -- \"$@\"' \"$@\"",
            CONTAINER.join(" ")
        );
        let program = [
            "sh",
            "-c",
            "echo said >/dev/stdout; ls /home /proc 2>&1 | wc -l",
        ];
        let said = Program::new("bash").args(["-c", &container, "container", SCRIPT]);
        let said = said.args(program).in_namespaces(CONTAINER).text().unwrap();
        assert_eq!(said, "said\n2", "what it says, and that it sees nothing");
    }
}
