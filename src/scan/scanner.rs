//! Shows each file to the rules.

use std::io::{self, Cursor, Read};
use std::sync::LazyLock;

use globset::{GlobSet, GlobSetBuilder};

use super::candidate::{self, Candidate};
use super::content::{self, Found, Location, Search};
use super::entry::{FileEntry, Kind};
use super::find::Finder;
use super::holes::Pieces;
use super::kept::Kept;
use super::owned::{self, Hasher, Owned};
use super::rule::{Case, Matcher};
use super::stream::{Hashed, Watched};
use super::{ScanReport, Subject, glob, rules, stream};
use crate::guest::Key;
use crate::host::interrupt;
use crate::ui::StageUi;

/// How much of a file a rule may judge, in bytes; larger configuration does not exist.
pub(super) const JUDGED: usize = 4 << 20;

/// What is never text of the build: compiled from files of packages.
fn is_compiled(path: &str) -> bool {
    path.ends_with(".pyc") && path.starts_with("/usr/")
}

/// Where accounts have their homes.
const PASSWD: &str = "/etc/passwd";

/// The path patterns of all rules.
struct Paths {
    set: GlobSet,
    /// Rule of each pattern, and whether the rule is about such files or not about them.
    rules: Vec<(usize, bool)>,
}

static PATHS: LazyLock<Paths> = LazyLock::new(|| {
    let (mut set, mut rules) = (GlobSetBuilder::new(), vec![]);
    for (rule, each) in rules::all().iter().enumerate() {
        let (paths, about) = each.matcher.paths();
        for path in paths {
            set.add(glob::pattern(&path).expect("the table's paths are tested"));
            rules.push((rule, about));
        }
    }
    let set = set.build().expect("the table's paths are tested");
    Paths { set, rules }
});

/// Rules about a path: those that judge what is there, and those that do not look at it.
#[derive(Default)]
struct About {
    judged: Vec<usize>,
    skip: Vec<usize>,
}

/// Takes files, in any order, and tells what it found.
pub struct Scanner<'a> {
    subject: &'a Subject,
    finder: Finder,
    owned: Owned,
    kept: Kept,
    ui: Option<StageUi>,
    in_files: Vec<u64>,
    /// Put before the paths that are told.
    place: String,
    files: u64,
    bytes: u64,
}

impl std::fmt::Debug for Scanner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scanner({} files)", self.files)
    }
}

impl<'a> Scanner<'a> {
    /// A scanner with all rules.
    pub fn new(subject: &'a Subject) -> Self {
        Scanner {
            subject,
            finder: Finder::new(&subject.known),
            owned: Owned::default(),
            kept: Kept::default(),
            ui: None,
            in_files: vec![0; subject.known.count()],
            place: String::new(),
            files: 0,
            bytes: 0,
        }
    }

    /// Tells `ui` how far the scan is within a large file.
    pub(super) fn tell(&mut self, ui: &StageUi) {
        self.ui = Some(ui.clone());
    }

    /// The files from here on are of a file system that nothing mounts: rules judge them by their
    /// paths in it, as it may be the root of another system; findings have `place` before those.
    pub(super) fn enter(&mut self, place: &str) {
        place.clone_into(&mut self.place);
    }

    fn shown(&self, path: &str) -> String {
        format!("{}{path}", self.place)
    }

    /// Takes one file. What cannot be decoded is a finding, what cannot be read is an error.
    ///
    /// # Errors
    /// When `content` cannot be read, or imgforge is interrupted.
    pub fn take(&mut self, entry: &FileEntry, content: &mut dyn Read) -> crate::error::Result<()> {
        self.take_pieces(entry, None, content)
    }

