//! Locks: written of what the stages of the last build fetched, and compared with what a build has made.

mod places;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::host::outlet::Outlet;
use crate::lock::{self, Lock, Parent, ParentEntry, Record, Stage};
use crate::pipeline::{Options, Session};
use crate::proxy::Cache;
use crate::pull::Pin;
use crate::sbom::Contents;
use crate::stage::StageId;
use crate::stage::plan::{Plan, Planned};
use crate::store::epoch::Mode;
use crate::store::{Entry, Store};
pub use places::{place, put};

/// A lock that was written.
#[derive(Debug)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// What it cannot promise, a sentence each.
    pub warnings: Vec<String>,
}

/// Writes the lock of `image` beside its recipe, of what the stages of its last build fetched.
///
/// # Errors
/// When the store has no finished build of the recipe as it is now, or one that recorded nothing.
pub fn write(session: &Session, options: &Options, image: &str) -> Result<Written> {
    let options = Options {
        vars: options.vars.clone(),
        targets: options.targets.clone(),
        offline: true,
        ..Options::default()
    };
    let plan = super::plan(session, &options, image, Mode::Last)?;
    let (lock, unmade) = of_plan(&session.store, &plan)?;
    let path = lock::path(&plan.resolved.file, image);
    let text = lock.to_string();
    outlet(&path)?.write(text.as_bytes())?;
    let cache = Cache::new(session.store.state(), session.config.store.cache_size);
    let digests = lock::digests(&text);
    let missing = cache.keep_locked(&path, &digests)?;
    let said = |label: String| format!("the {label} stage is not locked: it was not made yet");
    let mut warnings: Vec<String> = unmade.into_iter().map(said).collect();
    if missing > 0 {
        warnings.push(format!(
            "{missing} of {} downloads are not in the cache any more: a locked build needs a mirror that \
             still has them",
            digests.len()
        ));
    }
    for Stage {
        image,
        stage,
        record,
        ..
    } in &lock.stages
    {
        if !record.not_locked.is_empty() {
            let hosts: Vec<&str> = record.not_locked.iter().map(String::as_str).collect();
            warnings.push(format!(
                "not locked, as nobody can read it on its way: what the {stage} stage of {image} fetched \
                 from {}",
                hosts.join(", ")
            ));
        }
    }
    Ok(Written { path, warnings })
}

/// The place of a lock, where nothing is yet, or a lock, broken or not.
///
/// # Errors
/// When another file is there, or nothing may be written there.
pub fn outlet(path: &Path) -> Result<Outlet> {
    let hint = "the lock of NAME is NAME.lock beside its recipe: move that file away";
    Outlet::renewing(path, "no lock", hint, lock::is_lock)
}

/// The lock of what a plan's stages fetched when they ran, and the labels of those that would fetch and have not
/// run: a build may end with the sealed disk.
fn of_plan(store: &Store, plan: &Plan) -> Result<(Lock, Vec<String>)> {
    let image = plan.image();
    let mut clock = 0;
    let (mut stages, mut unmade) = (vec![], vec![]);
    for planned in plan.all() {
        if planned.stage > StageId::Seal && !planned.cached {
            unmade.extend(planned.fetches().then(|| planned.label.clone()));
            continue;
        }
        let entry = entry(store, plan, planned)?;
        clock = clock.max(entry.meta().created);
        if !planned.fetches() {
            continue;
        }
        let Planned { image, label, .. } = planned;
        let record = Record::read(entry.path())?.ok_or_else(|| {
            Error::usage(format!(
                "nobody wrote down what the {label} stage of {image} fetched"
            ))
            .cause("an older imgforge made it, or another machine")
            .hint(entry.meta().again())
        })?;
        let below = planned.stage.row().below;
        stages.push(Stage {
            image: image.clone(),
            stage: label.clone(),
            recipe: planned.inputs.of_recipe(below)?.as_str().to_owned(),
            record,
        });
    }
    let clock = Timestamp::from_second(i64::try_from(clock).unwrap_or_default());
    let clock = clock.map_err(|cause| Error::internal("a stage has no time").cause(cause))?;
    let mut lock = Lock::new(image, clock);
    lock.from = plan.pinned().map(|pin| Parent {
        image: pin.named.to_string(),
        revision: pin.image.revision,
        sha512: pin.image.sha512.clone(),
        entry: Some(entry_of(pin)),
    });
    lock.stages = stages;
    let seal = plan.stages.iter().find(|one| one.stage == StageId::Seal);
    if let Some(seal) = seal {
        lock.packages = packages(&entry(store, plan, seal)?);
    }
    Ok((lock, unmade))
}

