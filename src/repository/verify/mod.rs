//! Is a repository what it says? Signatures, rules, records and every byte, from a directory or
//! through a web server.

mod derived;
mod files;
mod index;
mod local;
mod signed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;

use super::manifest::{self, Subject};
use super::views::channels::ChannelList;
use super::views::revisions::{ListedRevision, RevisionList};
use super::{below, lock, views};
use crate::error::{Error, Kind, Result};
use crate::gpg::{Keyring, Signers, verify_all};
use crate::host::temporary::Temporary;
use crate::http::{Client, Url};
use crate::index::IndexEntry;
use crate::ui::{StageUi, Unit};
use files::Expected;
pub use signed::{Signed, SignedClaims, indexes, lists, record};
pub(super) use signed::{all_indexes, records, refuse_wrong};

/// The name of the public key in a repository.
const KEY_FILE: &str = "imgforge.gpg";

/// The most that an entry point may have, in bytes.
const ENTRY_POINT: u64 = 256 << 20;

/// What [`audit`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// What is wrong, with its place.
    pub faults: Vec<String>,
    /// What is no fault, but good to know.
    pub notes: Vec<String>,
    /// Channels with an index.
    pub channels: usize,
    /// Entries of all indexes.
    pub entries: usize,
    /// Revisions whose files should be there.
    pub revisions: usize,
    /// Files whose digest was compared.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
    /// Signatures that were checked.
    pub signatures: usize,
}

/// Verifies the repository at `place`, a directory or URL, with the keys of `signers`, or else with
/// the key that the repository has itself.
///
/// # Errors
/// When it cannot be read at all; what is wrong with it is in the report.
pub fn audit(place: &str, signers: &Signers, ui: &StageUi) -> Result<VerifyReport> {
    let base = Url::parse_or_path(place)?.as_directory();
    let scratch = Temporary::new()?;
    let mut audit = Audit {
        client: Client::new()?,
        root: base.local(),
        settled: None,
        base,
        keyring: Keyring::default(),
        scratch: scratch.path().to_owned(),
        report: VerifyReport::default(),
        expected: BTreeMap::new(),
        signed: BTreeSet::new(),
        seen: BTreeSet::new(),
        id: None,
        placed: vec![],
    };
    // What is compared first is replaced together; blobs do not change.
    let held = audit.root.as_deref().map(lock::to_read).transpose()?;
    audit.take_keys(signers)?;
    audit.settle()?;
    let channels = audit.channels()?;
    let mut names = BTreeSet::new();
    for (channel, path) in &channels {
        for entry in audit.index(channel, path)? {
            names.extend(audit.expect_entry(path, &entry));
        }
    }
    names.extend(audit.local_names()?);
    for name in names {
        audit.revisions(&name)?;
    }
    audit.derived(&channels)?;
    audit.local()?;
    drop(held);
    audit.compare(ui)?;
    Ok(audit.report)
}

struct Audit {
    client: Client,
    base: Url,
    /// The directory, when it is one of this host.
    root: Option<PathBuf>,
    /// What is signed there, and the records; after a publication that was interrupted, as the next one
    /// will find it. None where that cannot be.
    settled: Option<PathBuf>,
    keyring: Keyring,
    scratch: PathBuf,
    report: VerifyReport,
    /// The files that must be there, by their path below the root.
    expected: BTreeMap<String, Expected>,
    /// Clear-signed files that were verified already.
    signed: BTreeSet<String>,
    /// The channels whose index is there.
    seen: BTreeSet<String>,
    /// Which repository it is, as its first index says.
    id: Option<String>,
    /// What the channels have, as the lists say.
    placed: Vec<derived::Placed>,
}

impl Audit {
    fn fault(&mut self, path: &str, what: impl std::fmt::Display) {
        self.report.faults.push(format!("{path}: {what}"));
    }

    /// All that is signed is of one repository, if it says of which.
    fn of_repository(&mut self, path: &str, id: &str) {
        if self.id.get_or_insert_with(|| id.to_owned()) != id {
            self.fault(path, "it is of another repository");
        }
    }

