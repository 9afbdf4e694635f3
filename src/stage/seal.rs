//! Seal: what must not stay is removed in one libguestfs session, then the disk is trimmed.

use serde_json::{Value, json};

use crate::digest;
use crate::error::Result;
use crate::guest::{Drive, Guestfs, Launch};
use crate::recipe::types::Recipe;
use crate::sbom::Contents;
use crate::stage::configure::luks_keys;
use crate::stage::{Configured, Context, declared, install};
use crate::store::Entry;
use crate::sysprep::{self, ImageIdentity, Seal};

/// Seals an overlay of the configured disk; `version` goes into its os-release.
///
/// # Errors
/// When libguestfs fails, or an operation leaves what it must not leave.
pub fn run(context: &Context<'_>, configured: &Configured, version: &str) -> Result<Value> {
    let recipe = context.recipe();
    let operations = sysprep::select(&recipe.seal.operations)?;
    let disk = context.overlay_with(&configured.0, sysprep::OVERLAY_CLUSTER)?;
    context.ui.step("opening the disk");
    let drives = [Drive {
        path: &disk,
        format: "qcow2",
        readonly: false,
    }];
    let accel = context.host.accel()?;
    let luks_keys = luks_keys(recipe, &context.resolved.root);
    let launch = Launch {
        drives: &drives,
        accel,
        ui: Some(context.ui),
    };
    let guest = Guestfs::launch_unlocked(&launch, &luks_keys)?;
    let os = guest.mount_root()?;
    let declared = declared::all(recipe, &context.resolved.root, &configured.0)?;
    context.ui.step("listing the packages");
    let mut contents = Contents::list(&guest, &os)?;
    let report = sysprep::seal(
        &guest,
        &os,
        &Seal {
            operations: &operations,
            identity: Some(&ImageIdentity {
                id: recipe.name.clone(),
                version: version.to_owned(),
            }),
            declared: &declared,
            files: &sources(&configured.0, recipe),
            luks_keys: &luks_keys,
            relabel_at_boot: recipe.targets.ramdisk.is_none(),
            ui: Some(context.ui),
        },
    )?;
    contents.read_config(&guest, context.dir)?;
    sysprep::empty_journals(&guest)?;
    guest.close()?;
    contents.write(context.dir)?;
    for warning in report.warnings() {
        context.ui.ui().warning(warning);
    }
    let before = sysprep::allocated(&configured.0.disk(), "qcow2")?;
    let after = sysprep::allocated(&disk, "qcow2")?;
    let note = report.note(before.saturating_sub(after));
    let install = &configured.0.meta().facts["install"];
    Ok(json!({
        "install": install,
        "declared": declared,
        "disk": digest::file_blake3(&disk)?,
        "os": os,
        "note": note,
    }))
}

/// What the finished image is told about package sources.
pub(super) fn sources(disk: &Entry, recipe: &Recipe) -> Vec<(String, String)> {
    let facts: Option<install::Facts> =
        serde_json::from_value(disk.meta().facts["install"].clone()).ok();
    let default = facts
        .and_then(|facts| facts.sources)
        .filter(|_| recipe.mirrors.image == "default");
    default
        .into_iter()
        .map(|sources| (sources.path, sources.text))
        .collect()
}
