//! What a rule is.

use serde::{Serialize, Serializer};

use super::declared::Declared;
use super::entry::FileEntry;
use super::glob;
use super::homes::Keys;
use crate::installers::{INSTALLERS, Leaves};

/// What a rule protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Keys and who may log in with one.
    Keys,
    /// Credentials of services.
    Tokens,
    /// Accounts and passwords.
    Accounts,
    /// What two clones must not share.
    Identity,
    /// What tells of the build's own surroundings.
    Build,
    /// What people and programs leave.
    Traces,
    /// Permissions.
    Modes,
    /// What the scan could not look into.
    Unseen,
}

/// What a rule looks for.
#[derive(Clone, Copy)]
pub enum Matcher {
    /// What any installer leaves: a regular file with content at or below such a path, or at one
    /// of these.
    Installed(fn(&Leaves) -> Patterns, Patterns),
    /// A regular file with content at such a path.
    Present(&'static [&'static str]),
    /// A regular file at such a path, judged by its content.
    Judged(&'static [&'static str], fn(&Case<'_>) -> Option<String>),
    /// A file of keys at such a path, which are judged when it is known whose the homes are.
    Owned(&'static [&'static str], fn(&Case<'_>) -> Keys),
    /// Bytes in any file.
    Bytes(&'static Bytes),
    /// Kind, mode or owner of any file.
    Mode(fn(&FileEntry) -> Option<String>),
    /// A known secret; the scanner itself looks.
    Known,
    /// What could not be looked into; the scanner itself knows.
    Unseen,
}

/// See [`glob`](super::glob).
type Patterns = &'static [&'static str];

impl Matcher {
    /// Patterns of files, and whether it is about them or not about them.
    pub(super) fn paths(&self) -> (Vec<String>, bool) {
        let (paths, about) = match *self {
            Matcher::Present(paths) | Matcher::Judged(paths, _) | Matcher::Owned(paths, _) => {
                (paths, true)
            }
            Matcher::Installed(_, others) => (others, true),
            Matcher::Bytes(bytes) => (bytes.not_in, false),
            Matcher::Mode(_) | Matcher::Known | Matcher::Unseen => (&[][..], true),
        };
        let mut paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        if let Matcher::Installed(which, _) = self {
            let left = INSTALLERS.iter().flat_map(|one| which(&one.leaves));
            paths.extend(left.map(|path| format!("{path}{{,/**}}")));
        }
        (paths, about)
    }
}

/// Bytes that a rule looks for.
#[derive(Debug, Clone, Copy)]
pub struct Bytes {
    /// One of these is in every match.
    pub anchors: &'static [&'static str],
    /// The regular expression of a match, near an anchor.
    pub pattern: &'static str,
    /// Whether a match counts: the match, and what follows it.
    pub judge: fn(&[u8], &[u8]) -> bool,
    /// Paths where it is another rule's business.
    pub not_in: &'static [&'static str],
}

/// A file for a rule to judge.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The file.
    pub entry: &'a FileEntry,
    /// Its content, at most [`JUDGED`](super::scanner::JUDGED) bytes of it.
    pub content: &'a [u8],
    /// What belongs into the image.
    pub declared: &'a Declared,
}

impl Case<'_> {
    /// The content as text.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.content)
    }
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Matcher::Installed(..) => "Installed",
            Matcher::Present(_) => "Present",
            Matcher::Judged(..) => "Judged",
            Matcher::Owned(..) => "Owned",
            Matcher::Bytes(_) => "Bytes",
            Matcher::Mode(_) => "Mode",
            Matcher::Known => "Known",
            Matcher::Unseen => "Unseen",
        })
    }
}

/// What removes a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fix {
    /// An operation of `seal`.
    Operation(&'static str),
    /// Operations of `seal`, each with the paths from which it removes what was found; elsewhere nothing
    /// does it.
    Operations(&'static [(&'static str, &'static [&'static str])]),
    /// Anything else, as the rest of "to remove it, …".
    Setting(&'static str),
}

/// What to do where no operation of `seal` does it.
const BY_HAND: &str = "remove it in the step that brought it";

impl Fix {
    /// What removes what was found at `path`.
    pub(super) fn at(&self, path: &str) -> String {
        let takes = |patterns: &[&str]| patterns.iter().any(|pattern| glob::matches(pattern, path));
        match self {
            Fix::Operations(rows) => match rows.iter().find(|(_, patterns)| takes(patterns)) {
                Some((name, _)) => Fix::Operation(name).to_string(),
                None => BY_HAND.to_owned(),
            },
            other => other.to_string(),
        }
    }
}

impl std::fmt::Display for Fix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fix::Operation(name) => write!(f, "seal with the operation `{name}`"),
            Fix::Operations(rows) => {
                let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
                write!(f, "seal with the operation `{}`", names.join("` or `"))
            }
            Fix::Setting(text) => f.write_str(text),
        }
    }
}

impl Serialize for Fix {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// One kind of leftover.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rule {
    /// Its name in recipes and reports.
    pub name: &'static str,
    /// What it protects.
    pub group: Group,
    /// Why a finding matters.
    pub why: &'static str,
    /// What removes a finding.
    pub fix: Fix,
    /// What it looks for.
    #[serde(skip)]
    pub matcher: Matcher,
}

impl Rule {
    /// The paths where it looks; none, where it looks into any file.
    pub fn paths(&self) -> Vec<String> {
        match self.matcher.paths() {
            (paths, true) => paths,
            (_, false) => vec![],
        }
    }
}
