//! The XML of repositories of RPM packages, read as a stream.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::super::limited::Limited;
use crate::distro::release::Offer;
use crate::severity::Severity;

/// The largest text or tag, in bytes: of a package's description.
const LARGEST: u64 = 16 << 20;

/// Numbers that are times in seconds since 1970: nobody made repositories of RPM packages before 1995, and what is
/// behind 2100 is a day and an hour as digits.
const TIMES: Range<u64> = 800_000_000..4_102_444_800;

/// A time in seconds, which some write with a fraction.
fn seconds(text: &str) -> Option<u64> {
    text.trim().split('.').next()?.parse().ok()
}

/// A piece of a document.
enum Piece<'a> {
    /// A tag, by its name without a prefix, and its attributes.
    Open(&'a str, &'a dyn Fn(&str) -> Option<String>),
    Text(&'a str),
    Close(&'a str),
}

/// Gives the pieces of a document.
fn walk(from: impl Read, take: &mut dyn FnMut(Piece<'_>)) -> io::Result<()> {
    let left = Cell::new(LARGEST);
    let from = Limited {
        from,
        left: &left,
        said: "this is no index of packages: it has a text without an end",
    };
    let mut reader = Reader::from_reader(BufReader::with_capacity(256 << 10, from));
    let mut buffer = vec![];
    let mut deep = 0u32;
    loop {
        buffer.clear();
        left.set(LARGEST);
        let event = reader
            .read_event_into(&mut buffer)
            .map_err(io::Error::other)?;
        match event {
            Event::Start(tag) => {
                open(&tag, take);
                deep += 1;
            }
            Event::Empty(tag) => {
                open(&tag, take);
                take(Piece::Close(tag.local_name().as_ref()));
            }
            Event::End(tag) => {
                take(Piece::Close(tag.local_name().as_ref()));
                deep = deep.saturating_sub(1);
            }
            Event::Text(text) => take(Piece::Text(&text)),
            Event::Eof if deep > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn open(tag: &BytesStart<'_>, take: &mut dyn FnMut(Piece<'_>)) {
    let attribute = |name: &str| {
        let mut all = tag.attributes();
        let mut all = all.with_checks(false).filter_map(Result::ok);
        let found = all.find(|one| one.key.as_ref() == name)?;
        Some(found.value.into_owned())
    };
    take(Piece::Open(tag.local_name().as_ref(), &attribute));
}

/// `repomd.xml`: the parts of an index.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Repomd {
    /// When it was made, seconds since 1970, where it says so: its revision, else the time of its newest part.
    pub made: Option<u64>,
    /// By type.
    pub parts: BTreeMap<String, Part>,
}

/// A file of an index.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Below the repository.
    pub location: String,
    /// SHA-256 of the file in hex.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// Its bytes when unpacked, where it says so.
    pub open_size: Option<u64>,
}

impl Repomd {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no such document, or has no part with a SHA-256.
    pub fn read(bytes: &[u8]) -> io::Result<Self> {
        let mut repomd = Repomd::default();
        let (mut kind, mut part) = (String::new(), Part::default());
        let (mut tag, mut checksum) = (String::new(), false);
        let mut newest: Option<u64> = None;
        walk(bytes, &mut |piece| match piece {
            Piece::Open(name, attribute) => {
                name.clone_into(&mut tag);
                match name {
                    "data" => {
                        kind = attribute("type").unwrap_or_default();
                        part = Part::default();
                    }
                    "location" => part.location = attribute("href").unwrap_or_default(),
                    "checksum" => checksum = attribute("type").as_deref() == Some("sha256"),
                    _ => {}
                }
            }
            Piece::Text(text) => match &*tag {
                "revision" => repomd.made = text.trim().parse().ok(),
                "timestamp" => newest = newest.max(seconds(text)),
                "checksum" if checksum => part.sha256 = text.trim().to_ascii_lowercase(),
                "size" => part.size = text.trim().parse().unwrap_or_default(),
                "open-size" => part.open_size = text.trim().parse().ok(),
                _ => {}
            },
            Piece::Close(name) => {
                tag.clear();
                let is_digest =
                    part.sha256.len() == 64 && part.sha256.bytes().all(|b| b.is_ascii_hexdigit());
                if name == "data" && is_digest && !part.location.is_empty() {
                    repomd.parts.insert(kind.clone(), std::mem::take(&mut part));
                }
            }
        })?;
        // Some count their revisions, or call them as their release.
        let is_time = |made: &u64| TIMES.contains(made);
        repomd.made = repomd.made.filter(is_time).or(newest).or(repomd.made);
        match repomd.parts.is_empty() {
            true => Err(io::Error::other("it lists no files with SHA-256")),
            false => Ok(repomd),
        }
    }
}

/// A list of mirrors of a repository, and what their indexes are:
/// <https://mirrormanager.readthedocs.io/en/latest/>.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Metalink {
    /// Addresses of repositories.
    pub uris: Vec<String>,
    /// SHA-256 of the newest index in hex, where the list says it.
    pub newest: Option<String>,
    /// Those of older ones, which count as well: mirrors take time.
    pub older: Vec<String>,
}

impl Metalink {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no such document.
    pub fn read(bytes: &[u8]) -> io::Result<Self> {
        let mut list = Metalink::default();
        let (mut tag, mut is_sha256, mut is_older) = (String::new(), false, false);
        walk(bytes, &mut |piece| match piece {
            Piece::Open(name, attribute) => {
                name.clone_into(&mut tag);
                is_older |= name == "alternates";
                is_sha256 = name == "hash" && attribute("type").as_deref() == Some("sha256");
            }
            Piece::Text(text) if tag == "url" => {
                let text = text.trim();
                let uri = text.trim_end_matches("/repodata/repomd.xml");
                list.uris.push(uri.to_owned());
            }
            Piece::Text(text) if is_sha256 => {
                let sha256 = text.trim().to_ascii_lowercase();
                match is_older {
                    true => list.older.push(sha256),
                    false => list.newest = Some(sha256),
                }
            }
            Piece::Text(_) => {}
            Piece::Close(name) => {
                tag.clear();
                is_sha256 = false;
                is_older &= name != "alternates";
            }
        })?;
        Ok(list)
    }

    /// Whether an index with this digest is one of theirs.
    pub fn has(&self, sha256: &str) -> bool {
        let mut all = self.newest.iter().chain(&self.older);
        self.newest.is_none() || all.any(|one| one == sha256)
    }
}

/// As rpm writes a version, without the epoch 0.
fn version(epoch: Option<String>, version: Option<String>, release: Option<String>) -> String {
    let (version, release) = (version.unwrap_or_default(), release.unwrap_or_default());
    match epoch.filter(|epoch| epoch != "0" && !epoch.is_empty()) {
        Some(epoch) => format!("{epoch}:{version}-{release}"),
        None => format!("{version}-{release}"),
    }
}

/// Reads `primary.xml`, and gives `found` the packages whose names are `wanted`, with their architectures. What is of a
/// module counts only for who has chosen it, and is passed over.
///
/// # Errors
/// When it cannot be read, or is no such document.
pub fn primary(
    from: impl Read,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut dyn FnMut(Offer, &str),
) -> io::Result<()> {
    let (mut offer, mut arch, mut tag) = (Offer::default(), String::new(), String::new());
    walk(from, &mut |piece| match piece {
        Piece::Open(name, attribute) => {
            name.clone_into(&mut tag);
            match name {
                "package" => {
                    offer = Offer::default();
                    arch.clear();
                }
                "version" => {
                    offer.version = version(attribute("epoch"), attribute("ver"), attribute("rel"));
                }
                _ => {}
            }
        }
        Piece::Text(text) => match &*tag {
            "name" => text.trim().clone_into(&mut offer.name),
            "arch" => text.trim().clone_into(&mut arch),
            "sourcerpm" => {
                let stem = text.trim().trim_end_matches(".src.rpm");
                let name = stem.rsplitn(3, '-').nth(2).unwrap_or_default();
                name.clone_into(&mut offer.source);
            }
            _ => {}
        },
        Piece::Close(name) => {
            tag.clear();
            if name == "package" && wanted(&offer.name) && !offer.version.contains(".module") {
                let mut offer = std::mem::take(&mut offer);
                if offer.source.is_empty() {
                    offer.source.clone_from(&offer.name);
                }
                offer.source_version.clone_from(&offer.version);
                found(offer, &arch);
            }
        }
    })
}

/// A security fix of a package, as a distribution's notices have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The first version of the package that has it.
    pub version: String,
    /// The notice's identifier.
    pub id: String,
    /// How bad it is.
    pub severity: Severity,
}

