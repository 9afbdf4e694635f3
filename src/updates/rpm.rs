//! Repositories of RPM packages: <https://docs.fedoraproject.org/en-US/quick-docs/create-rpm-repository/> has their parts,
//! createrepo_c(8) writes them. As dnf does, an index counts that is signed, or that came by https.

pub mod xml;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::cache::{check_date, is_behind};
use super::lists::{Listed, read_listed};
use super::suite::{Failures, Load, Loaded, Offers, Want, sentence};
use crate::digest::Sha256;
use crate::distro::release::Release;
use crate::distro::repos::Way;
use crate::error::{Error, Result};
use crate::gpg::{self, Keyring};
use crate::http::Url;
use xml::{Metalink, Part, Repomd};

/// How many addresses of a list of mirrors are tried.
const MIRRORS: usize = 4;

/// The largest part of an index when unpacked, in bytes: Fedora's has 250 MB.
const LARGEST: u64 = 4 << 30;

/// A repository, from the address with the newest index that counts.
///
/// # Errors
/// When none has.
pub(super) fn load(load: &Load<'_>, way: Way, signed: bool) -> Result<Loaded> {
    let mut failures = Failures::default();
    let list = addresses(load, way)?;
    let mut indexes = vec![];
    for uri in &list.uris {
        match index(load, uri, &list, signed) {
            Ok(index) => {
                let is_newest = list.newest.as_ref() == Some(&index.sha256);
                indexes.push(index);
                if is_newest {
                    break;
                }
            }
            Err(error) => failures.add(error)?,
        }
    }
    indexes.sort_by_key(|index| Reverse(index.repomd.made));
    let mut loaded = None;
    for index in indexes {
        match lists(load, index) {
            Ok(one) => {
                loaded = Some(one);
                break;
            }
            Err(error) => failures.add(error)?,
        }
    }
    failures.end(loaded, || {
        Error::stage("its list of mirrors has none that comes by https")
    })
}

fn addresses(load: &Load<'_>, way: Way) -> Result<Metalink> {
    if way == Way::Rpm {
        return Ok(Metalink {
            uris: load.asked.uris.clone(),
            ..Metalink::default()
        });
    }
    let mut all = Metalink::default();
    for uri in &load.asked.uris {
        let url = Url::parse(uri)?;
        if !url.is_https() && !url.is_loopback() {
            return Err(Error::gate(format!("{url} can be changed on its way")));
        }
        let current = load.cache.current(&url)?;
        load.cache.keep(&url, &current)?;
        let text = String::from_utf8_lossy(&current.bytes);
        match way {
            Way::Metalink => {
                all = Metalink::read(&current.bytes).map_err(|cause| {
                    Error::stage(format!("{url} is no list of mirrors")).cause(cause)
                })?;
            }
            _ => all
                .uris
                .extend(text.lines().map(|line| line.trim().to_owned())),
        }
    }
    let safe = |uri: &String| Url::parse(uri).is_ok_and(|url| url.is_https() || url.is_loopback());
    all.uris.retain(safe);
    all.uris.truncate(MIRRORS);
    Ok(all)
}

/// An index that counts.
struct Index {
    uri: String,
    base: Url,
    url: Url,
    repomd: Repomd,
    sha256: String,
    fetched: u64,
}

/// What an address has, if that counts.
fn index(load: &Load<'_>, uri: &str, list: &Metalink, signed: bool) -> Result<Index> {
    let base = Url::parse(&format!("{}/", uri.trim_end_matches('/')))?;
    let url = base.join("repodata/repomd.xml")?;
    let current = load.cache.current(&url)?;
    let sha256 = Sha256::of(&current.bytes).to_string();
    if !list.has(&sha256) {
        return Err(Error::gate(format!("{url} does not count"))
            .cause("it is not what the list of its mirrors says"));
    }
    trust(load, &url, &current.bytes, signed)?;
    let read = |bytes: &[u8]| {
        let read = Repomd::read(bytes);
        let read = read
            .map_err(|cause| Error::stage(format!("{url} is no index of packages")).cause(cause))?;
        check_date(&url, read.made, load.at).map(|()| read)
    };
    let mut repomd = read(&current.bytes)?;
    let before = current.before.as_deref();
    match before.and_then(|bytes| read(bytes).ok()) {
        // An old index would hide what is known already.
        Some(before) if is_behind(repomd.made, before.made) => repomd = before,
        _ => load.cache.keep(&url, &current)?,
    }
    Ok(Index {
        uri: uri.to_owned(),
        base,
        url,
        repomd,
        sha256,
        fetched: current.fetched,
    })
}

