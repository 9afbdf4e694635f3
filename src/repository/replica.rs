//! The entry points of a copy: the signed texts as they were verified, read once, and what else is
//! made of what they vouch for. Whatever else lies in the repository, others may have written.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::identity::Identity;
use super::rotate::Keys;
use super::seconds::{self, Second};
use super::state::State;
use super::verify::Signed;
use super::views::{Change, VIEWS};
use super::vouched::VerifiedState;
use super::{below, files};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, Sign, Signers, fingerprints_of, verify_all};

/// The public key in a repository.
pub(super) const KEY_FILE: &str = "imgforge.gpg";

/// Files by their path below the root.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What is signed of a repository, and what vouches for it.
pub(super) struct Replica {
    pub(super) state: VerifiedState,
    pub(super) keyring: Keyring,
    /// Fingerprint of the key that signs.
    main: String,
    /// Signed and derived from the state: the file, and its text.
    derived: BTreeMap<String, (Vec<u8>, String)>,
    files: Files,
    /// What is signed by other keys.
    pub(super) seconds: Vec<Second>,
}

impl Replica {
    /// Reads the repository in `root`; `paths` are its entry points.
    ///
    /// # Errors
    /// When something signed is missing, not to be trusted, or says something else than the rest.
    pub(super) fn read(root: &Path, signers: &Signers, paths: &BTreeSet<String>) -> Result<Self> {
        let offered = below::read_present(root, KEY_FILE)?;
        let keyring = signers.keyring(Some(&offered))?;
        let state = VerifiedState::of(State::read(root)?, &keyring)?;
        let main = main_key(root, &fingerprints_of(&offered)?, &keyring, &state)?;
        let mut files = Files::new();
        for signed in state.signed() {
            let claims = signed.result.as_ref().ok();
            files.extend(claims.map(|claims| (signed.path.clone(), claims.bytes.clone())));
        }
        let certificate = match keyring.is_of(&[&main]) {
            true => keyring.bytes.clone(),
            false => Keyring::read(&keyring.bytes, Some(&main))?.bytes,
        };
        files.insert(KEY_FILE.into(), certificate);
        let mut replica = Replica {
            state,
            keyring,
            main,
            derived: BTreeMap::new(),
            files,
            seconds: vec![],
        };
        replica.read_seconds(root)?;
        replica.read_derived(root, paths)?;
        replica.records()?;
        Ok(replica)
    }

    /// What is signed by other keys under second URLs, as the indexes say.
    fn read_seconds(&mut self, root: &Path) -> Result<()> {
        let written = files::read_json::<Keys>(root, ".imgforge/keys.json")?;
        let keys = match (self.state.owner(), written) {
            (Some(owner), written) => written.map(|written| written.said_by(owner)),
            (None, Some(written)) if !written.seconds.is_empty() => {
                return Err(Error::gate(format!(
                    "no index in {} says which other keys sign it",
                    root.display()
                ))
                .cause("an older imgforge began to change its key, or somebody else wrote that")
                .hint(
                    "its publisher's `imgforge channel renew` has it signed, or says what to do",
                ));
            }
            (None, written) => written,
        };
        if let Some(keys) = keys {
            self.files
                .insert(".imgforge/keys.json".into(), files::json(&keys)?);
        }
        let Some(owner) = self.state.owner().cloned() else {
            return Ok(());
        };
        for pair in &owner.seconds {
            let mut second = seconds::read(&self.state, &owner, pair, self.state.signed())?;
            let wrong = second.signed.iter().position(|one| one.result.is_err());
            if let Some(wrong) = wrong.map(|at| second.signed.swap_remove(at)) {
                let untrusted = |error| untrusted(root, &wrong.path, error);
                return wrong.result.map(drop).map_err(untrusted);
            }
            self.files
                .insert(second.key.clone(), second.keyring.bytes.clone());
            self.take(&second.signed);
            self.seconds.push(second);
        }
        Ok(())
    }

    /// Copies texts as they are.
    fn take(&mut self, signed: &[Signed]) {
        for one in signed {
            let claims = one.result.as_ref().ok();
            self.files
                .extend(claims.map(|claims| (one.path.clone(), claims.bytes.clone())));
        }
    }

    /// All that is signed with a time, by whichever key.
    pub(super) fn signed(&self) -> impl Iterator<Item = &Signed> + Clone {
        let seconds = self.seconds.iter().flat_map(|one| &one.signed);
        self.state.signed().iter().chain(seconds)
    }

