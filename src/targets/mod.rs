//! Targets: what is made of a sealed disk for every place where the image runs.
//!
//! A target is one file here and one line in [`TARGETS`]. [`make`] asks whether the disk has what
//! the target needs, makes its files in a private directory and proves each of them: by tools that
//! are not ours, and by [`Proof`], which binds what was proven to the file's digest. Who wants the
//! files takes them from there; nobody sees half of one.

mod azure;
mod convert;
mod docker;
pub mod gate;
mod gcp;
mod guests;
mod gzip;
mod identity;
mod incus;
pub(crate) mod kernel;
mod needs;
pub mod openstack;
mod ova;
mod ovf;
mod proxmox;
mod qcow2;
mod ramdisk;
mod raw;
mod rootfs;
pub mod source;
pub mod streams;
pub(crate) mod tree;
mod vagrant;
mod vmdk;
mod wsl;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::digest;
use crate::error::{Error, Result};
use crate::host::interrupt;
use crate::host::tools::Tool;
use crate::machine::Machine;
use crate::recipe::types::{Step, Targets};
use crate::ui::StageUi;
use crate::units::Size;

pub use gate::{LeftoverPolicy, Proof};
pub use source::SystemDisk;

/// Every target, in the order of the documentation.
pub const TARGETS: &[Target] = &[
    raw::TARGET,
    qcow2::TARGET,
    vmdk::TARGET,
    ova::TARGET,
    azure::TARGET,
    gcp::TARGET,
    docker::TARGET,
    openstack::TARGET,
    vagrant::TARGET,
    ramdisk::TARGET,
    proxmox::TARGET,
    incus::TARGET,
    wsl::TARGET,
];

/// A place where images run.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name in recipes.
    pub name: &'static str,
    /// What it gives, in a few words.
    pub about: &'static str,
    /// Changes when the same disk and options would give other files; a part of the stage's key.
    pub version: u32,
    /// The target's options, if the recipe asks for it.
    pub options: fn(&Targets) -> Option<Value>,
    /// A recipe's targets with only this one, by its defaults.
    pub alone: fn() -> Targets,
    /// Programs that making it needs.
    pub tools: &'static [Tool],
    /// Modules that a kernel of the image must have: one of each group.
    pub modules: &'static [&'static [&'static str]],
    /// Whether it reads the files of the image.
    pub reads: bool,
    /// Memory that making it needs, beside that of guests.
    pub memory: Size,
    /// Steps that run in the guest before: what the target always needs, and the recipe's own.
    pub steps: fn(&Targets) -> Vec<Step>,
    /// How the first artifact, a disk, is tried out; `None` where making it proves it.
    pub trial: Option<fn(&Targets, &About, Size) -> Trial>,
    /// Makes the files in [`TargetContext::dir`].
    pub make: fn(&TargetContext<'_>, &Targets) -> Result<Vec<MadeFile>>,
}

/// Where, below [`TargetContext::scratch`], a target leaves the disk that is in its artifacts, if it is
/// neither an artifact itself nor the source's: a qcow2.
pub const DISK: &str = "disk.qcow2";

/// The target with this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The targets that a recipe asks for.
pub fn wanted(targets: &Targets) -> impl Iterator<Item = &'static Target> {
    TARGETS
        .iter()
        .filter(|target| (target.options)(targets).is_some())
}

/// A boot as the target boots, and what must be so then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Files of a disk with the label `CIDATA`.
    pub seed: Vec<(String, String)>,
    /// Commands that succeed in the guest.
    pub commands: Vec<String>,
    /// How much larger the machine's disk is.
    pub grow: Size,
}

/// What the files of a target say about the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The image's name.
    pub name: String,
    /// `IMAGE_VERSION`; empty for a disk without a recipe.
    pub version: String,
    /// One line for people.
    pub title: String,
    /// The distribution, as `debian`.
    pub os: String,
    /// Its version, as `13`.
    pub os_version: String,
    /// When the disk was sealed, seconds since 1970: the newest time in an artifact.
    pub created: u64,
}

impl About {
    /// Start of the artifacts' names.
    pub fn stem(&self) -> String {
        match self.version.as_str() {
            "" => self.name.clone(),
            version => format!("{}-{version}", self.name),
        }
    }
}

/// What a target works with.
#[derive(Debug, Clone, Copy)]
pub struct TargetContext<'a> {
    /// The disk, which is not changed.
    pub source: &'a SystemDisk,
    /// What it is.
    pub about: &'a About,
    /// What its gate asks; a disk without a recipe has none.
    pub gate: Option<LeftoverPolicy<'a>>,
    /// Whether what is made is proven: only who measures does without, and can publish none of it.
    pub proving: bool,
    /// The machine that it is for.
    pub machine: &'a Machine,
    /// Where the files go: a private directory.
    pub dir: &'a Path,
    /// For what is needed only meanwhile.
    pub scratch: &'a Path,
    /// Who hears about it.
    pub ui: &'a StageUi,
}

impl TargetContext<'_> {
    /// The name of an artifact, `NAME-VERSION.END`.
    pub fn file(&self, end: &str) -> String {
        format!("{}.{end}", self.about.stem())
    }

    /// Whether the machine boots by UEFI only.
    pub fn uefi(&self) -> bool {
        self.machine.firmware.is_uefi()
    }
}

