//! What becomes of the sealed disk: compression, targets, publication.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;

/// How the disk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pack {
    /// The profile.
    pub profile: Profile,
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

/// Places where the image runs. Each has its own options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Targets {
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

/// `targets: {openstack: …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OpenStack {
    /// Image properties.
    pub properties: BTreeMap<String, String>,
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
    /// Command of the container.
    pub cmd: Vec<String>,
    /// Steps of this target.
    pub configure: Vec<Step>,
}

/// `targets: {ramdisk: …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ramdisk {
    /// Kernel command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Steps of this target.
    pub configure: Vec<Step>,
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
