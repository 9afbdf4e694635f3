//! Steps: what runs inside the guest.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

/// A step: an action and the options that all actions have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// What the step does.
    pub action: Action,
    /// What people see; default: made from the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the step runs; default: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Limit for one try, with hardware acceleration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Further tries after a failure.
    #[serde(default)]
    pub retries: u32,
    /// Environment of the step.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables of the step's environment that have the value of a secret, by the secret's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

impl Step {
    /// A step with the usual options; its name is made from the action.
    pub fn new(action: Action) -> Self {
        Step {
            action,
            name: None,
            when: None,
            timeout: None,
            retries: 0,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// A step with the usual options and a name of its own.
    pub fn named(name: &str, action: Action) -> Self {
        Step {
            name: Some(name.to_owned()),
            ..Step::new(action)
        }
    }
}

/// A condition on the guest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct When {
    /// `ID` or one of `ID_LIKE` in the guest's os-release, such as `debian`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distro: Option<String>,
    /// `VERSION_CODENAME` or `VERSION_ID`, such as `trixie`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// What a step does. In a recipe the step is a map with this one key, or the bare word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Upgrades every installed package.
    Upgrade,
    /// Adds a package repository.
    Repository(Repository),
    /// Installs packages.
    Packages(Packages),
    /// Sets time zone, locale, keyboard, host name, swap.
    System(System),
    /// Makes or changes users.
    Users(Users),
    /// Copies files.
    Files(Files),
    /// Runs a script of the recipe repository, or a command line.
    Shell(Shell),
    /// Runs an Ansible playbook inside the guest.
    Ansible(Ansible),
    /// Applies a Puppet manifest, or runs the agent once.
    Puppet(Puppet),
    /// Runs cloud-init once with this user-data file.
    CloudInit(CloudInit),
    /// Keeps what is done so far: a change below does not repeat what is above.
    Checkpoint,
    /// Restarts the guest and goes on.
    Reboot,
}

/// `repository:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Repository {
    /// Address of the repository.
    pub uri: String,
    /// Public key, a file of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// File name in the guest's package manager; default: from the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Suite (apt); default: the guest's release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Components (apt).
    #[serde(default)]
    pub components: Vec<String>,
}

/// `packages:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Packages {
    /// Package names: a list, or a list for each distribution (`ID` or `ID_LIKE`).
    pub names: PackageNames,
}

/// Package names, common or by distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PackageNames {
    /// The same names everywhere.
    All(Vec<String>),
    /// Names by distribution.
    ByDistro(BTreeMap<String, Vec<String>>),
}

/// `system:`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct System {
    /// Time zone, such as `Etc/UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Locale, such as `en_US.UTF-8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Keyboard layout, such as `us`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyboard: Option<String>,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Size of a swap file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<Size>,
}

/// `users:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Users {
    /// The users.
    pub list: Vec<User>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Supplementary groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Public keys: files of the recipe repository, or key lines.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// Login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// A system account.
    #[serde(default)]
    pub system: bool,
    /// Name of a secret that holds the password's crypt(3) hash; default: no password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// May use sudo without a password.
    #[serde(default)]
    pub sudo: bool,
}

/// `files:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Files {
    /// A file or a directory of the recipe repository; or `content`, exactly one. A link is followed, within the repository; links in a directory stay links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Absolute path in the guest.
    pub to: String,
    /// Octal permissions, quoted: `"0644"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `user` or `user:group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The file is a strict template.
    #[serde(default)]
    pub template: bool,
}

/// `shell:`: `script` or `run`, exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shell {
    /// A script of the recipe repository; its first line names the interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// A command line for `/bin/sh -e`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Arguments of the script.
    #[serde(default)]
    pub args: Vec<String>,
}

/// `ansible:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ansible {
    /// The playbook, a file of the recipe repository.
    pub playbook: String,
    /// Directories with roles, beside `roles/` next to the playbook.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Further files and directories that the playbook reads. What lies next to it by Ansible's
    /// own rules (`roles/`, `group_vars/`, `files/`, …) or is named in it comes along by itself.
    #[serde(default)]
    pub files: Vec<String>,
    /// Groups that the guest belongs to, for `hosts:` and `group_vars/`.
    #[serde(default)]
    pub groups: Vec<String>,
    /// `requirements.yml` with collections and roles; its lock lies beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Extra variables.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Only these tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// All but these tags.
    #[serde(default)]
    pub skip_tags: Vec<String>,
    /// Name of a secret that holds the vault password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_password: Option<String>,
    /// Runs the playbook twice and fails if the second run changes anything.
    #[serde(default)]
    pub idempotent: bool,
}

/// `puppet:`: `manifest` or `agent`, exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Puppet {
    /// A manifest, a file of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Directories with modules.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Hiera's configuration, a file of the recipe repository; `data/` beside it comes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hiera: Option<String>,
    /// Extra facts of the manifest's run.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// Only these tags of the manifest.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Gives the code facts of old names such as `$::osfamily`, which Puppet 8 leaves out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_facts: bool,
    /// One run of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<PuppetAgent>,
}

/// One run of the Puppet agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PuppetAgent {
    /// Host name of the server, or `HOST:PORT` where the port is not 8140.
    pub server: String,
    /// Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Name of the agent's certificate. Its key stays on the host that builds, so that the next
    /// build is the same agent for the server.
    pub certname: String,
    /// The authority's certificate, a file of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Extra facts.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// Only these tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Sends facts of old names such as `osfamily`, which Puppet 8 leaves out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_facts: bool,
    /// How long the agent waits until the server signs its certificate; default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
}

/// `cloud-init:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CloudInit {
    /// User data, a file of the recipe repository.
    pub user_data: String,
}
