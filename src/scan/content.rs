//! Searches one content, decoded and unpacked as often as it is packed.

use std::io::{self, Cursor, Read};

use super::decode::{self, Form};
use super::find::Finder;
use super::frames::Frames;
use super::stream::hold;
use super::{cpio, journal, nested, squashfs};

/// How often something packed may be in something packed.
pub(super) const DEPTH: u32 = 8;

/// How much the members of one file may be in all, in bytes: more is a trap.
const MOST: u64 = 64 << 30;

/// How many members of one archive are named that could not be searched.
const NAMED: usize = 3;

/// What something packed is that has more bytes than one search holds.
const LARGE: &str = "it is larger than 1 GiB, with what it is packed in";

/// What has the beginning of something compressed, and is of no form that can be decoded.
const UNKNOWN: &str = "it is not known what it is";

/// What a content has.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rules by their place in the table, and where they matched first.
    pub(super) rules: Vec<(usize, Location)>,
    /// Known secrets and where they are.
    pub(super) known: Vec<(usize, Location)>,
    /// What could not be searched first, in sentences about the file.
    pub(super) closed: Vec<String>,
    /// How many more there are.
    more: usize,
    /// How many bytes are held at this moment.
    held: u64,
    /// How many bytes were searched.
    pub(super) bytes: u64,
}

/// Where in a content something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// Names of archives' members, outermost first, with what follows each; empty in most files.
    pub(super) member: String,
    /// The byte.
    pub(super) at: u64,
}

/// A search through one content and what is packed in it.
#[derive(Clone, Copy)]
pub(super) struct Search<'s> {
    pub(super) finder: &'s Finder,
    /// Rules that are not asked.
    pub(super) skip: &'s [usize],
    /// How many bytes are held at most, of all that is packed in each other.
    pub(super) most: u64,
    /// How often something packed may still be in the content.
    pub(super) depth: u32,
    /// What the content is called where it is not the file itself: the archives that it is in, and its
    /// name, each with `: ` behind it.
    pub(super) member: &'s str,
}

impl Search<'_> {
    /// The search of what is packed in this content, and called so.
    pub(super) fn within<'m>(&'m self, member: &'m str) -> Search<'m> {
        Search {
            depth: self.depth - 1,
            member,
            ..*self
        }
    }

    /// Searches a member of the archive that this content is.
    pub(super) fn member(&self, name: &str, content: &mut dyn Read, found: &mut Found) {
        let member = self.named(name);
        self.within(&member).all(content, found);
    }

    /// What a member of the archive is called.
    pub(super) fn named(&self, name: &str) -> String {
        format!("{}{name}: ", self.member)
    }

    /// Searches all of it.
    pub(super) fn all(&self, content: &mut dyn Read, found: &mut Found) {
        let member = self.member;
        if !member.is_empty() && found.is_too_much() {
            found.close("", "it unpacks to more than 64 GiB".into());
            return;
        }
        // The file itself is as long as it is; what is packed in it may say anything.
        let left = match member.is_empty() {
            true => u64::MAX,
            false => (MOST + 1).saturating_sub(found.bytes),
        };
        let mut bounded = content.take(left);
        let result = self.decoded(&mut bounded, found);
        if bounded.limit() == 0 {
            found.close("", "it unpacks to more than 64 GiB".into());
        } else if let Err(cause) = result {
            found.close(member, format!("it cannot be decoded: {cause}"));
        }
    }

    fn decoded(&self, content: &mut dyn Read, found: &mut Found) -> io::Result<()> {
        let (depth, member) = (self.depth, self.member);
        let mut head = Vec::new();
        content.take(decode::HEAD as u64).read_to_end(&mut head)?;
        let form = decode::form(&head);
        if let Some(why) = decode::closed(&head) {
            found.close(member, format!("it is {why}"));
        }
        let mut all = Cursor::new(head).chain(content);
        let Some(form) = form else {
            let mut start = Vec::new();
            (&mut all).take(decode::START).read_to_end(&mut start)?;
            if decode::is_iso(&start) {
                found.close(
                    member,
                    "it is an ISO image, whose files are not looked into".into(),
                );
            }
            return self.bytes(&mut Cursor::new(start).chain(all), found);
        };
        if depth == 0 {
            found.close(member, "it is packed too often".into());
            return self.bytes(&mut all, found);
        }
        match form {
            Form::Journal | Form::Cpio | Form::Zip | Form::Squashfs => {
                let left = self.most.saturating_sub(found.held);
                let held = hold(&mut all, left)?;
                self.bytes(&mut held.as_slice(), found)?;
                let size = held.len() as u64;
                if size > left {
                    drop(held);
                    found.close(member, LARGE.into());
                    // To its end, in plain bytes.
                    return self.bytes(&mut all, found);
                }
                found.held += size;
                let result = self.held(form, held, found);
                found.held -= size;
                result
            }
            Form::Tar => nested::tar(self, &mut all, found),
            Form::Ar => nested::ar(self, &mut all, found),
            Form::OldCpio => cpio::search(self, &mut all, found),
            Form::Rpm => nested::rpm(self, &mut all, found),
            form => {
                let frames = Frames::new(form, &mut all, depth < DEPTH);
                self.frames(frames, form, found)
            }
        }
    }

    /// What is compressed, and whatever is between and behind its frames.
    fn frames(&self, mut frames: Frames<'_>, form: Form, found: &mut Found) -> io::Result<()> {
        self.within(self.member).decoded(&mut frames, found)?;
        // An archive may end before what it is in.
        self.bytes(&mut frames, found)?;
        let (aside, rest) = frames.rest()?;
        self.bytes(&mut aside.as_slice(), found)?;
        let Some(mut rest) = rest else {
            return Ok(());
        };
        let behind = self.named("behind its end");
        if form == Form::Lz4 {
            // Its decoder ends at empty blocks, too, behind which there are others.
            found.close(&behind, UNKNOWN.into());
        }
        self.within(&behind).behind(&mut rest, found)
    }

    /// What is behind something packed, where the kernel may go on with what no other program would.
    pub(super) fn behind(&self, content: &mut dyn Read, found: &mut Found) -> io::Result<()> {
        let mut head = Vec::new();
        content.take(decode::HEAD as u64).read_to_end(&mut head)?;
        if decode::is_for_kernel(&head) && decode::form(&head).is_none() {
            found.close(self.member, UNKNOWN.into());
        }
        self.decoded(&mut Cursor::new(head).chain(content), found)
    }

    /// What must be seen at once.
    fn held(&self, form: Form, held: Vec<u8>, found: &mut Found) -> io::Result<()> {
        match form {
            Form::Zip => nested::zip(self, &held, found),
            Form::Squashfs => squashfs::search(self, held, found),
            Form::Cpio => nested::cpio(self, &held, found),
            _ => journal::each(&held, &mut |text| self.bytes(text, found)),
        }
    }

    /// Searches bytes as they are.
    pub(super) fn bytes(&self, content: &mut dyn Read, found: &mut Found) -> io::Result<()> {
        let hits = self.finder.search(content, self.skip)?;
        found.bytes += hits.bytes;
        let place = |at| Location {
            member: self.member.to_owned(),
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
        if self.closed.contains(&why) {
            return;
        }
        match self.closed.len() < NAMED {
            true => self.closed.push(why),
            false => self.more += 1,
        }
    }

    /// Whether so much came out of it that it is a trap.
    pub(super) fn is_too_much(&self) -> bool {
        self.bytes > MOST
    }

    /// One sentence of what was not searched.
    pub(super) fn unsearched(&self) -> Option<String> {
        match (self.closed.len(), self.more) {
            (0, _) => None,
            (_, 0) => Some(self.closed.join("; ")),
            (_, more) => Some(format!("{}; and {more} more", self.closed.join("; "))),
        }
    }
}

