//! Looks for all anchors and all known secrets at once, in streams of any length.

use std::io::{self, Read};
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use super::known::Known;
use super::rule::{Bytes, Matcher};
use super::rules;
use crate::host::interrupt;
use crate::host::sparse::is_zero;

/// How much is looked at in one go, in bytes.
pub(super) const BLOCK: usize = 4 << 20;

/// How far before and behind an anchor a match may reach, in bytes.
const BEFORE: usize = 512;
const BEHIND: usize = 8 << 10;

/// Beyond this many bytes of patterns a table of all states would not fit a cache.
const LARGE: usize = 64 << 10;

/// Whom a pattern belongs to.
#[derive(Debug, Clone, Copy)]
enum Owner {
    /// A rule of the table, by its place in [`Finder::rules`].
    Rule(usize),
    /// A known secret.
    Known(usize),
}

/// A rule that looks for bytes.
#[derive(Debug)]
struct ByteRule {
    rule: usize,
    bytes: &'static Bytes,
    pattern: Regex,
}

/// Those of the table, compiled once for all scans.
static BYTE_RULES: LazyLock<Vec<ByteRule>> = LazyLock::new(|| {
    let rules = rules::all().iter().enumerate();
    let of_bytes = rules.filter_map(|(rule, each)| match each.matcher {
        Matcher::Bytes(bytes) => Some(ByteRule {
            rule,
            bytes,
            pattern: compile(bytes.pattern),
        }),
        _ => None,
    });
    of_bytes.collect()
});

/// What was found in one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hits {
    /// Rules, by their place in the table, and where they matched first.
    pub(super) rules: Vec<(usize, u64)>,
    /// Known secrets and where they are.
    pub(super) known: Vec<(usize, u64)>,
    /// How many bytes were looked at.
    pub(super) bytes: u64,
}

/// The compiled search.
#[derive(Debug)]
pub(super) struct Finder {
    patterns: Option<AhoCorasick>,
    owners: Vec<Owner>,
    rules: &'static [ByteRule],
    longest: usize,
}

impl Finder {
    /// For the rules of the table and the known secrets.
    pub(super) fn new(known: &Known) -> Self {
        let mut finder = Self::known_only(known);
        let mut patterns: Vec<Vec<u8>> = known.needles().iter().map(|n| n.0.clone()).collect();
        finder.rules = &BYTE_RULES;
        for (index, rule) in BYTE_RULES.iter().enumerate() {
            for anchor in rule.bytes.anchors {
                finder.owners.push(Owner::Rule(index));
                patterns.push(anchor.as_bytes().to_vec());
            }
        }
        finder.patterns = build(&patterns);
        finder
    }

    /// For the known secrets only.
    pub(super) fn known_only(known: &Known) -> Self {
        let needles = known.needles();
        let patterns: Vec<Vec<u8>> = needles.iter().map(|needle| needle.0.clone()).collect();
        Finder {
            patterns: build(&patterns),
            owners: needles
                .iter()
                .map(|needle| Owner::Known(needle.1))
                .collect(),
            rules: &[],
            longest: patterns.iter().map(Vec::len).max().unwrap_or(0),
        }
    }

    /// Searches a stream to its end. Rules of the table that are in `skip` are not asked.
    pub(super) fn search(&self, content: &mut dyn Read, skip: &[usize]) -> io::Result<Hits> {
        let mut hits = Hits::default();
        let behind = BEHIND.max(self.longest);
        let block = BLOCK.max(2 * behind);
        let (mut buffer, mut base, mut searched) = (Vec::new(), 0u64, 0u64);
        loop {
            if interrupt::raised() {
                return Err(io::Error::other("interrupted"));
            }
            let had = buffer.len();
            let read = content.take(block as u64).read_to_end(&mut buffer)?;
            debug_assert_eq!(buffer.len(), had + read);
            let last = read < block;
            let until = if last {
                buffer.len()
            } else {
                buffer.len() - behind
            };
            // Zeroes, as of a hole, match nothing.
            if !is_zero(&buffer) {
                self.look(&buffer, base, (searched, until), skip, &mut hits);
            }
            hits.bytes += read as u64;
            searched = base + until as u64;
            if last {
                return Ok(hits);
            }
            // What an anchor at the next block's start may have before it stays.
            let cut = until - BEFORE;
            buffer.drain(..cut);
            base += cut as u64;
        }
    }

