//! `gpg` and its agent: none that imgforge started stays behind, none of the user's is ended.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::{Context as _, Result};
use crate::host::exec::Program;
use crate::host::lock;
use crate::host::temporary::Temporary;

/// The longest directory in which gpg-agent can make its sockets: `sun_path` has 108 bytes.
const LONGEST_HOME: usize = 108 - "/S.gpg-agent.browser".len() - 1;

/// `gpg` without the user's options, which could add a second signature that clients refuse.
pub(super) fn gpg(home: Option<&Path>) -> Program {
    plain_arguments(Program::new("gpg"), home)
}

fn plain_arguments(program: Program, home: Option<&Path>) -> Program {
    at_home(program, home).args(["--batch", "--no-options", "--quiet"])
}

fn at_home(program: Program, home: Option<&Path>) -> Program {
    match home {
        Some(home) => program.arg("--homedir").arg(home),
        None => program,
    }
}

/// A time with a key directory.
///
/// An agent that imgforge starts is told to run `gpg` itself, and so ends some seconds after it,
/// should imgforge be killed; else it is ended with the session.
#[derive(Debug)]
pub(super) struct Session {
    home: Option<PathBuf>,
    start_agent: bool,
    started: Cell<bool>,
    short: Option<Temporary>,
    _lock: Option<File>,
}

impl Session {
    /// With imgforge's own key directory.
    pub(super) fn of_imgforge(home: &Path) -> Result<Self> {
        let mut session = Self::open(Some(home))?;
        session.start_agent = true;
        // An agent of a killed imgforge may have some seconds left.
        if session.may_have_agent() {
            session.stop_agent()?;
        }
        Ok(session)
    }

    /// With the user's key directory; the agent that runs there already is used and left alone.
    pub(super) fn of_user(home: Option<&Path>) -> Result<Self> {
        let mut session = Self::open(home)?;
        let agent = at_home(Program::new("gpg-connect-agent"), session.home.as_deref());
        let answer = agent
            .args(["--no-autostart", "GETINFO pid", "/bye"])
            .text()?;
        session.start_agent = !answer.starts_with("D ");
        Ok(session)
    }

    fn open(home: Option<&Path>) -> Result<Self> {
        let lock = lock(home)?;
        let (home, short) = home.map(shorten).transpose()?.unzip();
        Ok(Session {
            home,
            start_agent: false,
            started: Cell::new(false),
            short: short.flatten(),
            _lock: lock,
        })
    }

    /// `gpg` for what needs the secret key, with an agent if there is none.
    pub(super) fn secret(&self) -> Program {
        let home = self.home.as_deref();
        if !self.start_agent {
            return gpg(home);
        }
        self.started.set(true);
        let agent = at_home(Program::new("gpg-agent"), home);
        plain_arguments(agent.args(["--quiet", "--daemon", "--", "gpg"]), home)
    }

    /// Runs `script`, whose `"$@"` is a `gpg` for what needs the secret key, in `dir`: many
    /// signatures with one agent.
    pub(super) fn secret_script(&self, script: &str, dir: &Path) -> Program {
        let home = self.home.as_deref();
        let shell = ["sh", "-c", script, "sh"];
        let program = if self.start_agent {
            self.started.set(true);
            let agent = at_home(Program::new("gpg-agent"), home);
            agent.args(["--quiet", "--daemon", "--"]).args(shell)
        } else {
            Program::new("sh").args(&shell[1..])
        };
        plain_arguments(program.arg("gpg"), home).dir(dir)
    }

    /// `gpg` for what needs public keys only.
    pub(super) fn public(&self) -> Program {
        gpg(self.home.as_deref()).arg("--no-autostart")
    }

    /// Whether an agent can listen for this key directory: in it, or below `/run/user` or the other
    /// places that gpg prefers where they are (`_gnupg_socketdir_internal` of its `homedir.c`).
    fn may_have_agent(&self) -> bool {
        let own = |home: &PathBuf| home.join("S.gpg-agent").symlink_metadata().is_ok();
        let user = rustix::process::getuid().as_raw();
        let preferred = ["/run/gnupg", "/run", "/var/run/gnupg", "/var/run"];
        let mut preferred = preferred
            .map(|run| format!("{run}/user/{user}"))
            .into_iter();
        self.home.as_ref().is_none_or(own) || preferred.any(|dir| Path::new(&dir).exists())
    }

    fn stop_agent(&self) -> Result<()> {
        at_home(Program::new("gpgconf"), self.home.as_deref())
            .args(["--kill", "gpg-agent"])
            .run()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.started.get() {
            // What fails here ends by itself.
            drop(self.stop_agent());
        }
        if self.short.is_some() {
            // Where there is a /run/user, gpg has made a directory there for this path.
            let gpgconf = at_home(Program::new("gpgconf"), self.home.as_deref());
            drop(gpgconf.arg("--remove-socketdir").run());
        }
    }
}

/// One imgforge at a time uses a key directory: it may end the agent.
fn lock(home: Option<&Path>) -> Result<Option<File>> {
    let user_home = || {
        std::env::var_os("GNUPGHOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".gnupg")))
    };
    let Some(dir) = home.map(Path::to_owned).or_else(user_home) else {
        return Ok(None);
    };
    let Ok(file) = File::open(&dir) else {
        return Ok(None);
    };
    lock::wait(&file, FlockOperation::NonBlockingLockExclusive, || {
        format!("locking {}", dir.display())
    })?;
    Ok(Some(file))
}

/// Another way to a directory whose path is too long for sockets.
fn shorten(home: &Path) -> Result<(PathBuf, Option<Temporary>)> {
    if home.as_os_str().as_bytes().len() <= LONGEST_HOME {
        return Ok((home.to_owned(), None));
    }
    let doing = || format!("making a short path to {}", home.display());
    let dir = Temporary::new()?;
    let link = dir.path().join("g");
    std::os::unix::fs::symlink(home, &link).doing(doing)?;
    Ok((link, Some(dir)))
}