fn lists(load: &Load<'_>, index: Index) -> Result<Loaded> {
    let Index {
        uri,
        base,
        url,
        repomd,
        fetched,
        ..
    } = index;
    let primary = repomd.parts.get("primary");
    let primary =
        primary.ok_or_else(|| Error::stage(format!("{url} names no list of packages")))?;
    let archs: BTreeSet<&str> = load.wants.iter().map(|want| &*want.arch).collect();
    let mut lists: BTreeMap<Want, Offers> = BTreeMap::new();
    for want in load.wants {
        lists.insert(want.clone(), Offers::new());
    }
    part(load, &base, primary, &mut |reader, first| {
        if !first {
            lists.values_mut().for_each(Offers::clear);
        }
        xml::primary(
            reader,
            &|name| load.wanted.contains(name),
            &mut |offer, arch| {
                for (want, offers) in &mut lists {
                    if arch == "noarch" || arch == want.arch || !archs.contains(&*want.arch) {
                        offers
                            .entry(offer.name.clone())
                            .or_default()
                            .push(offer.clone());
                    }
                }
            },
        )
    })?;
    let mut notices = BTreeMap::new();
    if let Some(info) = repomd.parts.get("updateinfo") {
        part(load, &base, info, &mut |reader, _| {
            notices = xml::updateinfo(reader, &|name| load.wanted.contains(name))?;
            Ok(())
        })?;
    }
    Ok(Loaded {
        release: Release {
            date: repomd.made,
            ..Release::default()
        },
        suite: load.asked.suite.clone(),
        uri,
        fetched,
        refused: vec![],
        lists,
        notices,
        tells_notices: repomd.parts.contains_key("updateinfo"),
    })
}

/// Refuses an index that neither a key that counts has signed, nor a server has proven to be its own; where the
/// system itself wants a signature, one that nobody has signed.
fn trust(load: &Load<'_>, url: &Url, bytes: &[u8], signed: bool) -> Result<()> {
    if !signed && (url.is_https() || url.local().is_some()) {
        return Ok(());
    }
    let beside = url.join("repomd.xml.asc")?;
    let signature = load.cache.current(&beside).map_err(|error| {
        Error::gate(format!(
            "{url} does not count: it has no signature, and does not come by https"
        ))
        .cause(sentence(&error))
    })?;
    let file = tempfile::NamedTempFile::new();
    let file = file.and_then(|file| std::fs::write(file.path(), bytes).map(|()| file));
    let file =
        file.map_err(|cause| Error::host("a temporary file cannot be written").cause(cause))?;
    let mut failed =
        Error::gate("no key of it is known here").hint("`updates: {keyrings: [FILE]}`");
    for keyring in &load.asked.keyrings {
        let keys = Keyring::of_file(keyring, None);
        match keys.and_then(|keys| gpg::verify_detached(file.path(), &signature.bytes, &keys)) {
            Ok(_) => return load.cache.keep(&beside, &signature),
            Err(error) => failed = error,
        }
    }
    Err(Error::gate(format!("{url} does not count")).cause(sentence(&failed)))
}

/// Reads a part; `first` is false for another try, with what came anew.
fn part(
    load: &Load<'_>,
    base: &Url,
    part: &Part,
    read: &mut dyn FnMut(&mut dyn std::io::Read, bool) -> std::io::Result<()>,
) -> Result<()> {
    let url = base.join(&part.location)?;
    let dot = part.location.rfind('.').unwrap_or(part.location.len());
    let mut first = true;
    read_listed(
        load.cache,
        &Listed {
            urls: std::slice::from_ref(&url),
            sha256: &part.sha256,
            size: part.size,
            end: match &part.location[dot..] {
                ".xml" => "",
                end => end,
            },
            largest: part.open_size.unwrap_or(LARGEST).min(LARGEST),
        },
        &mut |reader| {
            let result = read(reader, first);
            first = false;
            result
        },
    )
}
