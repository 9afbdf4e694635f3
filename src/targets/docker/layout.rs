//! The archive: an OCI layout that is also what `docker save` writes.
//!
//! The types of the crate `oci-spec` keep labels and annotations in maps without an order, so that
//! equal input would give another digest each time; `json!` keeps the order of its lines.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Docker;
use crate::error::{Context as _, Result};
use crate::host::space::Frugal;
use crate::machine::Arch;
use crate::targets::About;

/// Where a program is looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The one layer.
#[derive(Debug)]
pub(in crate::targets) struct Blob {
    /// SHA-256 of the file, in hex.
    pub(in crate::targets) digest: String,
    /// SHA-256 of the archive in it, in hex.
    pub(in crate::targets) diff: String,
    /// Size of the file, in bytes.
    pub(in crate::targets) size: u64,
}

/// `NAME:TAG` of an image.
pub(in crate::targets) fn reference(named: Option<&str>, about: &About) -> String {
    let name = named.unwrap_or(&about.name);
    match about.version.as_str() {
        "" => format!("{name}:latest"),
        version => format!("{name}:{version}"),
    }
}

/// The configuration of a container.
pub(super) fn config(
    options: &Docker,
    about: &About,
    arch: Arch,
    layer: &Blob,
    shell: &str,
) -> Value {
    let cmd = match options.cmd.is_empty() && options.entrypoint.is_empty() {
        true => vec![shell.to_owned()],
        false => options.cmd.clone(),
    };
    let first = options.entrypoint.first().or(cmd.first());
    let init = first.is_some_and(|name| name.ends_with("/init") || name.ends_with("/systemd"));
    let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    if init {
        env.insert("container".into(), "docker".into());
    }
    env.extend(options.env.clone());
    let env: Vec<String> = env
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut labels = labels(about);
    labels.extend(options.labels.clone());
    let mut inner = json!({"Env": env, "Labels": labels});
    for (key, list) in [("Entrypoint", &options.entrypoint), ("Cmd", &cmd)] {
        if !list.is_empty() {
            inner[key] = json!(list);
        }
    }
    if let Some(user) = &options.user {
        inner["User"] = json!(user);
    }
    if init {
        // What systemd takes for an order to shut down.
        inner["StopSignal"] = json!("SIGRTMIN+3");
    }
    described(about, arch, inner, layer)
}

/// Labels that say what the image is.
pub(in crate::targets) fn labels(about: &About) -> BTreeMap<String, String> {
    let all = [
        ("title", about.name.as_str()),
        ("description", &about.title),
        ("version", &about.version),
        ("created", &time(about.created)),
    ];
    let all = all.into_iter().filter(|(_, value)| !value.is_empty());
    all.map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.to_owned()))
        .collect()
}

/// The configuration of an image of one layer, with what a container of it gets.
pub(in crate::targets) fn described(
    about: &About,
    arch: Arch,
    inner: Value,
    layer: &Blob,
) -> Value {
    let created = time(about.created);
    let mut config = json!({"created": created});
    for (key, value) in platform(arch).as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    config["config"] = inner;
    config["rootfs"] = json!({"type": "layers", "diff_ids": [format!("sha256:{}", layer.diff)]});
    config["history"] = json!([{"created": created, "created_by": "imgforge"}]);
    config
}

/// `platform` of the image specification, in whose order a configuration has it, too.
fn platform(arch: Arch) -> Value {
    let mut platform = json!({"architecture": arch.oci, "os": "linux"});
    if let Some(variant) = arch.oci_variant {
        platform["variant"] = json!(variant);
    }
    platform
}

fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

/// The file `oci-layout`.
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// An image index of these descriptors.
pub(super) fn index(manifests: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
}

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Annotations of what an archive has; its readers take the whole reference for the image's name.
pub(super) fn named(reference: &str) -> Value {
    json!({
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference,
    })
}