fn entry(store: &Store, plan: &Plan, planned: &Planned) -> Result<Entry> {
    let image = plan.image();
    let found = store.entry(&planned.key).filter(|_| planned.cached);
    found.ok_or_else(|| {
        let name = super::whole::name(image);
        Error::usage(format!(
            "the store has no finished build of `{image}` as its recipe is now"
        ))
        .cause(format!("the {} stage is missing here", planned.label))
        .hint(format!(
            "`imgforge build {name} --lock` makes it, and writes the lock"
        ))
    })
}

/// What a lock says of a published image beside its digest.
fn entry_of(pin: &Pin) -> ParentEntry {
    let image = pin.image.clone();
    ParentEntry {
        channel: pin.channel.clone(),
        name: image.entry,
        arch: image.arch,
        url: image.url.to_string(),
        size: image.size,
        disk_size: image.disk_size,
        format: image.format,
        version: image.version,
        osinfo: image.osinfo,
    }
}

/// The packages of a sealed disk, as a lock has them.
fn packages(sealed: &Entry) -> Vec<String> {
    let contents = Contents::read(sealed.path());
    let packages = contents.into_iter().flat_map(|contents| contents.packages);
    let packages = packages.map(|one| format!("{} {} {}", one.name, one.version, one.arch));
    packages.collect()
}

/// The plan of an image's last build, of those that count: the one that was bound to the lock beside the recipe,
/// where that sealed its disk later than the other.
///
/// # Errors
/// As [`plan`](super::plan).
pub fn last(
    session: &Session,
    options: &Options,
    image: &str,
    mode: Mode,
    counts: impl Fn(&Plan) -> bool,
) -> Result<Plan> {
    let plan = super::plan(session, options, image, mode);
    if options.locked {
        return plan;
    }
    let options = Options {
        locked: true,
        ..options.clone()
    };
    // Without a lock, or with one of another recipe, there is one build only.
    let Ok(locked) = super::plan(session, &options, image, mode) else {
        return plan;
    };
    let ended = |plan: &Plan| {
        let seal = plan.stages.iter().find(|one| one.stage == StageId::Seal)?;
        let sealed = session.store.entry(&seal.key)?;
        counts(plan).then(|| sealed.meta().created)
    };
    // Where only a kit is, nobody knows what a build without the lock would be built on.
    let other = plan.as_ref().ok().and_then(&ended);
    match ended(&locked) > other {
        true => Ok(locked),
        false => plan,
    }
}

