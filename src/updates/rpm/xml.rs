//! The XML of repositories of RPM packages, read as a stream.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::super::limited::Limited;
use crate::distro::release::Offer;
use crate::severity::Severity;

/// The largest text or tag, in bytes: of a package's description.
const LARGEST: u64 = 16 << 20;

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
    /// When it was made, seconds since 1970, where it says so.
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
        match repomd.parts.is_empty() {
            true => Err(io::Error::other("it lists no files with SHA-256")),
            false => Ok(repomd),
        }
    }
}

/// Addresses of repositories in a list of mirrors.
///
/// # Errors
/// When it is no such document.
pub fn metalink(bytes: &[u8]) -> io::Result<Vec<String>> {
    let (mut all, mut in_url) = (vec![], false);
    walk(bytes, &mut |piece| match piece {
        Piece::Open(name, _) => in_url = name == "url",
        Piece::Text(text) if in_url => {
            let text = text.trim();
            all.push(text.trim_end_matches("/repodata/repomd.xml").to_owned());
        }
        Piece::Text(_) => {}
        Piece::Close(_) => in_url = false,
    })?;
    Ok(all)
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
mod tests {
    use super::*;

    #[test]
    fn an_index_tells_its_parts_packages_and_notices() {
        let digest = "ab".repeat(32);
        let text = format!(
            "<?xml version=\"1.0\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\n<revision>1763200800</revision>\n\
             <data type=\"primary\"><checksum type=\"sha256\">{digest}</checksum><open-checksum type=\"sha256\">cd</open-checksum>\
             <location href=\"repodata/x-primary.xml.gz\"/><size>7</size><open-size>70</open-size></data>\
             <data type=\"filelists\"><checksum type=\"sha\">00</checksum><location href=\"y\"/></data></repomd>"
        );
        let repomd = Repomd::read(text.as_bytes()).unwrap();
        assert_eq!((repomd.made, repomd.parts.len()), (Some(1_763_200_800), 1));
        let part = &repomd.parts["primary"];
        assert_eq!(
            (&*part.location, &part.sha256, part.size, part.open_size),
            ("repodata/x-primary.xml.gz", &digest, 7, Some(70))
        );
        assert!(Repomd::read(&text.as_bytes()[..text.len() - 9]).is_err());
        assert!(Repomd::read(b"<html><body>welcome</body></html>").is_err());

        let text = r#"<metadata xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="2"><package type="rpm"><name>openssl-libs</name>
            <arch>x86_64</arch><version epoch="1" ver="3.0.7" rel="28.el9"/><description>a &lt;b&gt; <![CDATA[<name>no</name>]]></description>
            <format><rpm:sourcerpm>openssl-3.0.7-28.el9.src.rpm</rpm:sourcerpm><rpm:provides><rpm:entry name="bash"/></rpm:provides></format></package>
            <package type="rpm"><name>nodejs</name><arch>x86_64</arch><version epoch="1" ver="18" rel="1.module+el9"/></package></metadata>"#;
        let mut found = vec![];
        primary(text.as_bytes(), &|_| true, &mut |offer, arch| {
            found.push(format!(
                "{} {} {} {arch}",
                offer.name, offer.version, offer.source
            ));
        })
        .unwrap();
        assert_eq!(found, ["openssl-libs 1:3.0.7-28.el9 openssl x86_64"]);

        let text = r#"<updates><update type="security" from="a"><id>RLSA-1</id><severity>Important</severity><references>
            <reference href="h" id="CVE-1" type="cve"/></references><pkglist><collection short="x"><name>x</name>
            <package name="openssl-libs" version="3.0.7" release="28.el9" epoch="1" arch="x86_64" src="s"><filename>f</filename></package>
            </collection></pkglist></update><update type="bugfix"><id>RLBA-2</id><pkglist><collection>
            <package name="openssl-libs" version="3.0.7" release="29.el9" epoch="1"/></collection></pkglist></update></updates>"#;
        let notices = updateinfo(text.as_bytes(), &|name| name == "openssl-libs").unwrap();
        let expected = Notice {
            version: "1:3.0.7-28.el9".into(),
            id: "RLSA-1".into(),
            severity: Severity::High,
        };
        assert_eq!(notices["openssl-libs"], [expected]);

        let list = r#"<metalink><files><file name="repomd.xml"><resources><url protocol="https">https://a.example/x/repodata/repomd.xml</url>
            </resources></file></files></metalink>"#;
        assert_eq!(metalink(list.as_bytes()).unwrap(), ["https://a.example/x"]);
    }

    #[test]
    fn what_has_no_end_is_refused_before_it_fills_the_memory() {
        let endless = b"<metadata><package><name>"
            .chain(io::repeat(b'x'))
            .take(1 << 40);
        let error = primary(endless, &|_| true, &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("without an end"), "{error}");
    }
}
