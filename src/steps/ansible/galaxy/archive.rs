//! What was installed as one archive, which a lock names.

use std::fs::File;
use std::path::Path;

use super::DIR;
use crate::digest::{self, Sha256};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::lock::{Fetched, Fetching};
use crate::toolbox::Request;

/// Its name in the lock.
const NAME: &str = "installed";

/// Unpacks into `draft` what the lock names, from the cache; false where Ansible's own program has to fetch it.
///
/// # Errors
/// When a lock binds the step and lacks it, or nobody may be asked for it.
pub(super) fn replay(request: &Request<'_>, fetching: &Fetching, draft: &Path) -> Result<bool> {
    let Some(locked) = fetching.locked() else {
        return Ok(false);
    };
    let named = locked.archive(NAME)?;
    let sha256: Sha256 = named.sha256.parse().map_err(Error::internal)?;
    let kept = request.cache.path(&sha256);
    if let Some(path) = kept
        && digest::file_sha256(&path)? == sha256.as_str()
    {
        tar(&["--extract", "--no-same-owner"], draft, &path).run()?;
        fetching.archive(named.clone());
        return Ok(true);
    }
    match locked.is_offline() {
        true => Err(locked.is_nowhere(NAME)),
        false => Ok(false),
    }
}

/// Packs what was installed in `draft`, and writes it down; it is what the lock names, if there is one.
///
/// # Errors
/// When it is another one, or cannot be kept.
pub(super) fn record(request: &Request<'_>, fetching: &Fetching, draft: &Path) -> Result<()> {
    let packed = draft.join("installed.tar");
    // Equal content, equal bytes.
    let options = [
        "--create",
        "--sort=name",
        "--format=gnu",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=u=rwX,go=rX",
    ];
    tar(&options, draft, &packed).arg(DIR).run()?;
    let doing = || format!("reading {}", packed.display());
    let found: Sha256 = digest::file_sha256(&packed)?
        .parse()
        .map_err(Error::internal)?;
    if let Some(locked) = fetching.locked() {
        let promised = &locked.archive(NAME)?.sha256;
        if *promised != found.as_str() {
            return Err(Error::stage("other collections came than were locked")
                .cause(format!("expected sha256 {promised}, found {found}"))
                .hint(locked.again()));
        }
    }
    let file = File::open(&packed).doing(doing)?;
    let size = file.metadata().doing(doing)?.len();
    request.cache.add(&found, file)?;
    fetching.archive(Fetched {
        url: NAME.to_owned(),
        sha256: found.as_str().to_owned(),
        size,
    });
    std::fs::remove_file(&packed).doing(doing)
}

fn tar(options: &[&str], dir: &Path, file: &Path) -> Program {
    Program::new("tar")
        .args(options)
        .arg("--directory")
        .arg(dir)
        .arg("--file")
        .arg(file)
}
