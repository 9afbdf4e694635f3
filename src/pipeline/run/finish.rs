//! The targets of an image, several at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Run;
use crate::error::{Error, Result};
use crate::host::accel::Accel;
use crate::host::memory;
use crate::pipeline::graph::{self, Node, Outcome, Room};
use crate::pipeline::plan::{Plan, Planned, Work};
use crate::recipe::Resolved;
use crate::recipe::types::{Action, Install, PackageNames};
use crate::stage::{self, Artifact, Sealed, StageId};
use crate::store::{Draft, Entry};
use crate::target::{self, Source};
use crate::ui::Ui;
use crate::units::Size;

impl Run<'_> {
    /// The targets' artifacts, as many targets at once as memory allows. A target that fails does
    /// not stop the others.
    pub(in crate::pipeline) fn finish(&self, sealed: &Sealed) -> Result<Vec<Artifact>> {
        let planned: Vec<&Planned> = self.planned(StageId::Finish).collect();
        if planned.is_empty() {
            return Ok(vec![]);
        }
        let host = &self.session.host;
        // A copy of the disk lies here that all targets share.
        let shared = match planned.iter().all(|planned| planned.cached) {
            true => None,
            false => Some(self.session.store.draft(host.ledger()?)?),
        };
        let scratch = shared
            .as_ref()
            .map_or(Path::new(""), Draft::path)
            .to_owned();
        let accel = match shared {
            Some(_) => host.accel()?,
            None => Accel::Tcg,
        };
        let source = Source::new(sealed.0.disk(), "qcow2", scratch, accel);
        let entries: Mutex<BTreeMap<String, Entry>> = Mutex::default();
        let (nodes, room) = (
            targets(&planned, &self.plan.resolved),
            Room {
                memory: memory::free().unwrap_or(Size::bytes(0)),
                images: planned.len(),
            },
        );
        let outcomes = graph::run(&nodes, room, |label| {
            let Some(planned) = planned.iter().find(|planned| planned.label == label) else {
                return Ok(());
            };
            let Work::Finish(name) = &planned.work else {
                return Ok(());
            };
            let target = target::find(name).ok_or_else(|| target::unknown(name))?;
            let entry = self.stage(planned, |context| {
                stage::finish::run(context, &source, sealed, self.plan.version(), target)
            })?;
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.insert(label.to_owned(), entry);
            Ok(())
        })?;
        failures(outcomes, &self.session.ui)?;
        let entries = entries.into_inner().unwrap_or_else(PoisonError::into_inner);
        let artifacts = entries
            .values()
            .map(|entry| stage::companions::artifacts(entry.path(), &entry.meta().facts));
        Ok(artifacts.collect::<Result<Vec<_>>>()?.concat())
    }
}

/// Refuses targets whose machines the kernel of the bootstrap will not drive, before the hours
/// that a build takes; of other installations the disk itself tells.
///
/// # Errors
/// When a target needs the generic kernel and no recipe of the chain installs one.
pub(super) fn foresee(plan: &Plan) -> Result<()> {
    let mut chain: Vec<&Plan> = vec![plan];
    while let Some(base) = chain.last().and_then(|plan| plan.base.as_deref()) {
        chain.push(base);
    }
    let bottom = chain
        .last()
        .and_then(|plan| plan.resolved.recipe.install.as_ref());
    let Some(Install::Bootstrap(bootstrap)) = bottom else {
        return Ok(());
    };
    let steps = chain
        .iter()
        .flat_map(|plan| &plan.resolved.recipe.configure);
    let named = steps.flat_map(|step| match &step.action {
        Action::Packages(packages) => match &packages.names {
            PackageNames::All(names) => names.clone(),
            PackageNames::ByDistro(map) => map.values().flatten().cloned().collect(),
        },
        _ => vec![],
    });
    let kernel = bootstrap.kernel.clone().into_iter();
    let all: Vec<String> = kernel
        .chain(bootstrap.packages.iter().cloned())
        .chain(named)
        .collect();
    target::kernel::foresee(target::wanted(&plan.resolved.recipe.targets), &all)
}

/// The targets as a graph without edges.
fn targets(planned: &[&Planned], resolved: &Resolved) -> Vec<Node> {
    // The gate of a target boots two machines at once.
    let guests = 2 * resolved.recipe.machine.memory.as_bytes();
    let node = |planned: &&Planned| {
        let target = match planned.work {
            Work::Finish(name) => target::find(name),
            _ => None,
        };
        Node {
            name: planned.label.clone(),
            parent: None,
            memory: target.map_or(Size::bytes(0), |target| {
                let guests = if target.trial.is_some() { guests } else { 0 };
                Size::bytes(target.memory.as_bytes() + guests)
            }),
        }
    };
    planned.iter().map(node).collect()
}

/// One failed target is the build's error; of several, each is told.
fn failures(outcomes: Vec<(String, Outcome)>, ui: &Ui) -> Result<()> {
    let all = outcomes.len();
    let failed = outcomes
        .into_iter()
        .filter_map(|(label, outcome)| match outcome {
            Outcome::Failed(error) => Some((label, error)),
            _ => None,
        });
    let mut failed: Vec<_> = failed.collect();
    if failed.len() < 2 {
        return failed.pop().map_or(Ok(()), |(_, error)| Err(error));
    }
    let kind = failed[0].1.kind();
    let names: Vec<String> = failed.iter().map(|(label, _)| label.clone()).collect();
    for (_, error) in failed {
        ui.warning(error.render().trim_end().to_owned());
    }
    Err(Error::new(kind, format!("{} of {all} targets failed", names.len())).evidence(names))
}
