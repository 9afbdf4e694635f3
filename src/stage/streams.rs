//! The artifacts of simplestreams: the disk as compressed qcow2, for Incus, LXD and Glance, and
//! the metadata that Incus and LXD want beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use xz2::write::XzEncoder;

use super::companions::Told;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::stage::{Context, Sealed};

/// Makes both beside the compressed disk from `raw`, the flattened one; what the facts say of them.
///
/// # Errors
/// When `qemu-img` fails, or the copy is not the disk that the gate tested.
pub fn make(context: &Context<'_>, sealed: &Sealed, raw: &Path, version: &str) -> Result<Value> {
    let recipe = context.recipe();
    let stem = format!("{}-{version}", recipe.name);
    let (disk, metadata) = (format!("{stem}.qcow2"), format!("{stem}.incus.tar.xz"));
    context.ui.step("compressing as qcow2");
    let convert = ["convert", "-f", "raw", "-O", "qcow2", "-c", "-m", "4", "-W"];
    Program::new("qemu-img")
        .args(convert)
        .args(["-o", "compression_type=zlib"])
        .arg(raw)
        .arg(context.dir.join(&disk))
        .run()?;
    // The gate's proof is about the disk's content: the copy must be the same to a guest.
    Program::new("qemu-img")
        .args(["compare", "-q", "-f", "raw", "-F", "qcow2"])
        .arg(raw)
        .arg(context.dir.join(&disk))
        .run()
        .map_err(|error| {
            Error::gate("the qcow2 is not the disk that the gate tested").cause(error)
        })?;
    let system = &sealed.0.meta().facts["os"];
    let (os, os_version) = (text(&system["distro"]), release(system));
    let created = sealed.0.meta().created;
    let about = Metadata {
        context,
        os: &os,
        release: &os_version,
        version,
        created,
    };
    std::fs::write(context.dir.join(&metadata), archive(&about)?)
        .doing(|| format!("writing {metadata}"))?;
    let combined = combined(&[context.dir.join(&metadata), context.dir.join(&disk)])?;
    let words = |format: &str, target: &str| {
        let words = [
            ("target", target),
            ("format", format),
            ("os", &os),
            ("os-version", &os_version),
        ];
        words
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>()
    };
    let mut incus = words("incus-metadata", "incus");
    incus.insert("combined-sha256".into(), combined);
    let told = [(disk, words("qcow2", "disk")), (metadata, incus)]
        .into_iter()
        .map(|(file, about)| {
            let sha512 = crate::digest::file_sha512(&context.dir.join(&file))?;
            Ok(Told {
                file,
                sha512,
                about,
            })
        });
    Ok(json!(told.collect::<Result<Vec<_>>>()?))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `12`, or `24.04` where both parts make the name.
fn release(system: &Value) -> String {
    let (major, minor) = (
        system["major"].as_i64().unwrap_or(0),
        system["minor"].as_i64().unwrap_or(0),
    );
    match text(&system["distro"]).as_str() {
        "ubuntu" => format!("{major}.{minor:02}"),
        _ => major.to_string(),
    }
}

struct Metadata<'a> {
    context: &'a Context<'a>,
    os: &'a str,
    release: &'a str,
    version: &'a str,
    created: u64,
}

/// `metadata.yaml` in a compressed archive; the same bytes for the same image.
fn archive(about: &Metadata<'_>) -> Result<Vec<u8>> {
    let recipe = about.context.recipe();
    let arch = recipe.machine.arch;
    let title = if recipe.summary.is_empty() {
        &recipe.name
    } else {
        &recipe.summary
    };
    let value = json!({
        "architecture": arch,
        "creation_date": about.created,
        "properties": {
            "architecture": arch,
            "os": about.os,
            "release": about.release,
            "variant": recipe.name,
            "description": title,
            "serial": about.version,
        },
    });
    // JSON is YAML.
    let text = format!("{value:#}\n");
    let doing = || "writing metadata.yaml".to_owned();
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(about.created);
    header.set_cksum();
    let mut archive = tar::Builder::new(XzEncoder::new(Vec::new(), 6));
    archive
        .append_data(&mut header, "metadata.yaml", text.as_bytes())
        .doing(doing)?;
    let mut xz = archive.into_inner().doing(doing)?;
    xz.flush().doing(doing)?;
    xz.finish().doing(doing)
}

/// SHA-256 of several files as one: Incus' fingerprint of a split image.
fn combined(files: &[std::path::PathBuf]) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let doing = || format!("reading {}", path.display());
        let mut file = File::open(path).doing(doing)?;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause).doing(doing),
            }
        }
    }
    Ok(hex::encode(hasher.finalize()))
}
