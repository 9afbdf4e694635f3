//! One archive for several architectures: the containers of each, below one image index.
//!
//! It is an OCI layout alone: the form of `docker save` knows no architectures.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::layout::{Archive, INDEX, LAYOUT, index, named};
use super::{bad, is_written, skopeo};
use crate::error::{Context as _, Error, Result};
use crate::targets::{CheckKind, Format, MadeFile, proven};

/// The longest index that an archive of ours has, in bytes.
const LONGEST_INDEX: u64 = 1 << 16;

/// Joins the archives of one image for several architectures as `NAME.oci.tar` in `dir`; equal
/// archives give equal bytes, in whatever order. The tag is the beginning of the index's digest.
///
/// # Errors
/// When an archive is not what [`super::Docker`] makes, or skopeo refuses the new one.
pub fn join(name: &str, archives: &[&Path], dir: &Path, scratch: &Path) -> Result<MadeFile> {
    let mut heads = archives
        .iter()
        .map(|path| head(path))
        .collect::<Result<Vec<_>>>()?;
    heads.sort_by_key(|head| head.manifest["platform"].to_string());
    let manifests: Vec<Value> = heads.iter().map(|head| head.manifest.clone()).collect();
    let inner = index(&manifests).to_string().into_bytes();
    let digest = hex::encode(Sha256::digest(&inner));
    let tag = &digest[..12];
    let called = heads.first().map_or(name, |head| &head.name);
    let reference = format!("{called}:{tag}");
    let outer = index(&[json!({
        "mediaType": INDEX,
        "digest": format!("sha256:{digest}"),
        "size": inner.len(),
        "annotations": named(&reference),
    })]);
    let file = file_name(name);
    let to = dir.join(&file);
    let doing = || format!("writing {}", to.display());
    let newest = heads.iter().map(|head| head.time).max().unwrap_or(0);
    let mut archive = Archive::create(&to, newest).doing(doing)?;
    archive.text("oci-layout", LAYOUT).doing(doing)?;
    let outer = outer.to_string();
    archive.text("index.json", outer.as_bytes()).doing(doing)?;
    archive.dir("blobs/").doing(doing)?;
    archive.dir("blobs/sha256/").doing(doing)?;
    archive
        .text(&format!("blobs/sha256/{digest}"), &inner)
        .doing(doing)?;
    let mut known = BTreeSet::new();
    for head in &heads {
        let doing = || format!("reading {}", head.path.display());
        let mut from = tar::Archive::new(File::open(head.path).doing(doing)?);
        for entry in from.entries().doing(doing)? {
            let entry = entry.doing(doing)?;
            let blob = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let is_blob =
                blob.starts_with("blobs/sha256/") && entry.header().entry_type().is_file();
            if is_blob && known.insert(blob.clone()) {
                archive.member(&blob, entry.size(), entry).doing(doing)?;
            }
        }
    }
    archive.finish().doing(doing)?;
    let oci = format!("oci-archive:{}", to.display());
    let raw = skopeo(scratch, &["inspect", "--raw", &oci])
        .output()
        .map_err(bad)?;
    is_written(&raw, &digest)?;
    let copy = tempfile::tempdir_in(scratch).doing(|| "making a directory".into())?;
    let copy = format!("dir:{}", copy.path().display());
    let words = ["copy", "--quiet", "--insecure-policy", "--all", &oci, &copy];
    skopeo(scratch, &words).run().map_err(bad)?;
    let read = vec![proven(CheckKind::Validated, "skopeo")];
    let digest = format!("sha256:{digest}");
    Ok(MadeFile::new(file, Format::OciIndex, read)
        .about([("reference", reference), ("digest", digest)]))
}

/// What the archive of all architectures of an image is called.
pub fn file_name(name: &str) -> String {
    format!("{name}.oci.tar")
}

/// What an archive says of itself.
struct Head<'a> {
    path: &'a Path,
    /// The descriptor of its manifest, with the platform.
    manifest: Value,
    /// The image's name, and its tag.
    name: String,
    tag: String,
    /// When it was made, seconds since 1970.
    time: u64,
}

/// Whether a file is what [`join`] made, of whatever name.
pub fn is_joined(file: &File) -> bool {
    read(file, Path::new("an archive")).is_ok_and(|head| {
        let digest = head.manifest["digest"].as_str().unwrap_or_default();
        let digest = digest.strip_prefix("sha256:").and_then(|hex| hex.get(..12));
        head.manifest["mediaType"] == INDEX && digest == Some(&*head.tag)
    })
}

fn head(path: &Path) -> Result<Head<'_>> {
    let file = File::open(path).doing(|| format!("reading {}", path.display()))?;
    read(&file, path)
}

