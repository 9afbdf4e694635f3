//! A published image as the base: `from: {image: REPO#name}`, and the same of import.

use std::path::Path;

use super::{BaseDisk, import};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::host::qemu_img::DiskFormat;
use crate::http::Client;
use crate::lock::Fetched;
use crate::pull::{self, Output, Pin, Session};
use crate::stage::Context;
use crate::sysprep::Declared;
use crate::units::Size;

/// What an image has on purpose, in a lock.
const DECLARED: &str = "declared";

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
    let declared = declared(context, &session, pin)?;
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
        media: context.media(&store, &context.cache())?,
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
fn declared(context: &Context<'_>, session: &Session<'_>, pin: &Pin) -> Result<Declared> {
    let (cache, fetching) = (context.cache(), context.fetching);
    let Some(locked) = fetching.locked() else {
        let declared = ask(session, pin)?;
        let text = serde_json::to_vec(&declared).unwrap_or_default();
        let sha256 = Sha256::of(&text);
        cache.add(&sha256, &*text)?;
        fetching.archive(Fetched {
            url: DECLARED.to_owned(),
            sha256: sha256.as_str().to_owned(),
            size: text.len() as u64,
        });
        return Ok(declared);
    };
    let named = locked.archive(DECLARED)?;
    fetching.archive(named.clone());
    let sha256: Sha256 = named.sha256.parse().map_err(Error::internal)?;
    let kept = cache
        .path(&sha256)
        .and_then(|path| std::fs::read(path).ok());
    let declared = match kept.filter(|text| Sha256::of(text) == sha256) {
        Some(text) => serde_json::from_slice(&text).ok(),
        None if locked.is_offline() => return Err(locked.is_nowhere(DECLARED)),
        None => {
            let declared = ask(session, pin)?;
            let text = serde_json::to_vec(&declared).unwrap_or_default();
            (Sha256::of(&text) == sha256).then_some(declared)
        }
    };
    declared.ok_or_else(|| {
        Error::stage(format!(
            "{} declares another thing than when it was locked",
            pin.named
        ))
        .hint(locked.again())
    })
}

fn ask(session: &Session<'_>, pin: &Pin) -> Result<Declared> {
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
