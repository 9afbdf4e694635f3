//! A signed repository of images in a directory that any web server can serve.
//!
//! ```text
//! index.asc                   the default channel, in virt-builder's native format
//! channels/CHANNEL/index.asc  each other channel; its entries are named NAME-CHANNEL
//! images/NAME/REVISION/…      immutable blobs, their companions and manifest.json
//! images/NAME/revisions.sjson what each revision of the name is, signed
//! imgforge.gpg                the public key
//! .imgforge/                  lock, journal, incoming files, and the records of what there is
//! ```
//!
//! A publication first writes down which bytes its revision is bound to, then moves the blob in,
//! then writes the signed entry points aside, verifies them, and enters them in a journal: that is
//! the moment from which it counts. The renames that follow are finished by the next holder of
//! the lock, should this one be killed.

mod below;
mod bind;
mod channel;
mod commit;
mod destination;
mod files;
mod former;
pub mod fresh;
pub mod gate;
pub mod hooks;
mod identity;
mod incoming;
mod journal;
mod known;
mod listing;
mod lock;
pub mod manifest;
mod mirror;
mod oci;
pub mod place;
mod prune;
mod publication;
pub mod query;
mod records;
mod renew;
mod replica;
mod rotate;
mod seconds;
pub mod seen;
mod served;
mod set;
mod signing;
pub mod state;
mod transaction;
pub(crate) mod trust;
mod usage;
pub mod verify;
pub mod views;
mod vouched;
mod yank;

pub use gate::GateProof;
pub use mirror::{Copied, copy};
pub use oci::{LATEST, copy_to_registry};
pub use prune::{Fate, Policy, PruneCandidate, prune_candidates, published_stages};
pub use publication::{Companion, Publication, Published};
pub use rotate::Rotation;
pub use state::{Stamp, State};
pub use yank::Yanked;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::address;
use crate::channels::ChannelRules;
use crate::error::{Context as _, Error, Result};
use crate::gpg::{self, Keyring, Signer, Signers};
use crate::http::Url;
use crate::index::{self, Claims, IndexEntry, PLACEHOLDER};
use crate::ui::Ui;
use crate::units::Span;
use identity::Identity;
use lock::LockGuard;
use seen::RememberedRepository;

/// Where a repository is and how it is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory.
    pub path: PathBuf,
    /// Where clients find it; default: the directory as a `file:` URL. It is published, without
    /// a user and a password.
    pub url: Option<String>,
    /// The channel whose index lies at the top; it cannot change later.
    pub default_channel: String,
    /// Who signs.
    pub signer: Signer,
    /// Whose signatures count; where nobody is named, those by the key that signs.
    pub signers: Signers,
    /// How long what is signed counts.
    pub valid_for: Span,
    /// What imgforge.yaml says of channels.
    pub channels: BTreeMap<String, ChannelRules>,
    /// Programs that are told of every change.
    pub hooks: Vec<hooks::Hook>,
    /// What this host has seen and made here before.
    pub seen: Option<RememberedRepository>,
    /// Who is told what does not end a change, but should be known.
    pub ui: Ui,
}

impl Settings {
    /// The repository in a directory, with `stable` as its default channel.
    pub fn new(path: impl Into<PathBuf>, signer: Signer) -> Self {
        Settings {
            path: path.into(),
            url: None,
            default_channel: "stable".into(),
            signer,
            signers: Signers::default(),
            valid_for: renew::VALID_FOR,
            channels: BTreeMap::new(),
            hooks: vec![],
            seen: None,
            ui: Ui::silent(),
        }
    }
}

/// A repository that can be published to.
pub struct Repository {
    root: PathBuf,
    url: String,
    default_channel: String,
    signer: Signer,
    /// Of the key that signs.
    fingerprint: String,
    signers: Signers,
    trusted: OnceLock<Keyring>,
    valid_for: Span,
    channels: BTreeMap<String, ChannelRules>,
    hooks: Vec<hooks::Hook>,
    seen: Option<RememberedRepository>,
    ui: Ui,
    steps: Box<dyn Fn(&str) + Send + Sync>,
    judge: Judge,
}

/// Refuses a revision of an image of the repository at a root.
pub type Judge = Box<dyn Fn(&Path, &str, &state::Revision) -> Result<()> + Send + Sync>;

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.root.display())
    }
}

impl Repository {
    /// Opens the repository, making its directory and public key where they are missing, and
    /// finishes what a killed publisher left.
    ///
    /// # Errors
    /// When the directory cannot be written, or belongs to another signing key or default channel.
    pub fn open(settings: Settings) -> Result<Self> {
        let Settings {
            path,
            url,
            default_channel,
            signer,
            signers,
            valid_for,
            channels,
            hooks,
            seen,
            ui,
        } = settings;
        let doing = || format!("opening the repository {}", path.display());
        let root = std::path::absolute(&path).doing(doing)?;
        fresh::refuse_vanished(&root, seen.as_ref())?;
        lock::make(&root)?;
        let url = match url {
            Some(url) => url,
            None => Url::of_path(&root)?.to_string(),
        };
        // It is published; who uses it says who he is by himself.
        let url = address::hide(url.trim_end_matches('/')).into_owned();
        let mut repository = Repository {
            root,
            url,
            default_channel,
            signer,
            fingerprint: String::new(),
            signers,
            trusted: OnceLock::new(),
            valid_for,
            channels,
            hooks,
            seen,
            ui,
            steps: Box::new(|_| {}),
            judge: Box::new(|_, _, _| Ok(())),
        };
        let held = repository.lock()?;
        repository.identify()?;
        repository.fingerprint = repository.publish_key(&held)?;
        drop(held);
        Ok(repository)
    }

