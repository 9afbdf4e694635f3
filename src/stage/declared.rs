//! What a recipe puts into its image on purpose: seal keeps exactly that, and the scan accepts it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::pull::{self, Pin};
use crate::recipe::types::{MachineId, Recipe};
use crate::steps;
use crate::sysprep::Declared;

/// The account that every Vagrant box has, with a key that is known to everybody.
const VAGRANT: &str = "vagrant";

/// What a recipe declares; key files are below `root`.
///
/// # Errors
/// When a file that the recipe names cannot be read.
pub fn of(recipe: &Recipe, root: &Path) -> Result<Declared> {
    let mut declared = steps::declared(&recipe.configure, root)?;
    if recipe.targets.vagrant.is_some() {
        declared.accounts.insert(VAGRANT.into());
    }
    Ok(declared)
}

/// The end of the name of the file in which a published image tells what it declares.
pub const SUFFIX: &str = ".declared.json";

/// What a published image declares; nothing where its repository does not tell.
///
/// # Errors
/// When its signed record cannot be read, or has another digest of the file.
pub fn published(session: &pull::Session<'_>, pin: &Pin) -> Result<Declared> {
    // Only imgforge tells.
    if pin.image.version.is_none() {
        return Ok(Declared::default());
    }
    let options = pull::Options {
        channel: pin.channel.as_deref(),
        ..pull::Options::default()
    };
    let Some(text) = pull::beside(session, &pin.named, &options, &pin.image, SUFFIX)? else {
        return Ok(Declared::default());
    };
    serde_json::from_slice(&text).map_err(|cause| {
        Error::gate(format!("what {} declares cannot be understood", pin.named)).cause(cause)
    })
}

/// What a recipe declares together with the recipes `below` it.
///
/// # Errors
/// As [`of`].
pub fn all(recipe: &Recipe, root: &Path, below: &Declared) -> Result<Declared> {
    let mut declared = below.clone();
    declared.add(of(recipe, root)?);
    declared.first_boot = recipe.seal.machine_id == MachineId::Uninitialized;
    Ok(declared)
}
