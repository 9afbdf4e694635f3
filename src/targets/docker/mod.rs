//! A container image: the root file system without what only a machine needs.
//!
//! One archive is an OCI layout and what `docker load` takes. The same sealed disk gives the same
//! digest each time: files are sorted, owners are numbers, no time is newer than the disk.

mod fits;
mod joined;
pub(super) mod layout;
pub(super) mod run;
pub(super) mod strip;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::gzip::Gzip;
use super::tree::{Node, Tree};
use super::{
    CheckKind, Command, Format, MadeFile, Offered, Options, PassedCheck, Target, TargetContext,
    proven, rootfs,
};
use crate::digest::Hashed;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::{Program, quote};
use crate::host::space::Frugal;
use crate::host::tools::Tool;
use crate::steps::Step;
use crate::units::Size;
pub(super) use fits::tell_holes;
pub use joined::{file_name as joined_name, is_joined, join};
use layout::Blob;

pub(super) const TARGET: Target = Target {
    files: "`.oci.tar`: an OCI layout that `docker load` takes, too; `.rootfs.tar.zst` with `rootfs: true`",
    proven_by: "`skopeo`; the leftover scan; a command in a machine that has its files (no network)",
    tools: &[
        Tool::QemuImg,
        Tool::Sfdisk,
        Tool::Sqfstar,
        Tool::Supermin,
        Tool::Skopeo,
    ],
    runs: true,
    memory: Size::mib(1024),
    command: Some(command),
    ..Target::new("docker", 3)
};

/// `targets: {docker: …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Docker {
    /// The image's name in archives, as `acme/web`; default: the recipe's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Command of the container.
    pub cmd: Vec<String>,
    /// What the command is given to, if not executed itself.
    pub entrypoint: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// User that runs the command: a name or a number, possibly with `:GROUP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Labels, beside those that tell what the image is.
    pub labels: BTreeMap<String, String>,
    /// How the layer is compressed.
    pub compression: Layer,
    /// Also the root file system as a plain `NAME-VERSION.rootfs.tar.zst`.
    pub rootfs: bool,
    /// Steps of this target.
    pub configure: Vec<Step>,
}

/// How a container's layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// What every client reads.
    #[default]
    Gzip,
    /// Smaller and quicker; not for umoci, nor for Docker before version 23.
    Zstd,
}

impl Options for Docker {
    fn own_steps(&self) -> &[Step] {
        &self.configure
    }

    fn container(&self, image: &str) -> Option<String> {
        Some(self.reference.clone().unwrap_or_else(|| image.to_owned()))
    }

    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let tree = site.source.tree(site.ui)?;
        let nodes = strip::strip(&tree.nodes, &[]);
        fits::no_whiteouts(&nodes)?;
        tell_holes(site, &nodes);
        let shell = shell(&nodes)?;
        site.ui.step("archiving the files");
        let path = site.scratch.join("layer");
        let blob = write_layer(&tree, &nodes, site.about.created, self.compression, &path)?;
        let config = layout::config(self, site.about, site.machine.arch, &blob, shell);
        let reference = layout::reference(self.reference.as_deref(), site.about);
        let file = site.file("oci.tar");
        let archive = site.dir.join(&file);
        site.ui.step(format!("writing {file}"));
        let compression = self.compression;
        let created = site.about.created;
        let digest = layout::write(
            &archive,
            (&blob, &path),
            match compression {
                Layer::Gzip => "tar+gzip",
                Layer::Zstd => "tar+zstd",
            },
            (&config, site.machine.arch),
            &reference,
            created,
        )?;
        let mut proof = vec![];
        if site.proving {
            proof.extend(read_by_others(site, &archive, &digest)?);
            proof.extend(scanned(site, &path, compression)?);
            proof.push(run::try_out(site, &path, compression, &config)?);
        }
        std::fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
        let digest = format!("sha256:{digest}");
        let mut made = vec![
            MadeFile::new(file, Format::OciArchive, proof.clone())
                .about([("reference", reference), ("digest", digest)]),
        ];
        if self.rootfs {
            made.push(plain(site, &tree, &nodes, &blob, proof)?);
        }
        Ok(made)
    }
}

/// Level of zstd: a good balance for files that are written once.
const ZSTD: i32 = 9;

/// The root file system alone. It is proven what the container's layer is, if it is the same.
fn plain(
    site: &TargetContext<'_>,
    tree: &Tree,
    nodes: &[Node],
    blob: &Blob,
    mut proof: Vec<PassedCheck>,
) -> Result<MadeFile> {
    let file = site.file("rootfs.tar.zst");
    site.ui.step(format!("writing {file}"));
    let path = site.dir.join(&file);
    let same = write_layer(tree, nodes, site.about.created, Layer::Zstd, &path)?;
    if same.diff != blob.diff {
        return Err(Error::internal("the same files gave two archives"));
    }
    proof.push(proven(CheckKind::Validated, "the layer's digest"));
    Ok(MadeFile::new(file, Format::Rootfs, proof))
}

/// The shell of the image, which is its command if the recipe names none.
pub(super) fn shell(nodes: &[Node]) -> Result<&'static str> {
    let shells = [
        ("/bin/bash", ["usr/bin/bash", "bin/bash"]),
        ("/bin/sh", ["usr/bin/sh", "bin/sh"]),
    ];
    let has = |path: &str| nodes.iter().any(|node| node.path == path.as_bytes());
    let found = shells
        .iter()
        .find(|(_, paths)| paths.iter().any(|path| has(path)));
    found.map(|(shell, _)| *shell).ok_or_else(|| {
        Error::usage("a container of this image could run nothing")
            .cause("the image has neither /bin/bash nor /bin/sh")
    })
}

