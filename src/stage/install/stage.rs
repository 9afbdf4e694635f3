//! The stage: the recipe's method, in the draft's directory.

use std::path::Path;

use super::{BaseDisk, Installed, bootstrap, import, inputs, published, virt_install};
use crate::digest::Sha256;
use crate::distro;
use crate::doctor::Need;
use crate::error::{Context as _, Result};
use crate::host::namespace::remove_tree;
use crate::pull::Pin;
use crate::recipe::types::{Base, ImageSource, Install};
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
    parts: |request| match request.base {
        Base::Layer(_) => vec![],
        Base::Published(pin) => Part::whole(move |request| Ok(inputs::published(request, pin))),
        Base::Install(install) => Part::whole(move |request| inputs::installed(request, install)),
    },
    needs: |resolved, _| match &resolved.base {
        Base::Install(Install::Bootstrap(_)) => &[Need::Disks, Need::Bootstrap],
        Base::Install(Install::VirtInstall(_)) => {
            &[Need::Disks, Need::Installer, Need::Guests, Need::Appliance]
        }
        _ => &[Need::Disks],
    },
    has: Store::has::<Installed>,
};

/// Installs the base system.
///
/// # Errors
/// As the method.
pub fn run(context: &Context<'_>, install: &Install) -> Result<Installed> {
    made(context, |scratch, disk| {
        Ok((
            method(context, install, scratch, disk)?,
            Declared::default(),
        ))
    })
}

/// Gets a published image, with what it has on purpose.
///
/// # Errors
/// When it cannot be fetched, is another one, or needs a larger disk.
pub fn pulled(context: &Context<'_>, pin: &Pin) -> Result<Installed> {
    made(context, |scratch, disk| {
        published::run(context, pin, scratch, disk)
    })
}

fn made(
    context: &Context<'_>,
    work: impl FnOnce(&Path, &Path) -> Result<(BaseDisk, Declared)>,
) -> Result<Installed> {
    let scratch = context.dir.join("scratch");
    std::fs::create_dir(&scratch).doing(|| format!("making {}", scratch.display()))?;
    let made = work(&scratch, &context.dir.join(DISK));
    // What is left of a failure may belong to users of the guest.
    let removed = remove_tree(&scratch);
    let (disk, declared) = made?;
    removed?;
    Ok(Installed {
        install: disk.facts,
        declared,
    })
}

fn method(
    context: &Context<'_>,
    install: &Install,
    scratch: &Path,
    disk: &Path,
) -> Result<BaseDisk> {
    let recipe = context.recipe();
    match install {
        Install::Bootstrap(method) => {
            let (family, _) = distro::suite(&method.suite)?;
            let mirrors = context.config.mirrors.get(family.id);
            bootstrap::run(&bootstrap::Input {
                image: &recipe.name,
                bootstrap: method,
                machine: &recipe.machine,
                mirrors: &recipe.mirrors,
                site_mirrors: mirrors.map(Vec::as_slice).unwrap_or_default(),
                seed: context.seed.as_str(),
                fetching: context.fetching,
                relay: context.relay(scratch, "proxy.log"),
                scratch,
                disk,
                ui: context.ui,
            })
        }
        Install::Import(source) => {
            let image = match source {
                ImageSource::Download { url, .. } => url.as_str().to_owned(),
                ImageSource::File { path, .. } => {
                    let path = context.resolved.root.join(path);
                    let copy = context.files.copy(&path);
                    copy.unwrap_or(path).display().to_string()
                }
            };
            import::run(&import::Input {
                image: &image,
                sha256: source.sha256().map(Sha256::as_str),
                raw: false,
                media: context.media(&context.host.store(), &context.cache())?,
                size: recipe.machine.disk,
                scratch,
                disk,
                ui: context.ui,
            })
        }
        Install::VirtInstall(method) => virt_install::run(context, method, scratch, disk),
    }
}
