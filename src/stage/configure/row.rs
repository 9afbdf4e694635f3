//! The stage's row, its parts, and what each of them depends on.

use std::ops::Range;

use super::Configured;
use crate::doctor::Need;
use crate::error::Result;
use crate::recipe::Resolved;
use crate::stage::plan::{Part, Parts, Request};
use crate::stage::{Stage, inputs};
use crate::store::inputs::Inputs;
use crate::store::{Facts as _, Store};

/// Grows when the stage makes other disks of the same inputs; the runner has its own.
const VERSION: u32 = 3;

/// The stage's row.
pub const STAGE: Stage = Stage {
    name: Configured::STAGE,
    makes_disk: true,
    fetches: true,
    secrets: true,
    below: "the disk below",
    parts,
    needs: |resolved, part| match part {
        Part::Steps { steps, .. } if takes_toolbox(resolved, steps) => {
            &[Need::Disks, Need::Guests, Need::Appliance, Need::Toolbox]
        }
        _ => &[Need::Disks, Need::Guests, Need::Appliance],
    },
    has: Store::has::<Configured>,
};

/// Whether one of these steps has its programs in a toolbox.
fn takes_toolbox(resolved: &Resolved, steps: &Range<usize>) -> bool {
    let mut steps = resolved.recipe.configure[steps.clone()].iter();
    steps.any(|step| step.action.about().toolbox.is_some())
}

/// The steps between checkpoints. Nothing to do in the guest is no part at all; a disk that `grows`
/// does so before the first.
fn parts<'a>(request: &Request<'a>) -> Parts<'a> {
    let Resolved { recipe, .. } = request.resolved;
    let grows = request.resolved.grows();
    let steps = &recipe.configure;
    let mut parts = Vec::new();
    let mut start = 0;
    for (index, step) in steps.iter().enumerate() {
        if step.action.about().keeps {
            parts.push(start..index);
            start = index + 1;
        }
    }
    parts.push(start..steps.len());
    let last_has_work = !recipe.instance.is_empty();
    let count = parts.len();
    let kept = parts.into_iter().enumerate();
    let kept: Vec<_> = kept
        .filter(|(index, part)| {
            !part.is_empty() || (grows && *index == 0) || (last_has_work && index + 1 == count)
        })
        .map(|(_, part)| part)
        .collect();
    let count = kept.len();
    let part = |(number, steps): (usize, Range<usize>)| {
        let (last, range) = (number == count, steps.clone());
        let inputs = move |request: &Request<'a>| inputs_of(request, range, last);
        let part = Part::Steps {
            number,
            steps,
            last,
        };
        (part, Box::new(inputs) as _)
    };
    (1..).zip(kept).map(part).collect()
}

/// Inputs of one part.
fn inputs_of(request: &Request<'_>, steps: Range<usize>, last: bool) -> Result<Inputs> {
    let Request {
        resolved, digests, ..
    } = *request;
    let recipe = &resolved.recipe;
    let mut inputs = request.begin(&STAGE, VERSION);
    inputs.value("the runner", crate::runner::version());
    if resolved.grows() {
        inputs.value("machine.disk", recipe.machine.disk);
    }
    // What the steps see of the machine that they run in.
    let machine = &recipe.machine;
    inputs.value("machine.memory", machine.memory);
    inputs.value("machine.cpus", machine.cpus);
    inputs.value("machine.firmware", machine.firmware());
    inputs.value("machine.network", &machine.network);
    inputs.place("mirrors.build", recipe.mirrors.build.as_str());
    inputs::variables(&mut inputs, &resolved.vars);
    inputs::secrets(&mut inputs, &recipe.secrets);
    for index in steps {
        let (name, each) = (format!("configure[{index}]"), &recipe.configure[index]);
        inputs::step(&mut inputs, resolved, &name, each, digests)?;
    }
    if last {
        for (index, each) in recipe.instance.iter().enumerate() {
            let name = format!("instance[{index}]");
            inputs::step(&mut inputs, resolved, &name, each, digests)?;
        }
    }
    Ok(inputs)
}
