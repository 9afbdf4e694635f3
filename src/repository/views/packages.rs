//! `images/NAME/packages.json`: which revisions have which versions of which packages, from the
//! SBOMs, for `repo query`. And `images/NAME/changes.json`: what changed in each revision, and
//! which checks it passed, for people.
//!
//! Both keep what they say of a revision: each SBOM is read once.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};

use super::{Change, ViewFile};
use crate::blame::{self, Index};
use crate::error::{Error, Result};
use crate::repository::below;
use crate::repository::gate::GateReport;
use crate::repository::state::{CompanionRecord, Image, Revision, State};
use crate::sbom::cyclonedx::{self, Bill};
use crate::sbom::diff::{self, Diff};
use crate::sbom::{Kind, Package};

/// How the name of an SBOM ends.
pub const SBOM: &str = ".cdx.json";
/// How the name of a list of configuration files ends.
pub const CONFIG: &str = ".config.sha256";

/// Stands for the checks of a revision whose manifest is damaged; each publication tries again.
const UNREADABLE: &str = "what the gate found cannot be read";

/// `packages.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Packages {
    /// Version of the format.
    pub version: u32,
    /// The image.
    pub name: String,
    /// The revisions whose SBOMs are in it.
    pub revisions: Vec<u64>,
    /// The packages, sorted.
    pub packages: Vec<Versions>,
}

/// The versions of one package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    /// The package's name.
    pub name: String,
    /// Its source package, where it has another name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Whose rules the versions follow.
    pub kind: Kind,
    /// Revisions by version, as ranges with both ends.
    pub versions: BTreeMap<String, Vec<(u64, u64)>>,
}

/// `changes.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Version of the format.
    pub version: u32,
    /// The image.
    pub name: String,
    /// By revision.
    pub revisions: BTreeMap<u64, Changed>,
}

/// What is new in one revision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// The revision before it, for the same architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// How many packages it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<usize>,
    /// How it differs from that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
    /// Identifiers of the advisories that it closes, as its manifest says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
    /// The checks that it passed, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
}

/// Renders both files of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let mut files = Vec::new();
    for image in change.images() {
        files.push(file(image, "changes", change.changes(image)));
        if image
            .revisions
            .values()
            .any(|revision| revision.ending(SBOM).is_some())
        {
            files.push(file(image, "packages", &packages(change.state, image)?));
        }
    }
    Ok(files)
}

fn file(image: &Image, name: &str, value: &impl Serialize) -> ViewFile {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    ViewFile::new(format!("images/{}/{name}.json", image.name), text)
}