    /// As [`Scanner::take`], of a file that is read as these pieces.
    pub(super) fn take_pieces(
        &mut self,
        entry: &FileEntry,
        pieces: Option<&Pieces>,
        content: &mut dyn Read,
    ) -> crate::error::Result<()> {
        interrupt::check()?;
        self.files += 1;
        let first = self.kept.candidates.len();
        self.judge_mode(entry);
        if entry.kind != Kind::File || entry.size == 0 {
            return Ok(());
        }
        let ui = self.ui.clone();
        let mut content = Watched::new(content, entry.size, ui.as_ref());
        let result = self.content(entry, pieces, &mut content, first);
        interrupt::check()?;
        let failed = content.failed.take();
        match failed.map_or(result, Err) {
            Ok(()) => Ok(()),
            Err(cause) => Err(crate::error::Error::stage(format!(
                "reading {} of the image failed",
                self.shown(&entry.path)
            ))
            .cause(cause)),
        }
    }

    /// Searches bytes that are no file's, such as swap space; `path` is what they are called.
    ///
    /// # Errors
    /// As [`Scanner::take`].
    pub(super) fn take_bytes(
        &mut self,
        path: &str,
        size: u64,
        pieces: Option<&Pieces>,
        content: &mut dyn Read,
    ) -> crate::error::Result<()> {
        let entry = FileEntry::new(path.to_owned(), 0o100_600, (0, 0), size);
        self.take_pieces(&entry, pieces, content)?;
        self.files -= 1;
        Ok(())
    }

    /// Takes another name of the file `target`, whose content is not there any more. Where it has
    /// to be looked at by this name, too, that is told; by its own it was if `is_seen`.
    pub(super) fn take_name(
        &mut self,
        entry: &FileEntry,
        target: &str,
        is_seen: bool,
    ) -> crate::error::Result<()> {
        interrupt::check()?;
        self.files += 1;
        self.judge_mode(entry);
        let (own, first) = (self.about(&entry.path), self.about(target));
        let mut misses = false;
        for rule in own.judged {
            match rules::all()[rule].matcher {
                Matcher::Present(_) | Matcher::Installed(..) => {
                    self.candidate(rule, &entry.path, String::new());
                }
                Matcher::Owned(..) => misses = true,
                _ => misses |= !(is_seen && first.judged.contains(&rule)),
            }
        }
        let known = &self.subject.known;
        misses |= !is_compiled(target) && first.skip.iter().any(|rule| !own.skip.contains(rule));
        misses |= (0..known.count())
            .any(|each| known.belongs(each, target) && !known.belongs(each, &entry.path));
        if misses {
            let why = format!("it is {target} by another name, and was not judged by this one");
            self.candidate(rules::unseen(), &entry.path, why);
        }
        Ok(())
    }

    /// Judges and searches the content; candidates from `first` on are this file's.
    fn content(
        &mut self,
        entry: &FileEntry,
        pieces: Option<&Pieces>,
        content: &mut Watched<'_>,
        first: usize,
    ) -> io::Result<()> {
        let mut head = Vec::new();
        content.take(JUDGED as u64).read_to_end(&mut head)?;
        let whole = head.len() < JUDGED;
        if owned::is_database(&entry.path) {
            content.take(stream::HELD).read_to_end(&mut head)?;
            self.owned.learn(&entry.path, &head);
        }
        if entry.path == PASSWD {
            self.kept.learn(&self.place, &head);
        }
        let skip = self.judge_content(entry, &head);
        let mut found = Found::default();
        let mut hasher = (!whole).then(Hasher::default);
        let mut all = Hashed {
            inner: Cursor::new(&head).chain(&mut *content),
            hasher: hasher.as_mut(),
        };
        let search = Search {
            finder: &self.finder,
            skip: &skip,
            most: stream::HELD,
            depth: content::DEPTH,
            member: "",
        };
        search.all(&mut all, &mut found);
        // A decoder may leave the end of the file unread, which belongs to the digest.
        io::copy(&mut all, &mut io::sink())?;
        let at = |place: &Location| match (pieces, place.member.as_str()) {
            (Some(pieces), "") => format!("at byte {}", pieces.place(place.at)),
            _ => place.to_string(),
        };
        for (rule, place) in &found.rules {
            self.candidate(*rule, &entry.path, at(place));
        }
        self.known(entry, &found, at);
        self.bytes += found.bytes;
        if let Some(why) = found.unsearched() {
            self.candidate(rules::unseen(), &entry.path, why);
        }
        if self.kept.candidates.len() > first && pieces.is_none() {
            let digests = match hasher {
                Some(hasher) => hasher.finish(),
                None => {
                    let mut hasher = Hasher::default();
                    hasher.update(&head);
                    hasher.finish()
                }
            };
            for candidate in &mut self.kept.candidates[first..] {
                candidate.digests = Some(digests.clone());
            }
        }
        Ok(())
    }