/// A file that a target made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeFile {
    /// Its name in [`TargetContext::dir`].
    pub file: String,
    /// What it is, as `qcow2`.
    pub format: &'static str,
    /// What is known of it beside target and format.
    pub about: BTreeMap<String, String>,
    /// What was proven of it.
    pub proof: Vec<PassedCheck>,
}

/// One artifact in a stage's facts.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ArtifactRecord {
    /// Its name in the stage's entry.
    pub file: String,
    /// Its SHA-512, in hex.
    pub sha512: String,
    /// What is known of it: `target`, `format`, …
    pub about: BTreeMap<String, String>,
    /// What its gate proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// One thing that was proven of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PassedCheck {
    /// Which part of the gate it is.
    pub part: CheckKind,
    /// By what, such as `qemu-img check`.
    pub by: String,
}

/// The parts of an artifact's gate.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Its format's own checks.
    Validated,
    /// No leftovers of the build are in it.
    Scanned,
    /// It ran as its target runs it.
    Booted,
    /// It holds nothing but words about the image.
    Words,
    /// A guest sees the very bytes of the sealed disk, for which the check stage has asked both.
    SameDisk,
}

/// Something that was proven.
pub fn proven(part: CheckKind, by: impl Into<String>) -> PassedCheck {
    PassedCheck {
        part,
        by: by.into(),
    }
}

/// The size of a finished disk, in bytes as a guest sees them.
///
/// # Errors
/// When `qemu-img` cannot read it.
pub fn size_of(disk: &Path, format: &str) -> Result<u64> {
    Ok(convert::info(disk, format)?.virtual_size)
}

/// Asks whether the disk has what the target needs of it, before the long work.
///
/// # Errors
/// When it has not.
pub fn ask(target: &Target, site: &TargetContext<'_>) -> Result<()> {
    kernel::check(target, site)
}

/// Makes the files of a target in `site.dir`, which was [asked](ask) for before. `sealed` is the digest of the sealed disk that the
/// source is, or was made from.
///
/// # Errors
/// When the disk lacks what the target needs, a program fails, or a file is not what it should be.
pub fn make(
    target: &Target,
    site: &TargetContext<'_>,
    targets: &Targets,
    sealed: Option<&str>,
) -> Result<Vec<ArtifactRecord>> {
    interrupt::check()?;
    let made = (target.make)(site, targets)?;
    let told = made.into_iter().map(|made| {
        interrupt::check()?;
        let sha512 = digest::file_sha512(&site.dir.join(&made.file))?;
        let mut about = made.about;
        about.insert("target".into(), target.name.into());
        about.insert("format".into(), made.format.into());
        about.insert("os".into(), site.about.os.clone());
        about.insert("os-version".into(), site.about.os_version.clone());
        let proof = sealed.map(|sealed| Proof::new(&sha512, sealed, made.proof));
        Ok(ArtifactRecord {
            file: made.file,
            sha512,
            about,
            proof,
        })
    });
    told.collect()
}

/// Asks, before the target's steps run in a guest, whether they can, and whether what they give
/// can be of use.
///
/// # Errors
/// When the disk lacks what the target or its steps need.
pub fn preflight(target: &Target, site: &TargetContext<'_>, targets: &Targets) -> Result<()> {
    // The recipe's own steps may install another kernel.
    let own = targets.own_steps();
    if !own
        .iter()
        .any(|(name, steps)| *name == target.name && !steps.is_empty())
    {
        kernel::check(target, site)?;
    }
    let tree = site.source.tree(site.ui)?;
    needs::check(target.name, &tree, &(target.steps)(targets))
}

/// The modules that a recipe's targets need, by what needs them.
pub(crate) fn modules(targets: &Targets) -> Vec<(&'static str, kernel::Groups)> {
    let named = wanted(targets).map(|target| (target.name, target.modules));
    named.chain(vagrant::modules(targets)).collect()
}

/// Asks for the programs that these targets need.
///
/// # Errors
/// When one is missing or too old.
pub fn need_tools<'t>(targets: impl IntoIterator<Item = &'t Target>) -> Result<()> {
    let tools = targets.into_iter().flat_map(|target| target.tools);
    crate::host::tools::need(tools.copied())
}

/// A target that does not exist.
pub fn unknown(name: &str) -> Error {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    Error::usage(format!("there is no target `{name}`"))
        .hint(format!("the targets are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_asked_for_by_its_own_name() {
        for target in TARGETS {
            let alone = (target.alone)();
            let named: Vec<_> = wanted(&alone).map(|target| target.name).collect();
            assert_eq!(named, [target.name]);
            let written = serde_json::to_value(&alone).unwrap();
            let keys: Vec<_> = written.as_object().unwrap().keys().collect();
            assert_eq!(keys, [target.name]);
        }
        assert!(find("raw").is_some() && find("floppy").is_none());
    }

    #[test]
    fn what_a_recipe_can_say_can_be_made() {
        let schema = serde_json::to_value(schemars::schema_for!(Targets)).unwrap();
        let mut words: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        words.sort();
        let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        names.sort_unstable();
        assert_eq!(words, names);
    }

    #[test]
    fn artifacts_are_named_by_image_and_version() {
        let mut about = About {
            name: "web".into(),
            version: "0123456789ab".into(),
            title: String::new(),
            os: String::new(),
            os_version: String::new(),
            created: 0,
        };
        assert_eq!(about.stem(), "web-0123456789ab");
        about.version.clear();
        assert_eq!(about.stem(), "web");
    }
}
