//! A published image as the base: `from: {image: REPO#name}`, and the same of import.

use std::path::Path;

use super::{BaseDisk, import};
use crate::blame;
use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::host::qemu_img::DiskFormat;
use crate::http::Client;
use crate::lock::Fetched;
use crate::pull::{self, Output, Pin, Session};
use crate::stage::Context;
use crate::sysprep::Declared;
use crate::units::Size;

/// What an image has on purpose, in a lock.
const DECLARED: &str = "declared";

/// The index of its files, in a lock.
const FILES: &str = "files";

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
    note_files(context, &session, pin)?;
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

/// Notes the index of the published image's files, so that these keep the causes that they have there.
///
/// # Errors
/// When it is not what was signed, or on an interrupt. Without one, the layer's own index says so.
fn note_files(context: &Context<'_>, session: &Session<'_>, pin: &Pin) -> Result<()> {
    let (cache, fetching) = (context.cache(), context.fetching);
    let named = match fetching.locked() {
        // That of an image without one has none, nor has one of an older imgforge.
        Some(locked) => match locked.archive_of(FILES) {
            Some(named) => Some(named.clone()),
            None => return Ok(()),
        },
        None => None,
    };
    let is_right = |bytes: &Vec<u8>| match &named {
        Some(named) => Sha256::of(bytes).as_str() == named.sha256,
        None => true,
    };
    let kept = named.as_ref().and_then(|named| {
        let path = cache.path(&named.sha256.parse().ok()?)?;
        std::fs::read(path).ok().filter(is_right)
    });
    let offline = fetching.locked().is_some_and(|locked| locked.is_offline());
    let bytes = match kept {
        Some(bytes) => Some(bytes),
        None if offline => None,
        None => files(context, session, pin)?.filter(is_right),
    };
    let Some(bytes) = bytes else {
        return Ok(());
    };
    let sha256 = Sha256::of(&bytes);
    cache.add(&sha256, &*bytes)?;
    fetching.archive(Fetched {
        url: FILES.to_owned(),
        sha256: sha256.as_str().to_owned(),
        size: bytes.len() as u64,
    });
    blame::note_parent(context.dir, &bytes)
}

/// The index as the repository has it; nothing where there is none, or none that can be fetched: a disk is
/// no worse without.
fn files(context: &Context<'_>, session: &Session<'_>, pin: &Pin) -> Result<Option<Vec<u8>>> {
    if pin.image.version.is_none() {
        return Ok(None);
    }
    let options = pull::Options {
        channel: pin.channel.as_deref(),
        ..pull::Options::default()
    };
    match pull::beside(session, &pin.named, &options, &pin.image, blame::SUFFIX) {
        Err(error) if !matches!(error.kind(), Kind::Gate | Kind::Interrupted(_)) => {
            let why = error.render();
            let said = format!("the index of its files cannot be fetched: {why}");
            context.ui.line(said);
            Ok(None)
        }
        found => found,
    }
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
