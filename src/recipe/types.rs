//! The language of a recipe as types: what remains when includes, variants, variables and short
//! forms are resolved. The JSON schema and the recipe reference derive from these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

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
    pub from: Option<From>,
    /// How the base system gets onto the disk; or `from`, exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<Install>,
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
    /// Steps that run inside the guest at its first boot, in this order.
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

/// A parent image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum From {
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
    pub image: String,
    /// The channel; default: the repository's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// How the base system gets onto the disk; exactly one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Install {
    /// The distribution's own installer, unattended, under libvirt.
    VirtInstall(VirtInstall),
    /// Packages straight onto a disk, without a virtual machine.
    Bootstrap(Bootstrap),
    /// An existing disk image.
    Import(Import),
}

/// `install: {virt-install: …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VirtInstall {
    /// libosinfo's short id, such as `debian13`.
    pub os: String,
    /// What boots the installer.
    pub media: Media,
    /// Answer file: preseed (`.cfg`), kickstart (`.ks`) or autoinstall (`.yaml`); a strict template.
    pub answers: String,
    /// Added to the installer's kernel command line.
    #[serde(default)]
    pub kernel_args: Vec<String>,
    /// Added to virt-install's command line.
    #[serde(default)]
    pub extra_args: Vec<String>,
    /// Limit for the whole installation, with hardware acceleration.
    #[serde(default = "default_install_timeout")]
    pub timeout: Span,
    /// No disk, network or console activity for so long is a failure.
    #[serde(default = "default_stall")]
    pub stall: Span,
}

fn default_install_timeout() -> Span {
    Span::seconds(90 * 60)
}

fn default_stall() -> Span {
    Span::seconds(10 * 60)
}

/// What boots an installer; exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    /// An install tree: a URL or a directory.
    Location(String),
    /// An ISO image.
    Iso(Iso),
    /// A kernel and an initrd.
    Boot(BootFiles),
}

/// An ISO image: `url` or `path`, exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Iso {
    /// Where to download it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A local file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// SHA-256, 64 hex digits; needed for `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// An installer's kernel and initrd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BootFiles {
    /// Path or URL of the kernel.
    pub kernel: String,
    /// Path or URL of the initrd.
    pub initrd: String,
}

/// `install: {bootstrap: …}`: Debian and Ubuntu suites through mmdebstrap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bootstrap {
    /// The suite, such as `trixie` or `noble`.
    pub suite: String,
    /// Packages beside the essential ones, the kernel, the boot loader and systemd's network tools.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Archive components; default: `main` for Debian, `main universe` for Ubuntu.
    #[serde(default)]
    pub components: Vec<String>,
    /// The kernel package; default: the distribution's for virtual machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The archive's address; default: the host's own mirror of the same distribution, else the tool's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
}

/// `install: {import: …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Import {
    /// A path, a URL, or `REPO#name`.
    pub image: String,
    /// SHA-256 of the file as it is (compressed or not), 64 hex digits; needed for a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The virtual machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Machine {
    /// CPU architecture.
    pub arch: Arch,
    /// Virtual size of the disk.
    pub disk: Size,
    /// Memory.
    pub memory: Size,
    /// Number of CPUs.
    pub cpus: u32,
    /// Firmware that the image boots with.
    pub firmware: Firmware,
    /// `user`, the name of a libvirt network, or `bridge:NAME`.
    pub network: String,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            arch: Arch::X86_64,
            disk: Size::gib(10),
            memory: Size::gib(2),
            cpus: 2,
            firmware: Firmware::Bios,
            network: "user".into(),
        }
    }
}

/// CPU architectures that imgforge builds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Arch {
    /// 64-bit x86, `amd64` in Debian's words.
    #[serde(rename = "x86_64")]
    X86_64,
}

/// Firmware of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
    /// The image boots with either; the gate tries both.
    Both,
}

/// Where packages come from. A value is `host`, `default`, or an address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Mirrors {
    /// What the build fetches from: `host` is the mirror of the host's own apt configuration.
    pub build: String,
    /// What the finished image is told: `default` is the distribution's own address.
    pub image: String,
}

impl Default for Mirrors {
    fn default() -> Self {
        Mirrors {
            build: "host".into(),
            image: "default".into(),
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
    /// A file or a directory of the recipe repository; or `content`, exactly one.
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
    /// Directories with roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// `requirements.yml` with collections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Extra variables.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// Only these tags.
    #[serde(default)]
    pub tags: Vec<String>,
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
    /// One run of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<PuppetAgent>,
}

/// One run of the Puppet agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PuppetAgent {
    /// Host name of the server.
    pub server: String,
    /// Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Name of the agent's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certname: Option<String>,
    /// The authority's certificate, a file of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Extra facts.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// Only these tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// `cloud-init:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CloudInit {
    /// User data, a file of the recipe repository.
    pub user_data: String,
}

/// What is removed from the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Seal {
    /// Operations by name; `default` is the default set, `-NAME` leaves one out.
    pub operations: Vec<String>,
}

impl Default for Seal {
    fn default() -> Self {
        Seal {
            operations: vec!["default".into()],
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
}

/// A leftover accepted on purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Allow {
    /// The scan's rule.
    pub rule: String,
    /// The path that it may match; default: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it is accepted.
    pub reason: String,
}

/// How the disk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Pack {
    /// The profile.
    pub profile: Profile,
}

/// A balance of size against time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
    /// How many revisions `repo prune` keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}
