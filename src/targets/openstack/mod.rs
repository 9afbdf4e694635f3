//! OpenStack: a disk for Glance whose machines cloud-init makes their users, keys and sizes.
//!
//! In the guest: cloud-init with what grows the root, where it looks for its data, and no network
//! configuration of an installer's. Outside: the disk, and a manifest with everything that
//! `openstack image create` is told, as a ready line too.

mod steps;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::convert::convert;
use super::qcow2::{Clusters, form};
use super::tree::Tree;
use super::{
    About, BootTest, CheckKind, Command, Format, MadeFile, Offered, Options, Target, TargetContext,
    described, raw,
};
use crate::digest;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::quote;
use crate::host::qemu_img::info;
use crate::host::tools::Tool;
use crate::steps::Step;
use crate::units::Size;

pub(super) const TARGET: Target = Target {
    files: "`.openstack.qcow2` (`compression: none`: `.openstack.raw`), `.openstack.json`",
    proven_by: "`qemu-img check`, `compare`; in a recipe the leftover scan and two boots with a NoCloud seed",
    tools: &[Tool::QemuImg, Tool::Sfdisk, Tool::MkfsFat, Tool::Mcopy],
    modules: &[&["virtio_blk", "virtio_scsi"], &["virtio_net"]],
    memory: Size::mib(1536),
    command: Some(command),
    ..Target::new("openstack", 5)
};

/// `targets: {openstack: …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OpenStack {
    /// Image properties, beside those that tell what the image is.
    pub properties: BTreeMap<String, String>,
    /// How the disk is compressed; `none` is a raw disk, for Ceph.
    pub compression: Clusters,
    /// The account that cloud-init makes; default: the distribution's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Steps of this target.
    pub configure: Vec<Step>,
}

impl Options for OpenStack {
    fn own_steps(&self) -> &[Step] {
        &self.configure
    }

    fn steps(&self) -> Vec<Step> {
        steps::steps(self)
    }

    /// A machine with a seed of its own and a larger disk: what cloud-init made of it.
    fn boot_test(&self, about: &About) -> Option<BootTest> {
        let user = user(self, about);
        let data = json!({"ssh_authorized_keys": [KEY]});
        let meta = json!({"instance-id": "imgforge-trial-1", "local-hostname": HOST});
        Some(BootTest {
            seed: vec![
                ("user-data".into(), format!("#cloud-config\n{data}\n")),
                ("meta-data".into(), format!("{meta}\n")),
            ],
            commands: vec![
                // 2 tells of a warning that the image's own configuration may give.
                "cloud-init status --wait >/dev/null || [ $? -eq 2 ]".into(),
                "cloud-init status --long || true; cloud-init status | grep -q 'status: done'"
                    .into(),
                format!("[ \"$(uname -n)\" = {HOST} ]"),
                format!("grep -qF '{KEY}' ~{user}/.ssh/authorized_keys"),
                format!("id {user}"),
                format!("su -s /bin/sh {user} -c 'sudo -n true'"),
            ],
            grow: Size::gib(2),
        })
    }

    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let tree = site.source.tree(site.ui)?;
        if !PROGRAMS.iter().any(|path| tree.get(path).is_some()) {
            return Err(Error::usage("the image has no cloud-init")
                .hint("`targets: {openstack: {}}` in a recipe installs it"));
        }
        let (end, format, kind) = match self.compression {
            Clusters::None => ("openstack.raw", Format::Raw, raw::FORM),
            other => ("openstack.qcow2", Format::Qcow2, form(other)),
        };
        let file = site.file(end);
        let mut proof = convert(site, None, kind, &file)?;
        // What was compared is the disk with this target's own steps, which has to be tried itself.
        for each in &mut proof {
            each.part = CheckKind::Validated;
        }
        let path = site.dir.join(&file);
        let size = info(&path, kind.format)?.virtual_size;
        let mut manifest = Manifest {
            name: site.about.name.clone(),
            version: site.about.version.clone(),
            sha512: digest::file_sha512(&path)?,
            disk_format: format.as_str().to_owned(),
            min_disk: size.div_ceil(1 << 30),
            min_ram: site.machine.memory.as_bytes().div_ceil(1 << 20),
            properties: properties(site, self, &tree),
            create: String::new(),
            file,
        };
        manifest.create = create_line(&manifest);
        let name = site.file("openstack.json");
        let text = format!("{:#}\n", json!(manifest));
        std::fs::write(site.dir.join(&name), text).doing(|| format!("writing {name}"))?;
        let words = [
            ("min-disk", manifest.min_disk.to_string()),
            ("min-ram", manifest.min_ram.to_string()),
            ("user", user(self, site.about).to_owned()),
        ];
        // What pages tell Glance, too.
        let machine = manifest.properties.iter();
        let machine = machine.filter(|(key, _)| MACHINE.contains(&key.as_str()));
        let disk = MadeFile::new(&manifest.file, format, proof).about(words);
        let described = described("imgforge");
        Ok(vec![
            disk.about(machine),
            MadeFile::new(name, Format::OpenstackManifest, described),
        ])
    }
}

/// Properties without which Nova starts another machine than the image is for.
const MACHINE: [&str; 3] = ["hw_architecture", "hw_firmware_type", "hw_machine_type"];

/// What cloud-init's program is called on the disk.
const PROGRAMS: [&str; 2] = ["usr/bin/cloud-init", "bin/cloud-init"];

/// The account that cloud-init makes.
fn user<'o>(options: &'o OpenStack, about: &'o About) -> &'o str {
    match (&options.user, about.os.as_str()) {
        (Some(user), _) => user,
        (None, known @ ("debian" | "ubuntu" | "fedora" | "rocky" | "almalinux" | "centos")) => {
            known
        }
        (None, "rhel") => "cloud-user",
        (None, _) => "debian",
    }
}

