//! The signing key: one that `gpg` knows, or one of imgforge's own.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::ui::Ui;

/// User id of imgforge's own keys.
const OWN_UID: &str = "imgforge image repository <imgforge@localhost>";

/// The longest directory in which gpg-agent can make its sockets: `sun_path` has 108 bytes.
const LONGEST_HOME: usize = 108 - "/S.gpg-agent.browser".len() - 1;

/// Who signs: a key that `gpg` knows, or imgforge's own.
#[derive(Debug, Clone)]
pub struct Signer {
    key: String,
    home: Option<PathBuf>,
}

impl Signer {
    /// The key of the configuration's `signing-key`, anything that `gpg` knows.
    ///
    /// # Errors
    /// When `gpg` is missing, or knows no such key, or several.
    pub fn configured(key: &str) -> Result<Self> {
        Self::find(key, None)
    }

    /// As [`Signer::configured`], with another key directory than the user's.
    ///
    /// # Errors
    /// As there.
    pub fn configured_in(key: &str, home: &Path) -> Result<Self> {
        Self::find(key, Some(home.to_owned()))
    }

    fn find(key: &str, home: Option<PathBuf>) -> Result<Self> {
        let session = Session::open(home.as_deref())?;
        let found = fingerprints(&session, Some(key)).map_err(|error| {
            error
                .within(format!("gpg knows no key `{key}`"))
                .hint("`gpg --list-secret-keys` shows the keys that `signing-key:` can name")
        })?;
        match found.as_slice() {
            [_] => Ok(Signer {
                key: key.to_owned(),
                home,
            }),
            _ => Err(
                Error::usage(format!("`signing-key: {key}` fits {} keys", found.len())).hint(
                    format!(
                        "name one by its fingerprint, such as {}",
                        found.join(" or ")
                    ),
                ),
            ),
        }
    }

    /// A key without a passphrase in `STATE/gnupg`, made at the first call, which `ui` is told.
    ///
    /// # Errors
    /// When `gpg` is missing or the key cannot be made.
    pub fn own(state: &Path, ui: &Ui) -> Result<Self> {
        let state = std::path::absolute(state).doing(|| format!("finding {}", state.display()))?;
        let home = state.join("gnupg");
        let doing = || format!("making {}", home.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&home)
            .doing(doing)?;
        std::fs::set_permissions(&home, Permissions::from_mode(0o700)).doing(doing)?;

        let session = Session::open(Some(&home))?;
        if fingerprints(&session, None).unwrap_or_default().is_empty() {
            session
                .secret()
                .args(["--passphrase", "", "--pinentry-mode", "loopback"])
                .args(["--quick-gen-key", OWN_UID, "ed25519", "sign", "never"])
                .run()
                .doing(|| "making a signing key".into())?;
            ui.notice(format!(
                "made a signing key without a passphrase in {}; `signing-key:` in imgforge.yaml \
                 names another",
                home.display()
            ));
        }
        match fingerprints(&session, None)?.as_slice() {
            [key] => Ok(Signer {
                key: key.clone(),
                home: Some(home),
            }),
            keys => Err(
                Error::host(format!("{} has {} keys", home.display(), keys.len()))
                    .hint("`signing-key:` in imgforge.yaml names the one to use"),
            ),
        }
    }

    /// Signs text, so that it stays readable, with one SHA-512 `Hash:` header.
    pub(super) fn clearsign(&self, text: &str) -> Result<String> {
        let session = Session::open(self.home.as_deref())?;
        session
            .secret()
            .args(["--local-user", &self.key, "--digest-algo", "SHA512"])
            .args([
                "--no-emit-version",
                "--no-comments",
                "--armor",
                "--output",
                "-",
                "--clearsign",
            ])
            .input(text)
            .text()
            .map(|signed| signed + "\n")
            .map_err(|error| {
                error
                    .within(format!("signing with the key {} failed", self.key))
                    .hint("`gpg --list-secret-keys` shows whether its secret part is here")
            })
    }

    /// The public key as clients need it: one certificate without others' signatures.
    pub(super) fn public_key(&self) -> Result<Vec<u8>> {
        let session = Session::open(self.home.as_deref())?;
        let key = self.key.trim_end_matches('!');
        let exported = session
            .public()
            .args(["--export-options", "export-minimal", "--export", "--", key])
            .output()?;
        if exported.is_empty() {
            return Err(Error::host(format!("gpg has no public key {key}")));
        }
        Ok(exported)
    }
}

/// Fingerprints of the primary keys that fit `key`, or of all.
fn fingerprints(session: &Session, key: Option<&str>) -> Result<Vec<String>> {
    let listing = session
        .public()
        .args(["--with-colons", "--fixed-list-mode", "--list-keys", "--"])
        .args(key.map(|key| key.trim_end_matches('!')))
        .text()?;
    Ok(parse_fingerprints(&listing))
}

