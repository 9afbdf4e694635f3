//! Steps: what runs inside the guest. One file a kind, with everything about it: its options, short
//! form, checks, the files that it reads, what it declares, its translation for the guest, its title, and
//! its script, which lies beside it. The list below is the only one.

mod ansible;
mod checkpoint;
mod cloud_init;
mod declared;
pub mod entry;
mod files;
pub mod grow;
mod kind;
pub mod packages;
mod puppet;
mod reboot;
mod repository;
mod schema;
mod shell;
mod short;
mod sshkey;
mod step;
mod system;
#[cfg(test)]
mod testing;
mod tools;
mod upgrade;
mod users;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use ansible::Ansible;
pub use cloud_init::CloudInit;
pub use declared::Declared;
pub use files::{Files, Source};
pub use kind::{About, Check, Form, Kind, Scope, Translated};
pub use packages::{PackageNames, Packages};
pub use puppet::{Manifest, Puppet, PuppetAgent};
pub use repository::Repository;
pub use schema::{annotate, definition, describe, schema};
pub use shell::Shell;
pub use short::{COMMON, lengthen};
pub(crate) use sshkey::is_line as is_authorized_key;
pub use step::{Step, When, check};
pub use system::System;
pub use tools::{Fetched, Tools};
pub use users::{User, Users};

use crate::error::Result;

/// Makes [`Action`] and [`KINDS`] of the list of kinds: documentation, word, module and type, and
/// whether it has options.
macro_rules! steps {
    (@type $module:ident $kind:ident $options:ident) => { $module::$kind };
    (@kind $module:ident $kind:ident) => { &$module::$kind };
    (@kind $module:ident $kind:ident $options:ident) => { $options };
    ($($(#[$doc:meta])+ $word:literal => $module:ident::$kind:ident $(($options:ident))?,)+) => {
        /// What a step does. In a recipe the step is a map with this one key, or the bare word.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Action {
            $($(#[$doc])+ $kind $((steps!(@type $module $kind $options)))?,)+
        }

        /// Every kind of step by its word.
        pub const KINDS: &[(&str, &About)] = &[$(($word, &$module::ABOUT)),+];

        impl Action {
            /// What the options answer.
            pub fn kind(&self) -> &dyn Kind {
                match self {
                    $(Action::$kind $(($options))? => steps!(@kind $module $kind $($options)?),)+
                }
            }

            /// The word in a recipe, and in the guest's plan.
            pub fn word(&self) -> &'static str {
                match self {
                    $(Action::$kind { .. } => $word,)+
                }
            }

            /// What is known of its kind.
            pub fn about(&self) -> &'static About {
                match self {
                    $(Action::$kind { .. } => &$module::ABOUT,)+
                }
            }
        }
    };
}

steps! {
    /// Upgrades every installed package.
    "upgrade" => upgrade::Upgrade,
    /// Adds a package repository.
    "repository" => repository::Repository(options),
    /// Installs packages.
    "packages" => packages::Packages(options),
    /// Sets time zone, locale, keyboard, host name, swap.
    "system" => system::System(options),
    /// Makes or changes users.
    "users" => users::Users(options),
    /// Copies files.
    "files" => files::Files(options),
    /// Runs a script of the recipe repository, or a command line.
    "shell" => shell::Shell(options),
    /// Runs an Ansible playbook inside the guest.
    "ansible" => ansible::Ansible(options),
    /// Applies a Puppet manifest, or runs the agent once.
    "puppet" => puppet::Puppet(options),
    /// Runs cloud-init once with this user-data file.
    "cloud-init" => cloud_init::CloudInit(options),
    /// Keeps what is done so far: a change below does not repeat what is above.
    "checkpoint" => checkpoint::Checkpoint,
    /// Restarts the guest and goes on.
    "reboot" => reboot::Reboot,
}

/// The scripts of all kinds by their words, sorted.
pub fn scripts() -> BTreeMap<&'static str, &'static str> {
    let scripts = KINDS
        .iter()
        .map(|(word, about)| Some((*word, about.script?)));
    scripts.flatten().collect()
}

/// Further files of all kinds in the runner's directory: paths, and texts.
pub fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    let files = KINDS.iter().flat_map(|(_, about)| about.files);
    files.copied()
}

/// What steps put into the image on purpose.
///
/// # Errors
/// When a file that a step names cannot be read.
pub fn declared(steps: &[Step], root: &Path) -> Result<Declared> {
    let mut all = Declared::default();
    for step in steps {
        all.add(step.action.kind().declares(root)?);
    }
    Ok(all)
}

/// The steps' own secrets by name, which stay in the state directory `state`; made where they are
/// missing.
///
/// # Errors
/// When one can be neither read nor made.
pub fn secrets(steps: &[Step], state: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for step in steps {
        all.extend(step.action.kind().secrets(state)?);
    }
    Ok(all)
}

/// Those of the steps' own secrets that were made already.
pub fn kept_secrets(steps: &[Step], state: &Path) -> BTreeMap<String, Vec<u8>> {
    let kept = |step: &Step| step.action.kind().kept_secrets(state);
    steps.iter().flat_map(kept).collect()
}
