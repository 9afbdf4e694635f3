//! Inputs that several stages have. A wrong hit is worse than a miss: in doubt, it is an input.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::recipe::Resolved;
use crate::recipe::types::Secret;
use crate::steps::Step;
use crate::store::digests::Digests;
use crate::store::inputs::Inputs;
use crate::yaml::beneath;

/// The recipe's variables.
pub(super) fn variables(inputs: &mut Inputs, vars: &BTreeMap<String, String>) {
    vars.iter()
        .for_each(|(name, value)| inputs.value(format!("variable {name}"), value));
}

/// Name and source: the value is never hashed, so that a key tells nothing about it.
pub(super) fn secrets(inputs: &mut Inputs, from: &BTreeMap<String, Secret>) {
    from.iter()
        .for_each(|(name, from)| inputs.value(format!("secret {name}"), from));
}

/// A step, with the files of the recipe repository that it reads.
pub(super) fn step(
    inputs: &mut Inputs,
    resolved: &Resolved,
    name: &str,
    step: &Step,
    digests: &Digests,
) -> Result<()> {
    inputs.value(name, step);
    for file in step.action.kind().files(&resolved.root) {
        let path = beneath::inside(&resolved.root, &file)?;
        inputs.path(&format!("{name} {file}"), &path, digests)?;
    }
    Ok(())
}
