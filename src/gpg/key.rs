//! The signing key: one that `gpg` knows, or one of imgforge's own.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::agent::Session;
use super::listing::{self, Key, refuse_ended};
use super::{Sign, is_of_host, unless_host};
use crate::error::{Context as _, Error, Result};
use crate::host::durable;
use crate::host::exec::quote;
use crate::host::ours::{Owners, Seen};
use crate::host::temporary::Temporary;
use crate::ui::Ui;

/// User id of imgforge's own keys.
const OWN_UID: &str = "imgforge image repository <imgforge@localhost>";

/// Refuses a key directory that others can read or change. Its rights are for its owner to set.
fn private(home: &Path) -> Result<()> {
    let doing = || format!("looking at {}", home.display());
    let seen = Seen::at(home).doing(doing)?;
    let fault = Owners::me_and_root().fault(home, &seen, false);
    let found = seen.data();
    let open = found.mode() & 0o077 != 0 || !found.is_dir();
    let what = || Error::host(format!("{} is not private", home.display()));
    match fault {
        Some(fault) => {
            let fix = fault.mend.unwrap_or_default();
            Err(what().cause(fault.why).hint(format!("`{fix}`")))
        }
        None if open => Err(what()
            .cause("gpg keeps secret keys there")
            .hint(format!("`chmod 700 {}`", quote(&home.to_string_lossy())))),
        None => Ok(()),
    }
}

/// Signs every file of the working directory as its name's end says.
const SIGN_ALL: &str = r#"for file in *; do
    case $file in
        *.clear) "$@" --clearsign -- "$file" ;;
        *.detach) "$@" --detach-sign -- "$file" ;;
    esac || exit
done"#;

/// Who signs: a key that `gpg` knows, or imgforge's own.
#[derive(Debug, Clone)]
pub struct Signer {
    key: String,
    home: Option<PathBuf>,
    own: bool,
}