/// The key of the machine that tries the image out; nobody has its other half.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIeNrTv1b9lIbbI8ppYmvGSMr1MSplvl2PqA0Oq8G0mP \
                   trial@imgforge";

/// The host name of the machine that tries the image out.
const HOST: &str = "imgforge-trial";

/// What is uploaded, and what Glance is told about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// The image's name.
    pub name: String,
    /// `IMAGE_VERSION`.
    pub version: String,
    /// The disk's file, beside the manifest.
    pub file: String,
    /// SHA-512 of it, in hex.
    pub sha512: String,
    /// `qcow2` or `raw`.
    pub disk_format: String,
    /// GiB that a machine's disk has at least.
    pub min_disk: u64,
    /// MiB that a machine's memory has at least.
    pub min_ram: u64,
    /// Image properties.
    pub properties: BTreeMap<String, String>,
    /// The line that uploads it.
    pub create: String,
}

impl Manifest {
    /// The architecture, as Glance names it, if it is told.
    pub fn architecture(&self) -> Option<&str> {
        self.properties.get("architecture").map(String::as_str)
    }

    /// Whether an image of this architecture is of the same one; who names none is of any.
    pub fn is_for(&self, architecture: &str) -> bool {
        let own = self.architecture();
        architecture.is_empty() || own.is_none_or(|own| own == architecture)
    }
}

/// What the image is, in Glance's own words; the recipe's win.
fn properties(
    site: &TargetContext<'_>,
    options: &OpenStack,
    tree: &Tree,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = [
        // Glance's own name, and the one that Nova's scheduler asks.
        ("architecture", site.machine.arch.as_str()),
        ("hw_architecture", site.machine.arch.as_str()),
        ("os_type", "linux"),
        ("os_distro", &site.about.os),
        ("os_version", &site.about.os_version),
        ("os_admin_user", user(options, site.about)),
        ("hw_disk_bus", "virtio"),
        ("hw_rng_model", "virtio"),
        ("imgforge_image", &site.about.name),
        ("imgforge_version", &site.about.version),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    if site.uefi() {
        all.insert("hw_firmware_type".into(), "uefi".into());
        all.insert("hw_machine_type".into(), site.machine.arch.machine.into());
    }
    if ["usr/sbin/qemu-ga", "usr/bin/qemu-ga"]
        .iter()
        .any(|path| tree.get(path).is_some())
    {
        all.insert("hw_qemu_guest_agent".into(), "yes".into());
        all.insert("os_require_quiesce".into(), "yes".into());
    }
    all.extend(options.properties.clone());
    if all.get("hw_disk_bus").is_some_and(|bus| bus == "scsi") {
        // Without it no block is ever given back.
        all.entry("hw_scsi_model".into())
            .or_insert("virtio-scsi".into());
    }
    all
}

/// The arguments of `openstack image create`.
pub fn create_arguments(manifest: &Manifest, file: &str) -> Vec<String> {
    let mut words: Vec<String> = [
        "image",
        "create",
        "--disk-format",
        &manifest.disk_format,
        "--container-format",
        "bare",
        "--file",
        file,
        "--min-disk",
        &manifest.min_disk.to_string(),
        "--min-ram",
        &manifest.min_ram.to_string(),
    ]
    .map(str::to_owned)
    .into();
    for (key, value) in &manifest.properties {
        words.extend(["--property".to_owned(), format!("{key}={value}")]);
    }
    words.push(manifest.name.clone());
    words
}

fn create_line(manifest: &Manifest) -> String {
    let mut program = crate::host::exec::Program::new("openstack");
    program = program.args(create_arguments(manifest, &manifest.file));
    program.line()
}

/// Uploads the disk to Glance.
fn command(offered: &Offered<'_>) -> Command {
    let name = offered.name;
    let gib = offered.virtual_size.div_ceil(1 << 30);
    let disk = offered.file(TARGET.name, Format::Qcow2);
    let text = disk.map(|disk| {
        let machine = disk.about.iter().filter(|(key, _)| key.starts_with("hw_"));
        let machine: String = machine
            .map(|(key, value)| format!("--property {} ", quote(&format!("{key}={value}"))))
            .collect();
        let file = format!("{name}.qcow2");
        format!(
            "{}\nopenstack image create --disk-format qcow2 --container-format bare \\\n  \
             --min-disk {gib} {machine}--file {file} {name}",
            disk.download(&file)
        )
    });
    let missing = "Its recipe does not ask for it: `targets: {openstack: {}}`.";
    Command {
        client: "OpenStack",
        note: text.is_none().then(|| missing.into()),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_everything() {
        let manifest = Manifest {
            name: "web".into(),
            version: "0123".into(),
            file: "web-0123.openstack.qcow2".into(),
            sha512: "a".into(),
            disk_format: "qcow2".into(),
            min_disk: 3,
            min_ram: 1024,
            properties: [("os_distro".to_owned(), "debian".to_owned())].into(),
            create: String::new(),
        };
        assert_eq!(
            create_line(&manifest),
            "openstack image create --disk-format qcow2 --container-format bare --file \
             web-0123.openstack.qcow2 --min-disk 3 --min-ram 1024 --property os_distro=debian web"
        );
        // Nobody is asked for the architecture of who names none.
        let mut named = manifest.clone();
        named
            .properties
            .insert("architecture".into(), "aarch64".into());
        for (architecture, any, arm) in [
            ("", true, true),
            ("aarch64", true, true),
            ("x86_64", true, false),
        ] {
            let is_for = [&manifest, &named].map(|one| one.is_for(architecture));
            assert_eq!(is_for, [any, arm], "{architecture}");
        }
    }
}
