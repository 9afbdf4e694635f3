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

/// Makes [`Targets`] of a list: each target's name and the type of its options.
macro_rules! targets {
    ($($(#[$meta:meta])* $name:ident: $options:ty,)+) => {
        /// Places where the image runs. Each has its own options.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub struct Targets {
            $(
                $(#[$meta])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$options>,
            )+
        }

        impl Targets {
            /// The recipe's own steps of each target that it asks for, with the target's name.
            pub fn own_steps(&self) -> Vec<(&'static str, &[Step])> {
                let all = [$((stringify!($name), self.$name.as_ref().map(Options::steps)),)+];
                all.into_iter().filter_map(|(name, steps)| Some((name, steps?))).collect()
            }
        }
    };
}

/// The options of a target.
trait Options {
    /// The recipe's own steps of it.
    fn steps(&self) -> &[Step] {
        &[]
    }
}

targets! {
    /// The disk byte by byte, as a sparse file.
    raw: Raw,
    /// QEMU's own format, for libvirt and everything that is built on QEMU.
    qcow2: Qcow2,
    /// A compressed disk for VMware and VirtualBox.
    vmdk: Vmdk,
    /// A whole machine in one file, for VMware and VirtualBox.
    ova: Ova,
    /// A fixed VHD for Azure.
    azure: Azure,
    /// Google Cloud's archive of a disk.
    gcp: Gcp,
    /// A disk for Proxmox VE, and a script that imports it.
    proxmox: Proxmox,
    /// A distribution for the Windows Subsystem for Linux.
    wsl: Wsl,
    /// A virtual machine for Incus and LXD.
    incus: Incus,
    /// OpenStack: a qcow2 for Glance.
    openstack: OpenStack,
    /// Vagrant boxes.
    vagrant: Vagrant,
    /// A container image.
    docker: Docker,
    /// Kernel and initrd for machines without a disk.
    ramdisk: Ramdisk,
}

impl Options for Raw {}
impl Options for Qcow2 {}
impl Options for Vmdk {}
impl Options for Ova {}
impl Options for Azure {}
impl Options for Gcp {}
impl Options for Proxmox {}
impl Options for Wsl {}
impl Options for Incus {}
impl Options for OpenStack {
    fn steps(&self) -> &[Step] {
        &self.configure
    }
}

impl Options for Vagrant {
    fn steps(&self) -> &[Step] {
        &self.configure
    }
}

impl Options for Docker {
    fn steps(&self) -> &[Step] {
        &self.configure
    }
}

impl Options for Ramdisk {
    fn steps(&self) -> &[Step] {
        &self.configure
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
