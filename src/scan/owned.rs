//! Which contents are a package's own, and so public.

use std::collections::HashSet;

use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Paths of the databases.
pub(super) fn is_database(path: &str) -> bool {
    (path.starts_with("/var/lib/dpkg/info/") && path.ends_with(".md5sums"))
        || path == "/var/lib/dpkg/status"
        || (path.starts_with("/var/lib/dpkg/status.d/"))
        || RPM.contains(&path)
}

/// SQLite's, Berkeley DB's of older systems such as RHEL 8, and rpm's own of openSUSE.
const RPM: [&str; 5] = [
    "/var/lib/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/var/lib/rpm/Packages.db",
    "/usr/lib/sysimage/rpm/Packages.db",
];

/// Where Berkeley DB has the number of its hash tables, and what it is on our processors.
const HASH: (usize, [u8; 4]) = (12, [0x61, 0x15, 0x06, 0]);

/// The head of a page of Berkeley DB, in bytes; where it has the next page of a long value, and the
/// kind of the page; the kind of those that have long values.
const HEAD: usize = 26;
const NEXT: usize = 16;
const KIND: usize = 25;
const LONG: u8 = 7;

/// The digests by which packages know their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    md5: [u8; 16],
    sha256: [u8; 32],
}

/// Computes [`Digests`] of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Hasher {
    md5: Md5,
    sha256: Sha256,
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        sha2::Digest::update(&mut self.sha256, bytes);
    }

    pub(super) fn finish(self) -> Digests {
        Digests {
            md5: self.md5.finalize().into(),
            sha256: sha2::Digest::finalize(self.sha256).into(),
        }
    }
}

/// More files than this has no image; what is beyond nobody vouches for.
const MOST: usize = 4 << 20;

/// What the packages of an image say about their files.
#[derive(Debug, Default)]
pub(super) struct Owned {
    md5: HashSet<[u8; 16]>,
    sha256: HashSet<[u8; 32]>,
}

impl Owned {
    /// Reads a database.
    pub(super) fn learn(&mut self, path: &str, content: &[u8]) {
        if RPM.contains(&path) {
            self.learn_rpm(content);
            return;
        }
        for line in content.split(|byte| *byte == b'\n') {
            // `DIGEST  path` in md5sums, ` /path DIGEST` among a status file's Conffiles.
            let words = line
                .split(|byte| *byte == b' ')
                .filter(|word| word.len() == 32);
            for word in words {
                let mut digest = [0; 16];
                if hex::decode_to_slice(word, &mut digest).is_ok() && self.md5.len() < MOST {
                    self.md5.insert(digest);
                }
            }
        }
    }

    /// A header's file digests are texts of 64 digits; SQLite lays a long value over pages that
    /// begin with the number of the next one.
    fn learn_rpm(&mut self, database: &[u8]) {
        if database.get(HASH.0..HASH.0 + 4) == Some(&HASH.1) {
            return self.learn_pages(database);
        }
        let page = database
            .get(16..18)
            .map_or(0, |size| usize::from(size[0]) << 8 | usize::from(size[1]));
        self.learn_texts(database);
        if page >= 512 {
            let bodies: Vec<u8> = database
                .chunks(page)
                .flat_map(|page| page.get(4..).unwrap_or_default())
                .copied()
                .collect();
            self.learn_texts(&bodies);
        }
    }

