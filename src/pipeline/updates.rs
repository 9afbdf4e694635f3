//! The images whose fixes are looked for: what channels have now, or what this host has built.

use super::status::repositories;
use super::{Options, Session, lock, whole};
use crate::error::{Error, Result};
use crate::repository::State;
use crate::repository::state::Revision;
use crate::repository::views::packages;
use crate::sbom::Contents;
use crate::stage::StageId;
use crate::store::epoch::Mode;
use crate::time::now;
use crate::updates::{self, Packages, Place, Report, Settings, Subject};

/// What is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'a> {
    /// The images; all where none is named.
    pub names: &'a [String],
    /// The only channel.
    pub channel: Option<&'a str>,
    /// What this host has built last, not what channels have.
    pub built: bool,
    /// No server is asked.
    pub offline: bool,
}

/// Looks for fixes, and keeps what was found for `status`.
///
/// # Errors
/// When imgforge.yaml or a repository cannot be read, or none of them has such an image.
pub fn look(session: &Session, scope: &Scope<'_>) -> Result<Report> {
    let subjects = match scope.built {
        true => built(session, scope)?,
        false => published(session, scope)?,
    };
    let settings = settings(session, scope.offline)?;
    let report = updates::look(&settings, &subjects, now())?;
    if !scope.built {
        let all = repositories(session)?;
        let exists = |place: &Place| {
            let state = all.get(&place.repository);
            let image = state.and_then(|state| state.images.get(&place.image));
            let has = image.and_then(|image| match place.canary {
                true => image.canary(&place.channel, &place.arch),
                false => image.current(&place.channel, &place.arch),
            });
            has == place.revision
        };
        report.keep(&settings.state, exists)?;
    }
    Ok(report)
}

/// What imgforge.yaml says of mirrors, keyrings and advisories.
pub(super) fn settings(session: &Session, offline: bool) -> Result<Settings> {
    let (root, state) = (session.repo.root(), session.store.planned_in());
    Settings::of(&session.config, root, state, offline)
}

/// What channels have now.
fn published(session: &Session, scope: &Scope<'_>) -> Result<Vec<Subject>> {
    let repositories = repositories(session)?;
    let mut subjects = vec![];
    for (repository, state) in &repositories {
        for image in state.images.values() {
            let names = |name: &str, arch: &str| {
                let only = name.split_once(':').map(|(_, only)| only);
                whole::name(name) == image.name && only.is_none_or(|only| only == arch)
            };
            let wanted = |arch: &str| {
                scope.names.is_empty() || scope.names.iter().any(|name| names(name, arch))
            };
            let channels = image.channels.iter();
            let channels =
                channels.filter(|(name, _)| scope.channel.is_none_or(|only| only == *name));
            for (channel, placement) in channels {
                let current = placement.current.iter();
                let current = current.map(|(arch, number)| (arch, *number, false));
                let canaries = placement.canary.iter();
                let canaries = canaries.map(|(arch, one)| (arch, one.revision, true));
                let all = current.chain(canaries);
                for (arch, number, canary) in all.filter(|(arch, _, _)| wanted(arch)) {
                    let Some(revision) = image.revisions.get(&number) else {
                        continue;
                    };
                    subjects.push(Subject {
                        at: Place {
                            image: image.name.clone(),
                            arch: arch.clone(),
                            repository: repository.clone(),
                            channel: channel.clone(),
                            revision: Some(number),
                            canary,
                        },
                        contents: of_revision(state, revision),
                    });
                }
            }
        }
    }
    if let (true, true, Some(channel)) =
        (subjects.is_empty(), scope.names.is_empty(), scope.channel)
    {
        let said = format!("no image is in the channel `{channel}`");
        return Err(Error::usage(said).hint("`imgforge status` shows what channels have"));
    }
    for name in scope.names {
        let has = |subject: &Subject| subject.at.image == whole::name(name);
        if !subjects.iter().any(has) {
            return Err(Error::usage(match scope.channel {
                Some(channel) => format!("{channel} has no image `{name}`"),
                None => format!("no channel has an image `{name}`"),
            })
            .hint("`imgforge status` shows what channels have; --built looks at what is built"));
        }
    }
    Ok(subjects)
}

fn of_revision(state: &State, revision: &Revision) -> Result<Packages, String> {
    let bill = packages::bill(&state.root, revision).map_err(|error| error.message().to_owned())?;
    let bill = bill.ok_or("it has no SBOM: publish it again")?;
    Ok(bill.into())
}

/// What this host has built last.
fn built(session: &Session, scope: &Scope<'_>) -> Result<Vec<Subject>> {
    let names = match scope.names.is_empty() {
        true => session.repo.names()?,
        false => session.repo.all_named(scope.names)?,
    };
    let mut subjects = vec![];
    for name in &names {
        let plan = lock::last(session, &Options::default(), name, Mode::Look, |_| true)?;
        let mut stages = plan.stages.iter();
        let sealed = stages.find(|planned| planned.stage == StageId::Seal);
        let entry = sealed.and_then(|planned| session.store.entry(&planned.key));
        let contents = entry.and_then(|entry| Contents::read(entry.path()));
        let contents = contents.ok_or_else(|| "it is not built as its recipe is now".to_owned());
        subjects.push(Subject {
            at: Place {
                image: whole::name(name).to_owned(),
                arch: plan.resolved.recipe.machine.arch.as_str().to_owned(),
                repository: String::new(),
                channel: String::new(),
                revision: None,
                canary: false,
            },
            contents: contents.map(Packages::from),
        });
    }
    Ok(subjects)
}
