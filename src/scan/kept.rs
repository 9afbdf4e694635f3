//! What is kept of an image until all of it was seen.

use std::collections::BTreeMap;

use super::Declared;
use super::candidate::Candidate;
use super::homes::{Homes, Keys};
use super::rules;

/// How much is kept at most, in bytes: more names than that need are a trap.
const MOST: usize = 256 << 20;

/// About what a record takes beside its texts, in bytes.
const RECORD: usize = 256;

/// Keys that open accounts: where the file is, and of which rule.
#[derive(Debug)]
struct Opening {
    place: String,
    path: String,
    rule: usize,
    keys: Keys,
}

/// Findings, and what only all files together tell.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) candidates: Vec<Candidate>,
    /// The homes of each place's accounts.
    homes: BTreeMap<String, Homes>,
    opening: Vec<Opening>,
    bytes: usize,
    most: usize,
    is_full: bool,
}

impl Default for Kept {
    fn default() -> Self {
        Kept {
            candidates: vec![],
            homes: BTreeMap::new(),
            opening: vec![],
            bytes: 0,
            most: MOST,
            is_full: false,
        }
    }
}

impl Kept {
    /// Keeps what may be a finding.
    pub(super) fn push(&mut self, candidate: Candidate) {
        if self.has_room(candidate.path.len() + candidate.detail.len()) {
            self.candidates.push(candidate);
        }
    }

    /// Keeps what an /etc/passwd says.
    pub(super) fn learn(&mut self, place: &str, passwd: &[u8]) {
        let mut homes = self.homes.remove(place).unwrap_or_default();
        homes.learn(passwd, &mut |bytes| self.has_room(bytes));
        if self.has_room(place.len()) {
            self.homes.insert(place.to_owned(), homes);
        }
    }

    /// Keeps the keys in a file.
    pub(super) fn opens(&mut self, (place, path): (&str, &str), rule: usize, keys: Keys) {
        if self.has_room(place.len() + path.len() + keys.size()) {
            let (place, path) = (place.to_owned(), path.to_owned());
            self.opening.push(Opening {
                place,
                path,
                rule,
                keys,
            });
        }
    }

    /// All that may be a finding, now that it is known whose the homes are.
    pub(super) fn finish(mut self, declared: &Declared) -> Vec<Candidate> {
        let nobodys = Homes::default();
        while let Some(file) = self.opening.pop() {
            let homes = self.homes.get(&file.place).unwrap_or(&nobodys);
            let accounts = homes.accounts_of(&file.path);
            if let Some(detail) = file.keys.undeclared(declared, &accounts) {
                self.candidates.push(Candidate {
                    rule: file.rule,
                    path: file.place + &file.path,
                    detail,
                    digests: None,
                    anyway: false,
                });
            }
        }
        self.candidates
    }

    /// Whether so much more may be kept; that something is not is told once.
    fn has_room(&mut self, bytes: usize) -> bool {
        let sum = self.bytes.saturating_add(bytes).saturating_add(RECORD);
        if sum <= self.most {
            self.bytes = sum;
            return true;
        }
        if !std::mem::replace(&mut self.is_full, true) {
            self.candidates.push(Candidate {
                rule: rules::unseen(),
                path: "/".into(),
                detail: format!(
                    "it has more findings, accounts and files of keys than {} MiB hold: the rest is not told",
                    self.most >> 20
                ),
                digests: None,
                anyway: true,
            });
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::rules::NOT_SEARCHED;

    fn bounded(most: usize) -> Kept {
        Kept {
            most,
            ..Kept::default()
        }
    }

    /// A file may have any number of names, and an image any number of files.
    #[test]
    fn names_without_number_have_a_bound_that_is_told() {
        let declared = Declared::default();
        let keys = || Keys::read([(1, "ssh-ed25519 of somebody")].into_iter(), &declared);
        let name = "/d/.ssh/authorized_keys";
        let passwd: String = (0..9999).map(|n| format!("u{n}:x:1:1::/u{n}:\n")).collect();
        let fill: [&dyn Fn(&mut Kept); 4] = [
            &|kept| (0..9999).for_each(|_| kept.opens(("", name), 0, keys())),
            &|kept| kept.learn("", passwd.as_bytes()),
            &|kept| (0..9999).for_each(|n| kept.learn(&n.to_string(), b"")),
            &|kept| {
                (0..9999).for_each(|_| {
                    kept.push(Candidate {
                        rule: 0,
                        path: name.into(),
                        detail: String::new(),
                        digests: None,
                        anyway: false,
                    });
                });
            },
        ];
        for fill in fill {
            let mut kept = bounded(1 << 20);
            fill(&mut kept);
            assert!(kept.bytes <= 1 << 20 && kept.bytes > (1 << 20) - 1000);
            let all = kept.finish(&declared);
            assert!(all.len() <= 1 + (1 << 20) / RECORD, "{}", all.len());
            let unsearched = |each: &&Candidate| rules::all()[each.rule].name == NOT_SEARCHED;
            assert_eq!(all.iter().filter(unsearched).count(), 1);
            let mut kept = bounded(1 << 30);
            fill(&mut kept);
            assert_eq!(kept.finish(&declared).iter().filter(unsearched).count(), 0);
        }
    }

    /// However large a file of keys is, as many of it are kept as the recipe declares.
    #[test]
    fn a_large_file_of_keys_takes_little() {
        let declared = Declared::default();
        let line = "ssh-ed25519 of somebody";
        let keys = Keys::read((1..100_000).map(|number| (number, line)), &declared);
        assert!(keys.size() < 100);
        assert_eq!(
            keys.undeclared(&declared, &["ops"]).unwrap(),
            "99999 lines are not declared by the recipe"
        );
    }
}
