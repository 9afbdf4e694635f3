//! install: a base system onto a disk. One file per method.

pub mod bootstrap;
pub mod import;
mod inputs;
mod published;
pub mod relay;
mod stage;
pub mod virt_install;

pub use stage::{STAGE, pulled, run};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::Mirror;
use crate::error::Result;
use crate::host::qemu_img;
use crate::lock::Fetched;
use crate::store::Facts;
use crate::sysprep::Declared;
use crate::units::Size;

/// What the stage reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// What the method knows.
    pub install: BaseFacts,
    /// What a published image has on purpose.
    pub declared: Declared,
}

impl Facts for Installed {
    const STAGE: &'static str = "install";
}

/// What is known about an installed disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BaseFacts {
    /// libosinfo's short id, if the method knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub osinfo: Option<String>,
    /// Product name for people, if the method knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The partition that grows with the disk, as virt-builder names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<String>,
    /// Where the guest keeps its package sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<SourcesFile>,
    /// Every file that the installer fetched through the proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<Fetched>,
}

/// A file with package sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourcesFile {
    /// Absolute path in the guest.
    pub path: String,
    /// Its whole text in an image whose recipe says `default`.
    pub text: String,
    /// Its whole text while the image is built; empty when nobody chose it.
    #[serde(default)]
    pub build: String,
}

impl SourcesFile {
    /// What an image is told when its recipe's `mirrors.image` is `image`; `None` leaves it as the
    /// build had it.
    pub fn in_image(&self, image: &Mirror) -> Option<String> {
        match image {
            Mirror::Host => None,
            Mirror::Default => Some(self.text.clone()),
            Mirror::At(address) => Some(crate::distro::apt::moved(&self.text, address.as_str())),
        }
    }
}

/// A disk with a base system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseDisk {
    /// The qcow2 file.
    pub disk: PathBuf,
    /// Its virtual size.
    pub size: Size,
    /// What is known about it.
    pub facts: BaseFacts,
}

/// Converts a disk to qcow2 without holes' bytes.
fn to_qcow2(from: &Path, format: &str, to: &Path) -> Result<()> {
    let words = ["-m", "4", "-W", "-o", "lazy_refcounts=on"];
    qemu_img::convert((from, format), (to, "qcow2"), &words)?.run()
}