    /// The text that was signed, or the key, at a path below the root.
    pub(super) fn text(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The signed views.
    fn read_derived(&mut self, root: &Path, paths: &BTreeSet<String>) -> Result<()> {
        let is_view = |path: &&String| path.ends_with(".sjson") && !path.starts_with("images/");
        let mut there = Vec::new();
        for path in paths.iter().filter(is_view) {
            there.extend(below::read(root, path)?.map(|bytes| (path, bytes)));
        }
        let texts: Vec<&[u8]> = there.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        let verified = verify_all(&texts, &self.keyring)?;
        for ((path, bytes), verified) in there.into_iter().zip(verified) {
            let verified = verified.map_err(|error| untrusted(root, path, error))?;
            self.derived.insert(path.clone(), (bytes, verified.text));
        }
        Ok(())
    }

    fn records(&mut self) -> Result<()> {
        let all = [Identity::file(&self.state)?, self.state.channels_file()?];
        self.files.extend(all);
        for image in self.state.images.values() {
            let (path, bytes) = State::image_file(image)?;
            self.files.insert(path, bytes);
        }
        Ok(())
    }

    /// The entry points of the copy in `to`, where the files of the revisions are already.
    ///
    /// # Errors
    /// When what is signed says something else than the state that it is derived from.
    pub(super) fn entry_points(mut self, to: &Path) -> Result<(VerifiedState, Files)> {
        let root = std::mem::replace(&mut self.state.root, to.to_owned());
        let signed = self.state.signed().iter();
        let times = signed.flat_map(|text| text.result.as_ref().map(|claims| claims.when));
        let change = Change {
            state: &self.state,
            names: &BTreeSet::new(),
            channels: &BTreeSet::new(),
            all: true,
            when: times.max().unwrap_or(Timestamp::UNIX_EPOCH),
            valid_until: Timestamp::UNIX_EPOCH,
            serial: 0,
            fingerprint: &self.main,
            changes: OnceCell::new(),
            rules: &BTreeMap::new(),
        };
        for view in VIEWS {
            for file in view(&change)? {
                let Some(bytes) = file.bytes else { continue };
                if file.sign == Sign::No {
                    self.files.insert(file.path, bytes);
                } else if let Some((signed, text)) = self.derived.remove(&file.path) {
                    if deciding(&text) != deciding(&String::from_utf8_lossy(&bytes)) {
                        return Err(other_text(&root, &file.path));
                    }
                    self.files.insert(file.path, signed);
                }
            }
        }
        Ok((self.state, self.files))
    }
}

/// The key that signs, of those that lie there: one that counts, and that the indexes name.
fn main_key(
    root: &Path,
    offered: &[String],
    keyring: &Keyring,
    state: &VerifiedState,
) -> Result<String> {
    let counts = |key: &&String| keyring.fingerprints.contains(key);
    let named = |key: &&String| state.owner().is_none_or(|owner| owner.key == **key);
    match offered {
        [key] if counts(&key) && named(&key) => Ok(key.clone()),
        _ => Err(Error::gate(format!(
            "{} is not the key that signs this repository",
            root.join(KEY_FILE).display()
        ))
        .cause(format!("it has {}", offered.join(" and ")))
        .hint(format!(
            "find out who changed it, and put back {}; nothing was copied",
            keyring.fingerprints.join(" or ")
        ))),
    }
}

/// What programs decide by, of a signed text of JSON: what it is about, the files and their digests.
/// Words for people differ where another version of imgforge has written them.
fn deciding(text: &str) -> Option<BTreeSet<String>> {
    const DECIDE: [&str; 11] = [
        "arch",
        "channel",
        "combined_disk1-img_sha256",
        "content_id",
        "name",
        "path",
        "revision",
        "sha256",
        "sha512",
        "size",
        "url",
    ];
    fn collect(key: &str, value: &Value, found: &mut BTreeSet<String>) {
        let Value::Object(object) = value else { return };
        let said = object.iter().filter(|(key, value)| {
            DECIDE.contains(&key.as_str()) && (value.is_string() || value.is_number())
        });
        let said: Vec<String> = said.map(|(key, value)| format!("{key}={value}")).collect();
        // An architecture, or the name of a file.
        let key = if object.contains_key("sha512") {
            key
        } else {
            ""
        };
        found.insert(format!("{key}: {}", said.join(" ")));
        object
            .iter()
            .for_each(|(key, value)| collect(key, value, found));
    }
    let mut found = BTreeSet::new();
    collect("", &serde_json::from_str(text).ok()?, &mut found);
    Some(found)
}

fn untrusted(root: &Path, path: &str, error: Error) -> Error {
    error
        .within(format!(
            "{} is not to be trusted",
            root.join(path).display()
        ))
        .hint("`imgforge repo verify` shows what else is wrong; nothing was copied")
}

fn other_text(root: &Path, path: &str) -> Error {
    Error::gate(format!(
        "{} does not say what the signed lists say",
        root.join(path).display()
    ))
    .cause("an older one was put in its place, or another version of imgforge has written it")
    .hint("its publisher's `imgforge channel renew` signs it again; what readers find is as before")
}
