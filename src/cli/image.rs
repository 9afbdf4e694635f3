//! An image as people name it: NAME for what this host has built, NAME@REV or NAME@CHANNEL for what
//! is published, with `:ARCH` behind NAME of several architectures.

use std::path::PathBuf;

use super::place::RepositoryArgs;
use super::{App, session};
use crate::blame::Index;
use crate::error::{Error, Result};
use crate::pipeline::{Options, Session, lock};
use crate::repository::State;
use crate::repository::fresh::Age;
use crate::repository::state::Revision;
use crate::repository::verify;
use crate::repository::views::packages;
use crate::stage::StageId;
use crate::stage::pack::Packed;
use crate::stage::plan::Plan;
use crate::store::Entry;
use crate::store::epoch::Mode;

/// A revision of `NAME[:ARCH]` by its number or channel, as it was signed, and the repository's directory.
///
/// # Errors
/// When there is none such, several, its files are gone, or what is signed says something else of it.
pub(crate) fn revision(
    app: &App,
    repository: &RepositoryArgs,
    name: &str,
    at: &str,
) -> Result<(PathBuf, Revision)> {
    let (root, signers, seen) = repository.to_read(app)?;
    let state = State::read(&root)?;
    let (plain, arch) = match name.split_once(':') {
        Some((plain, arch)) => (plain, Some(arch)),
        None => (name, None),
    };
    let missing = |what: String| {
        Error::usage(what).hint(format!(
            "`imgforge channel history {plain}` shows its revisions"
        ))
    };
    let image = state
        .images
        .get(plain)
        .ok_or_else(|| missing(format!("{} has no image `{plain}`", root.display())))?;
    // To look at it is not to use it: the list may have expired.
    verify::record(&state, &signers, plain, (Some(&seen), Age::Expired))?;
    let fits = |other: &str| arch.is_none_or(|arch| arch == other);
    let number = match (at.parse::<u64>(), image.channels.get(at)) {
        (Ok(number), _) => Some(number),
        (Err(_), placement) => {
            let current = placement.into_iter().flat_map(|it| &it.current);
            let current: Vec<_> = current.filter(|(arch, _)| fits(arch)).collect();
            if current.len() > 1 {
                let names = current
                    .iter()
                    .map(|(arch, _)| format!("{plain}:{arch}@{at}"));
                let names: Vec<String> = names.collect();
                return Err(
                    Error::usage(format!("{name}@{at} has several architectures"))
                        .hint(format!("name one of {}", names.join(", "))),
                );
            }
            current.first().map(|(_, number)| **number)
        }
    };
    let revision = number
        .and_then(|number| image.revisions.get(&number))
        .filter(|revision| !revision.pending && fits(&revision.arch))
        .ok_or_else(|| missing(format!("`{name}` has no revision or channel `{at}`")))?;
    if revision.removed.is_some() {
        return Err(missing(format!(
            "the files of {name}@{at} are gone: it was pruned"
        )));
    }
    Ok((root, revision.clone()))
}

/// The plan of an image that this host builds, and where its results are: of the last build, bound to the lock or not.
///
/// # Errors
/// When its recipe is wrong.
pub(crate) fn planned(app: &App, name: &str) -> Result<(Session, Plan)> {
    let session = session::open(app)?;
    let plan = lock::last(&session, &Options::default(), name, Mode::Look, |_| true)?;
    Ok((session, plan))
}

/// The entry of a sealed disk, if the image is built as its recipe is now.
pub(crate) fn sealed(session: &Session, plan: &Plan) -> Option<Entry> {
    let mut stages = plan.stages.iter();
    let sealed = stages.find(|planned| planned.stage == StageId::Seal)?;
    session.store.entry(&sealed.key)
}

/// What a command says of an image that is not built.
pub(crate) fn not_built(name: &str) -> Error {
    Error::usage(format!("{name} is not built as its recipe is now")).hint(format!(
        "`imgforge build {name}`, or name a revision: {name}@3"
    ))
}

/// The files of an image.
#[derive(Debug)]
pub(crate) struct Files {
    /// What is on its disk, and since when.
    pub(crate) index: Index,
    /// Size of its packed file, in bytes.
    pub(crate) packed: Option<u64>,
}

/// The index of an image's files, by its name as above.
///
/// # Errors
/// When there is no such image, or it has no index.
pub(crate) fn files(app: &App, repository: &RepositoryArgs, name: &str) -> Result<Files> {
    let without = || {
        Error::usage(format!("{name} has no index of its files"))
            .cause("an older imgforge made it")
            .hint("build it again: each layer gets an index when it is made")
    };
    let files = match name.split_once('@') {
        Some((plain, at)) => {
            let (root, revision) = revision(app, repository, plain, at)?;
            Files {
                index: packages::files(&root, &revision)?.ok_or_else(without)?,
                packed: Some(revision.size),
            }
        }
        None => {
            let (session, plan) = planned(app, name)?;
            let entry = sealed(&session, &plan).ok_or_else(|| not_built(name))?;
            let mut stages = plan.stages.iter();
            let packed = stages.find(|planned| planned.stage == StageId::Pack);
            let packed = packed.and_then(|planned| session.store.get::<Packed>(&planned.key));
            Files {
                index: Index::read(entry.path())?.ok_or_else(without)?,
                packed: packed.map(|packed| packed.facts().size),
            }
        }
    };
    for unread in &files.index.unread {
        app.ui
            .warning(format!("not all of {name} is indexed: {unread}"));
    }
    Ok(files)
}