impl Signer {
    /// The key of the configuration's `signing-key`, anything that `gpg` knows.
    ///
    /// # Errors
    /// When `gpg` is missing, or knows no such key, or several, or it has expired or is revoked.
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
        let session = Session::of_user(home.as_deref())?;
        let found = list(&session, Some(key)).map_err(|error| match is_of_host(&error) {
            true => error,
            false => Error::usage(format!("gpg knows no key `{key}`"))
                .evidence(error.evidence_lines().iter().cloned())
                .hint("`gpg --list-secret-keys` shows the keys that `signing-key:` can name"),
        })?;
        refuse_ended(key, &the_only(key, found)?)?;
        Ok(Signer {
            key: key.to_owned(),
            home,
            own: false,
        })
    }

    /// A key without a passphrase in `STATE/gnupg`, made at the first call, which `ui` is told.
    ///
    /// # Errors
    /// When `gpg` is missing or the key cannot be made.
    pub fn own(state: &Path, ui: &Ui) -> Result<Self> {
        let state = std::path::absolute(state).doing(|| format!("finding {}", state.display()))?;
        let home = state.join("gnupg");
        let doing = || format!("making {}", home.display());
        durable::create_dir(&home, 0o700).doing(doing)?;
        private(&home)?;

        let session = Session::of_imgforge(&home)?;
        let mut keys = own_keys(&session, &home)?;
        if keys.is_empty() {
            generate(&session, OWN_UID)?;
            // Who publishes with it needs it for ever, and gpg syncs nothing.
            durable::sync_tree(&home).doing(doing)?;
            keys = fingerprints(&session, None)?;
            ui.notice(format!(
                "made a signing key without a passphrase in {}; `signing-key:` in imgforge.yaml \
                 names another",
                home.display()
            ));
        }
        // The newest; a repository that an older one signs asks for that one.
        let key = keys
            .pop()
            .ok_or_else(|| Error::host(format!("{} has no key", home.display())))?;
        Ok(Signer {
            key,
            home: Some(home),
            own: true,
        })
    }

    /// The key that this host would publish with: the configured one, or the newest of imgforge's own
    /// in `state`. None where gpg has none; none is made.
    ///
    /// # Errors
    /// When gpg cannot be asked, or the configured one fits several keys.
    pub fn known(key: Option<&str>, state: &Path) -> Result<Option<Self>> {
        let Some(key) = key else {
            return Self::known_own(state);
        };
        let Some(found) = unless_host(list(&Session::of_user(None)?, Some(key)))? else {
            return Ok(None);
        };
        the_only(key, found)?;
        Ok(Some(Signer {
            key: key.to_owned(),
            home: None,
            own: false,
        }))
    }

    fn known_own(state: &Path) -> Result<Option<Self>> {
        let state = std::path::absolute(state).doing(|| format!("finding {}", state.display()))?;
        let home = state.join("gnupg");
        if !home.is_dir() {
            return Ok(None);
        }
        let keys = own_keys(&Session::of_imgforge(&home)?, &home)?;
        Ok(keys.last().map(|key| Signer {
            key: key.clone(),
            home: Some(home),
            own: true,
        }))
    }

    /// Whether it is one of imgforge's own keys.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// Whether both are the same key.
    pub(crate) fn is(&self, other: &Signer) -> bool {
        self.key == other.key && self.home == other.home
    }

    /// Another key: in the same key directory, if it is of the same kind.
    pub(crate) fn with_key(&self, fingerprint: &str, own: bool) -> Signer {
        Signer {
            key: fingerprint.to_owned(),
            home: self.home.clone().filter(|_| own == self.own),
            own,
        }
    }

    /// The one of imgforge's own keys with this fingerprint.
    pub(crate) fn own_with(&self, fingerprint: &str) -> Result<Option<Signer>> {
        if !self.own {
            return Ok(None);
        }
        let keys = fingerprints(&self.session()?, None)?;
        let found = keys.iter().any(|key| key == fingerprint);
        Ok(found.then(|| self.with_key(fingerprint, true)))
    }

    /// The key with this fingerprint, if gpg has its secret part beside this one's.
    pub(crate) fn secret_with(&self, fingerprint: &str) -> Result<Option<Signer>> {
        let has = has_secret(&self.session()?, fingerprint)?;
        Ok(has.then(|| self.with_key(fingerprint, self.own)))
    }

    /// The key to change over to: one that gpg knows, or a new one of imgforge's own.
    pub(crate) fn successor(&self, key: Option<&str>) -> Result<Signer> {
        match key {
            Some(key) => Self::find(key, self.home.clone().filter(|_| !self.own)),
            None if self.own => {
                let session = self.session()?;
                let before = fingerprints(&session, None)?;
                // gpg wants user ids to differ.
                let since = Timestamp::now().as_second();
                let uid = OWN_UID.replace(" <", &format!(" (since {since}) <"));
                generate(&session, &uid)?;
                if let Some(home) = &self.home {
                    durable::sync_tree(home).doing(|| "making a signing key".into())?;
                }
                let mut keys = fingerprints(&session, None)?;
                keys.retain(|key| !before.contains(key));
                let key = keys.pop();
                key.map(|key| self.with_key(&key, true))
                    .ok_or_else(|| Error::internal("gpg made no key"))
            }
            None => Err(Error::usage("the new key is not named").hint(
                "make one, such as with `gpg --quick-gen-key`, then `imgforge repo rotate-key KEY`",
            )),
        }
    }

    /// Why this key cannot sign here, if it cannot: it is not here, or has ended.
    pub(crate) fn cannot_sign(&self) -> Result<Option<String>> {
        let session = self.session()?;
        let Some(found) = unless_host(list(&session, Some(&self.key)))? else {
            return Ok(Some(format!("gpg has no key {}", self.key)));
        };
        let ended = found
            .iter()
            .find_map(|key| refuse_ended(&self.key, key).err());
        if let Some(ended) = ended {
            return Ok(Some(ended.message().to_owned()));
        }
        let has = has_secret(&session, &self.key)?;
        Ok((!has).then(|| format!("the secret part of {} is not here", self.key)))
    }

    fn session(&self) -> Result<Session> {
        match &self.home {
            Some(home) if self.own => Session::of_imgforge(home),
            home => Session::of_user(home.as_deref()),
        }
    }

    /// Signs each of the texts and files with SHA-512, in their order: a clear-signed text with
    /// one `Hash:` header, or the armoured signature alone.
    pub(crate) fn sign(&self, batch: &[(Sign, &[u8])]) -> Result<Vec<Vec<u8>>> {
        let doing = || "signing".to_owned();
        let dir = Temporary::new()?;
        let name = |number: usize| {
            let kind = match batch[number].0 {
                Sign::Clear => "clear",
                Sign::Detached | Sign::No => "detach",
            };
            dir.path().join(format!("{number}.{kind}"))
        };
        for (number, (_, bytes)) in batch.iter().enumerate() {
            std::fs::write(name(number), bytes).doing(doing)?;
        }
        if !batch.is_empty() {
            let session = self.session()?;
            session
                .secret_script(SIGN_ALL, dir.path())
                .args(["--local-user", &self.key, "--digest-algo", "SHA512"])
                .args(["--no-emit-version", "--no-comments", "--armor"])
                .run()
                .map_err(|error| {
                    error
                        .within(format!("signing with the key {} failed", self.key))
                        .hint("`gpg --list-secret-keys` shows whether its secret part is here")
                })?;
        }
        (0..batch.len())
            .map(|number| {
                let mut path = name(number).into_os_string();
                path.push(".asc");
                std::fs::read(path).doing(doing)
            })
            .collect()
    }

    /// The public key as clients need it: one certificate without others' signatures.
    ///
    /// # Errors
    /// When gpg does not have it.
    pub fn public_key(&self) -> Result<Vec<u8>> {
        let session = self.session()?;
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

/// The fingerprints of imgforge's own keys, the newest last.
fn own_keys(session: &Session, home: &Path) -> Result<Vec<String>> {
    // Where gpg cannot read them, there may be one that a repository needs for ever.
    fingerprints(session, None).map_err(|error| match is_of_host(&error) {
        true => error,
        false => error
            .within(format!("the keys in {} cannot be read", home.display()))
            .hint(
                "restore this directory from a backup, or name a key of yours as \
                 `signing-key:` in imgforge.yaml",
            ),
    })
}

/// The only key that `signing-key: KEY` means.
fn the_only(key: &str, found: Vec<Key>) -> Result<Key> {
    <[Key; 1]>::try_from(found)
        .map(|[found]| found)
        .map_err(|found| {
            let (many, found) = (found.len(), listing::fingerprints(found));
            Error::usage(format!("`signing-key: {key}` fits {many} keys")).hint(format!(
                "name one by its fingerprint, such as {}",
                found.join(" or ")
            ))
        })
}

fn generate(session: &Session, uid: &str) -> Result<()> {
    session
        .secret()
        .args(["--passphrase", "", "--pinentry-mode", "loopback"])
        .args(["--quick-gen-key", uid, "ed25519", "sign", "never"])
        .run()
        .doing(|| "making a signing key".into())
}

/// Whether gpg has the secret part of a key.
fn has_secret(session: &Session, key: &str) -> Result<bool> {
    let list = session.secret().args(["--list-secret-keys", "--", key]);
    Ok(unless_host(list.run())?.is_some())
}

/// Fingerprints of the primary keys that fit `key`, or of all.
fn fingerprints(session: &Session, key: Option<&str>) -> Result<Vec<String>> {
    list(session, key).map(listing::fingerprints)
}

fn list(session: &Session, key: Option<&str>) -> Result<Vec<Key>> {
    let listed = session
        .public()
        .args(["--with-colons", "--fixed-list-mode", "--list-keys", "--"])
        .args(key.map(|key| key.trim_end_matches('!')))
        .text()?;
    Ok(listing::parse(&listed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn keys_that_gpg_cannot_read_are_no_reason_to_make_another() {
        let state = tempfile::tempdir().unwrap();
        let home = state.path().join("gnupg");
        let ring = home.join("pubring.kbx");
        std::fs::create_dir_all(&ring).unwrap();
        let own = || Signer::own(state.path(), &Ui::silent());
        // Its rights stay as they are, and wrong ones are told.
        let mode = |mode| std::fs::set_permissions(&home, Permissions::from_mode(mode)).unwrap();
        for (open, mend) in [(0o755, "chmod 700"), (0o777, "chmod go-w")] {
            mode(open);
            let error = own().unwrap_err();
            assert!(error.hint_text().unwrap().contains(mend), "{error}");
            assert_eq!(home.metadata().unwrap().mode() & 0o777, open);
        }
        mode(0o700);
        let error = own().unwrap_err();
        assert!(error.message().contains("cannot be read"), "{error}");
        assert!(error.hint_text().is_some());
        assert!(!home.join("private-keys-v1.d").exists());
        std::fs::remove_dir(&ring).unwrap();
        let made = Signer::own(state.path(), &Ui::silent()).unwrap();
        let again = Signer::own(state.path(), &Ui::silent()).unwrap();
        assert!(made.is(&again));
    }
}
