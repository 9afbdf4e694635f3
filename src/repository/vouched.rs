//! What is signed is signed for ever, so a transaction signs no more than was signed before, and what
//! it changes itself. Records are not signed: whoever can write to the directory can change them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use jiff::Timestamp;

use super::fresh::Age;
use super::identity::new_id;
use super::listing::canary_id;
use super::set::{self, Digests, Set};
use super::state::{Image, State};
use super::verify::Signed;
use super::views::ViewFile;
use super::{Repository, below, entries_of, verify};
use crate::error::{Error, Kind, Result};
use crate::gpg::Keyring;
use crate::index::{Claims, IndexEntry, Owner, normalize_arch};
use crate::ui::Ui;

/// How far above the last published number one that was only bound may be. Each killed publisher
/// leaves one at most.
const AHEAD: u64 = 1000;

/// The state of a repository of which the signed lists and indexes say the same, and what a
/// transaction has changed of it since. There is no other way to get one than [`VerifiedState::read`], so
/// that what is made of it may be signed, and what it says is gone may be removed.
#[derive(Debug)]
pub struct VerifiedState {
    state: State,
    /// The entries of the channels that have an index.
    indexes: BTreeMap<String, Vec<IndexEntry>>,
    /// The channels whose index says that they are frozen.
    frozen: BTreeSet<String>,
    /// Which keys sign, as the indexes say; those of an older imgforge do not.
    owner: Option<Owner>,
    /// The lists and indexes, and the state as it was signed.
    signed: Vec<Signed>,
    /// What was signed as a whole; nothing was by an older imgforge.
    set: Option<Set>,
    /// Digests of the indexes.
    digests: Digests,
}

impl Deref for VerifiedState {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for VerifiedState {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl VerifiedState {
    /// Reads the records, and compares each with what is signed.
    ///
    /// # Errors
    /// When a record says something else than the signed list of its image, or an index does; when
    /// one of them is missing, or not to be trusted.
    pub(super) fn read(repository: &Repository, age: Age) -> Result<Self> {
        let (state, keyring) = (repository.state()?, repository.trusted()?);
        let (mut vouched, differences) = Self::compared(state, keyring, Some(&repository.ui))?;
        // One that nothing confirms is somebody's, perhaps, and what is signed is another one's then.
        if !vouched.is_named() && !repository.has_seen(&vouched.id) {
            vouched.id = new_id();
        }
        if age == Age::Any && vouched.set.is_none() {
            // Who asks for that has lost it, and has nothing better than what agrees by itself.
            for difference in differences {
                let ui = &repository.ui;
                ui.warning(format!("{difference}: what is here is signed all the same"));
            }
            return Ok(vouched);
        }
        set::refuse(&vouched, differences)?;
        Ok(vouched)
    }

    /// As [`VerifiedState::read`], of records and keys that were read already.
    pub(super) fn of(state: State, keyring: &Keyring) -> Result<Self> {
        let (vouched, differences) = Self::compared(state, keyring, None)?;
        set::refuse(&vouched, differences)?;
        Ok(vouched)
    }

