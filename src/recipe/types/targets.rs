//! What becomes of the sealed disk: compression, targets, publication.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;
use crate::units::Size;

/// How the disk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pack {
    /// The profile.
    pub profile: Profile,
    /// What comes before the compression.
    pub filter: Filter,
}

/// A balance of size against time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// As small as possible, blocks of 16 MiB.
    #[default]
    Publish,
    /// Smaller blocks: more of them survive a change.
    Nightly,
    /// For development.
    Fast,
}

/// What prepares a disk's bytes for the compression.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Nothing: every reader of `.xz` takes the file.
    #[default]
    None,
    /// The filter for x86 code, in blocks that have some: a little smaller, but busybox and
    /// programs in Go cannot read the file.
    X86,
}

/// Places where the image runs. Each has its own options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Targets {
    /// The disk byte by byte, as a sparse file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
    /// QEMU's own format, for libvirt and everything that is built on QEMU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qcow2: Option<Qcow2>,
    /// A compressed disk for VMware and VirtualBox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmdk: Option<Vmdk>,
    /// A whole machine in one file, for VMware and VirtualBox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ova: Option<Ova>,
    /// A fixed VHD for Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure: Option<Azure>,
    /// Google Cloud's archive of a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp: Option<Gcp>,
    /// A disk for Proxmox VE, and a script that imports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxmox: Option<Proxmox>,
    /// A distribution for the Windows Subsystem for Linux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wsl: Option<Wsl>,
    /// A virtual machine for Incus and LXD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incus: Option<Incus>,
    /// OpenStack: a qcow2 for Glance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openstack: Option<OpenStack>,
    /// Vagrant boxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vagrant: Option<Vagrant>,
    /// A container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<Docker>,
    /// Kernel and initrd for machines without a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk: Option<Ramdisk>,
}

impl Targets {
    /// The recipe's own steps of the target with this name.
    pub fn own_steps(&self, name: &str) -> &[Step] {
        let steps = match name {
            "openstack" => self.openstack.as_ref().map(|it| &it.configure),
            "vagrant" => self.vagrant.as_ref().map(|it| &it.configure),
            "docker" => self.docker.as_ref().map(|it| &it.configure),
            "ramdisk" => self.ramdisk.as_ref().map(|it| &it.configure),
            _ => None,
        };
        steps.map(Vec::as_slice).unwrap_or_default()
    }
}

/// `targets: {raw: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Raw {}

/// `targets: {qcow2: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Qcow2 {
    /// How its clusters are compressed.
    pub compression: Clusters,
}

/// How the clusters of a qcow2 are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Clusters {
    /// What every QEMU and every OpenStack reads.
    #[default]
    Zlib,
    /// Smaller and quicker; whoever reads it needs QEMU 5.1.
    Zstd,
    /// Not at all.
    None,
}

/// `targets: {vmdk: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Vmdk {}

/// `targets: {ova: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ova {}

/// `targets: {azure: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Azure {}

/// `targets: {gcp: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Gcp {}

/// `targets: {proxmox: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Proxmox {}

/// `targets: {wsl: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Wsl {}

/// `targets: {incus: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Incus {}

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

/// `targets: {vagrant: …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Vagrant {
    /// Providers: `libvirt`, `virtualbox`.
    pub providers: Vec<VagrantProvider>,
    /// Steps of this target.
    pub configure: Vec<Step>,
}

/// A Vagrant provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VagrantProvider {
    /// vagrant-libvirt.
    Libvirt,
    /// VirtualBox.
    Virtualbox,
}

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

/// `targets: {ramdisk: …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ramdisk {
    /// Where the root file system is.
    pub root: RootForm,
    /// Kernel command line; default: `console=tty0 console=ttyS0,115200 panic=60`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Address of the directory where the files will be, https only with `root: initrd`; default: where `boot.ipxe` comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Modules that the initrd carries and loads, beside those that it needs.
    pub modules: Vec<String>,
    /// What is asked of the root before it is used.
    pub verify: Verify,
    /// Memory of the running system, beside the image and the kernel; default: 256MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// A disk that keeps a directory over restarts, on machines that have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateDisk>,
    /// Steps of this target.
    pub configure: Vec<Step>,
}

/// Where the root file system of a ramdisk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RootForm {
    /// In a squashfs of its own, which the initrd fetches over HTTP.
    #[default]
    Squashfs,
    /// In the initrd.
    Initrd,
}

/// How a ramdisk knows that its root is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// By SHA-256, which the initrd knows.
    #[default]
    Sha256,
    /// By size: quicker, where nobody else can answer.
    Size,
}

/// A disk for what a ramdisk keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StateDisk {
    /// Label of its file system.
    pub label: String,
    /// Where it is mounted, such as `/srv`.
    pub to: String,
}

/// Where `build --publish` publishes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Publish {
    /// The channel; default: the repository's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The repository; default: the only one, or `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Also as qcow2 in simplestreams, for Incus, LXD and Glance.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub streams: bool,
    /// How many revisions `repo prune` keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}