/// Writes the archive `to`, with the layer in `blob`, in the form `tar+gzip` or another one of the specification;
/// returns the manifest's digest.
pub(in crate::targets) fn write(
    to: &Path,
    layer: (&Blob, &Path),
    form: &str,
    (config, arch): (&Value, Arch),
    reference: &str,
    created: u64,
) -> Result<String> {
    let (blob, path) = layer;
    let config = config.to_string().into_bytes();
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let config_digest = digest(&config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{config_digest}"),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": format!("application/vnd.oci.image.layer.v1.{form}"),
            "digest": format!("sha256:{}", blob.digest),
            "size": blob.size,
        }],
    });
    let manifest = manifest.to_string().into_bytes();
    let manifest_digest = digest(&manifest);
    let index = index(&[json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{manifest_digest}"),
        "size": manifest.len(),
        "annotations": named(reference),
        "platform": platform(arch),
    })]);
    let place = |digest: &str| format!("blobs/sha256/{digest}");
    let docker = json!([{
        "Config": place(&config_digest),
        "RepoTags": [reference],
        "Layers": [place(&blob.digest)],
    }]);
    let doing = || format!("writing {}", to.display());
    let mut archive = Archive::create(to, created).doing(doing)?;
    archive.text("oci-layout", LAYOUT).doing(doing)?;
    archive
        .text("index.json", index.to_string().as_bytes())
        .doing(doing)?;
    archive
        .text("manifest.json", docker.to_string().as_bytes())
        .doing(doing)?;
    archive.dir("blobs/").doing(doing)?;
    archive.dir("blobs/sha256/").doing(doing)?;
    archive.text(&place(&config_digest), &config).doing(doing)?;
    archive
        .text(&place(&manifest_digest), &manifest)
        .doing(doing)?;
    let from = File::open(path).doing(doing)?;
    archive
        .member(&place(&blob.digest), blob.size, from)
        .doing(doing)?;
    archive.finish().doing(doing)?;
    Ok(manifest_digest)
}

/// An archive in the making.
pub(super) struct Archive {
    tar: tar::Builder<BufWriter<Frugal>>,
    time: u64,
}

impl Archive {
    pub(super) fn create(to: &Path, time: u64) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 20, Frugal::create(to)?);
        let tar = tar::Builder::new(file);
        Ok(Archive { tar, time })
    }

    fn header(&self, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header
    }

    pub(super) fn dir(&mut self, name: &str) -> io::Result<()> {
        let mut header = self.header(0o755, 0);
        header.set_entry_type(tar::EntryType::Directory);
        self.tar.append_data(&mut header, name, io::empty())
    }

    pub(super) fn text(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.member(name, bytes.len() as u64, bytes)
    }

    pub(super) fn member(&mut self, name: &str, size: u64, from: impl Read) -> io::Result<()> {
        let mut header = self.header(0o644, size);
        self.tar.append_data(&mut header, name, from)
    }

    pub(super) fn finish(self) -> io::Result<()> {
        let file = self.tar.into_inner()?.into_inner();
        file.map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(version: &str) -> About {
        About {
            name: "web".into(),
            version: version.into(),
            title: "A web node".into(),
            os: "debian".into(),
            os_version: "13".into(),
            created: 1_767_225_600,
        }
    }

    #[test]
    fn the_configuration_is_stable() {
        let blob = Blob {
            digest: "d".into(),
            diff: "e".into(),
            size: 1,
        };
        let options = Docker {
            cmd: vec!["/sbin/init".into()],
            env: [("LANG".to_owned(), "C.UTF-8".to_owned())].into(),
            user: Some("web:web".into()),
            labels: [("acme.team".to_owned(), "web".to_owned())].into(),
            ..Docker::default()
        };
        let made = config(&options, &about("0123"), Arch::X86_64, &blob, "/bin/bash");
        insta::assert_snapshot!(format!("{made:#}"));
        let plain = config(
            &Docker::default(),
            &about(""),
            Arch::Aarch64,
            &blob,
            "/bin/bash",
        );
        for (key, value) in [
            ("architecture", "arm64"),
            ("variant", "v8"),
            ("os", "linux"),
        ] {
            assert_eq!(plain[key], value);
        }
        assert_eq!(plain["config"]["Cmd"], json!(["/bin/bash"]));
        assert!(plain["config"].get("StopSignal").is_none());
    }

    #[test]
    fn a_reference_has_a_tag() {
        let named = Docker {
            reference: Some("acme/web".into()),
            ..Docker::default()
        };
        assert_eq!(
            reference(named.reference.as_deref(), &about("0123")),
            "acme/web:0123"
        );
        assert_eq!(reference(None, &about("")), "web:latest");
    }
}
