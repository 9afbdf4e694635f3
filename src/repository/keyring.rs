//! Public keys that a user trusts, as a file that `gpg` verifies with.

use super::agent::gpg;
use super::key;
use crate::error::{Error, Kind, Result};
use crate::host::temporary::Temporary;

/// Certificates, and the fingerprints of their primary keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// The binary keyring.
    pub bytes: Vec<u8>,
    /// Fingerprints of the primary keys, upper case, 40 hex digits.
    pub fingerprints: Vec<String>,
}

impl Keyring {
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
        let home = Temporary::new()?;
        let gpg = || gpg(Some(home.path())).arg("--no-autostart");
        let import = gpg().args(["--import-options", "import-minimal", "--import"]);
        import
            .input(exported)
            .run()
            .map_err(|error| match error.kind() {
                Kind::Host => error,
                _ => no_keys(),
            })?;
        Self::export(
            || gpg().args(["--export-options", "export-minimal"]),
            fingerprint,
        )?
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
        let listing = match key::listing(exported) {
            Err(error) if error.kind() == Kind::Host => return Err(error),
            Err(_) => return Ok(None),
            Ok(listing) => listing,
        };
        let fingerprints = key::parse_fingerprints(&listing);
        let secret = listing.lines().any(|line| line.starts_with("sec:"));
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
        Self::export(|| gpg(None).arg("--no-autostart"), Some(fingerprint))?
            .ok_or_else(|| Error::usage(format!("gpg knows no key {fingerprint}")))
    }

    /// Adds what other copies of these certificates say, by their owners' own signatures: another
    /// expiry, subkeys, a revocation. Other keys in them do not count, nor what is no keyring.
    /// Returns whether there was anything new.
    ///
    /// # Errors
    /// When gpg cannot be run.
    pub fn renew(&mut self, copies: &[&[u8]]) -> Result<bool> {
        let mut copies = copies.iter().filter(|copy| **copy != self.bytes).peekable();
        if copies.peek().is_none() {
            return Ok(false);
        }
        let home = Temporary::new()?;
        let gpg = || gpg(Some(home.path())).arg("--no-autostart");
        let import = || gpg().args(["--import-options", "import-minimal", "--import"]);
        import().input(self.bytes.as_slice()).run()?;
        for copy in copies {
            match import().input(*copy).run() {
                Err(error) if error.kind() == Kind::Host => return Err(error),
                _ => {}
            }
        }
        let export = gpg().args(["--export-options", "export-minimal", "--export", "--"]);
        let bytes = export.args(&self.fingerprints).output()?;
        let new = !bytes.is_empty() && bytes != self.bytes;
        if new {
            self.bytes = bytes;
        }
        Ok(new)
    }

    fn export(
        gpg: impl Fn() -> crate::host::exec::Program,
        fingerprint: Option<&str>,
    ) -> Result<Option<Self>> {
        let bytes = gpg().args(["--export", "--"]).args(fingerprint).output()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let fingerprints = key::show(&bytes)?;
        let right = match fingerprint {
            // gpg finds a key by its subkeys' fingerprints, too.
            Some(fingerprint) => fingerprints == [fingerprint],
            None => !fingerprints.is_empty(),
        };
        Ok(right.then_some(Keyring {
            bytes,
            fingerprints,
        }))
    }
}