    /// Notes why a file is wrong; what this host lacks is not the file's fault.
    fn blame(&mut self, path: &str, error: Error) -> Result<()> {
        match error.kind() {
            Kind::Host | Kind::Breach | Kind::Interrupted(_) | Kind::Internal => Err(error),
            Kind::Gate | Kind::Stage | Kind::Usage => {
                self.fault(path, error);
                Ok(())
            }
        }
    }

    /// A file, if it is there; of a directory only one that no link leads to.
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        if let Some(root) = &self.root {
            let read = below::read(root, path);
            return read.or_else(|error| self.blame(path, error).map(|()| None));
        }
        self.client
            .read_optional(&self.base.below(path)?, ENTRY_POINT)
    }

    fn take_keys(&mut self, signers: &Signers) -> Result<()> {
        let offered = self.read(KEY_FILE)?;
        if offered.is_none() && signers.keys.is_none() {
            return Err(
                Error::usage(format!("this is not a repository: it has no {KEY_FILE}"))
                    .hint("name its directory or URL, and its public key with --key FILE"),
            );
        }
        self.keyring = signers.keyring(offered.as_deref())?;
        if !signers.is_named() {
            let keys = self.keyring.fingerprints.join(" and ");
            let note = format!("it was checked with the key that it has itself, {keys}");
            self.report.notes.push(note);
        }
        Ok(())
    }

    /// Each channel and the path of its index.
    fn channels(&mut self) -> Result<Vec<(String, String)>> {
        let path = views::channels::PATH;
        let list = self.read(path)?.map(|bytes| serde_json::from_slice(&bytes));
        let list: ChannelList =
            list.unwrap_or(Ok(ChannelList::default()))
                .unwrap_or_else(|cause| {
                    self.fault(path, cause);
                    ChannelList::default()
                });
        let all = list.channels.into_iter().map(|one| (one.name, one.index));
        let (mut channels, wrong): (Vec<_>, Vec<_>) =
            all.partition(|(_, index)| self.base.below(index).is_ok());
        for (_, index) in wrong {
            self.fault(path, format!("`{index}` leads out of the repository"));
        }
        // A repository whose default channel never had anything has no index at its top.
        let missing = !channels.is_empty() && self.read("index.asc")?.is_none();
        if !missing && !channels.iter().any(|(_, path)| path == "index.asc") {
            let default = list.default.unwrap_or_else(|| "the default channel".into());
            channels.insert(0, (default, "index.asc".into()));
        }
        Ok(channels)
    }

    /// Expects an entry's blob; returns the name of the image.
    fn expect_entry(&mut self, index: &str, entry: &IndexEntry) -> Option<String> {
        let Some(path) = below_root(index, &entry.file) else {
            self.fault(
                index,
                format!("`{}` leads out of the repository", entry.file),
            );
            return None;
        };
        match &entry.sha512 {
            Some(sha512) => {
                let size = entry.compressed_size;
                self.expect(&path, Expected::new(size, sha512).of(index));
            }
            None => self.fault(index, format!("`{}` has no SHA-512", entry.id)),
        }
        let mut parts = path.split('/');
        let (images, name, revision) = (parts.next()?, parts.next()?, parts.next()?);
        (images == "images" && revision.parse::<u64>().is_ok()).then(|| name.to_owned())
    }

    fn expect(&mut self, path: &str, expected: Expected) {
        let known = self
            .expected
            .entry(path.to_owned())
            .or_insert_with(|| expected.clone());
        if let Some(conflict) = known.conflict(&expected) {
            self.fault(path, conflict);
        }
    }

    /// Expects the files of all revisions of a name, as its signed list says.
    fn revisions(&mut self, name: &str) -> Result<()> {
        let path = views::revisions::path(name);
        let faults = self.report.faults.len();
        let Some(list) = self.signed(&path, RevisionList::parse)? else {
            if self.report.faults.len() == faults {
                self.fault(&path, "the list of revisions is missing");
            }
            return Ok(());
        };
        if let Some(id) = &list.repository {
            self.of_repository(&path, id);
        }
        self.note_places(name, &list);
        if let Some(end) = list.valid_until().filter(|end| *end <= Timestamp::now()) {
            self.fault(&path, expired(end));
        }
        for (number, revision) in &list.revisions {
            if !revision.removed {
                self.revision(name, *number, revision)?;
            }
        }
        for (channel, current) in &list.channels {
            if !current.is_empty() && !self.seen.contains(channel) && !self.is_coming(channel) {
                self.fault(&path, format!("`{channel}` has the image, and no index"));
            }
            for number in current.values() {
                let known = list.revisions.get(number);
                if known.is_none_or(|one| one.yanked.is_some()) {
                    self.fault(&path, format!("`{channel}` has {number}, which was yanked"));
                }
            }
        }
        Ok(())
    }

    fn revision(&mut self, name: &str, number: u64, revision: &ListedRevision) -> Result<()> {
        self.report.revisions += 1;
        let place = manifest::path(name, number);
        let ListedRevision { file, sha512, .. } = revision;
        let disk = Expected::new(Some(revision.size), sha512);
        self.expect(file, disk.of(&place));
        for one in revision.companions.values() {
            let mut expected = Expected::new(Some(one.size), &one.sha512).of(&place);
            expected.signed = one.signed;
            self.expect(&one.path, expected);
        }
        let manifest = self
            .read(&place)?
            .map(|bytes| serde_json::from_slice::<Subject>(&bytes));
        match manifest {
            None => self.fault(&place, "the manifest is missing"),
            Some(Err(cause)) => self.fault(&place, cause),
            Some(Ok(subject)) => {
                if !subject.is(number, file, sha512) {
                    self.fault(
                        &place,
                        "the manifest is about other bytes than the signed list",
                    );
                }
            }
        }
        Ok(())
    }

    /// Compares every expected file with its digest.
    fn compare(&mut self, ui: &StageUi) -> Result<()> {
        let total = self
            .expected
            .values()
            .filter_map(|expected| expected.size)
            .sum();
        for (path, expected) in std::mem::take(&mut self.expected) {
            let before = self.report.bytes;
            if let Some(fault) = self.compare_one(&path, &expected, |done| {
                ui.progress(before + done, total, Unit::Bytes);
            })? {
                self.fault(&path, fault);
            }
            if expected.signed {
                self.report.signatures += 1;
                if let Some(fault) = self.detached(&path)? {
                    self.fault(&format!("{path}.asc"), fault);
                }
            }
        }
        Ok(())
    }

    /// Verifies clear-signed files that nothing above has read.
    fn verify_others(&mut self, files: Vec<(String, Vec<u8>)>) -> Result<()> {
        let texts: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        let results = verify_all(&texts, &self.keyring)?;
        self.report.signatures += files.len();
        for ((path, _), result) in files.iter().zip(results) {
            if let Err(error) = result {
                self.blame(path, error)?;
            }
        }
        Ok(())
    }
}

/// What is told of a signed text whose time is over.
fn expired(end: Timestamp) -> String {
    format!("it was valid until {end:.0}; any publication, or `imgforge channel renew`, renews it")
}

/// The path below the root that a path relative to an index means.
fn below_root(index: &str, file: &str) -> Option<String> {
    let mut parts: Vec<&str> = index.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            ".." => drop(parts.pop()?),
            "" | "." => {}
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_entries_start_at_their_index() {
        for (index, file, expected) in [
            ("index.asc", "images/a/1/a.xz", Some("images/a/1/a.xz")),
            (
                "channels/n/index.asc",
                "../../images/a.xz",
                Some("images/a.xz"),
            ),
            ("channels/n/index.asc", "a.xz", Some("channels/n/a.xz")),
            ("index.asc", "../a.xz", None),
        ] {
            assert_eq!(below_root(index, file).as_deref(), expected, "{file}");
        }
    }
}
