//! Seal: what must not stay is removed in one libguestfs session, then the disk is trimmed.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::Result;
use crate::guest::{Drive, Guestfs, Key, Launch, Os};
use crate::recipe::types::Recipe;
use crate::sbom::Contents;
use crate::stage::configure::luks_keys;
use crate::stage::install::SourcesFile;
use crate::stage::{Configured, Context, declared};
use crate::store::Entry;
use crate::sysprep::{self, Declared, ImageIdentity, Report, Seal};

/// A disk that is open to be sealed.
#[derive(Debug)]
pub(super) struct Open {
    guest: Guestfs,
    os: Os,
    keys: Vec<Key>,
}

impl Open {
    /// Opens the qcow2 overlay `disk`.
    pub(super) fn of(context: &Context<'_>, disk: &Path) -> Result<Open> {
        let drives = [Drive {
            path: disk,
            format: "qcow2",
            readonly: false,
        }];
        let launch = Launch {
            drives: &drives,
            accel: context.host.accel()?,
            ui: Some(context.ui),
        };
        let keys = luks_keys(context.recipe(), &context.resolved.root);
        let guest = Guestfs::launch_unlocked(&launch, &keys)?;
        let os = guest.mount_root()?;
        Ok(Open { guest, os, keys })
    }

    /// Seals what was built on `below`; `version` goes into its os-release.
    pub(super) fn seal(
        &self,
        context: &Context<'_>,
        below: &Entry,
        declared: &Declared,
        version: &str,
    ) -> Result<Report> {
        let recipe = context.recipe();
        let sources: Vec<_> = sources(below, recipe).into_iter().collect();
        if sources.is_empty() && recipe.mirrors.image.contains("://") {
            context.ui.ui().warning(
                "`mirrors: {image: …}` is not applied: only apt's sources are known here; a step of \
                 `configure` can write others",
            );
        }
        sysprep::seal(
            &self.guest,
            &self.os,
            &Seal {
                operations: &sysprep::select(&recipe.seal.operations)?,
                identity: Some(&ImageIdentity {
                    id: recipe.name.clone(),
                    version: version.to_owned(),
                }),
                declared,
                files: &sources,
                luks_keys: &self.keys,
                relabel_at_boot: recipe.targets.ramdisk.is_none(),
                ui: Some(context.ui),
            },
        )
    }

    /// Writes everything and closes the disk.
    pub(super) fn close(self) -> Result<()> {
        sysprep::empty_journals(&self.guest, &self.os)?;
        self.guest.close()
    }
}

/// Seals an overlay of the configured disk; `version` goes into its os-release.
///
/// # Errors
/// When libguestfs fails, or an operation leaves what it must not leave.
pub fn run(context: &Context<'_>, configured: &Configured, version: &str) -> Result<Value> {
    let recipe = context.recipe();
    let disk = context.overlay_with(&configured.0, sysprep::OVERLAY_CLUSTER)?;
    context.ui.step("opening the disk");
    let open = Open::of(context, &disk)?;
    let declared = declared::all(recipe, &context.files.root(), &configured.0)?;
    context.ui.step("listing the packages");
    let mut contents = Contents::list(&open.guest, &open.os)?;
    let report = open.seal(context, &configured.0, &declared, version)?;
    contents.read_config(&open.guest, context.dir)?;
    let os = open.os.clone();
    open.close()?;
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
        "os": os,
        "note": note,
    }))
}

/// What the finished image is told about package sources.
fn sources(disk: &Entry, recipe: &Recipe) -> Option<(String, String)> {
    let file = SourcesFile::of(&disk.meta().facts)?;
    let text = file.told(&recipe.mirrors.image)?;
    Some((file.path, text))
}
