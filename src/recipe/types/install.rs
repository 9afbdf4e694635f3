//! How the base system gets onto the disk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::digest::Sha256;
use crate::units::Span;

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
    /// What the installer's kernel and initrd must be, where they come over plain http, no archive of
    /// Debian or Ubuntu signs them, and there is no `.treeinfo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_sha256: Option<BootSums>,
    /// SHA-256 of the `.treeinfo` of an install tree of Fedora and its relatives, 64 hex digits; over
    /// plain http it is needed, as it vouches for the second stage and the packages, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treeinfo_sha256: Option<Sha256>,
    /// Takes what the installer is made of over plain http although nothing vouches for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified_media: bool,
    /// Answer file: preseed (`.cfg`), kickstart (`.ks`) or autoinstall (`.yaml`); a strict template.
    pub answers: String,
    /// Added to the installer's kernel command line.
    #[serde(default)]
    pub kernel_args: Vec<String>,
    /// Added to virt-install's command line; as root with `build --allow-extra-args` only.
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

/// How a recipe names a place below the mirror that the build chooses: `mirror:PATH`.
pub const BELOW_MIRROR: &str = "mirror:";

/// What boots an installer; exactly one. A place is a path, an address, or `mirror:PATH`: below the
/// mirror that the build uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    /// An install tree: an address, `mirror:PATH` or a directory.
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
    pub url: Option<Address>,
    /// A local file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// SHA-256, 64 hex digits; needed for `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// An installer's kernel and initrd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BootFiles {
    /// The kernel: a path, an address or `mirror:PATH`.
    pub kernel: String,
    /// The initrd: a path, an address or `mirror:PATH`.
    pub initrd: String,
}

/// Digests of an installer's kernel and initrd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BootSums {
    /// SHA-256 of the kernel, 64 hex digits.
    pub kernel: Sha256,
    /// SHA-256 of the initrd, 64 hex digits.
    pub initrd: Sha256,
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
    pub mirror: Option<Address>,
}

/// `install: {import: …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Import {
    /// A path, a URL, or `REPO#name`.
    pub image: String,
    /// SHA-256 of the file as it is (compressed or not), 64 hex digits; needed for a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}