/// Writes the files as one compressed archive.
pub(super) fn write_layer(
    tree: &Tree,
    nodes: &[Node],
    newest: u64,
    how: Layer,
    to: &Path,
) -> Result<Blob> {
    let doing = || format!("writing {}", to.display());
    let file = Frugal::create(to).doing(doing)?;
    let file = Hashed::new(BufWriter::with_capacity(1 << 20, file));
    let (file, diff) = match how {
        Layer::Gzip => {
            let packed = Gzip::new(file).doing(doing)?;
            let hashed = rootfs::write(tree, nodes, newest, Hashed::new(packed))?;
            let (packed, diff, _) = hashed.finish();
            (packed.finish().doing(doing)?, diff)
        }
        Layer::Zstd => {
            let packed = zstd::Encoder::new(file, ZSTD).doing(doing)?;
            let hashed = rootfs::write(tree, nodes, newest, Hashed::new(packed))?;
            let (packed, diff, _) = hashed.finish();
            (packed.finish().doing(doing)?, diff)
        }
    };
    let (file, digest, size) = file.finish();
    let file = file
        .into_inner()
        .map_err(|error| error.into_error())
        .doing(doing)?;
    file.sync_all().doing(doing)?;
    let [digest, diff] = [digest, diff].map(|digest| digest.as_str().to_owned());
    Ok(Blob { digest, diff, size })
}

/// The leftovers of a build, looked for in the layer; only a recipe says what they are.
pub(super) fn scanned(
    site: &TargetContext<'_>,
    layer: &Path,
    how: Layer,
) -> Result<Option<PassedCheck>> {
    let Some(gate) = &site.gate else {
        return Ok(None);
    };
    site.ui.step("looking for leftovers");
    let doing = || format!("reading {}", layer.display());
    let file = io::BufReader::new(File::open(layer).doing(doing)?);
    let report = match how {
        Layer::Gzip => crate::scan::tar(flate2::read::MultiGzDecoder::new(file), gate.subject)?,
        Layer::Zstd => crate::scan::tar(zstd::Decoder::new(file).doing(doing)?, gate.subject)?,
    };
    gate.judge(report)?;
    Ok(Some(proven(CheckKind::Scanned, "imgforge disk scan")))
}

fn skopeo(scratch: &Path, words: &[&str]) -> Program {
    Program::new("skopeo")
        .arg("--tmpdir")
        .arg(scratch)
        .args(words)
        .hint("apt-get install skopeo")
}

fn bad(error: Error) -> Error {
    Error::gate("the archive is not a container image").cause(error)
}

/// Refuses what skopeo reads, if it is not what was written.
fn is_written(raw: &[u8], digest: &str) -> Result<()> {
    match hex::encode(Sha256::digest(raw)) == digest {
        true => Ok(()),
        false => Err(Error::gate(
            "the archive has another manifest than was written",
        )),
    }
}

/// skopeo reads both halves of the archive, and every digest in it is right.
pub(super) fn read_by_others(
    site: &TargetContext<'_>,
    archive: &Path,
    digest: &str,
) -> Result<Vec<PassedCheck>> {
    site.ui.step("reading it with skopeo");
    let skopeo = |words: &[&str]| skopeo(site.scratch, words);
    let oci = format!("oci-archive:{}", archive.display());
    let docker = format!("docker-archive:{}", archive.display());
    let raw = skopeo(&["inspect", "--raw", &oci]).output().map_err(bad)?;
    is_written(&raw, digest)?;
    skopeo(&["inspect", &docker]).run().map_err(bad)?;
    let copy = tempfile::tempdir_in(site.scratch).doing(|| "making a directory".into())?;
    let to = format!("dir:{}", copy.path().display());
    skopeo(&["copy", "--quiet", "--insecure-policy", &oci, &to])
        .run()
        .map_err(bad)?;
    Ok(vec![proven(CheckKind::Validated, "skopeo")])
}

/// Loads the archive and runs a container.
fn command(offered: &Offered<'_>) -> Command {
    let archive = offered.file(TARGET.name, Format::OciArchive);
    let reference = archive.map(|file| {
        let reference = file.about.get("reference");
        reference.map_or(offered.name, String::as_str)
    });
    let text = archive.zip(reference).map(|(file, reference)| {
        let name = format!("{}.tar", offered.name);
        format!(
            "{}\npodman load -i {name}\npodman run --rm -it {}",
            file.download(&name),
            quote(&loaded(reference))
        )
    });
    let note = match reference {
        Some(reference) if loaded(reference) == reference => None,
        Some(reference) => Some(format!("Docker calls it `{reference}`.")),
        None => {
            Some("Its recipe does not ask for a container: `targets: {docker: {}}`.".to_owned())
        }
    };
    Command {
        client: "podman and Docker",
        note,
        text,
    }
}

/// What `podman load` calls an image: without a registry in front, which a dot, a port or
/// `localhost` makes, it is one of the host.
fn loaded(reference: &str) -> String {
    match registry_of(reference) {
        Some(_) => reference.to_owned(),
        None => format!("localhost/{reference}"),
    }
}

/// The registry that a reference names.
pub(super) fn registry_of(reference: &str) -> Option<&str> {
    let (first, _) = reference.split_once('/')?;
    (first == "localhost" || first.contains(['.', ':'])).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As podman 4.3.1 and 5.4.2 say it: `Loaded image: …`.
    #[test]
    fn a_loaded_container_is_the_hosts_unless_a_registry_is_named() {
        assert_eq!(loaded("web:0123"), "localhost/web:0123");
        assert_eq!(loaded("acme/web:0123"), "localhost/acme/web:0123");
        for same in [
            "localhost/web:1",
            "registry.example.org/acme/web:1",
            "host:5000/web:1",
        ] {
            assert_eq!(loaded(same), same);
        }
    }
}