fn read<'a>(file: &File, path: &'a Path) -> Result<Head<'a>> {
    let doing = || format!("reading {}", path.display());
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries().doing(doing)? {
        let entry = entry.doing(doing)?;
        if *entry.path_bytes() != *b"index.json" {
            continue;
        }
        let time = entry.header().mtime().doing(doing)?;
        let mut text = String::new();
        entry
            .take(LONGEST_INDEX)
            .read_to_string(&mut text)
            .doing(doing)?;
        let mut index: Value = serde_json::from_str(&text)
            .map_err(|cause| Error::internal("an archive has no index").cause(cause))?;
        let mut manifest = index["manifests"][0].take();
        let annotations = manifest
            .as_object_mut()
            .and_then(|it| it.remove("annotations"));
        let reference = annotations.and_then(|mut all| {
            Some(
                all["org.opencontainers.image.ref.name"]
                    .take()
                    .as_str()?
                    .to_owned(),
            )
        });
        let reference = reference.unwrap_or_default();
        let (name, tag) = reference.rsplit_once(':').unwrap_or((&reference, ""));
        let (name, tag) = (name.to_owned(), tag.to_owned());
        return Ok(Head {
            path,
            manifest,
            name,
            tag,
            time,
        });
    }
    Err(Error::internal(format!("{} has no index", path.display())))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use super::*;
    use crate::machine::Arch;
    use crate::targets::About;
    use crate::targets::docker::Docker;
    use crate::targets::docker::layout::{self, Blob};

    fn hex_of(bytes: &[u8]) -> String {
        hex::encode(Sha256::digest(bytes))
    }

    /// The container of one architecture, with one file.
    fn container(dir: &Path, arch: Arch) -> PathBuf {
        let mut files = tar::Builder::new(vec![]);
        let mut header = tar::Header::new_ustar();
        header.set_size(arch.oci.len() as u64);
        files
            .append_data(&mut header, "arch", arch.oci.as_bytes())
            .unwrap();
        let files = files.into_inner().unwrap();
        let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        packed.write_all(&files).unwrap();
        let packed = packed.finish().unwrap();
        let blob = Blob {
            digest: hex_of(&packed),
            diff: hex_of(&files),
            size: packed.len() as u64,
        };
        let about = About {
            name: "web".into(),
            version: arch.as_str().into(),
            created: 1_767_225_600,
            ..About::default()
        };
        let layer = dir.join(format!("{}.layer", arch.as_str()));
        std::fs::write(&layer, packed).unwrap();
        let options = Docker {
            reference: Some("acme/web".into()),
            ..Docker::default()
        };
        let config = layout::config(&options, &about, arch, &blob, "/bin/sh");
        let archive = dir.join(format!("{}.oci.tar", arch.as_str()));
        let named = layout::reference(options.reference.as_deref(), &about);
        let (blob, config) = ((&blob, layer.as_path()), (&config, arch));
        layout::write(&archive, blob, "tar+gzip", config, &named, about.created).unwrap();
        archive
    }

    #[test]
    fn containers_of_two_architectures_are_one_image() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let [intel, arm] = [Arch::X86_64, Arch::Aarch64].map(|arch| container(dir, arch));
        let made = |archives: &[&Path], to: &str| {
            let to = dir.join(to);
            std::fs::create_dir(&to).unwrap();
            let made = join("web", archives, &to, dir)?;
            Ok::<_, Error>((to.join(&made.file), made))
        };
        let (one, artifact) = made(&[&intel, &arm], "one").unwrap();
        let (other, _) = made(&[&arm, &intel], "other").unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(other).unwrap());

        let tag = &artifact.about["digest"]["sha256:".len()..][..12];
        assert_eq!(artifact.about["reference"], format!("acme/web:{tag}"));
        assert_eq!(artifact.file, "web.oci.tar");
        let oci = format!("oci-archive:{}:acme/web:{tag}", one.display());
        let raw = skopeo(dir, &["inspect", "--raw", &oci]).output().unwrap();
        assert_eq!(format!("sha256:{}", hex_of(&raw)), artifact.about["digest"]);
        let index: Value = serde_json::from_slice(&raw).unwrap();
        let platforms: Vec<&Value> = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["platform"])
            .collect();
        let expected = [
            json!({"architecture": "amd64", "os": "linux"}),
            json!({"architecture": "arm64", "os": "linux", "variant": "v8"}),
        ];
        assert_eq!(platforms, expected.iter().collect::<Vec<_>>());
        // A client that is told an architecture takes that one's.
        for arch in ["amd64", "arm64"] {
            let words = ["--override-arch", arch, "inspect", "--config", &oci];
            let config = skopeo(dir, &words).output().unwrap();
            let config: Value = serde_json::from_slice(&config).unwrap();
            assert_eq!(config["architecture"], arch);
        }

        let mut bytes = std::fs::read(&arm).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[end] ^= 1;
        std::fs::write(&arm, bytes).unwrap();
        let error = made(&[&intel, &arm], "bad").unwrap_err().render();
        assert!(error.contains("not a container image"), "{error}");
    }
}