    /// And how it differs from what was signed as a whole. `ui` is of who signs all of it next.
    fn compared(
        mut state: State,
        keyring: &Keyring,
        ui: Option<&Ui>,
    ) -> Result<(Self, Vec<String>)> {
        let mut signed = verify::records(&state, keyring)?;
        for image in state.images.values_mut() {
            image.strip();
        }
        let (mut indexes, mut frozen, mut owner) = (BTreeMap::new(), BTreeSet::new(), None);
        let mut strange = None;
        let mut read = verify::all_indexes(&state, keyring)?;
        if let Some(ui) = ui {
            for channel in take_left(&state, &mut read)? {
                ui.warning(left(&state, &channel));
                indexes.insert(channel, vec![]);
            }
        }
        let read = verify::refuse_wrong(&state, read)?;
        for channel in state.channels.keys() {
            let path = state.root.join(state.index_path(channel));
            let claims = read
                .iter()
                .find(|index| index.channel.as_ref() == Some(channel));
            let text = claims.and_then(|index| Some(index.result.as_ref().ok()?.text.as_str()));
            let entries = text.map(|text| entries_of(&path, text)).transpose()?;
            let claims = text.map(Claims::parse).unwrap_or_default();
            let says = claims.owner;
            // One by an older imgforge says nothing of that.
            let as_said = says.is_none() || claims.frozen == state.is_frozen(channel);
            let agreed = agrees(&state, channel, entries.as_deref().unwrap_or_default());
            let same = owner.is_none() || says.is_none() || owner == says;
            let agreed = agreed.and_then(|stranger| match (same, as_said) {
                (true, true) => Ok(stranger),
                (false, _) => Err("it says that other keys sign than another index".into()),
                (_, false) => Err("channels.json says otherwise whether it is frozen".into()),
            });
            if claims.frozen {
                frozen.insert(channel.clone());
            }
            let stranger = agreed.map_err(|why| disagrees(&path, &why))?;
            strange = strange.or(stranger.map(|why| disagrees(&path, &why)));
            owner = owner.or(says);
            indexes.extend(entries.map(|entries| (channel.clone(), entries)));
        }
        let digests = set::digests(&read);
        signed.extend(read);
        set::refuse(&state, set::unnamed(&state)?)?;
        let (set, whole) = Set::read(&state, &state.root, keyring)?.unzip();
        let differences = match (&set, strange) {
            (Some(set), _) => set.differences(&state, &digests),
            // Where nothing tells of the whole, the record and the list may be gone.
            (None, Some(strange)) => return Err(strange),
            (None, None) => set::missed(&signed).into_iter().collect(),
        };
        signed.extend(whole);
        let vouched = VerifiedState {
            state,
            indexes,
            frozen,
            owner,
            signed,
            set,
            digests,
        };
        Ok((vouched, differences))
    }

    /// What is to be signed of all by the transaction `serial`, with these files in their places.
    pub(super) fn next_set(&self, files: &[ViewFile], serial: u64, when: Timestamp) -> Set {
        let mut digests = self.digests.clone();
        for channel in self.state.channels.keys() {
            let path = self.state.index_path(channel);
            let made = files.iter().filter(|file| file.path == path);
            for bytes in made.filter_map(|file| file.bytes.as_deref()) {
                let digest = set::of_index(&String::from_utf8_lossy(bytes));
                digests.insert(channel.clone(), digest);
            }
        }
        Set::of(serial, &self.state, &digests, when)
    }

    /// Which transaction signed it as a whole.
    pub(super) fn serial(&self) -> Option<u64> {
        self.set.as_ref().map(|set| set.serial)
    }

    /// Where clients find it, as it was signed.
    pub(super) fn signed_url(&self) -> Option<&str> {
        self.set.as_ref()?.url.as_deref()
    }

    /// Whether anything that is signed says which repository it is.
    fn is_named(&self) -> bool {
        let mut claims = self.signed.iter().flat_map(|one| &one.result);
        claims.any(|claims| claims.repository.is_some())
    }

    /// Whether something was signed, but not yet all of it as a whole.
    pub(super) fn is_older(&self) -> bool {
        self.set.is_none() && self.has_index()
    }

    /// The lists and indexes, as they were read.
    pub(super) fn signed(&self) -> &[Signed] {
        &self.signed
    }

    /// Which keys sign, as the signed indexes say, if they do.
    pub(super) fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// Whether a channel's index says that it is frozen, as it was signed.
    pub(super) fn was_frozen(&self, channel: &str) -> bool {
        self.frozen.contains(channel)
    }

    /// Whether any channel has an index.
    pub(super) fn has_index(&self) -> bool {
        !self.indexes.is_empty()
    }