    /// Looks at the matches that begin from `searched` (in the stream) to `until` (in the block).
    fn look(
        &self,
        block: &[u8],
        base: u64,
        (searched, until): (u64, usize),
        skip: &[usize],
        hits: &mut Hits,
    ) {
        let Some(patterns) = &self.patterns else {
            return;
        };
        for found in patterns.find_overlapping_iter(block) {
            let at = base + found.start() as u64;
            if at < searched || found.start() >= until {
                continue;
            }
            match self.owners[found.pattern().as_usize()] {
                Owner::Known(secret) => hits.known.push((secret, at)),
                Owner::Rule(index) => {
                    let rule = self.rules[index].rule;
                    let seen = hits.rules.iter().any(|(known, _)| *known == rule);
                    if !seen
                        && !skip.contains(&rule)
                        && self.rules[index].matches(block, found.start())
                    {
                        hits.rules.push((rule, at));
                    }
                }
            }
        }
    }
}

impl ByteRule {
    /// Whether the rule's match contains the anchor at `at`.
    fn matches(&self, block: &[u8], at: usize) -> bool {
        let start = at.saturating_sub(BEFORE);
        let window = &block[start..block.len().min(at + BEHIND)];
        // A match that ends before the anchor is another anchor's.
        self.pattern.find_iter(window).any(|found| {
            start + found.start() <= at
                && start + found.end() > at
                && (self.bytes.judge)(found.as_bytes(), &window[found.end()..])
        })
    }
}

/// A pattern of the table; a test compiles them all.
pub(super) fn compile(pattern: &str) -> Regex {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(4 << 20)
        .build()
        .expect("the table's patterns are tested")
}

fn build(patterns: &[Vec<u8>]) -> Option<AhoCorasick> {
    if patterns.is_empty() {
        return None;
    }
    let size: usize = patterns.iter().map(Vec::len).sum();
    let kind = (size < LARGE).then_some(AhoCorasickKind::DFA);
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .kind(kind)
        .build(patterns)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn known() -> Known {
        Known::new(&BTreeMap::from([(
            "token".into(),
            b"s3cret-value-1".to_vec(),
        )]))
    }

    #[test]
    fn what_lies_across_blocks_is_found_once() {
        let finder = Finder::new(&known());
        let key = "AKIA0123456789ABCDEF";
        for at in [
            0,
            BLOCK - 9,
            BLOCK - BEHIND - 5,
            BLOCK,
            2 * BLOCK - BEHIND + 7,
        ] {
            let mut text = vec![b' '; 2 * BLOCK + 100];
            text[at..at + 14].copy_from_slice(b"s3cret-value-1");
            text[at + 40..at + 60].copy_from_slice(key.replace("0123", "QZTW").as_bytes());
            let hits = finder.search(&mut text.as_slice(), &[]).unwrap();
            assert_eq!(hits.known, [(0, at as u64)]);
            let names: Vec<_> = hits
                .rules
                .iter()
                .map(|(rule, at)| (rules::all()[*rule].name, *at))
                .collect();
            assert!(
                names.contains(&("aws-access-key", at as u64 + 40)),
                "{at} {names:?}"
            );
            assert_eq!(hits.bytes, text.len() as u64);
        }
    }

    #[test]
    fn nothing_to_look_for_is_no_search() {
        let finder = Finder::known_only(&Known::default());
        let hits = finder.search(&mut &b"anything"[..], &[]).unwrap();
        assert_eq!((hits.known.len(), hits.bytes), (0, 8));
    }
}
