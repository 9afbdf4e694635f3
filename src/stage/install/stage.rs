//! The stage: the recipe's method, in the draft's directory.

use std::path::Path;

use super::{BaseDisk, Installed, bootstrap, import, inputs, published, virt_install};
use crate::digest::Sha256;
use crate::distro;
use crate::doctor::Need;
use crate::error::{Context as _, Result};
use crate::host::namespace::remove_tree;
use crate::pull::Pin;
use crate::recipe::types::Install;
use crate::stage::plan::Part;
use crate::stage::{Context, Stage};
use crate::store::{DISK, Facts as _, Store};
use crate::sysprep::Declared;

/// Grows when the stage makes other disks of the same inputs; an installer has its own.
pub(super) const VERSION: u32 = 4;

/// The stage's row.
pub const STAGE: Stage = Stage {
    name: Installed::STAGE,
    makes_disk: true,
    fetches: true,
    secrets: false,
    below: "",
    parts: |request| match request.resolved.recipe.install.is_some() || request.pin.is_some() {
        true => vec![Part::Whole],
        false => vec![],
    },
    inputs: inputs::of,
    needs: |recipe, _| match &recipe.install {
        Some(Install::Bootstrap(_)) => &[Need::Disks, Need::Bootstrap],
        Some(Install::VirtInstall(_)) => {
            &[Need::Disks, Need::Installer, Need::Guests, Need::Appliance]
        }
        Some(Install::Import(_)) | None => &[Need::Disks],
    },
    has: Store::has::<Installed>,
};

/// Installs the base system.
///
/// # Errors
/// As the method.
pub fn run(context: &Context<'_>, pin: Option<&Pin>) -> Result<Installed> {
    let scratch = context.dir.join("scratch");
    std::fs::create_dir(&scratch).doing(|| format!("making {}", scratch.display()))?;
    let made = install(context, pin, &scratch);
    // What is left of a failure may belong to users of the guest.
    let removed = remove_tree(&scratch);
    let (disk, declared) = made?;
    removed?;
    Ok(Installed {
        install: disk.facts,
        declared,
    })
}

/// Installs, and tells what a published image has on purpose.
fn install(
    context: &Context<'_>,
    pin: Option<&Pin>,
    scratch: &Path,
) -> Result<(BaseDisk, Declared)> {
    let Some(pin) = pin else {
        return Ok((method(context, scratch)?, Declared::default()));
    };
    let disk = context.dir.join(DISK);
    published::run(context, pin, scratch, &disk)
}

fn method(context: &Context<'_>, scratch: &Path) -> Result<BaseDisk> {
    let recipe = context.recipe();
    let disk = context.dir.join(DISK);
    match recipe.install.as_ref() {
        Some(Install::Bootstrap(method)) => {
            let (family, _) = distro::suite(&method.suite)?;
            let mirrors = context.config.mirrors.get(family.id);
            bootstrap::run(&bootstrap::Input {
                image: &recipe.name,
                bootstrap: method,
                machine: &recipe.machine,
                mirrors: &recipe.mirrors,
                site_mirrors: mirrors.map(Vec::as_slice).unwrap_or_default(),
                seed: context.key.as_str(),
                scratch,
                disk: &disk,
                ui: context.ui,
            })
        }
        Some(Install::Import(method)) => {
            let image = match import::is_url(&method.image) {
                true => method.image.clone(),
                false => {
                    let path = context.resolved.root.join(&method.image);
                    context
                        .files
                        .copy(&path)
                        .unwrap_or(path)
                        .display()
                        .to_string()
                }
            };
            import::run(&import::Input {
                image: &image,
                sha256: method.sha256.as_ref().map(Sha256::as_str),
                format: None,
                media: context.media(&context.host.store())?,
                size: recipe.machine.disk,
                scratch,
                disk: &disk,
                ui: context.ui,
            })
        }
        Some(Install::VirtInstall(method)) => virt_install::run(context, method, scratch, &disk),
        None => Err(crate::error::Error::internal(
            "a recipe without a method got through",
        )),
    }
}
