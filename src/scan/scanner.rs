//! Shows each file to the rules.

use std::io::{self, Cursor, Read};

use regex::{RegexSet, RegexSetBuilder};

use super::candidate::{self, Candidate};
use super::decode::{self, Form};
use super::entry::{Entry, Kind};
use super::find::{Finder, Hits};
use super::owned::{self, Digests, Hasher, Owned};
use super::rule::{Case, Look};
use super::stream::{Hashed, Watched, hold};
use super::{Report, Subject, Unsearched, glob, journal, rules, stream};
use crate::guest::Key;
use crate::host::interrupt;

/// How much of a file a rule may judge, in bytes; larger configuration does not exist.
pub(super) const JUDGED: usize = 4 << 20;

/// How often something compressed may be in something compressed.
const DEPTH: u32 = 3;

/// What is never text of the build: compiled from files of packages.
const COMPILED: &str = ".pyc";

/// Takes files, in any order, and tells what it found.
pub struct Scanner<'a> {
    subject: &'a Subject,
    finder: Finder,
    paths: RegexSet,
    /// Rule of each path pattern, and whether the rule is about such files or not about them.
    by_path: Vec<(usize, bool)>,
    owned: Owned,
    candidates: Vec<Candidate>,
    unsearched: Vec<(Unsearched, Option<Digests>)>,
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
        let (mut patterns, mut by_path) = (vec![], vec![]);
        for (rule, each) in rules::all().iter().enumerate() {
            let (paths, about) = match each.look {
                Look::Present(paths) | Look::Judged(paths, _) => (paths, true),
                Look::Bytes(bytes) => (bytes.not_in, false),
                Look::Mode(_) | Look::Known => (&[][..], true),
            };
            for path in paths {
                patterns.push(glob::expression(path));
                by_path.push((rule, about));
            }
        }
        let paths = RegexSetBuilder::new(&patterns)
            .dot_matches_new_line(true)
            .size_limit(64 << 20)
            .dfa_size_limit(64 << 20)
            .build()
            .expect("the table's paths are tested");
        Scanner {
            subject,
            finder: Finder::new(&subject.known),
            paths,
            by_path,
            owned: Owned::default(),
            candidates: vec![],
            unsearched: vec![],
            in_files: vec![0; subject.known.count()],
            place: String::new(),
            files: 0,
            bytes: 0,
        }
    }

    /// The files from here on are of a file system that nothing mounts: rules judge them by their
    /// paths in it, as it may be the root of another system; findings have `place` before those.
    pub(super) fn enter(&mut self, place: &str) {
        place.clone_into(&mut self.place);
    }

    fn shown(&self, path: &str) -> String {
        format!("{}{path}", self.place)
    }

    /// Takes one file. What cannot be decoded is noted, what cannot be read is an error.
    ///
    /// # Errors
    /// When `content` cannot be read, or imgforge is interrupted.
    pub fn take(&mut self, entry: &Entry, content: &mut dyn Read) -> crate::error::Result<()> {
        interrupt::check()?;
        self.files += 1;
        let first = self.candidates.len();
        self.judge_mode(entry);
        if entry.kind != Kind::File || entry.size == 0 {
            return Ok(());
        }
        let mut content = Watched::new(content);
        let result = self.content(entry, &mut content, first);
        match (result, content.failed.take()) {
            (_, Some(cause)) => Err(crate::error::Error::stage(format!(
                "reading {} of the image failed",
                self.shown(&entry.path)
            ))
            .cause(cause)),
            (Ok(()), None) => Ok(()),
            (Err(cause), None) => {
                let why = format!("it cannot be decoded: {cause}");
                self.unsearched(&entry.path, why, None);
                Ok(())
            }
        }
    }

    /// Judges and searches the content; candidates from `first` on are this file's.
    fn content(
        &mut self,
        entry: &Entry,
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
        let skip = self.judge_content(entry, &head);
        let mut hits = Hits::default();
        let mut hasher = (!whole).then(Hasher::default);
        let mut all = Hashed {
            inner: Cursor::new(&head).chain(&mut *content),
            hasher: hasher.as_mut(),
        };
        let start = &head[..head.len().min(decode::HEAD)];
        let result = self.decoded(&skip, start, &mut all, DEPTH, &mut hits);
        // A decoder may leave the end of the file unread, which belongs to the digest.
        io::copy(&mut all, &mut io::sink())?;
        for (rule, at) in &hits.rules {
            self.candidate(*rule, &entry.path, format!("at byte {at}"));
        }
        self.known(entry, &hits);
        self.bytes += hits.bytes;
        let closed = decode::closed(start);
        if self.candidates.len() > first || closed.is_some() {
            let digests = match hasher {
                Some(hasher) => hasher.finish(),
                None => {
                    let mut hasher = Hasher::default();
                    hasher.update(&head);
                    hasher.finish()
                }
            };
            for candidate in &mut self.candidates[first..] {
                candidate.digests = Some(digests.clone());
            }
            if let Some(why) = closed {
                self.unsearched(&entry.path, format!("it is {why}"), Some(digests));
            }
        }
        result
    }

    /// Searches the content, decoded as often as it is compressed.
    fn decoded(
        &self,
        skip: &[usize],
        head: &[u8],
        content: &mut dyn Read,
        depth: u32,
        hits: &mut Hits,
    ) -> io::Result<()> {
        match decode::form(head) {
            None => self.search(skip, content, hits),
            Some(Form::Journal) => {
                let held = hold(content)?;
                self.search(skip, &mut held.as_slice(), hits)?;
                let (text, complete) = journal::contents(&held);
                self.search(skip, &mut text.as_slice(), hits)?;
                if complete {
                    return Ok(());
                }
                Err(io::Error::other("an entry of the journal is damaged"))
            }
            Some(Form::Cpio) => {
                let held = hold(content)?;
                self.search(skip, &mut held.as_slice(), hits)?;
                match decode::behind_cpio(&held) {
                    Some(at) if depth > 0 => {
                        let rest = &held[at..];
                        let head = &rest[..rest.len().min(decode::HEAD)];
                        self.decoded(skip, head, &mut &rest[..], depth - 1, hits)
                    }
                    _ => Ok(()),
                }
            }
            Some(_) if depth == 0 => Err(io::Error::other("it is compressed too often")),
            Some(form) => {
                let mut inner = decode::decoder(form, content)?;
                let mut head = Vec::new();
                inner
                    .by_ref()
                    .take(decode::HEAD as u64)
                    .read_to_end(&mut head)?;
                let start = head.clone();
                let mut all = Cursor::new(head).chain(inner);
                self.decoded(skip, &start, &mut all, depth - 1, hits)
            }
        }
    }

    fn search(&self, skip: &[usize], content: &mut dyn Read, hits: &mut Hits) -> io::Result<()> {
        let found = self.finder.search(content, skip)?;
        hits.bytes += found.bytes;
        hits.known.extend(found.known);
        for hit in found.rules {
            if !hits.rules.iter().any(|(rule, _)| *rule == hit.0) {
                hits.rules.push(hit);
            }
        }
        Ok(())
    }

    fn known(&mut self, entry: &Entry, hits: &Hits) {
        let known = &self.subject.known;
        let mut seen = vec![false; known.count()];
        for (secret, at) in &hits.known {
            self.in_files[*secret] += 1;
            if seen[*secret] || known.belongs(*secret, &entry.path) {
                continue;
            }
            seen[*secret] = true;
            self.candidates.push(Candidate {
                rule: rules::known(),
                path: self.shown(&entry.path),
                detail: format!("the secret `{}` at byte {at}", known.name(*secret)),
                digests: None,
                anyway: true,
            });
        }
    }

    fn judge_mode(&mut self, entry: &Entry) {
        for (rule, each) in rules::all().iter().enumerate() {
            if let Look::Mode(judge) = each.look
                && let Some(detail) = judge(entry)
            {
                // Well-known programs are setuid: their packages' own, nobody else's.
                let anyway = !rules::expected_setuid(each, entry);
                self.candidates.push(Candidate {
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
    fn judge_content(&mut self, entry: &Entry, head: &[u8]) -> Vec<usize> {
        let matches = self.paths.matches(&entry.path);
        let matches: Vec<_> = matches
            .iter()
            .map(|pattern| self.by_path[pattern])
            .collect();
        let (mut skip, mut last) = (vec![], None);
        if entry.path.ends_with(COMPILED) && entry.path.starts_with("/usr/") {
            skip.extend(0..rules::all().len());
        }
        for (rule, about) in matches {
            if last.replace(rule) == Some(rule) {
                continue;
            }
            match rules::all()[rule].look {
                _ if !about => skip.push(rule),
                _ if self.is_declared(entry, rule) => {}
                Look::Judged(_, judge) => {
                    let case = Case {
                        entry,
                        content: &head[..head.len().min(JUDGED)],
                        declared: &self.subject.declared,
                    };
                    if let Some(detail) = judge(&case) {
                        self.candidate(rule, &entry.path, detail);
                    }
                }
                _ => self.candidate(rule, &entry.path, String::new()),
            }
        }
        skip
    }

    fn is_declared(&self, entry: &Entry, rule: usize) -> bool {
        let group = rules::all()[rule].group;
        self.subject.declared.file(&entry.path, group)
    }

    fn candidate(&mut self, rule: usize, path: &str, detail: String) {
        self.candidates.push(Candidate {
            rule,
            path: self.shown(path),
            detail,
            digests: None,
            anyway: false,
        });
    }

    /// Notes that a file's content was not searched.
    pub(super) fn unsearched_file(&mut self, path: &str, why: String) {
        self.unsearched(path, why, None);
    }

    fn unsearched(&mut self, path: &str, why: String, digests: Option<Digests>) {
        let path = self.shown(path);
        self.unsearched.push((Unsearched { path, why }, digests));
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
        self.candidates.push(Candidate {
            rule,
            path,
            detail,
            digests: None,
            anyway: true,
        });
    }

    /// What was found, sorted.
    pub fn finish(self) -> Report {
        let unsearched = self.unsearched.into_iter();
        let mut unsearched: Vec<Unsearched> = unsearched
            .filter(|(_, digests)| !self.owned.vouches_for(digests.as_ref()))
            .map(|(each, _)| each)
            .collect();
        unsearched.sort();
        Report {
            findings: candidate::findings(&self.candidates, &self.owned),
            unsearched,
            files: self.files,
            bytes: self.bytes,
        }
    }
}
