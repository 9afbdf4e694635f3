//! Seal: what must not stay is removed in one libguestfs session, then the disk is trimmed.

use serde_json::{Value, json};

use crate::digest;
use crate::error::Result;
use crate::guest::{Drive, Guestfs, Launch};
use crate::recipe::types::{Action, Recipe, User};
use crate::stage::{Configured, Context, install};
use crate::store::Entry;
use crate::sysprep::{self, How, ImageIdentity, Report, Seal};
use crate::units::Size;

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
    let guest = Guestfs::launch(&Launch {
        drives: &drives,
        accel,
        ui: Some(context.ui),
    })?;
    let os = guest.mount_root()?;
    let report = sysprep::seal(
        &guest,
        &os,
        &Seal {
            operations: &operations,
            identity: &ImageIdentity {
                id: recipe.name.clone(),
                version: version.to_owned(),
            },
            keep: &declared_keys(recipe),
            files: &sources(&configured.0, recipe),
            ui: Some(context.ui),
        },
    )?;
    guest.close()?;
    for filesystem in report
        .filesystems
        .iter()
        .filter(|f| f.how == How::Untouched)
    {
        let at = &filesystem.at;
        context
            .ui
            .ui()
            .warning(format!("the free space of {at} may hold what was removed"));
    }
    let install = &configured.0.meta().facts["install"];
    Ok(
        json!({ "install": install, "disk": digest::file_blake3(&disk)?, "os": os, "note": note(&report) }),
    )
}

/// What the finished image is told about package sources.
fn sources(disk: &Entry, recipe: &Recipe) -> Vec<(String, String)> {
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

/// The keys of users that the recipe makes are part of the image.
fn declared_keys(recipe: &Recipe) -> Vec<String> {
    let users = recipe
        .configure
        .iter()
        .filter_map(|step| match &step.action {
            Action::Users(users) => Some(&users.list),
            _ => None,
        });
    let with_keys = users.flatten().filter(|user| !user.ssh_keys.is_empty());
    with_keys
        .map(|user| format!("{}/.ssh/authorized_keys", home(user)))
        .collect()
}

fn home(user: &User) -> String {
    match user.name.as_str() {
        "root" => "/root".into(),
        name => format!("/home/{name}"),
    }
}

fn note(report: &Report) -> String {
    let total = report
        .filesystems
        .iter()
        .map(|filesystem| filesystem.total)
        .sum();
    let [used, total, freed] =
        [report.used(), total, report.freed()].map(|n| Size::bytes(n).human());
    format!("{used} used of {total}, {freed} less than before")
}