    /// The entries of a channel's index as they were signed, if there is one.
    pub(super) fn index(&self, channel: &str) -> Option<&[IndexEntry]> {
        self.indexes.get(channel).map(Vec::as_slice)
    }
}

/// Takes out the indexes that are not right of channels in which no list places anything, and returns
/// the channels: when an older imgforge changed the key, these went on to be signed by the old one.
/// Whoever can write there could remove them as well. What is signed as a whole names them.
fn take_left(state: &State, read: &mut Vec<Signed>) -> Result<Vec<String>> {
    let mut channels = Vec::new();
    if below::read(&state.root, set::PATH)?.is_some() {
        return Ok(channels);
    }
    read.retain(|index| {
        let wrong = matches!(&index.result, Err(error) if error.kind() == Kind::Gate);
        let channel = index.channel.as_ref().filter(|_| wrong);
        let left = channel.filter(|channel| state.placements(channel).next().is_none());
        channels.extend(left.cloned());
        left.is_none()
    });
    Ok(channels)
}

fn left(state: &State, channel: &str) -> String {
    format!(
        "{} is not signed by a trusted key, as an older imgforge left it, and `{channel}` has no \
         image: it is replaced",
        state.root.join(state.index_path(channel)).display()
    )
}

fn disagrees(path: &Path, why: &str) -> Error {
    Error::gate(format!("{} is not to be trusted: {why}", path.display()))
        .cause("an older one was put in its place, or the list is older")
        .hint(
            "find out who changed it, and restore it, the lists and the records from a backup or a \
             copy; `imgforge repo verify` shows what else is wrong",
        )
}

/// Whether an index has of each image what its record says, which a signed list says, too; else why
/// not. Entries of other images are others' business; but for what an imgforge wrote of one that no
/// record knows, which is told.
fn agrees(state: &State, channel: &str, entries: &[IndexEntry]) -> Result<Option<String>, String> {
    let mut expected = BTreeMap::new();
    for image in state.images.values() {
        let ids = [
            state.entry_id(&image.name, channel),
            canary_id(&image.name, channel),
        ];
        for (_, one) in image.published() {
            for id in &ids {
                expected.insert((id.clone(), normalize_arch(&one.arch)), None);
            }
        }
        let placement = image.channels.get(channel).cloned().unwrap_or_default();
        let current = placement.current.values().map(|number| (&ids[0], *number));
        let canaries = placement.canary.values().map(|one| (&ids[1], one.revision));
        for (id, number) in current.chain(canaries) {
            let one = image.revisions.get(&number);
            let one = one.ok_or_else(|| format!("`{}` has no revision {number}", image.name))?;
            let key = (id.clone(), normalize_arch(&one.arch));
            expected.insert(key, Some((number, one.sha512.as_str())));
        }
    }
    let mut stranger = None;
    for entry in entries {
        let key = (entry.id.clone(), normalize_arch(&entry.arch));
        let Some(wanted) = expected.remove(&key) else {
            if set::is_ours(entry) {
                let id = &entry.id;
                stranger = Some(format!(
                    "it has `{id}`, and no record says that there is one"
                ));
            }
            continue;
        };
        let found = (entry.revision, entry.sha512.as_deref().unwrap_or_default());
        if wanted != Some(found) {
            let (id, number) = (&entry.id, entry.revision);
            return Err(format!(
                "it has revision {number} as `{id}`, and the signed list another"
            ));
        }
    }
    match expected.iter().find(|(_, wanted)| wanted.is_some()) {
        Some(((id, _), _)) => Err(format!("the signed list says that the channel has `{id}`")),
        None => Ok(stranger),
    }
}

impl Image {
    /// Takes from the revisions that were only bound what nobody has signed: all but their numbers,
    /// and the bytes that these are bound to. One far above the others no imgforge has bound.
    fn strip(&mut self) {
        let last = self
            .published()
            .next_back()
            .map_or(0, |(number, _)| *number);
        self.revisions
            .retain(|number, one| !one.pending || *number <= last + AHEAD);
        for one in self.revisions.values_mut().filter(|one| one.pending) {
            (one.yanked, one.same_as) = (None, None);
            one.companions.clear();
            one.built_on.clear();
        }
    }
}

impl Repository {
    /// The public keys that this repository's indexes are checked with: of those who are named,
    /// as their copies in the repository renew them, else the one that signs, as gpg has it: what
    /// lies in the directory may change.
    pub(super) fn trusted(&self) -> Result<&Keyring> {
        if let Some(trusted) = self.trusted.get() {
            return Ok(trusted);
        }
        let keyring = if self.signers.is_named() {
            let offered = below::read(&self.root, "imgforge.gpg")?;
            self.signers.keyring(offered.as_deref())?
        } else {
            Keyring::read(&self.signer.public_key()?, None)?
        };
        Ok(self.trusted.get_or_init(|| keyring))
    }
}