/// Fingerprints of the primary keys in an exported keyring.
pub(super) fn show(exported: &[u8]) -> Result<Vec<String>> {
    let doing = || "reading a public key".to_owned();
    let home = tempfile::Builder::new()
        .prefix("imgforge-")
        .tempdir()
        .doing(doing)?;
    let listing = gpg(Some(home.path()))
        .args([
            "--no-autostart",
            "--no-keyring",
            "--with-colons",
            "--show-keys",
        ])
        .input(exported)
        .text()?;
    Ok(parse_fingerprints(&listing))
}

fn parse_fingerprints(listing: &str) -> Vec<String> {
    let mut primary = false;
    let mut found = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[0] {
            "pub" => primary = true,
            "fpr" if std::mem::take(&mut primary) => {
                found.extend(fields.get(9).map(|&fingerprint| fingerprint.to_owned()));
            }
            _ => {}
        }
    }
    found
}

/// `gpg` without the user's options, which could add a second signature that clients refuse.
pub(super) fn gpg(home: Option<&Path>) -> Program {
    plain_arguments(Program::new("gpg"), home)
}

fn plain_arguments(program: Program, home: Option<&Path>) -> Program {
    let program = match home {
        Some(home) => program.arg("--homedir").arg(home),
        None => program,
    };
    program.args(["--batch", "--no-options", "--quiet"])
}

/// A time with a key directory of our own or the user's, in which no agent of ours stays behind.
///
/// An agent that imgforge starts has `gpg` as its child in reverse: it ends by itself some seconds
/// after that, should imgforge be killed.
#[derive(Debug)]
struct Session {
    home: Option<PathBuf>,
    start_agent: bool,
    _short: Option<tempfile::TempDir>,
    _lock: Option<File>,
}

impl Session {
    fn open(home: Option<&Path>) -> Result<Self> {
        let lock = lock(home)?;
        let Some(home) = home else {
            let running = agent(None)
                .arg("GETINFO pid")
                .arg("/bye")
                .text()?
                .starts_with("D ");
            return Ok(Session {
                home: None,
                start_agent: !running,
                _short: None,
                _lock: lock,
            });
        };
        let (home, short) = shorten(home)?;
        let session = Session {
            home: Some(home),
            start_agent: true,
            _short: short,
            _lock: lock,
        };
        // An agent of a killed imgforge may have some seconds left.
        session.stop_agent()?;
        Ok(session)
    }

    /// `gpg` for what needs the secret key, with an agent if there is none.
    fn secret(&self) -> Program {
        if !self.start_agent {
            return gpg(None);
        }
        let program = Program::new("gpg-agent");
        let program = match &self.home {
            Some(home) => program.arg("--homedir").arg(home),
            None => program,
        };
        let program = program.args(["--quiet", "--daemon", "--", "gpg"]);
        plain_arguments(program, self.home.as_deref())
    }

    /// `gpg` for what needs public keys only.
    fn public(&self) -> Program {
        gpg(self.home.as_deref()).arg("--no-autostart")
    }

    fn stop_agent(&self) -> Result<()> {
        let program = Program::new("gpgconf");
        match &self.home {
            Some(home) => program.arg("--homedir").arg(home),
            None => program,
        }
        .args(["--kill", "gpg-agent"])
        .run()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.start_agent {
            // What fails here ends by itself.
            drop(self.stop_agent());
        }
    }
}

fn agent(home: Option<&Path>) -> Program {
    let program = Program::new("gpg-connect-agent").arg("--no-autostart");
    match home {
        Some(home) => program.arg("--homedir").arg(home),
        None => program,
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
    super::lock::wait(&file, FlockOperation::NonBlockingLockExclusive, || {
        format!("locking {}", dir.display())
    })?;
    Ok(Some(file))
}

/// Another way to a directory whose path is too long for sockets.
fn shorten(home: &Path) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    if home.as_os_str().as_bytes().len() <= LONGEST_HOME {
        return Ok((home.to_owned(), None));
    }
    let doing = || format!("making a short path to {}", home.display());
    let dir = tempfile::Builder::new()
        .prefix("imgforge-")
        .tempdir()
        .doing(doing)?;
    let link = dir.path().join("g");
    std::os::unix::fs::symlink(home, &link).doing(doing)?;
    Ok((link, Some(dir)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_primary_keys() {
        let listing = "tru::1:1:0:3:1:5\npub:u:255:22:AA:1::::::scSC:::::ed25519:::0:\n\
                       fpr:::::::::ONE:\nuid:u::::1::X::me::::::::::0:\n\
                       sub:u:255:18:BB:1::::::e:::::cv25519::\nfpr:::::::::SUB:\n\
                       pub:u:255:22:CC:1::::::scSC:::::ed25519:::0:\nfpr:::::::::TWO:\n";
        assert_eq!(parse_fingerprints(listing), ["ONE", "TWO"]);
    }
}
