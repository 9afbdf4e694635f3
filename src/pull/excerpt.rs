//! What of a repository lets another host find one image, and verify it, without the repository.

use super::place::{self, RemoteRepository};
use super::record::own_name;
use super::trust::KEY_FILE;
use super::{Image, LARGEST_INDEX, Options, Reference, Session};
use crate::error::{Error, Result};
use crate::http::{Url, decoded};

/// Files of a repository, as it has them.
#[derive(Debug)]
pub struct Excerpt {
    /// Where the signed index is, below the repository's directory.
    pub index: String,
    /// Where the blob has to be.
    pub blob: String,
    /// What is signed, and the keys that the repository offers: paths below its directory, and bytes.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Reads all but the blob. Nothing is verified here: whoever finds the image in it does that.
///
/// # Errors
/// When something cannot be read, or the blob is not below the directory that has the index.
pub fn excerpt(
    session: &Session<'_>,
    reference: &Reference,
    options: &Options<'_>,
    image: &Image,
) -> Result<Excerpt> {
    let place = place::find(session, reference, options.channel)?;
    let mut wanted = vec![place.index.clone(), place.base.join(KEY_FILE)?];
    let name = own_name(&place, &image.name);
    let record = |end: &str| {
        place
            .base
            .join(&format!("images/{name}/revisions{end}.sjson"))
    };
    if let Some(suffix) = place.suffix() {
        wanted.push(place.base.join(&format!("imgforge-{suffix}.gpg"))?);
        wanted.push(record(&format!("-{suffix}"))?);
    }
    wanted.push(record("")?);
    let mut files = vec![];
    for url in wanted {
        if let Some(bytes) = session.read_optional(&url, LARGEST_INDEX)? {
            files.push((below(&place, &url)?, bytes));
        }
    }
    Ok(Excerpt {
        index: below(&place, &place.index)?,
        blob: below(&place, &image.url)?,
        files,
    })
}

/// The path of a file below the directory of its repository.
fn below(place: &RemoteRepository, url: &Url) -> Result<String> {
    let path = url.path().strip_prefix(place.base.path());
    let path = path.map(decoded).filter(|path| !path.is_empty());
    path.ok_or_else(|| {
        Error::stage(format!("{url} is not below {}", place.base))
            .hint("name the directory of the repository that has it")
    })
}
