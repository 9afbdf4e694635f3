//! The targets of an image, several at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use super::Run;
use crate::error::Result;
use crate::host::accel::Accel;
use crate::host::memory;
use crate::mutex::Unpoisoned as _;
use crate::pipeline::graph::{self, Node, Room};
use crate::recipe::types::{Base, Install};
use crate::stage::finish::{self, Finished};
use crate::stage::pack::Packed;
use crate::stage::plan::{Part, Plan, Planned};
use crate::stage::seal::Sealed;
use crate::stage::{Artifact, artifacts};
use crate::store::{Draft, Facts as _, Layer};
use crate::targets::{self, SystemDisk, Wanted};
use crate::units::Size;

impl Run<'_> {
    /// What was packed and the targets' artifacts, as many targets at once as memory allows. A target that fails does
    /// not stop the others.
    pub(in crate::pipeline) fn finish(
        &self,
        sealed: &Layer<Sealed>,
        packed: &Layer<Packed>,
    ) -> Result<Vec<Artifact>> {
        let mut all = artifacts(packed.entry(), &packed.facts().artifacts);
        let planned: Vec<&Planned> = self.planned(Finished::STAGE).collect();
        if planned.is_empty() {
            return Ok(all);
        }
        let host = &self.session.host;
        // A copy of the disk lies here that all targets share.
        let shared = match planned.iter().all(|planned| planned.cached) {
            true => None,
            false => Some(self.session.store.draft(host.ledger()?)?),
        };
        if shared.is_some() {
            self.session.store.verify(sealed.entry())?;
        }
        let scratch = shared
            .as_ref()
            .map_or(Path::new(""), Draft::path)
            .to_owned();
        let accel = match shared {
            Some(_) => host.accel()?,
            None => Accel::Tcg,
        };
        let source = SystemDisk::new(sealed.entry().disk(), "qcow2", scratch, accel);
        let finished: Mutex<BTreeMap<String, Layer<Finished>>> = Mutex::default();
        let (nodes, room) = (
            targets(&planned, self.plan.resolved.recipe.machine.memory),
            Room {
                memory: memory::free().unwrap_or(Size::bytes(0)),
                images: planned.len(),
            },
        );
        let outcomes = graph::run(&nodes, room, |label| {
            let Some(planned) = planned.iter().find(|planned| planned.label == label) else {
                return Ok(());
            };
            let Part::Target(target) = &planned.part else {
                return Ok(());
            };
            let layer = self.result(planned, |context| {
                let made = finish::run(context, &source, sealed, target)?;
                // What was read is what was sealed, to the end.
                self.session.store.verify(sealed.entry())?;
                Ok(made)
            })?;
            let mut finished = finished.lock().unpoisoned();
            finished.insert(label.to_owned(), layer.of(sealed)?);
            Ok(())
        })?;
        graph::failures(outcomes, &self.session.ui)?;
        for layer in finished.into_inner().unpoisoned().values() {
            all.extend(artifacts(layer.entry(), &layer.facts().artifacts));
        }
        Ok(all)
    }
}

/// Refuses targets whose machines the kernel of the bootstrap will not drive, before the hours
/// that a build takes; of other installations the disk itself tells.
///
/// # Errors
/// When a target needs the generic kernel and no recipe of the chain installs one.
pub(super) fn preflight(plan: &Plan) -> Result<()> {
    let mut chain: Vec<&Plan> = vec![plan];
    while let Some(base) = chain.last().and_then(|plan| plan.below()) {
        chain.push(base);
    }
    let bottom = chain.last().map(|plan| &plan.base);
    let Some(Base::Install(Install::Bootstrap(bootstrap))) = bottom else {
        return Ok(());
    };
    let steps = chain
        .iter()
        .flat_map(|plan| &plan.resolved.recipe.configure);
    let named = steps.filter_map(|step| step.action.kind().packages());
    let named = named.flat_map(|names| names.all()).map(str::to_owned);
    let kernel = bootstrap.kernel.clone().into_iter();
    let all: Vec<String> = kernel
        .chain(bootstrap.packages.iter().cloned())
        .chain(named)
        .collect();
    let recipe = &plan.resolved.recipe;
    targets::kernel::preflight(
        &targets::modules(&recipe.targets),
        recipe.machine.arch,
        &all,
    )
}

/// The targets as a graph without edges.
fn targets(planned: &[&Planned], guest: Size) -> Vec<Node> {
    let node = |planned: &&Planned| Node {
        name: planned.label.clone(),
        parents: vec![],
        memory: match &planned.part {
            Part::Target(target) => needs(target, guest),
            Part::Whole | Part::Steps { .. } => Size::bytes(0),
        },
    };
    planned.iter().map(node).collect()
}

/// What a target and its guests need at most at one time.
fn needs(target: &Wanted, guest: Size) -> Size {
    Size::bytes(target.memory.as_bytes() + target.guests() * guest.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::{Action, Step};
    use crate::targets::{Docker, Targets};

    #[test]
    fn guests_count_while_they_can_run() {
        let mib = |target: &Wanted| needs(target, Size::gib(1)).as_bytes() >> 20;
        let find = |name| targets::find(name).unwrap();
        assert_eq!(mib(&find("openstack")), 1536 + 2048);
        assert_eq!(mib(&find("docker")), 1024);
        let steps = Targets {
            docker: Some(Docker {
                configure: vec![Step::new(Action::Reboot)],
                ..Docker::default()
            }),
            ..Targets::default()
        };
        assert_eq!(mib(&steps.wanted()[0]), 1024 + 1024);
    }

    /// Together they never need more than there is; one that needs more than that runs alone.
    #[test]
    fn memory_bounds_the_targets_that_run_at_once() {
        let nodes: Vec<Node> = Targets::all()
            .wanted()
            .iter()
            .map(|target| Node {
                name: target.name.into(),
                parents: vec![],
                memory: needs(target, Size::gib(1)),
            })
            .collect();
        for room in [1, 3, 4, 64] {
            let room = Room {
                memory: Size::gib(room),
                images: nodes.len(),
            };
            let running = Mutex::new(vec![]);
            let outcomes = graph::run(&nodes, room, |name| {
                let own = nodes.iter().find(|node| node.name == name).unwrap();
                let mut now = running.lock().unwrap();
                now.push(own.memory.as_bytes());
                let all: u64 = now.iter().sum();
                assert!(now.len() == 1 || all <= room.memory.as_bytes(), "{now:?}");
                drop(now);
                std::thread::yield_now();
                let mut now = running.lock().unwrap();
                let at = now.iter().position(|it| *it == own.memory.as_bytes());
                now.remove(at.unwrap());
                Ok(())
            });
            assert_eq!(outcomes.unwrap().len(), nodes.len());
        }
    }
}