impl std::fmt::Display for Location {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Known;

    const SECRET: &[u8] = b"s3cret-value-1";

    fn zip(name: &str, content: &[u8]) -> Vec<u8> {
        let mut zip = ::zip::ZipWriter::new(Cursor::new(vec![]));
        let options = ::zip::write::SimpleFileOptions::default();
        zip.start_file(name, options).unwrap();
        std::io::Write::write_all(&mut zip, content).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn found(content: &[u8], most: u64) -> Found {
        let known = Known::new(&[("token".to_owned(), SECRET.to_vec())].into());
        let search = Search {
            finder: &Finder::known_only(&known),
            skip: &[],
            most,
            depth: DEPTH,
            member: "",
        };
        let mut found = Found::default();
        search.all(&mut &*content, &mut found);
        assert_eq!(found.held, 0);
        found
    }

    /// Behind a member of an archive for the kernel, which it goes on with.
    #[test]
    fn what_follows_an_archive_for_the_kernel_is_searched_or_told() {
        let member = |content: &[u8]| {
            let size = content.len();
            let mut bytes = format!(
                "070701{:048x}{size:08x}{:032x}{:08x}{:08x}a\0\0\0",
                0, 0, 2, 0
            )
            .into_bytes();
            bytes.truncate(112);
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let gzip = |content: &[u8]| {
            let mut to = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            std::io::Write::write_all(&mut to, content).unwrap();
            to.finish().unwrap()
        };
        let packed = gzip(SECRET);
        let all = [member(b"microcode"), packed].concat();
        let seen = found(&all, 1 << 20);
        assert_eq!((seen.known.len(), seen.unsearched()), (1, None));
        let lzma = b"\x5d\0\x01\x02\x03 of no known size".to_vec();
        let lz4 = b"\x02\x21\x4c\x18 by lz4 -l".to_vec();
        for before in [member(b"microcode"), gzip(&member(b"x"))] {
            for unknown in [&lzma, &lz4] {
                let seen = found(&[&before[..], unknown].concat(), 1 << 20);
                assert!(seen.unsearched().is_some());
            }
            assert_eq!(
                found(&[&before[..], b"text"].concat(), 1 << 20).unsearched(),
                None
            );
        }
    }

    /// Zips in zips, each of which has to be held while the next one is.
    #[test]
    fn what_is_held_of_all_archives_in_each_other_has_one_bound() {
        let mut inner = [&noise(100_000)[..], SECRET].concat();
        for level in 0..4 {
            inner = zip(&format!("{level}.zip"), &inner);
        }
        assert_eq!(found(&inner, 1 << 20).unsearched(), None);
        let bounded = found(&inner, 250_000);
        let why = bounded.unsearched().unwrap();
        assert!(
            why.starts_with("3.zip: 2.zip: it is larger than 1 GiB"),
            "{why}"
        );
        // Its plain bytes are.
        assert!(bounded.bytes > 300_000, "{}", bounded.bytes);
        let beside = [zip("a.zip", &noise(1000)), noise(300_000)].concat();
        assert!(found(&beside, 250_000).unsearched().is_some());
    }

    #[test]
    fn many_members_that_cannot_be_read_are_counted() {
        let mut found = Found::default();
        for member in 0..100_000 {
            found.close(&format!("{member}: "), "it is damaged".into());
        }
        assert_eq!(found.closed.len(), NAMED);
        let text = found.unsearched().unwrap();
        assert!(text.ends_with("; and 99997 more"), "{text}");
    }

    fn noise(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }
}
