//! Public keys that a user trusts, as a file that `gpg` verifies with.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use super::agent::gpg;
use super::memo::Memo;
use super::{is_of_host, listing, unless_host};
use crate::digest;
use crate::error::{Error, Result};
use crate::host::durable::{create_dir, write_atomic};
use crate::host::exec::Program;
use crate::host::temporary::Temporary;

/// Certificates, and the fingerprints of their primary keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyring {
    /// The binary keyring.
    pub bytes: Vec<u8>,
    /// Fingerprints of the primary keys, upper case, 40 hex digits.
    pub fingerprints: Vec<String>,
}

impl Keyring {
    /// Reads a file of exported keys as [`Keyring::read`] does.
    ///
    /// # Errors
    /// As there, and when the file cannot be read.
    pub fn of_file(file: &Path, fingerprint: Option<&str>) -> Result<Self> {
        let bytes = std::fs::read(file).map_err(|cause| {
            Error::usage(format!("the key {} cannot be read", file.display())).cause(cause)
        })?;
        Self::read(&bytes, fingerprint)
    }

    /// Reads exported keys, armoured or not; with a fingerprint only the certificate that it is
    /// the primary key's of.
    ///
    /// # Errors
    /// When there are no keys, or not the one with this fingerprint.
    pub fn read(exported: &[u8], fingerprint: Option<&str>) -> Result<Self> {
        let no_keys = || {
            Error::gate("this is not a file of public keys")
                .hint("`gpg --export FINGERPRINT > FILE` writes one")
        };
        if let (None, Some(keyring)) = (fingerprint, Self::as_it_is(exported)?) {
            return Ok(keyring);
        }
        super::keyboxd::refuse()?;
        let scratch = Scratch::new()?;
        scratch
            .add(exported)
            .map_err(|error| match is_of_host(&error) {
                true => error,
                false => no_keys(),
            })?;
        scratch
            .certificates(fingerprint.as_slice())?
            .ok_or_else(|| match fingerprint {
                Some(fingerprint) => Error::gate(format!("the key {fingerprint} is not there"))
                    .hint("the file or the repository has another key"),
                None => no_keys(),
            })
    }

    /// A binary file of public keys, all of which count, is a keyring already.
    fn as_it_is(exported: &[u8]) -> Result<Option<Self>> {
        if exported.starts_with(b"-----") {
            return Ok(None);
        }
        let Some(listed) = unless_host(listing::listing(exported))? else {
            return Ok(None);
        };
        let fingerprints = listing::fingerprints(listing::parse(&listed));
        let secret = listed.lines().any(|line| line.starts_with("sec:"));
        let usable = !fingerprints.is_empty() && !secret;
        Ok(usable.then(|| Keyring {
            bytes: exported.to_owned(),
            fingerprints,
        }))
    }

    /// The certificate with this fingerprint from the user's own keyring.
    ///
    /// # Errors
    /// When it is not there.
    pub fn of_user(fingerprint: &str) -> Result<Self> {
        certificates(|| gpg(None).arg("--no-autostart"), &[fingerprint])?
            .ok_or_else(|| Error::usage(format!("gpg knows no key {fingerprint}")))
    }

    /// Adds what other copies of these certificates say, by their owners' own signatures: another
    /// expiry, subkeys, a revocation. Other keys in them do not count, nor what is no keyring, nor
    /// a copy in which somebody else has one of these keys for a subkey. Returns whether there was anything new.
    ///
    /// # Errors
    /// When gpg cannot be run.
    pub fn renew(&mut self, copies: &[&[u8]]) -> Result<bool> {
        static RENEWED: Memo<Option<Vec<u8>>> = Memo::new();
        let keys: Vec<&str> = self.fingerprints.iter().map(String::as_str).collect();
        let mut new = false;
        for copy in copies.iter().filter(|copy| !copy.is_empty()) {
            if **copy == self.bytes {
                continue;
            }
            let wanted = keys.join(" ");
            let renewed = RENEWED.answer(&[&self.bytes, copy, wanted.as_bytes()], || {
                let scratch = Scratch::new()?;
                scratch.add(&self.bytes)?;
                unless_host(scratch.add(copy))?;
                let renewed = unless_host(scratch.certificates(&keys))?.flatten();
                Ok(renewed.map(|renewed| renewed.bytes))
            })?;
            if let Some(renewed) = renewed
                && renewed != self.bytes
            {
                self.bytes = renewed;
                new = true;
            }
        }
        Ok(new)
    }

    /// Adds what this host has seen of these certificates before, and keeps what there is now in the
    /// directory `memory`: whoever offers an older copy takes back no revocation. Who may not write
    /// there only reads: it counts all the same.
    pub(super) fn remember(&mut self, memory: &Path) -> Result<()> {
        let kept = memory.join(Self::kept_as(&self.fingerprints));
        let seen = || std::fs::read(&kept).unwrap_or_default();
        self.renew(&[&seen()])?;
        if self.bytes == seen() {
            return Ok(());
        }
        // Another process may keep what it has seen at the same time.
        let lock = create_dir(memory, 0o700).and_then(|()| File::create(memory.join("lock")));
        if let Ok(lock) = lock
            && lock.lock().is_ok()
        {
            self.renew(&[&seen()])?;
            drop(write_atomic(&kept, &self.bytes));
        }
        Ok(())
    }

    /// The name of a file that keeps what was seen of the certificates of these primary keys.
    pub(crate) fn kept_as(fingerprints: &[String]) -> String {
        let keys = digest::Key::of(fingerprints.join(" ").as_bytes());
        format!("renewed-{}.gpg", keys.short())
    }

    /// Whether its certificates are those of these primary keys, and no others.
    pub fn is_of<T: AsRef<str>>(&self, fingerprints: &[T]) -> bool {
        let wanted: BTreeSet<&str> = fingerprints.iter().map(AsRef::as_ref).collect();
        let own = self.fingerprints.iter().map(String::as_str);
        own.collect::<BTreeSet<_>>() == wanted
    }
}

/// A key directory of its own.
struct Scratch(Temporary);

impl Scratch {
    fn new() -> Result<Self> {
        Temporary::new().map(Scratch)
    }

    fn gpg(&self) -> Program {
        gpg(Some(self.0.path())).arg("--no-autostart")
    }

    fn add(&self, exported: &[u8]) -> Result<()> {
        let import = ["--import-options", "import-minimal", "--import"];
        let import = self.gpg().args(import).on_foreign_file();
        import.input(exported).run()
    }

    fn certificates(&self, fingerprints: &[&str]) -> Result<Option<Keyring>> {
        let gpg = || {
            let gpg = self.gpg().on_foreign_file();
            gpg.args(["--export-options", "export-minimal"])
        };
        certificates(gpg, fingerprints)
    }
}

/// The certificates of these primary keys, or all; nothing when some are not there, or when there
/// are more: gpg finds a certificate by its subkeys, too, and anybody can take another's key for a
/// subkey of his own.
fn certificates(gpg: impl Fn() -> Program, fingerprints: &[&str]) -> Result<Option<Keyring>> {
    let bytes = gpg().args(["--export", "--"]).args(fingerprints).output()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let found = Keyring {
        fingerprints: listing::fingerprints_of(&bytes)?,
        bytes,
    };
    let right = match fingerprints {
        [] => !found.fingerprints.is_empty(),
        wanted => found.is_of(wanted),
    };
    Ok(right.then_some(found))
}