/// What a build can rely on before it begins.
///
/// # Errors
/// When this host's clock is behind the lock, or the published image below is another one; `--offline`, when
/// something is not on this host.
pub(super) fn ready(session: &Session, options: &Options, plan: &Plan) -> Result<()> {
    let Some(lock) = &plan.lock else {
        return Ok(());
    };
    lock.check_clock(Timestamp::now())?;
    // It may have come with the recipe, from where another host wrote it.
    let path = lock::path(&plan.resolved.file, plan.image());
    let cache = Cache::new(session.store.state(), session.config.store.cache_size);
    cache.keep_locked(&path, &BTreeSet::new())?;
    let pin = plan.pinned();
    let is_same = match (&lock.from, pin) {
        (Some(parent), Some(pin)) => parent.sha512 == pin.image.sha512,
        (None, None) => true,
        _ => false,
    };
    if !is_same {
        let found = pin.map_or("nothing".to_owned(), |pin| {
            format!("revision {} of {}", pin.image.revision, pin.named)
        });
        let wanted = lock.from.as_ref().map_or("nothing".to_owned(), |parent| {
            format!("revision {} of {}", parent.revision, parent.image)
        });
        return Err(Error::usage(format!(
            "the lock of {} is for another published image below",
            plan.image()
        ))
        .cause(format!("it names {wanted}, and the build has {found}"))
        .hint(
            "name that revision's channel in `from:`, or build without --locked and lock again",
        ));
    }
    for planned in plan.all().into_iter().filter(|one| one.fetches()) {
        let Planned { image, label, .. } = planned;
        let below = planned.stage.row().below;
        let locked = lock.stage(image, label).map(|one| one.recipe.as_str());
        if locked.is_some_and(|digest| {
            planned
                .inputs
                .of_recipe(below)
                .is_ok_and(|key| key.as_str() != digest)
        }) {
            session.ui.warning(format!(
                "the recipe's {label} stage of {image} is another one than when it was locked: it gets only \
                 what the lock names"
            ));
        }
    }
    tell_not_locked(session, options, plan, lock);
    match options.offline {
        true => is_here(session, plan, lock),
        false => Ok(()),
    }
}

/// Warns of stages that would run and asked servers whose bytes the lock does not have.
fn tell_not_locked(session: &Session, options: &Options, plan: &Plan, lock: &Lock) {
    for planned in plan.all().into_iter().filter(|one| !one.cached) {
        let Planned { image, label, .. } = planned;
        let Some(Stage { record, .. }) = lock.stage(image, label) else {
            continue;
        };
        if record.not_locked.is_empty() {
            continue;
        }
        let hosts: Vec<&str> = record.not_locked.iter().map(String::as_str).collect();
        let now = match options.offline {
            true => "and nobody can ask there now",
            false => "and gets from there whatever comes",
        };
        session.ui.warning(format!(
            "the {label} stage of {image} asked {} when it was locked, {now}",
            hosts.join(", ")
        ));
    }
}

/// The most files that are named at once.
const SHOWN: usize = 12;

/// Refuses stages that would run and lack what they fetched.
fn is_here(session: &Session, plan: &Plan, lock: &Lock) -> Result<()> {
    let (mut all, mut missing) = (0, vec![]);
    for planned in plan.all() {
        let Planned { image, label, .. } = planned;
        let Some(Stage { record, .. }) = lock.stage(image, label).filter(|_| !planned.cached)
        else {
            continue;
        };
        let parent = lock
            .names()
            .into_iter()
            .filter(|one| one.kind == lock::Kind::Parent && planned.stage == StageId::Install);
        for named in record.names().into_iter().chain(parent) {
            all += 1;
            if place(session, &named)?.is_none() {
                missing.push(named.url);
            }
        }
    }
    let many = missing.len();
    if many == 0 {
        return Ok(());
    }
    let more = many.saturating_sub(SHOWN);
    missing.truncate(SHOWN);
    missing.extend((more > 0).then(|| format!("and {more} more")));
    Err(Error::host(format!("{} cannot be built offline", plan.image()))
        .cause(format!(
            "{many} of {all} files that the lock names are neither in the cache nor in the store:"
        ))
        .evidence(missing)
        .hint("build once with --locked and without --offline: that fetches and compares them"))
}

/// Refuses what a locked build made where its packages are not the lock's.
///
/// # Errors
/// Then.
pub(super) fn compare(lock: &Lock, image: &str, sealed: &Entry) -> Result<()> {
    let mut changed = lock.packages_changed(&packages(sealed));
    let many = changed.len();
    if many == 0 {
        return Ok(());
    }
    changed.truncate(SHOWN);
    changed.extend((many > SHOWN).then(|| format!("and {} more", many - SHOWN)));
    let name = super::whole::name(image);
    Err(
        Error::stage(format!("{image} has {many} packages other than its lock"))
            .evidence(changed)
            .hint(format!(
                "build without --locked, then `imgforge lock {name}` writes the lock again"
            )),
    )
}
