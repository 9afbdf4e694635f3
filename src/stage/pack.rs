//! Pack: the sealed disk as one compressed file, `NAME-VERSION.xz`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::doctor::Need;
use crate::error::{Context as _, Result};
use crate::host::outlet::{Folder, Overwrite};
use crate::pack;
use crate::recipe::types::Pack;
use crate::stage::plan::{Part, Request};
use crate::stage::seal::Sealed;
use crate::stage::{Context, OfSealed, Stage};
use crate::store::inputs::Inputs;
use crate::store::{Facts, Layer, Store};
use crate::targets::{ArtifactRecord, streams};

/// What the stage reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Packed {
    sealed: String,
    /// The name of the file in the entry, `NAME-VERSION.xz`.
    file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Size of the disk in it, in bytes.
    pub virtual_size: u64,
    /// SHA-512 of the file, in hex.
    pub sha512: String,
    /// What `publish: {streams: true}` asks for.
    pub artifacts: Vec<ArtifactRecord>,
    /// A line for people.
    pub note: String,
}

impl Facts for Packed {
    const STAGE: &'static str = "pack";

    fn note(&self) -> Option<&str> {
        Some(&self.note)
    }
}

/// Grows when the stage writes other files of the same inputs; the encoder has its own.
const VERSION: u32 = 2;

/// The stage's row.
pub const STAGE: Stage = Stage {
    name: Packed::STAGE,
    makes_disk: false,
    fetches: false,
    secrets: false,
    below: "the sealed disk",
    parts: |_| Part::whole(|request| Ok(depends_on(request))),
    needs: |_, _| &[Need::Disks],
    has: Store::has::<Packed>,
};

/// Inputs of the stage.
fn depends_on(request: &Request<'_>) -> Inputs {
    let recipe = &request.resolved.recipe;
    let mut inputs = request.begin(&STAGE, VERSION);
    let Pack { profile, filter } = recipe.pack;
    inputs.value("pack.profile", profile);
    inputs.value("pack.filter", filter);
    inputs.value(
        "the encoder",
        pack::Settings::of(profile, filter).fingerprint(),
    );
    if recipe
        .publish
        .as_ref()
        .is_some_and(|publish| publish.streams)
    {
        inputs.value("publish.streams", "proven");
        inputs.value("summary", &recipe.summary);
    }
    inputs
}

impl OfSealed for Packed {
    fn sealed(&self) -> &str {
        &self.sealed
    }
}

impl Layer<Packed> {
    /// The compressed disk.
    pub fn xz(&self) -> PathBuf {
        self.entry().path().join(&self.facts().file)
    }
}

/// Flattens the sealed disk and compresses it.
///
/// # Errors
/// When `qemu-img` fails, the disk is full, a disk of the chain is not what was committed, or on an
/// interrupt.
pub fn run(context: &Context<'_>, sealed: &Layer<Sealed>) -> Result<Packed> {
    let recipe = context.recipe();
    let raw = context.dir.join("disk.raw");
    context.ui.step("flattening the disk");
    pack::flatten(&sealed.entry().disk(), "qcow2", &raw, context.ui)?;
    // What was read is what was sealed, and what the gate is asked about.
    context.host.store().verify(sealed.entry())?;
    context.ui.step("compressing");
    let file = format!("{}-{}.xz", recipe.name, context.version);
    let cache = pack::BlockCache::open(context.host.state(), context.config.store.block_cache)?;
    let options = pack::Options {
        profile: recipe.pack.profile,
        filter: recipe.pack.filter,
        cache: Some(&cache),
        ..pack::Options::default()
    };
    let packed = pack::compress(&raw, &context.dir.join(&file), &options, context.ui)?;
    let streams = recipe
        .publish
        .as_ref()
        .is_some_and(|publish| publish.streams);
    let artifacts = match streams {
        true => streamed(context, sealed, &raw)?,
        false => vec![],
    };
    std::fs::remove_file(&raw).doing(|| format!("removing {}", raw.display()))?;
    Ok(Packed {
        sealed: sealed.digest()?.to_owned(),
        file,
        size: packed.size.as_bytes(),
        virtual_size: packed.virtual_size.as_bytes(),
        note: packed.summary(),
        sha512: packed.sha512,
        artifacts,
    })
}

/// What `publish: {streams: true}` asks for.
fn streamed(
    context: &Context<'_>,
    sealed: &Layer<Sealed>,
    raw: &Path,
) -> Result<Vec<ArtifactRecord>> {
    let recipe = context.recipe();
    let os = &sealed.facts().os;
    context.ui.step("compressing as qcow2");
    let about = streams::About {
        name: &recipe.name,
        title: recipe.title(),
        version: context.version,
        arch: recipe.machine.arch,
        os: &os.distro,
        release: &streams::release(os),
        created: sealed.entry().meta().created,
        sealed: sealed.digest()?,
    };
    streams::make(context.dir, raw, &about)
}

/// Copies the file to `dir` for `-o DIR`, in place of an earlier one, by one rename.
///
/// # Errors
/// When the directory cannot be written.
pub fn copy(packed: &Layer<Packed>, dir: &Folder) -> Result<PathBuf> {
    let facts = packed.facts();
    let outlet = dir.outlet(facts.file.as_ref(), Overwrite::Anything)?;
    let there = outlet.real();
    let same = std::fs::metadata(&there).is_ok_and(|meta| meta.len() == facts.size);
    if !same || crate::digest::file_sha512(&there)? != facts.sha512 {
        outlet.copy(&packed.xz())?;
    }
    Ok(outlet.path().to_owned())
}
