//! What can be seen only where the repository is a directory of this host.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use super::{Audit, Signed};
use crate::error::{Context as _, Result};
use crate::index::Claims;
use crate::repository::seconds::is_second;
use crate::repository::set::{self, Set};
use crate::repository::{State, below, journal, seconds};

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
        let settled = self.settled.clone();
        if let Some(settled) = &settled {
            self.records(&root, settled)?;
        }
        let mut signed = Vec::new();
        collect(&root, Path::new(""), &mut signed)?;
        signed.retain(|(path, _)| !self.signed.contains(path));
        // A second URL of a key rotation is signed by another key.
        let (mut seconds, others): (Vec<_>, Vec<_>) =
            signed.into_iter().partition(|(path, _)| is_second(path));
        self.verify_others(others)?;
        let Some(settled) = settled else {
            return Ok(());
        };
        // One that the next publication removes is no fault; what is no file it does not look at.
        let goes = |path: &str| {
            let is_file = below::read(&root, path).is_ok_and(|bytes| bytes.is_some());
            is_file && !settled.join(path).exists()
        };
        seconds.retain(|(path, _)| !goes(path));
        for (path, _) in seconds {
            self.fault(&path, "no index says that another key signs this");
        }
        Ok(())
    }

    /// Finds what is compared, in which a publication that was interrupted is finished: until then
    /// what is derived may be older than what it is made of, and readers see nothing wrong.
    pub(super) fn settle(&mut self) -> Result<()> {
        let root = self.root.clone();
        let Some(root) = root.filter(|root| root.join(".imgforge").is_dir()) else {
            return Ok(());
        };
        if !journal::is_left(&root) {
            self.settled = Some(root);
            return Ok(());
        }
        let note =
            "a publication was interrupted: the next one finishes it, or `imgforge channel renew`";
        self.report.notes.push(note.into());
        let finished = self.scratch.join("finished");
        match journal::finished(&root, &finished) {
            Ok(()) => self.settled = Some(finished),
            Err(error) => self.blame(journal::JOURNAL, error)?,
        }
        Ok(())
    }

    /// A signed file as the next publication will find it.
    pub(super) fn read_settled(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        let settled = self.settled.clone().filter(|_| !self.is_settled());
        let found = settled.map(|settled| below::read(&settled, path));
        match found.transpose()? {
            Some(Some(found)) => Ok(Some(found)),
            // It goes; but what is no file is a fault.
            Some(None) => self.read(path).map(|_| None),
            None => self.read(path),
        }
    }

    fn is_settled(&self) -> bool {
        self.settled == self.root
    }

    /// Whether an interrupted publication has the index of a channel that has none yet.
    pub(super) fn is_coming(&self, channel: &str) -> bool {
        let (Some(root), Some(settled)) = (&self.root, &self.settled) else {
            return false;
        };
        let own = format!("channels/{channel}/index.asc");
        let mut paths = ["index.asc", &own].into_iter();
        paths.any(|path| settled.join(path).exists() && !root.join(path).exists())
    }

    /// The records and what they are compared with.
    fn records(&mut self, root: &Path, settled: &Path) -> Result<()> {
        let before = self.report.faults.len();
        self.compare_records(settled)?;
        let (theirs, ours) = (root.display().to_string(), settled.display().to_string());
        for fault in &mut self.report.faults[before..] {
            *fault = fault.replace(&ours, &theirs);
        }
        Ok(())
    }

    fn compare_records(&mut self, root: &Path) -> Result<()> {
        let state = State::read(root)?;
        let names = super::signed::listed(&state)?;
        let mut firsts = super::signed::all_indexes(&state, &self.keyring)?;
        let lists = super::signed::read_lists(&state, &names, &self.keyring)?;
        firsts.extend(lists);
        self.seconds(&state, &firsts)?;
        for list in firsts.into_iter().filter(|one| one.image.is_some()) {
            let mut faults = self.report.faults.iter();
            if let Err(error) = list.result
                && !faults.any(|fault| fault.starts_with(&list.path))
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
    /// What lies under second URLs, as the indexes say.
    fn seconds(&mut self, state: &State, firsts: &[Signed]) -> Result<()> {
        let claims = firsts.iter().filter(|one| one.channel.is_some());
        let mut claims = claims.filter_map(|one| one.result.as_ref().ok());
        let Some(owner) = claims.find_map(|claims| Claims::parse(&claims.text).owner) else {
            return Ok(());
        };
        for pair in &owner.seconds {
            let key = format!("imgforge-{}.gpg", pair.0);
            let second = match seconds::read(state, &owner, pair, firsts) {
                Ok(second) => second,
                Err(error) => return self.blame(&key, error),
            };
            for one in second.signed {
                self.report.signatures += 1;
                self.signed.insert(one.path.clone());
                if let Err(error) = one.result {
                    self.blame(&one.path, error)?;
                }
            }
        }
        Ok(())
    }

    /// Whether all is as it was signed as a whole. Only who has the directory can see that.
    fn set(&mut self, state: &State) -> Result<()> {
        let mut differences = set::unnamed(state)?;
        // What is not right by itself is told already.
        let indexes = super::signed::all_indexes(state, &self.keyring)?;
        match Set::read(state, &state.root, &self.keyring) {
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
        let signed = [".asc", ".sjson", ".json"]
            .iter()
            .any(|end| text.ends_with(end));
        if is_second(&text) {
            found.push((text, vec![]));
            continue;
        }
        if !kind.is_file() || !signed {
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
