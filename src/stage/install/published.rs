//! A published image as the base: `from: {image: REPO#name}`, and the same of import.

use std::path::Path;

use super::{BaseDisk, import};
use crate::error::{Error, Result};
use crate::host::qemu_img::DiskFormat;
use crate::http::Client;
use crate::pull::{self, Output, Pin, Session};
use crate::stage::Context;
use crate::sysprep::Declared;
use crate::units::Size;

/// Fetches the pinned revision, and nothing but its bytes, onto `disk`. The second value is what
/// the image has on purpose, as its repository tells.
///
/// # Errors
/// When it cannot be fetched or is not what the signed index said, or the machine's disk is
/// smaller.
pub(super) fn run(
    context: &Context<'_>,
    pin: &Pin,
    scratch: &Path,
    disk: &Path,
) -> Result<(BaseDisk, Declared)> {
    let (named, size) = (&pin.named, context.recipe().machine.disk);
    let theirs = Size::bytes(pin.image.disk_size);
    if theirs > size {
        return Err(Error::usage(format!(
            "the image {named} has a disk of {theirs}, the machine's has {size}"
        ))
        .hint(format!(
            "write `machine: {{disk: {theirs}}}` or more; a disk never shrinks"
        )));
    }
    context.ui.step(format!("pulling {}", pin.describe()));
    let store = context.host.store();
    let ui = context.ui.clone();
    let client = Client::new()?.on_notice(move |text| ui.line(text));
    let session = Session {
        config: context.config,
        root: Some(&context.resolved.root),
        store: &store,
        ledger: context.host.ledger()?,
        client: &client,
        registries: crate::pull::Registries::default(),
        ui: context.ui.ui(),
    };
    let declared = declared(&session, pin)?;
    let path = scratch.join("published.raw");
    let output = Output {
        path: &path,
        format: DiskFormat::Raw,
        size: None,
        keep: true,
        threads: None,
    };
    pull::fetch(&session, &pin.image, &output)?;
    let mut installed = import::run(&import::Input {
        image: &path.display().to_string(),
        sha256: None,
        // What a guest has written into its first sector does not decide.
        raw: true,
        media: context.media(&store)?,
        size,
        scratch,
        disk,
        ui: context.ui,
    })?;
    installed.facts.osinfo.clone_from(&pin.image.osinfo);
    Ok((installed, declared))
}

/// What a published image declares; nothing where its repository does not tell.
///
/// # Errors
/// When its signed record cannot be read, or has another digest of the file.
fn declared(session: &Session<'_>, pin: &Pin) -> Result<Declared> {
    // Only imgforge tells.
    if pin.image.version.is_none() {
        return Ok(Declared::default());
    }
    let options = pull::Options {
        channel: pin.channel.as_deref(),
        ..pull::Options::default()
    };
    let (named, image) = (&pin.named, &pin.image);
    let Some(text) = pull::beside(session, named, &options, image, Declared::SUFFIX)? else {
        return Ok(Declared::default());
    };
    serde_json::from_slice(&text).map_err(|cause| {
        Error::gate(format!("what {named} declares cannot be understood")).cause(cause)
    })
}
