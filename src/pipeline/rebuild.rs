//! Builds an image again from its lock, in a store of its own, and compares the files of both.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::blame::Index;
use crate::digest::Key;
use crate::error::{Error, Kind, Result};
use crate::lock::{Lock, Record};
use crate::pipeline::whole::{self, Wholes};
use crate::pipeline::{Options, Session, lock};
use crate::stage::StageId;
use crate::stage::plan::Plan;
use crate::store::epoch::Mode;
use crate::store::{DISK, Entry, Store};
use crate::trees::{self, Compared, Difference};

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rebuilt {
    /// The image, of several architectures `NAME:ARCH`.
    pub image: String,
    /// The key of the sealed disk that was there.
    pub key: Key,
    /// The key of the one that was made.
    pub rebuilt: Key,
    /// How the two differ.
    #[serde(flatten)]
    pub compared: Compared,
    /// What made each path that differs, in the order of the differences.
    pub causes: Vec<String>,
}

/// An image that this host has built, of which a lock tells all.
#[derive(Debug)]
pub struct Original {
    /// Its sealed disk.
    pub sealed: Entry,
    /// What its stages fetched.
    lock: Arc<Lock>,
}

/// The build that the lock beside a recipe is of: the usual one, or one that was made by it.
///
/// # Errors
/// When there is no lock, or no such build.
pub fn original(session: &Session, vars: &[(String, String)], image: &str) -> Result<Original> {
    let plan = |locked| planned(session, vars, image, locked);
    let locked = plan(true)?;
    let Some(lock) = &locked.lock else {
        return Err(Error::internal("a plan that is bound to a lock has none"));
    };
    let usual = plan(false)
        .ok()
        .filter(|plan| is_of(&session.store, plan, lock));
    let found = [usual.as_ref(), Some(&locked)].into_iter().flatten();
    let mut found = found.filter_map(|plan| sealed(&session.store, plan));
    let sealed = found.next().ok_or_else(|| {
        let name = whole::name(image);
        Error::usage(format!("the store has no build of `{image}` that its lock is of"))
            .hint(format!(
                "`imgforge build {name} --locked` makes one; `imgforge lock {name}` writes the lock of the \
                 last build"
            ))
    })?;
    Ok(Original {
        sealed,
        lock: Arc::clone(lock),
    })
}

/// Builds the image again in the empty store of `apart`, which may take downloads from the one of `session`,
/// and compares the files.
///
/// # Errors
/// When the build fails, or a disk cannot be read.
pub fn compare(
    session: &Session,
    apart: &Session,
    vars: &[(String, String)],
    (image, original): (&str, &Original),
) -> Result<Rebuilt> {
    apart.store.prepare()?;
    for named in original.lock.names() {
        if let Some(file) = lock::place(session, &named)? {
            lock::put(apart, &original.lock, &named, &file)?;
        }
    }
    let options = Options {
        locked: true,
        until: Some(StageId::Seal),
        vars: vars.to_vec(),
        ..Options::default()
    };
    let wholes = Wholes::new(&[image.to_owned()]);
    let built = super::build(apart, &options, image, &wholes);
    let again = planned(apart, vars, image, true).ok();
    let again = match (again.and_then(|plan| sealed(&apart.store, &plan)), built) {
        // Also one that failed as its packages are others: how it differs is what is asked for.
        (Some(again), _) => again,
        (None, Err(error)) => return Err(error),
        (None, Ok(())) => return Err(Error::internal("the second build has made no disk")),
    };
    let disk = |entry: &Entry| entry.path().join(DISK);
    let ui = apart.ui.stage(image, "verify");
    let [was, now] = [&original.sealed, &again].map(disk);
    let compared = trees::compare(&was, &now, apart.store.state(), &ui)?;
    let indexes = [&original.sealed, &again].map(|entry| Index::read(entry.path()).ok().flatten());
    let causes = compared.differences.iter().map(|one| cause(&indexes, one));
    Ok(Rebuilt {
        image: image.to_owned(),
        key: original.sealed.meta().key.clone(),
        rebuilt: again.meta().key.clone(),
        causes: causes.collect(),
        compared,
    })
}

/// What gave a path that differs its content: in the first build, else in the second one.
fn cause(indexes: &[Option<Index>; 2], difference: &Difference) -> String {
    let path = match difference.path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let mut known = indexes.iter().flatten().filter_map(|index| {
        let file = index.find(path)?;
        Some(index.origin(file))
    });
    known
        .next()
        .unwrap_or_else(|| "unknown: no index of files has it".into())
}

fn planned(
    session: &Session,
    vars: &[(String, String)],
    image: &str,
    locked: bool,
) -> Result<Plan> {
    let options = Options {
        locked,
        offline: true,
        until: Some(StageId::Seal),
        vars: vars.to_vec(),
        ..Options::default()
    };
    super::plan(session, &options, image, Mode::Last)
}

/// Whether a lock says all that the stages of a plan fetched, and nothing else.
fn is_of(store: &Store, plan: &Plan, lock: &Lock) -> bool {
    let recorded = |key: &Key| Record::read(store.entry(key)?.path()).ok().flatten();
    let stages = plan.all();
    let mut fetching = stages.iter().filter(|planned| planned.fetches());
    let pinned = plan.pinned().map(|pin| &pin.image.sha512);
    pinned == lock.from.as_ref().map(|parent| &parent.sha512)
        && fetching.all(|planned| {
            let locked = lock.stage(&planned.image, &planned.label);
            locked.map(|stage| &stage.record) == recorded(&planned.key).as_ref()
        })
}

fn sealed(store: &Store, plan: &Plan) -> Option<Entry> {
    let seal = plan
        .stages
        .iter()
        .find(|planned| planned.stage == StageId::Seal)?;
    store.entry(&seal.key).filter(|_| seal.cached)
}

/// The error of a second build whose store is gone, or at `kept`.
pub fn describe_failure(error: Error, image: &str, kept: Option<&Path>) -> Error {
    let kind = error.kind();
    if matches!(
        kind,
        Kind::Interrupted(_) | Kind::Usage | Kind::Host | Kind::Internal
    ) {
        return error;
    }
    let told = Error::new(kind, format!("the second build of {image} failed"))
        .cause(error.message())
        .evidence(error.evidence_lines().iter().cloned());
    match kept {
        Some(kept) => told.hint(format!("its logs are in {}", kept.join("logs").display())),
        None => told.hint(format!(
            "`imgforge verify {} --rebuild --keep DIR` keeps its logs in DIR",
            whole::name(image)
        )),
    }
}
