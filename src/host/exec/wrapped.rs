//! What is put in front of a program: whose it is, what it may see and take, and when it ends.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Program, apart, tree};
use crate::error::{Error, Result};

/// The memory of a program that looks at a foreign file, for prlimit(1).
const FOREIGN_MEMORY: &str = "--as=1073741824";

impl Program {
    /// `setpriv` gives the child the parent-death signal without unsafe code in imgforge.
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    pub(super) fn command(&self) -> Result<(Command, PathBuf)> {
        let path = find(&self.name).ok_or_else(|| self.missing(&self.name))?;
        tree::check(&path)?;
        let mut words: Vec<OsString> = vec![];
        let setpriv = find("setpriv");
        let apart = self
            .apart
            .as_ref()
            .filter(|_| rustix::process::geteuid().is_root());
        let between = apart.map(|files| apart::words(&path, files));
        if self.user.is_some() && setpriv.is_none() {
            return Err(self.missing("setpriv".as_ref()));
        }
        if let Some(setpriv) = setpriv {
            words.push(setpriv.into());
            if let Some(id) = self.user {
                let ids = [format!("--reuid={id}"), format!("--regid={id}")];
                words.extend(ids.map(Into::into));
                words.push("--clear-groups".into());
            }
            if between.as_ref().is_some_and(Vec::is_empty) {
                words.extend(apart::WITHOUT.map(Into::into));
            }
            words.extend(["--pdeathsig", self.orphaned, "--"].map(Into::into));
        }
        words.extend(between.into_iter().flatten());
        if let Some(arguments) = self.namespaces {
            let unshare = find("unshare").ok_or_else(|| self.missing("unshare".as_ref()))?;
            words.push(unshare.into());
            words.extend(arguments.iter().map(Into::into));
            words.push("--".into());
        }
        if let (Some(seconds), Some(prlimit)) = (self.foreign, find("prlimit")) {
            let seconds = format!("--cpu={seconds}");
            words.extend([
                prlimit.into(),
                FOREIGN_MEMORY.into(),
                seconds.into(),
                "--".into(),
            ]);
        }
        words.push(path.clone().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&self.args);
        Ok((command, path))
    }

    fn missing(&self, name: &OsStr) -> Error {
        let hint = self
            .hint
            .clone()
            .unwrap_or_else(|| "`imgforge doctor` says which package to install".into());
        Error::host(format!(
            "`{}` is needed and was not found on PATH",
            name.display()
        ))
        .hint(hint)
    }
}

/// Where a program is on `PATH`, also in the administrator's directories.
pub fn find(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    which::which(name).ok().or_else(|| {
        ["/usr/sbin", "/sbin", "/usr/local/sbin"]
            .iter()
            .map(|dir| Path::new(dir).join(name))
            .find(|p| p.is_file())
    })
}
