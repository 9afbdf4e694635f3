//! The language of a recipe as types: what remains when includes, variants, variables and short
//! forms are resolved. The JSON schema and the recipe reference derive from these types.

mod install;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::Mirror;
use crate::index::Reference;
use crate::machine::Machine;
use crate::pack::{Filter, Profile};
use crate::scan::Allow;
use crate::severity::Severity;
use crate::steps::Step;
use crate::targets::Targets;
use crate::units::Span;

pub use install::*;

/// One machine image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recipe {
    /// Name of the image: lower-case letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// One line for people.
    #[serde(default)]
    pub summary: String,
    /// A layer on another recipe's image; or `install`, exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Parent>,
    /// How the base system gets onto the disk; or `from`, exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) install: Option<Install<Imported>>,
    /// The virtual machine that builds the image, and the smallest that runs it.
    #[serde(default)]
    pub machine: Machine,
    /// Where packages come from.
    #[serde(default)]
    pub mirrors: Mirrors,
    /// Variables; strings.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Values that reach the guest and nothing else.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// Steps that run while the image is built, inside the booted guest, in this order.
    #[serde(default)]
    pub configure: Vec<Step>,
    /// Steps that run at the first boot of every machine made from the image.
    #[serde(default)]
    pub instance: Vec<Step>,
    /// Age at which "latest packages" go stale; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Span>,
    /// What is removed from the disk.
    #[serde(default)]
    pub seal: Seal,
    /// What the gate asks for.
    #[serde(default)]
    pub check: Check,
    /// How the disk is compressed.
    #[serde(default)]
    pub pack: Pack,
    /// Places where the image runs.
    #[serde(default)]
    pub targets: Targets,
    /// Where `build --publish` publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Publish>,
}

impl Recipe {
    /// What people call the image: its summary, or its name.
    pub fn title(&self) -> &str {
        match self.summary.as_str() {
            "" => &self.name,
            summary => summary,
        }
    }

    /// What the image is made on, where the recipe says exactly one thing.
    pub(super) fn base(&self) -> Option<Base> {
        let install = match (self.from.clone(), self.install.clone()) {
            (Some(Parent::Recipe(name)), None) => return Some(Base::Layer(name)),
            (Some(Parent::Published(image)), None) => return Some(Base::Published(image)),
            (None, Some(install)) => install,
            _ => return None,
        };
        Some(match install {
            Install::VirtInstall(method) => Base::Install(Install::VirtInstall(method)),
            Install::Bootstrap(method) => Base::Install(Install::Bootstrap(method)),
            Install::Import(Imported::Image(source)) => Base::Install(Install::Import(source)),
            Install::Import(Imported::Published(image)) => Base::Published(PublishedImage {
                image,
                channel: None,
            }),
        })
    }
}

/// A parent image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Parent {
    /// Another recipe of the same repository, by name.
    Recipe(String),
    /// A published image.
    Published(PublishedImage),
}

/// A published image of another team: `{image: REPO#name, channel: stable}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PublishedImage {
    /// `REPO#name`.
    pub image: Reference,
    /// The channel; default: the repository's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// Where packages come from. A value is `host`, `default`, or an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Mirrors {
    /// What the build fetches from: `host` is the mirror of the host's own apt configuration.
    pub build: Mirror,
    /// What the finished image fetches from: `default` is the distribution's own address, `host` what
    /// the build fetches from. An address is known to apt only.
    pub image: Mirror,
}

impl Default for Mirrors {
    fn default() -> Self {
        Mirrors {
            build: Mirror::Host,
            image: Mirror::Default,
        }
    }
}

/// Where a secret's value comes from; exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// An environment variable of imgforge.
    Env(String),
    /// A file on the host.
    File(String),
}

/// What is removed from the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Seal {
    /// Operations by name; `default` is the default set, `-NAME` leaves one out.
    pub operations: Vec<String>,
    /// What the operation `machine-id` leaves in `/etc/machine-id`.
    pub machine_id: MachineId,
}

/// What stands in `/etc/machine-id` before a machine's first boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MachineId {
    /// Nothing. Units are enabled or disabled as the recipe left them.
    #[default]
    Empty,
    /// The word `uninitialized`: for systemd it is a first boot. Units with `ConditionFirstBoot=yes`
    /// run; where the root is writable from the start, presets apply, too, and may enable what the
    /// recipe disabled.
    Uninitialized,
}

impl Default for Seal {
    fn default() -> Self {
        Seal {
            operations: vec!["default".into()],
            machine_id: MachineId::Empty,
        }
    }
}

/// What the gate asks for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Check {
    /// Command lines that must succeed in the booted image.
    pub commands: Vec<String>,
    /// Units that may have failed, each with the reason.
    pub failed_units: BTreeMap<String, String>,
    /// Leftovers accepted on purpose.
    pub allow: Vec<Allow>,
    /// Vulnerabilities that its packages must not have, by the advisories that imgforge.yaml names. Looked for
    /// when the image is handed over, published or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advisories: Option<CheckAdvisories>,
}

/// Vulnerabilities that an image's packages must not have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CheckAdvisories {
    /// From this severity on.
    pub fail: Severity,
    /// Not before they have been known for so long; default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Span>,
    /// How old the advisories may be that are looked through: since they were fetched, or their file was written;
    /// default: 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// Advisories accepted on purpose, by identifier, each with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allow: BTreeMap<String, String>,
}

/// How the disk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pack {
    /// The profile.
    pub profile: Profile,
    /// What comes before the compression.
    pub filter: Filter,
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
