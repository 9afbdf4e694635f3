//! Repositories of Alpine's packages: an index in an archive, which begins with a signature of the rest,
//! <https://wiki.alpinelinux.org/wiki/Apk_spec>.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};

use super::cache::is_behind;
use super::suite::{Load, Loaded, Offers, Want};
use crate::distro::release::{Offer, Release};
use crate::error::{Context as _, Error, Result};
use crate::http::Url;

/// How names of public keys end.
pub(super) const KEY: &str = ".rsa.pub";

/// Where keys lie on a host that has apk.
const KEYS: &[&str] = &["/etc/apk/keys", "/usr/share/apk/keys"];

/// The largest signature with its name, unpacked, in bytes.
const LARGEST_HEAD: u64 = 64 << 10;

/// The largest list of packages, unpacked, in bytes: Alpine's has 10 MB.
const LARGEST: u64 = 512 << 20;

/// The index of a repository, with a list for each architecture.
///
/// # Errors
/// When it cannot be had, or none of the keys that count has signed it.
pub(super) fn load(load: &Load<'_>) -> Result<Loaded> {
    let uri = load.asked.uris.first().map_or("", String::as_str);
    let mut lists: BTreeMap<Want, Offers> = BTreeMap::new();
    let mut fetched = u64::MAX;
    let mut date = None;
    for want in load.wants {
        let url = Url::parse(&format!("{uri}/{}/APKINDEX.tar.gz", want.arch))?;
        let current = load.cache.current(&url)?;
        let mut text = verified(load, &url, &current.bytes)?;
        let before = current.before.as_deref();
        match before.and_then(|bytes| verified(load, &url, bytes).ok()) {
            // An old index, good signature and all, would hide what is known already.
            Some(before) if is_behind(made(&text), made(&before)) => text = before,
            _ => load.cache.keep(&url, &current)?,
        }
        let mut offers = Offers::new();
        of_list(&text, &|name| load.wanted.contains(name), &mut |offer| {
            offers.entry(offer.name.clone()).or_default().push(offer);
        });
        date = date.max(made(&text));
        fetched = fetched.min(current.fetched);
        lists.insert(want.clone(), offers);
    }
    Ok(Loaded {
        release: Release {
            date,
            ..Release::default()
        },
        suite: load.asked.suite.clone(),
        uri: uri.to_owned(),
        fetched,
        refused: vec![],
        lists,
        notices: BTreeMap::new(),
        tells_notices: false,
    })
}

/// The list of packages in an index that a key that counts has signed.
fn verified(load: &Load<'_>, url: &Url, bytes: &[u8]) -> Result<String> {
    let wrong = |cause: io::Error| Error::gate(format!("{url} does not count")).cause(cause);
    let signed = Signed::read(bytes).map_err(wrong)?;
    let keys = keys(&load.asked.keyrings, &signed.key);
    let key = keys
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let cause = format!(
                "its key, {}, is not known here",
                crate::ui::printable(&signed.key)
            );
            let hint = "name its file in `updates: {keyrings: […]}` of imgforge.yaml";
            Error::gate(format!("{url} does not count: {cause}")).hint(hint)
        })?;
    let pem = std::fs::read_to_string(&key).doing(|| format!("reading {}", key.display()))?;
    match signed.is_by(&pem) {
        true => signed.list().map_err(wrong),
        false => Err(Error::gate(format!("{url} does not count"))
            .cause("the signature is wrong: the index was changed")),
    }
}

/// When a list was made, as far as it says: an index has no date, each of its packages has, in seconds since 1970.
fn made(text: &str) -> Option<u64> {
    let times = text.lines().filter_map(|line| line.strip_prefix("t:"));
    times.filter_map(|time| time.trim().parse().ok()).max()
}

/// Where a key may lie.
fn keys(named: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let named = named.iter().filter(|path| path.ends_with(name)).cloned();
    named
        .chain(KEYS.iter().map(|dir| Path::new(dir).join(name)))
        .collect()
}

/// An index and its signature.
#[derive(Debug)]
pub struct Signed<'a> {
    key: String,
    algorithm: &'static RsaParameters,
    signature: Vec<u8>,
    /// What is signed.
    rest: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads the archive in front, which has the signature.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(bytes: &'a [u8]) -> io::Result<Self> {
        let mut head = vec![];
        let mut packed = GzDecoder::new(bytes);
        (&mut packed).take(LARGEST_HEAD).read_to_end(&mut head)?;
        if head.len() as u64 == LARGEST_HEAD {
            return Err(io::Error::other("it has no signature"));
        }
        let rest = packed.into_inner();
        let mut archive = tar::Archive::new(&*head);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let sha256 = name.strip_prefix(".SIGN.RSA256.");
            let algorithm = match sha256 {
                Some(_) => &RSA_PKCS1_2048_8192_SHA256,
                None => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            };
            let Some(key) = sha256.or_else(|| name.strip_prefix(".SIGN.RSA.")) else {
                continue;
            };
            if key.contains('/') || !key.ends_with(KEY) {
                continue;
            }
            let mut signature = vec![];
            entry.read_to_end(&mut signature)?;
            return Ok(Signed {
                key: key.to_owned(),
                algorithm,
                signature,
                rest,
            });
        }
        Err(io::Error::other("it has no signature"))
    }

    /// Whether the key in this file has signed it.
    pub fn is_by(&self, pem: &str) -> bool {
        let key = public_key(pem);
        key.is_some_and(|key| {
            let key = UnparsedPublicKey::new(self.algorithm, key);
            key.verify(self.rest, &self.signature).is_ok()
        })
    }

    /// The list of packages.
    ///
    /// # Errors
    /// When there is none.
    pub fn list(&self) -> io::Result<String> {
        let mut archive = tar::Archive::new(GzDecoder::new(self.rest).take(LARGEST));
        for entry in archive.entries()? {
            let mut entry = entry?;
            if &*entry.path_bytes() == b"APKINDEX" {
                let mut text = vec![];
                entry.read_to_end(&mut text)?;
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
        }
        Err(io::Error::other("it has no list of packages"))
    }
}

/// The key in a file of OpenSSL's, as RFC 8017 has it: what stands in the last field of the outer one.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines.map(str::trim).collect();
    let outer = base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?;
    let fields = field(&outer, 0x30)?.0;
    let (_, rest) = field(fields, 0x30)?;
    let (bits, _) = field(rest, 0x03)?;
    bits.strip_prefix(&[0]).map(<[u8]>::to_vec)
}

/// A value of DER with this tag, and what follows it.
fn field(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = bytes else {
        return None;
    };
    let (length, rest) = match *first {
        short if short < 0x80 => (usize::from(short), rest),
        long if (0x81..=0x83).contains(&long) => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |all, byte| (all << 8) | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// Gives `found` the packages of a list whose names are `wanted`.
pub fn of_list(text: &str, wanted: &dyn Fn(&str) -> bool, found: &mut dyn FnMut(Offer)) {
    for stanza in text.split("\n\n") {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
        let (Some(name), Some(version)) = (field("P:"), field("V:")) else {
            continue;
        };
        if wanted(name) {
            found(Offer {
                name: name.to_owned(),
                version: version.to_owned(),
                source: field("o:").unwrap_or(name).to_owned(),
                source_version: version.to_owned(),
            });
        }
    }
}
