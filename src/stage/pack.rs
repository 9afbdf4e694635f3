//! Pack: the sealed disk as one compressed file, `NAME-VERSION.xz`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Context as _, Result};
use crate::host::outlet::Outlet;
use crate::pack;
use crate::stage::{Context, Packed, Sealed};
use crate::store::{DISK, Store};
use crate::targets::streams;

/// Flattens the sealed disk and compresses it.
///
/// # Errors
/// When `qemu-img` fails, the disk is full, a disk of the chain is not what was committed, or on an
/// interrupt.
pub fn run(context: &Context<'_>, sealed: &Sealed, version: &str) -> Result<Value> {
    let recipe = context.recipe();
    let raw = context.dir.join("disk.raw");
    context.ui.step("flattening the disk");
    pack::flatten(&sealed.0.path().join(DISK), "qcow2", &raw, context.ui)?;
    // What was read is what was sealed, and what the gate is asked about.
    Store::new(context.state).verify(&sealed.0)?;
    context.ui.step("compressing");
    let file = format!("{}-{version}.xz", recipe.name);
    let cache = pack::BlockCache::open(context.state, context.config.store.block_cache)?;
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
        true => streamed(context, sealed, &raw, version)?,
        false => json!([]),
    };
    std::fs::remove_file(&raw).doing(|| format!("removing {}", raw.display()))?;
    Ok(json!({
        "sealed": sealed.digest()?,
        "file": file,
        "size": packed.size.as_bytes(),
        "virtual-size": packed.virtual_size.as_bytes(),
        "sha512": packed.sha512,
        "artifacts": artifacts,
        "note": packed.summary(),
    }))
}

/// What `publish: {streams: true}` asks for, as the stage's facts tell of it.
fn streamed(context: &Context<'_>, sealed: &Sealed, raw: &Path, version: &str) -> Result<Value> {
    let recipe = context.recipe();
    let system = &sealed.0.meta().facts["os"];
    let os = system["distro"].as_str().unwrap_or("linux");
    let title = if recipe.summary.is_empty() {
        &recipe.name
    } else {
        &recipe.summary
    };
    context.ui.step("compressing as qcow2");
    let about = streams::About {
        name: &recipe.name,
        title,
        version,
        arch: "x86_64",
        os,
        release: &streams::release(system),
        created: sealed.0.meta().created,
        sealed: sealed.digest()?,
    };
    Ok(json!(streams::make(context.dir, raw, &about)?))
}

/// Copies the file to `dir` for `-o DIR`, in place of an earlier one, by one rename.
///
/// # Errors
/// When the directory cannot be written.
pub fn copy(packed: &Packed, dir: &Path) -> Result<PathBuf> {
    let name = packed.path.file_name().unwrap_or_default();
    let path = dir.join(name);
    let doing = || format!("writing {}", path.display());
    std::fs::create_dir_all(dir).doing(doing)?;
    let same = std::fs::metadata(&path).is_ok_and(|meta| meta.len() == packed.size);
    if same && crate::digest::file_sha512(&path)? == packed.sha512 {
        return Ok(path);
    }
    Outlet::of(&path)?.copy(&packed.path)?;
    Ok(path)
}