/// What was written before; an unreadable file is written anew.
fn old<T: Default + for<'de> Deserialize<'de>>(root: &Path, image: &Image, name: &str) -> T {
    let path = format!("images/{}/{name}.json", image.name);
    let bytes = below::read(root, &path).ok().flatten();
    bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// A companion's bytes, which are those that its record says.
///
/// # Errors
/// When it cannot be read, or was changed.
fn companion(root: &Path, record: &CompanionRecord) -> Result<Vec<u8>> {
    let bytes = below::read_present(root, &record.path)?;
    match hex::encode(Sha512::digest(&bytes)) == record.sha512 {
        true => Ok(bytes),
        false => {
            let path = root.join(&record.path);
            Err(Error::gate(format!("{} was changed", path.display()))
                .cause("its SHA-512 is not what its record says")
                .hint("`imgforge repo verify` shows what else is damaged"))
        }
    }
}

/// The packages of a revision; none when it has no SBOM.
///
/// # Errors
/// When the SBOM cannot be read.
pub fn of_revision(root: &Path, revision: &Revision) -> Result<Option<(Kind, Vec<Package>)>> {
    let bill = bill(root, revision)?;
    Ok(bill.map(|bill| (bill.kind, bill.packages)))
}

/// The SBOM of a revision; none when it has none.
///
/// # Errors
/// When it cannot be read.
pub fn bill(root: &Path, revision: &Revision) -> Result<Option<Bill>> {
    let Some(bill) = revision.ending(SBOM) else {
        return Ok(None);
    };
    let bytes = companion(root, bill)?;
    let read = cyclonedx::read(&bytes).map_err(|cause| {
        Error::stage(format!(
            "{} is not an SBOM",
            root.join(&bill.path).display()
        ))
        .cause(cause)
        .hint("`imgforge repo verify` shows what else is damaged")
    });
    read.map(Some)
}

fn packages(state: &State, image: &Image) -> Result<Packages> {
    let mut known: Packages = old(&state.root, image, "packages");
    if known.version != 1 || known.name != image.name {
        known = Packages {
            version: 1,
            name: image.name.clone(),
            ..Packages::default()
        };
    }
    let offered = |number: &u64| image.revisions.get(number).is_some_and(Revision::offered);
    let gone: Vec<u64> = known
        .revisions
        .iter()
        .copied()
        .filter(|number| !offered(number))
        .collect();
    let mut table = Table::of(known.packages);
    gone.iter().for_each(|number| table.remove(*number));
    known.revisions.retain(offered);
    for (number, revision) in &image.revisions {
        if known.revisions.contains(number) || !revision.offered() {
            continue;
        }
        // A damaged SBOM must not stop the next publication; `repo verify` tells of it.
        if let Ok(Some((kind, packages))) = of_revision(&state.root, revision) {
            packages
                .into_iter()
                .for_each(|package| table.add(*number, kind, package));
            known.revisions.push(*number);
        }
    }
    known.revisions.sort_unstable();
    known.packages = table.into_list();
    Ok(known)
}

/// By version: from which revision to which.
type Spans = BTreeMap<String, Vec<(u64, u64)>>;

/// Packages by name, source and kind.
struct Table(BTreeMap<(String, String, Kind), Spans>);

impl Table {
    fn of(list: Vec<Versions>) -> Self {
        let rows = list
            .into_iter()
            .map(|row| ((row.name, row.source, row.kind), row.versions));
        Table(rows.collect())
    }

    fn into_list(self) -> Vec<Versions> {
        let rows = self
            .0
            .into_iter()
            .filter(|(_, versions)| !versions.is_empty());
        rows.map(|((name, source, kind), versions)| Versions {
            name,
            source,
            kind,
            versions,
        })
        .collect()
    }

    fn add(&mut self, number: u64, kind: Kind, package: Package) {
        let row = self
            .0
            .entry((package.name, package.source, kind))
            .or_default();
        let ranges = row.entry(package.version).or_default();
        if ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
        {
            return;
        }
        ranges.push((number, number));
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (first, last) in ranges.drain(..) {
            match joined.last_mut() {
                Some(range) if range.1 + 1 == first => range.1 = last,
                _ => joined.push((first, last)),
            }
        }
        *ranges = joined;
    }

    fn remove(&mut self, number: u64) {
        for row in self.0.values_mut() {
            for ranges in row.values_mut() {
                let without = ranges.drain(..).flat_map(|(first, last)| {
                    let parts = match (first..=last).contains(&number) {
                        true => vec![(first, number.wrapping_sub(1)), (number + 1, last)],
                        false => vec![(first, last)],
                    };
                    parts
                        .into_iter()
                        .filter(|(first, last)| first <= last && *last != u64::MAX)
                });
                *ranges = without.collect();
            }
            row.retain(|_, ranges| !ranges.is_empty());
        }
    }
}

/// What is new in each revision of an image.
pub(super) fn changes(state: &State, image: &Image) -> Changes {
    let mut known: Changes = old(&state.root, image, "changes");
    if known.version != 1 || known.name != image.name {
        known = Changes {
            version: 1,
            name: image.name.clone(),
            ..Changes::default()
        };
    }
    known
        .revisions
        .retain(|number, kept| image.revisions.contains_key(number) && kept.checks != [UNREADABLE]);
    for (number, revision) in image.published() {
        if !known.revisions.contains_key(number) && revision.removed.is_none() {
            let changed = changed(state, image, *number, revision);
            known.revisions.insert(*number, changed);
        }
    }
    known
}

/// What is new in a revision; what cannot be read is left out.
fn changed(state: &State, image: &Image, number: u64, revision: &Revision) -> Changed {
    let before = image
        .revisions
        .range(..number)
        .rev()
        .find(|(_, other)| !other.pending && other.arch == revision.arch);
    let read = |revision: &Revision| of_revision(&state.root, revision).ok().flatten();
    let new = read(revision);
    let diff = before.and_then(|(_, before)| {
        let ((kind, new), (_, old)) = (new.as_ref()?, read(before)?);
        let mut diff = diff::packages(*kind, &old, new);
        if let (Some(old), Some(new)) = (config(&state.root, before), config(&state.root, revision))
        {
            diff.config = diff::config(&old, &new);
        }
        Some(diff)
    });
    Changed {
        since: before.map(|(number, _)| *number),
        packages: new.map(|(_, packages)| packages.len()),
        diff,
        closed: closed(state, image, number),
        checks: match gate(state, image, number, revision.same_as) {
            Ok(gate) => gate.as_ref().map(checks).unwrap_or_default(),
            // It must not stop the next publication; `repo verify` tells of the manifest.
            Err(_) => vec![UNREADABLE.into()],
        },
    }
}

/// The advisories that a revision closes; nothing where its manifest cannot be read, of which `repo verify` tells.
fn closed(state: &State, image: &Image, number: u64) -> Vec<String> {
    let manifest = state.manifest(&image.name, number).ok();
    let fixes = manifest.and_then(|manifest| manifest.origin.fixes?.read().ok());
    fixes.map(|fixes| fixes.closed).unwrap_or_default()
}

/// What the gate found; by the manifest of the revision `same_as` where its own does not say.
fn gate(
    state: &State,
    image: &Image,
    number: u64,
    same_as: Option<u64>,
) -> Result<Option<GateReport>> {
    let read = |number| {
        let gate = state.manifest(&image.name, number)?.gate;
        gate.map(|gate| gate.read()).transpose()
    };
    match (read(number), same_as) {
        (Ok(None) | Err(_), Some(older)) => read(older),
        (own, _) => own,
    }
}

/// The configuration files of a revision with their digests; none when it has no list.
pub fn config(root: &Path, revision: &Revision) -> Option<BTreeMap<String, String>> {
    let bytes = companion(root, revision.ending(CONFIG)?).ok()?;
    Some(crate::sbom::contents::config_of(
        &String::from_utf8(bytes).ok()?,
    ))
}

/// The index of a revision's files; nothing of one that was published without.
///
/// # Errors
/// When it cannot be read.
pub fn files(root: &Path, revision: &Revision) -> Result<Option<Index>> {
    let Some(record) = revision.ending(blame::SUFFIX) else {
        return Ok(None);
    };
    let bytes = companion(root, record)?;
    Index::from_bytes(&bytes, &root.join(&record.path).display().to_string()).map(Some)
}

/// What the gate found, for people.
fn checks(gate: &GateReport) -> Vec<String> {
    let mut lines = Vec::new();
    for clone in &gate.clones {
        let firmware = Some(clone.firmware.to_uppercase()).filter(|firmware| !firmware.is_empty());
        let nic = (!clone.nic.is_empty()).then(|| format!("the network card {}", clone.nic));
        let with: Vec<String> = firmware.into_iter().chain(nic).collect();
        let word = if with.is_empty() { "" } else { " with " };
        let with = with.join(" and ");
        let seconds = clone
            .healthy_after
            .map(|s| format!(" and was ready after {s} s"))
            .unwrap_or_default();
        lines.push(format!("a machine{word}{with} booted it{seconds}"));
    }
    let commands = gate.clones.first().map(|clone| clone.commands.as_slice());
    let succeeded = commands.unwrap_or_default().iter();
    let succeeded = succeeded.filter(|command| command.code == Some(0));
    lines.extend(succeeded.map(|command| format!("`{}` succeeded there", command.command)));
    if gate.clones.len() > 1 {
        lines.push("two machines made from it have different machine ids and SSH host keys".into());
    }
    if gate.leftovers.files > 0 {
        lines
            .push("a search of the whole disk found no passwords, keys or ids of the build".into());
    }
    lines
}

#[cfg(test)]
mod tests;
