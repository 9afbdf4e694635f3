//! Where what a lock names lies in a state directory.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{Context as _, Error, Result};
use crate::http::Url;
use crate::lock::{Kind, Lock, Named};
use crate::pipeline::Session;
use crate::proxy::Cache;
use crate::pull;
use crate::store::media;

/// Where the bytes of what a lock names lie here, as [`Lock::names`] lists them: a file, or nothing where
/// this host does not have them. What is found is not read: whoever uses it compares its digest.
///
/// # Errors
/// When the lock names what is no digest.
pub fn place(session: &Session, named: &Named) -> Result<Option<PathBuf>> {
    let Session { store, .. } = session;
    Ok(match named.kind {
        Kind::Download | Kind::Archive => cache(session).path(&sha256(named)?),
        Kind::Medium => media::kept(store, &sha256(named)?),
        Kind::Parent => {
            let here = Url::parse(&named.url).ok().and_then(|url| url.local());
            let kept = pull::kept(store, sha512(named)?);
            kept.or(here.filter(|path| path.is_file()))
        }
    })
}

/// Puts a copy of `file` where builds look for what a lock names, if its digest is that one.
///
/// # Errors
/// When it has another digest, or cannot be written.
pub fn put(session: &Session, lock: &Lock, named: &Named, file: &Path) -> Result<()> {
    let (store, ledger) = (&session.store, session.host.ledger()?);
    match named.kind {
        Kind::Download | Kind::Archive => {
            let doing = || format!("reading {}", file.display());
            cache(session).add(&sha256(named)?, File::open(file).doing(doing)?)
        }
        Kind::Medium => media::put(store, ledger, &named.url, &sha256(named)?, file),
        Kind::Parent => {
            let revision = lock.from.as_ref().map_or(0, |parent| parent.revision);
            let blob = pull::KeptBlob {
                url: &named.url,
                revision,
                sha512: sha512(named)?,
                file,
            };
            pull::put(store, ledger, &blob)
        }
    }
}

fn cache(session: &Session) -> Cache {
    Cache::new(session.store.state(), session.config.store.cache_size)
}

fn sha256(named: &Named) -> Result<Sha256> {
    let digits = named.digest.strip_prefix("sha256:").unwrap_or_default();
    digits.parse().map_err(|why: String| wrong(named, &why))
}

fn sha512(named: &Named) -> Result<&str> {
    let digits = named.digest.strip_prefix("sha512:").unwrap_or_default();
    let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    match digits.len() == 128 && digits.bytes().all(is_hex) {
        true => Ok(digits),
        false => Err(wrong(named, "is not 128 lower-case hex digits")),
    }
}

fn wrong(named: &Named, why: &str) -> Error {
    let Named { url, digest, .. } = named;
    Error::usage(format!("the digest of {url} {why}"))
        .cause(format!("it is `{digest}`"))
        .hint("`imgforge lock NAME` writes the lock again, of the last build")
}