    fn known(&mut self, entry: &FileEntry, found: &Found, at: impl Fn(&Location) -> String) {
        let known = &self.subject.known;
        let mut seen = vec![false; known.count()];
        for (secret, place) in &found.known {
            self.in_files[*secret] += 1;
            if seen[*secret] || known.belongs(*secret, &entry.path) {
                continue;
            }
            seen[*secret] = true;
            self.kept.push(Candidate {
                rule: rules::known(),
                path: self.shown(&entry.path),
                detail: format!("the secret `{}` {}", known.name(*secret), at(place)),
                digests: None,
                anyway: true,
            });
        }
    }

    fn judge_mode(&mut self, entry: &FileEntry) {
        for (rule, each) in rules::all().iter().enumerate() {
            if let Matcher::Mode(judge) = each.matcher
                && let Some(detail) = judge(entry)
            {
                // Well-known programs are setuid: their packages' own, nobody else's.
                let anyway = !rules::expected_setuid(each, entry);
                self.kept.push(Candidate {
                    rule,
                    path: self.shown(&entry.path),
                    detail,
                    digests: None,
                    anyway,
                });
            }
        }
    }

    /// Asks the rules about such files; returns those that are not about this one.
    fn judge_content(&mut self, entry: &FileEntry, head: &[u8]) -> Vec<usize> {
        let about = self.about(&entry.path);
        let case = Case {
            entry,
            content: &head[..head.len().min(JUDGED)],
            declared: &self.subject.declared,
        };
        for rule in about.judged {
            match rules::all()[rule].matcher {
                Matcher::Judged(_, judge) => {
                    if let Some(detail) = judge(&case) {
                        self.candidate(rule, &entry.path, detail);
                    }
                }
                Matcher::Owned(_, read) => {
                    let at = (self.place.as_str(), entry.path.as_str());
                    self.kept.opens(at, rule, read(&case));
                }
                _ => self.candidate(rule, &entry.path, String::new()),
            }
        }
        about.skip
    }

    /// Which rules are about a file at such a path.
    fn about(&self, path: &str) -> About {
        let (mut about, mut last) = (About::default(), None);
        if is_compiled(path) {
            about.skip.extend(0..rules::all().len());
        }
        for pattern in PATHS.set.matches(path) {
            let (rule, is_about) = PATHS.rules[pattern];
            if last.replace(rule) == Some(rule) {
                continue;
            }
            let group = rules::all()[rule].group;
            if !is_about {
                about.skip.push(rule);
            } else if !self.subject.declared.file(path, group) {
                about.judged.push(rule);
            }
        }
        about
    }

    fn candidate(&mut self, rule: usize, path: &str, detail: String) {
        self.kept.push(Candidate {
            rule,
            path: self.shown(path),
            detail,
            digests: None,
            anyway: false,
        });
    }

    /// Notes that something was not searched.
    pub(super) fn unsearched(&mut self, path: &str, why: String) {
        self.candidate(rules::unseen(), path, why);
    }

    /// Keys of the image's encrypted volumes.
    pub(super) fn luks_keys(&self) -> &'a [Key] {
        &self.subject.luks_keys
    }

    /// How often each known secret was in files.
    pub(super) fn in_files(&self) -> &[u64] {
        &self.in_files
    }

    /// Adds a finding that is no file's.
    pub(super) fn elsewhere(&mut self, rule: usize, path: String, detail: String) {
        self.kept.push(Candidate {
            rule,
            path,
            detail,
            digests: None,
            anyway: true,
        });
    }

    /// What was found, sorted.
    pub fn finish(self) -> ScanReport {
        let candidates = self.kept.finish(&self.subject.declared);
        ScanReport {
            findings: candidate::findings(&candidates, &self.owned),
            files: self.files,
            bytes: self.bytes,
        }
    }
}