    /// Calls `step` with a name before each change of the directory: for tests of what a kill
    /// at that moment leaves.
    #[must_use]
    pub fn on_step(mut self, step: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.steps = Box::new(step);
        self
    }

    /// Has `judge` be asked of each revision that a channel would get, under the repository's lock.
    #[must_use]
    pub fn judged_by(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    /// The channel whose index lies at the top.
    pub fn default_channel(&self) -> &str {
        &self.default_channel
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The public key that clients need.
    pub fn keyring(&self) -> PathBuf {
        self.root.join("imgforge.gpg")
    }

    /// What the repository has.
    ///
    /// # Errors
    /// When a record is damaged.
    pub fn state(&self) -> Result<State> {
        let mut state = State::read(&self.root)?;
        self.refuse_other_default(&state.default_channel)?;
        let rules = self.channels.iter();
        for (channel, _) in rules.filter(|(_, rules)| **rules != ChannelRules::default()) {
            state.channels.entry(channel.clone()).or_default();
        }
        Ok(state)
    }

    /// The record of a name as it is on the disk.
    fn saved(&self, name: &str) -> Result<Option<state::Image>> {
        State::read_image(&self.root, name)
    }

    /// The entries of a channel, verified; none when nothing was published to it yet.
    ///
    /// # Errors
    /// When the index is not signed by the repository's key, or breaks a rule.
    pub fn entries(&self, channel: &str) -> Result<Vec<IndexEntry>> {
        let path = self.root.join(self.index_path(channel));
        let Some(signed) = below::read(&self.root, &self.index_path(channel))? else {
            return Ok(vec![]);
        };
        let trusted = self.trusted()?;
        let verified = gpg::verify(&signed, trusted).map_err(|error| {
            error
                .within(format!("{} is not to be trusted", path.display()))
                .hint(format!(
                    "find out who changed it; the last good one is signed by the key {}",
                    trusted.fingerprints.join(" or ")
                ))
        })?;
        let claims = Claims::parse(&verified.text);
        let wanted = Some(channel).filter(|channel| *channel != self.default_channel);
        if let Some(other) = claims.other_channel(wanted, Some(&self.default_channel)) {
            return Err(renew::other_index(&path, other, channel));
        }
        let id = claims.owner.map(|owner| owner.repository);
        if id.is_some_and(|id| !matches!(Identity::read(&self.root), Ok(Some(one)) if one.id == id))
        {
            return Err(renew::others_index(&path));
        }
        entries_of(&path, &verified.text)
    }

    /// Waits for the repository's lock, then finishes what a killed holder left.
    fn lock(&self) -> Result<LockGuard> {
        lock::hold(&self.root, &self.steps)
    }

    /// Puts the public key where clients find it; a repository keeps the key it was made with.
    fn publish_key(&mut self, _held: &LockGuard) -> Result<String> {
        let (path, mut key) = ("imgforge.gpg", self.signer.public_key()?);
        let ours = gpg::fingerprints_of(&key)?;
        let mut fingerprint = ours.join(" ");
        let Some(old) = below::read(&self.root, path)? else {
            // Somebody has removed it, and the old key of a rotation signs, perhaps.
            if let Some(theirs) = self.named_key()?.filter(|theirs| *theirs != fingerprint) {
                fingerprint = self.former_key(&theirs, &fingerprint)?;
                key = self.signer.public_key()?;
            }
            return files::write(&self.root, path, &key).map(|()| fingerprint);
        };
        if old == key {
            return Ok(fingerprint);
        }
        let theirs = gpg::fingerprints_of(&old)?;
        if theirs != ours {
            return self.former_key(&theirs.join(" "), &fingerprint);
        }
        // The same key with another expiry date.
        files::write(&self.root, path, &key).map(|()| fingerprint)
    }

    fn step(&self, name: &str) {
        (self.steps)(name);
    }

    fn index_path(&self, channel: &str) -> String {
        index_path(&self.default_channel, channel)
    }
}

/// The path of a channel's index below the root.
fn index_path(default_channel: &str, channel: &str) -> String {
    if channel == default_channel {
        "index.asc".into()
    } else {
        format!("channels/{channel}/index.asc")
    }
}

/// The name of an image's entry in a channel's index.
fn entry_id(default_channel: &str, name: &str, channel: &str) -> String {
    if channel == default_channel {
        name.to_owned()
    } else {
        format!("{name}-{channel}")
    }
}

/// Refuses what cannot be a part of a path, a URL and an index.
fn check_name(what: &str, name: &str) -> Result<()> {
    if index::is_id(name) && !name.starts_with('.') {
        return Ok(());
    }
    Err(
        Error::usage(format!("`{name}` cannot be the name of a {what}"))
            .hint("use letters, digits, `-`, `_` and `.`"),
    )
}

/// The entries of an index, but for what one without images says.
fn entries_of(path: &Path, text: &str) -> Result<Vec<IndexEntry>> {
    let mut entries = index::parse(text)
        .and_then(|sections| index::check(&sections))
        .map_err(|problems| broken_index(path, &problems))?;
    entries.retain(|entry| entry.id != PLACEHOLDER);
    Ok(entries)
}

fn broken_index(path: &Path, problems: &[index::Problem]) -> Error {
    Error::gate(format!(
        "{} breaks a rule that clients enforce",
        path.display()
    ))
    .evidence(problems.iter().take(12).map(ToString::to_string))
}
