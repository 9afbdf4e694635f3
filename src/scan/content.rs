//! Searches one content, decoded and unpacked as often as it is packed.

use std::io::{self, Cursor, Read};

use super::decode::{self, Form};
use super::find::Finder;
use super::stream::{HELD, hold};
use super::{journal, nested, squashfs};

/// How often something packed may be in something packed.
pub(super) const DEPTH: u32 = 8;

/// How much the members of one file may be in all, in bytes: more is a trap.
const MOST: u64 = 64 << 30;

/// How many members of one archive are named that could not be searched.
const NAMED: usize = 3;

/// What a content has.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rules by their place in the table, and where they matched first.
    pub(super) rules: Vec<(usize, Place)>,
    /// Known secrets and where they are.
    pub(super) known: Vec<(usize, Place)>,
    /// What could not be searched, in sentences about the file.
    pub(super) closed: Vec<String>,
    /// How many bytes were searched.
    pub(super) bytes: u64,
}

/// Where in a content something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Names of archives' members, outermost first, with what follows each; empty in most files.
    pub(super) member: String,
    /// The byte.
    pub(super) at: u64,
}

/// A search through one content and what is packed in it.
pub(super) struct Search<'s> {
    pub(super) finder: &'s Finder,
    /// Rules that are not asked.
    pub(super) skip: &'s [usize],
}

impl Search<'_> {
    /// Searches all of it. `member` is what it is called where it is not the file itself.
    pub(super) fn all(&self, content: &mut dyn Read, depth: u32, member: &str, found: &mut Found) {
        if !member.is_empty() && found.bytes > MOST {
            found.close("", "it unpacks to more than 64 GiB".into());
            return;
        }
        // The file itself is as long as it is; what is packed in it may say anything.
        let left = match member.is_empty() {
            true => u64::MAX,
            false => (MOST + 1).saturating_sub(found.bytes),
        };
        let mut bounded = content.take(left);
        let result = self.decoded(&mut bounded, depth, member, found);
        if bounded.limit() == 0 {
            found.close("", "it unpacks to more than 64 GiB".into());
        } else if let Err(cause) = result {
            found.close(member, format!("it cannot be decoded: {cause}"));
        }
    }

    fn decoded(
        &self,
        content: &mut dyn Read,
        depth: u32,
        member: &str,
        found: &mut Found,
    ) -> io::Result<()> {
        let mut head = Vec::new();
        content.take(decode::HEAD as u64).read_to_end(&mut head)?;
        let form = decode::form(&head);
        if let Some(why) = decode::closed(&head) {
            found.close(member, format!("it is {why}"));
        }
        let mut all = Cursor::new(head).chain(content);
        let Some(form) = form else {
            return self.bytes(&mut all, member, found);
        };
        if depth == 0 {
            found.close(member, "it is packed too often".into());
            return self.bytes(&mut all, member, found);
        }
        match form {
            Form::Journal | Form::Cpio | Form::Zip | Form::Squashfs => {
                let held = hold(&mut all)?;
                self.bytes(&mut held.as_slice(), member, found)?;
                if held.len() as u64 > HELD {
                    found.close(member, "it is larger than 1 GiB".into());
                    // To its end, in plain bytes.
                    return self.bytes(&mut all, member, found);
                }
                self.held(form, &held, depth, member, found)
            }
            Form::Tar => nested::tar(self, &mut all, depth, member, found),
            Form::Deb => nested::deb(self, &mut all, depth, member, found),
            Form::Rpm => nested::rpm(self, &mut all, depth, member, found),
            form => {
                let mut inner = decode::decoder(form, all)?;
                self.decoded(&mut inner, depth - 1, member, found)
            }
        }
    }

    /// What must be seen at once.
    fn held(
        &self,
        form: Form,
        held: &[u8],
        depth: u32,
        member: &str,
        found: &mut Found,
    ) -> io::Result<()> {
        match form {
            Form::Zip => nested::zip(self, held, depth, member, found),
            Form::Squashfs => squashfs::search(self, held, depth, member, found),
            Form::Cpio => match decode::behind_cpio(held) {
                Some(at) => self.decoded(&mut &held[at..], depth - 1, member, found),
                None => Ok(()),
            },
            _ => {
                let (text, complete) = journal::contents(held);
                self.bytes(&mut text.as_slice(), member, found)?;
                match complete {
                    true => Ok(()),
                    false => Err(io::Error::other("an entry of the journal is damaged")),
                }
            }
        }
    }

    /// Searches bytes as they are.
    pub(super) fn bytes(
        &self,
        content: &mut dyn Read,
        member: &str,
        found: &mut Found,
    ) -> io::Result<()> {
        let hits = self.finder.search(content, self.skip)?;
        found.bytes += hits.bytes;
        let place = |at| Place {
            member: member.to_owned(),
            at,
        };
        let known = hits.known.into_iter();
        found
            .known
            .extend(known.map(|(secret, at)| (secret, place(at))));
        for (rule, at) in hits.rules {
            if !found.rules.iter().any(|(seen, _)| *seen == rule) {
                found.rules.push((rule, place(at)));
            }
        }
        Ok(())
    }
}

impl Found {
    /// Notes that something was not searched.
    pub(super) fn close(&mut self, member: &str, why: String) {
        let why = match member {
            "" => why,
            member => format!("{}: {why}", member.trim_end_matches(": ")),
        };
        if !self.closed.contains(&why) {
            self.closed.push(why);
        }
    }

    /// One sentence of what was not searched.
    pub(super) fn unsearched(&self) -> Option<String> {
        let shown = self.closed.iter().take(NAMED);
        let shown: Vec<&str> = shown.map(String::as_str).collect();
        let more = self.closed.len().saturating_sub(NAMED);
        match (self.closed.len(), more) {
            (0, _) => None,
            (_, 0) => Some(shown.join("; ")),
            (_, more) => Some(format!("{}; and {more} more", shown.join("; "))),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.member.as_str() {
            "" => write!(f, "at byte {}", self.at),
            member => write!(
                f,
                "in {} at byte {}",
                member.trim_end_matches(": "),
                self.at
            ),
        }
    }
}
