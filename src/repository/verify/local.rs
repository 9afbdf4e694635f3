//! What can be seen only where the repository is a directory of this host.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use super::Audit;
use crate::error::{Context as _, Result};
use crate::repository::set::{self, Set};
use crate::repository::{State, below, journal};

impl Audit {
    /// The images that the records know, whether an index lists them or not.
    pub(super) fn local_names(&mut self) -> Result<Vec<String>> {
        let Some(root) = self
            .root
            .clone()
            .filter(|root| root.join(".imgforge").is_dir())
        else {
            return Ok(vec![]);
        };
        let state = State::read(&root)?;
        let there = state.images.values().filter(|image| {
            let revisions = image.revisions.values();
            !image.history.is_empty() && revisions.into_iter().any(|one| one.removed.is_none())
        });
        Ok(there.map(|image| image.name.clone()).collect())
    }

    /// Every other signed file, and whether the indexes say what the records say.
    pub(super) fn local(&mut self) -> Result<()> {
        let Some(root) = self.root.clone() else {
            return Ok(());
        };
        let mut signed = Vec::new();
        collect(&root, Path::new(""), &mut signed)?;
        signed.retain(|(path, _)| !self.signed.contains(path));
        self.verify_others(signed)?;
        if root.join(".imgforge").is_dir() {
            self.records(&root)?;
        }
        Ok(())
    }

    /// The records and what they are compared with; after a publication that was interrupted, as the
    /// next one will find it. Until then the indexes may be older, and readers see nothing wrong.
    fn records(&mut self, root: &Path) -> Result<()> {
        if !journal::is_left(root) {
            return self.compare_records(root);
        }
        let note = "a publication was interrupted; the next one finishes it";
        self.report.notes.push(note.into());
        let finished = self.scratch.join("finished");
        if let Err(error) = journal::finished(root, &finished) {
            return self.blame(journal::JOURNAL, error);
        }
        let told = self.report.faults.len();
        self.compare_records(&finished)?;
        let (theirs, ours) = (root.display().to_string(), finished.display().to_string());
        for fault in &mut self.report.faults[told..] {
            *fault = fault.replace(&ours, &theirs);
        }
        Ok(())
    }

    fn compare_records(&mut self, root: &Path) -> Result<()> {
        let state = State::read(root)?;
        let names = super::signed::listed(&state)?;
        for list in super::signed::read_lists(&state, &names, &self.keyring)? {
            let mut told = self.report.faults.iter();
            if let Err(error) = list.result
                && !told.any(|fault| fault.starts_with(&list.path))
            {
                self.blame(&list.path, error)?;
            }
        }
        self.set(&state)?;
        for channel in state.channels.keys() {
            let path = state.index_path(channel);
            let Ok(Some(signed)) = below::read(root, &path) else {
                continue;
            };
            let text = String::from_utf8_lossy(&signed).into_owned();
            let sections = crate::index::parse(&text);
            let entries = sections.and_then(|sections| crate::index::check(&sections));
            // Its faults are told already.
            let Ok(entries) = entries else { continue };
            let listed: BTreeSet<(&str, u64)> = entries
                .iter()
                .map(|entry| (entry.id.as_str(), entry.revision))
                .collect();
            for (image, placement) in state.placements(channel) {
                let id = state.entry_id(&image.name, channel);
                for number in placement.current.values() {
                    if !listed.contains(&(id.as_str(), *number)) {
                        self.fault(&path, format!("`{id}` should have revision {number}"));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Audit {
    /// Whether all is as it was signed as a whole. Only who has the directory can see that.
    fn set(&mut self, state: &State) -> Result<()> {
        let mut differences = set::unnamed(state)?;
        // What is not right by itself is told already.
        let indexes = super::signed::all_indexes(state, &self.keyring)?;
        match Set::read(state, &self.keyring) {
            Ok(Some((set, _))) => {
                self.report.signatures += 1;
                differences.extend(set.differences(state, &set::digests(&indexes)));
            }
            Ok(None) => differences.extend(set::missed(&indexes)),
            Err(error) => return self.blame(set::PATH, error),
        }
        for difference in differences {
            self.fault(set::PATH, difference);
        }
        Ok(())
    }
}

/// How a clear-signed text begins.
const BEGIN: &[u8; 34] = b"-----BEGIN PGP SIGNED MESSAGE-----";

/// The clear-signed files below a directory, but for what is unfinished.
fn collect(root: &Path, below: &Path, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let dir = root.join(below);
    let doing = || format!("reading {}", dir.display());
    for entry in std::fs::read_dir(&dir).doing(doing)? {
        let entry = entry.doing(doing)?;
        let path = below.join(entry.file_name());
        let kind = entry.file_type().doing(doing)?;
        if kind.is_dir() {
            if path != Path::new(".imgforge") {
                collect(root, &path, found)?;
            }
            continue;
        }
        let text = path.to_string_lossy().into_owned();
        // A second URL of a key rotation is signed by another key.
        let signed = [".asc", ".sjson", ".json"]
            .iter()
            .any(|end| text.ends_with(end));
        if !kind.is_file() || !signed || is_second(&text) {
            continue;
        }
        let mut head = [0; BEGIN.len()];
        let mut file = below::open(root, &path).doing(doing)?;
        if file.read_exact(&mut head).is_ok() && head == *BEGIN {
            let bytes = below::read_present(root, &text)?;
            found.push((text, bytes));
        }
    }
    Ok(())
}

/// `index-SUFFIX.asc`, `revisions-SUFFIX.sjson`.
fn is_second(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    (name.starts_with("index-") && name.ends_with(".asc"))
        || (name.starts_with("revisions-") && name.ends_with(".sjson"))
}