/// Reads `updateinfo.xml`: the notices of security fixes of the packages whose names are `wanted`.
///
/// # Errors
/// As [`primary`].
pub fn updateinfo(
    from: impl Read,
    wanted: &dyn Fn(&str) -> bool,
) -> io::Result<BTreeMap<String, Vec<Notice>>> {
    let mut all: BTreeMap<String, Vec<Notice>> = BTreeMap::new();
    let (mut security, mut tag) = (false, String::new());
    let (mut id, mut severity) = (String::new(), Severity::Unknown);
    let mut packages: Vec<(String, String)> = vec![];
    walk(from, &mut |piece| match piece {
        Piece::Open(name, attribute) => {
            name.clone_into(&mut tag);
            match name {
                "update" => {
                    security = attribute("type").as_deref() == Some("security");
                    (id, severity) = (String::new(), Severity::Unknown);
                    packages.clear();
                }
                "package" => {
                    let package = attribute("name").filter(|name| wanted(name));
                    packages.extend(package.map(|package| {
                        let version = version(
                            attribute("epoch"),
                            attribute("version"),
                            attribute("release"),
                        );
                        (package, version)
                    }));
                }
                _ => {}
            }
        }
        Piece::Text(text) => match &*tag {
            "id" => text.trim().clone_into(&mut id),
            "severity" => severity = text.trim().parse().unwrap_or_default(),
            _ => {}
        },
        Piece::Close(name) => {
            tag.clear();
            if name == "update" && security {
                for (package, version) in packages.drain(..) {
                    let notice = Notice {
                        version,
                        id: id.clone(),
                        severity,
                    };
                    all.entry(package).or_default().push(notice);
                }
            }
        }
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests;
