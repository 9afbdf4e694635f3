//! An image on its medium: a small repository, which a machine reads as it reads any other.

use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::pull::{self, Excerpt, Image, Options, Reference, Registries, Session};
use crate::store::Store;
use crate::store::ledger::Ledger;
use crate::targets::ramdisk::initrd::File;

use super::Request;

/// The repository.
#[derive(Debug)]
pub(super) struct Carried {
    /// How the machine names the image, below the directory of the repository.
    pub(super) image: String,
    /// Its files, each with its path below that directory.
    pub(super) files: Vec<File>,
}

impl Carried {
    /// Copies what is signed to `scratch`, and finds the image there, as the machine will. The blob, which was
    /// verified, stays where it is.
    ///
    /// # Errors
    /// When the repository cannot be read, or has another image by now.
    pub(super) fn collect(
        session: &Session<'_>,
        image: &Image,
        blob: PathBuf,
        request: &Request<'_>,
        scratch: &Path,
    ) -> Result<Carried> {
        let options = Options {
            channel: request.channel,
            arch: Some(&image.arch),
            key: request.trusted.key,
            fingerprint: request.trusted.fingerprint,
            allow_older: false,
            settled: true,
        };
        let excerpt = pull::excerpt(session, request.image, &options, image)?;
        let Excerpt { index, files, .. } = &excerpt;
        let root = scratch.join("repository");
        let mut all = vec![];
        for (path, bytes) in files {
            let file = root.join(path);
            let doing = || format!("writing {}", file.display());
            std::fs::create_dir_all(file.parent().unwrap_or(&root)).doing(doing)?;
            std::fs::write(&file, bytes).doing(doing)?;
            all.push(File::new(path, file));
        }
        all.push(File::new(&excerpt.blob, blob));
        let named = |index: &str| Reference {
            repository: Some(index.to_owned()),
            channel: None,
            ..request.image.clone()
        };
        let there = named(&root.join(index).to_string_lossy());
        let found = find(
            session,
            &there,
            &Options {
                channel: None,
                ..options
            },
            scratch,
        )?;
        if (found.revision, &found.sha512) != (image.revision, &image.sha512) {
            return Err(Error::stage(format!(
                "the repository got revision {} of `{}` meanwhile",
                found.revision, image.name
            ))
            .hint("run the same command again"));
        }
        Ok(Carried {
            image: named(index).to_string(),
            files: all,
        })
    }
}

/// Finds an image as a machine does that knows nothing of its repository.
fn find(
    session: &Session<'_>,
    image: &Reference,
    options: &Options<'_>,
    scratch: &Path,
) -> Result<Image> {
    let store = Store::new(scratch.join("state"));
    store.prepare()?;
    let ledger = Ledger::open(store.state())?;
    let machine = Session {
        root: None,
        store: &store,
        ledger: &ledger,
        registries: Registries::default(),
        ..*session
    };
    pull::find(&machine, image, options)
}