    /// Berkeley DB lays a long value over pages that name the next one.
    fn learn_pages(&mut self, database: &[u8]) {
        let number = |bytes: &[u8], at: usize| {
            let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let Some(size) = number(database, 20).filter(|size| (512..=64 << 10).contains(size)) else {
            return;
        };
        for page in database
            .chunks_exact(size)
            .filter(|page| page[KIND] == LONG)
        {
            let mut text = page[HEAD..].to_vec();
            let next = number(page, NEXT).and_then(|next| next.checked_mul(size));
            let next = next.and_then(|at| database.get(at.checked_add(HEAD)?..)?.get(..64));
            text.extend_from_slice(next.unwrap_or_default());
            self.learn_texts(&text);
        }
    }

    fn learn_texts(&mut self, bytes: &[u8]) {
        for text in bytes.split(|byte| *byte == 0) {
            let start = text.len().saturating_sub(64);
            let mut digest = [0; 32];
            if text.len() >= 64
                && hex::decode_to_slice(&text[start..], &mut digest).is_ok()
                && self.sha256.len() < MOST
            {
                self.sha256.insert(digest);
            }
        }
    }

    /// Whether no package said anything.
    pub(super) fn is_empty(&self) -> bool {
        self.md5.is_empty() && self.sha256.is_empty()
    }

    /// Whether a package brought this content.
    pub(super) fn contains(&self, digests: &Digests) -> bool {
        self.md5.contains(&digests.md5) || self.sha256.contains(&digests.sha256)
    }

    /// As [`Owned::contains`], of a content whose digests are known.
    pub(super) fn vouches_for(&self, digests: Option<&Digests>) -> bool {
        digests.is_some_and(|digests| self.contains(digests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(content: &[u8]) -> Digests {
        let mut hasher = Hasher::default();
        hasher.update(content);
        hasher.finish()
    }

    #[test]
    fn files_of_packages_are_known_by_their_content() {
        let mut owned = Owned::default();
        assert!(owned.is_empty());
        let md5 = hex::encode(digests(b"one").md5);
        let conffile = hex::encode(digests(b"two").md5);
        owned.learn(
            "/var/lib/dpkg/info/a.md5sums",
            format!("{md5}  usr/bin/a\n").as_bytes(),
        );
        let status =
            format!("Package: a\nConffiles:\n /etc/a {conffile}\n /etc/b {conffile} obsolete\n");
        owned.learn("/var/lib/dpkg/status", status.as_bytes());
        assert!(owned.contains(&digests(b"one")) && owned.contains(&digests(b"two")));
        assert!(!owned.contains(&digests(b"three")));
    }

    #[test]
    fn rpm_digests_are_found_over_pages() {
        let text = hex::encode(digests(b"three").sha256);
        let mut database = vec![0; 3 * 512];
        database[16..18].copy_from_slice(&[2, 0]);
        database[992..1024].copy_from_slice(&text.as_bytes()[..32]);
        database[1024..1028].copy_from_slice(&[0, 0, 0, 9]);
        database[1028..1060].copy_from_slice(&text.as_bytes()[32..]);
        let mut owned = Owned::default();
        owned.learn(RPM[0], &database);
        assert!(owned.contains(&digests(b"three")) && !owned.contains(&digests(b"four")));
    }

    /// Two pages of a long value, which do not follow each other.
    #[test]
    fn rpm_digests_are_found_in_berkeley_db() {
        let [three, five] = [b"three", b"five!"].map(|text| hex::encode(digests(text).sha256));
        let mut database = vec![0; 4 * 512];
        database[12..16].copy_from_slice(&[0x61, 0x15, 6, 0]);
        database[20..24].copy_from_slice(&[0, 2, 0, 0]);
        for (page, next) in [(1, 3), (3, 0)] {
            database[page * 512 + NEXT] = next;
            database[page * 512 + KIND] = LONG;
        }
        database[600..664].copy_from_slice(five.as_bytes());
        database[1004..1024].copy_from_slice(&three.as_bytes()[..20]);
        database[1562..1606].copy_from_slice(&three.as_bytes()[20..]);
        let path = "/var/lib/rpm/Packages";
        assert!(is_database(path));
        let mut owned = Owned::default();
        owned.learn(path, &database);
        assert!(owned.contains(&digests(b"three")) && owned.contains(&digests(b"five!")));
        assert!(!owned.contains(&digests(b"four")));
        // What cannot be read vouches for nothing.
        database[20..24].copy_from_slice(&[0, 0, 0, 0]);
        let mut owned = Owned::default();
        owned.learn(path, &database);
        assert!(owned.is_empty());
    }
}
