//! Targets: what is made of a sealed disk for every place where the image runs.
//!
//! A target is one file here, with everything about it, and one line in the list below. [`make`] has its
//! files made in a private directory and proven: by tools that are not ours, and by [`Proof`], which
//! binds what was proven to the file's digest. Who wants the files takes them from there; nobody sees half of one.

mod artifact;
mod aws;
mod azure;
mod command;
mod convert;
mod docker;
pub mod gate;
mod gcp;
mod guests;
mod gzip;
mod identity;
mod incus;
pub(crate) mod kernel;
mod kubevirt;
mod needs;
pub mod openstack;
mod ova;
mod ovf;
mod proxmox;
mod push;
mod qcow2;
pub(crate) mod ramdisk;
mod raw;
mod rootfs;
pub mod source;
pub mod streams;
mod target;
pub(crate) mod tree;
mod vagrant;
mod vmdk;
mod wsl;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::interrupt;
use crate::host::tools::Tool;
use crate::machine::{Arch, Machine};
use crate::ui::StageUi;

pub use artifact::{ArtifactRecord, Description, Format, MadeFile};
pub use command::{Command, Offered, OfferedFile};
pub use docker::{Docker, is_joined, join as join_containers, joined_name};
use gate::described;
pub use gate::{CheckKind, LeftoverPolicy, PassedCheck, Proof, proven};
pub use openstack::OpenStack;
pub use push::{CONTAINERS, RefusedName, is_container, place, push, refused_names};
pub use ramdisk::{Ramdisk, RootForm, StateDisk};
pub use source::SystemDisk;
pub use target::{BootTest, Options, Target, Wanted};
pub use vagrant::Vagrant;

/// Makes [`Targets`] and [`TARGETS`] of the list: documentation, module and type of the options.
macro_rules! targets {
    ($($(#[$doc:meta])+ $module:ident::$options:ident,)+) => {
        /// Places where the image runs. Each has its own options.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub struct Targets {
            $(
                $(#[$doc])+
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $module: Option<$module::$options>,
            )+
        }

        /// Every target.
        pub const TARGETS: &[Target] = &[$($module::TARGET),+];

        impl Targets {
            /// All of them, by their defaults.
            pub fn all() -> Self {
                Targets { $($module: Some($module::$options::default())),+ }
            }

            /// Those that a recipe asks for.
            pub fn wanted(&self) -> Vec<Wanted> {
                let all = [$(self.$module.as_ref().map(|it| Wanted::new(&$module::TARGET, it))),+];
                all.into_iter().flatten().collect()
            }
        }
    };
}

targets! {
    /// The disk byte by byte, as a sparse file.
    raw::Raw,
    /// QEMU's own format, for libvirt and everything that is built on QEMU.
    qcow2::Qcow2,
    /// A compressed disk for VMware and VirtualBox.
    vmdk::Vmdk,
    /// A whole machine in one file, for VMware and VirtualBox.
    ova::Ova,
    /// A disk for Amazon EC2.
    aws::Aws,
    /// A fixed VHD for Azure.
    azure::Azure,
    /// Google Cloud's archive of a disk.
    gcp::Gcp,
    /// A container image.
    docker::Docker,
    /// OpenStack: a qcow2 for Glance.
    openstack::OpenStack,
    /// Vagrant boxes.
    vagrant::Vagrant,
    /// Kernel and initrd for machines without a disk.
    ramdisk::Ramdisk,
    /// A disk for Proxmox VE, and a script that imports it.
    proxmox::Proxmox,
    /// A virtual machine for Incus and LXD.
    incus::Incus,
    /// A containerDisk for KubeVirt: the disk as a container image.
    kubevirt::Kubevirt,
    /// A distribution for the Windows Subsystem for Linux.
    wsl::Wsl,
}

/// Where, below [`TargetContext::scratch`], a target leaves the disk that is in its artifacts, if it is
/// neither an artifact itself nor the source's: a qcow2.
pub const DISK: &str = "disk.qcow2";

/// The target with this name, by its defaults.
pub fn find(name: &str) -> Option<Wanted> {
    let all = Targets::all().wanted();
    all.into_iter().find(|target| target.name == name)
}

/// The table of docs/targets.md.
pub fn markdown() -> String {
    let head = "| target | files | proven by |\n|---|---|---|\n".to_owned();
    TARGETS.iter().fold(head, |table, target| {
        let Target {
            name,
            files,
            proven_by,
            ..
        } = target;
        table + &format!("| `{name}` | {files} | {proven_by} |\n")
    })
}

/// What the files of a target say about the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Where progress goes.
    pub ui: &'a StageUi,
}

impl TargetContext<'_> {
    /// The name of an artifact, `NAME-VERSION.END`.
    pub fn file(&self, end: &str) -> String {
        format!("{}.{end}", self.about.stem())
    }

    /// Whether the machine boots by UEFI only.
    pub fn uefi(&self) -> bool {
        self.machine.firmware().is_uefi()
    }
}

/// Asks whether the disk has what the target needs of it, before the long work.
///
/// # Errors
/// When it has not.
pub fn ask(target: &Wanted, site: &TargetContext<'_>) -> Result<()> {
    let arch = site.machine.arch;
    if let Some(why) = target.refuses(arch) {
        let text = format!("there is no `{}` for {}", target.name, arch.as_str());
        return Err(Error::usage(text).cause(why));
    }
    kernel::check(target, site)
}

/// Makes the files of a target in `site.dir`, which was [asked](ask) for before. `sealed` is the digest of the sealed disk that the
/// source is, or was made from.
///
/// # Errors
/// When the disk lacks what the target needs, a program fails, or a file is not what it should be.
pub fn make(
    target: &Wanted,
    site: &TargetContext<'_>,
    sealed: Option<&str>,
) -> Result<Vec<ArtifactRecord>> {
    interrupt::check()?;
    let made = target.options.make(site)?.into_iter();
    let system = [
        ("os", &site.about.os),
        ("os-version", &site.about.os_version),
    ];
    made.map(|file| file.about(system).record(target.name, site.dir, sealed))
        .collect()
}

/// Asks, before the target's steps run in a guest, whether they can, and whether what they give
/// can be of use.
///
/// # Errors
/// When the disk lacks what the target or its steps need.
pub fn preflight(target: &Wanted, site: &TargetContext<'_>) -> Result<()> {
    // The recipe's own steps may install another kernel.
    if target.options.own_steps().is_empty() {
        kernel::check(target, site)?;
    }
    let tree = site.source.tree(site.ui)?;
    needs::check(target.name, &tree, &target.options.steps())
}

/// The modules that a recipe's targets need, by what needs them.
pub(crate) fn modules(targets: &Targets) -> Vec<(&'static str, kernel::Groups)> {
    let wanted = targets.wanted();
    let named = wanted.iter().map(|target| (target.name, target.modules));
    let more = wanted.iter().filter_map(|target| target.options.modules());
    named.chain(more).collect()
}

/// Asks for the programs that these targets of an image for `arch` need, QEMU's user mode among them.
///
/// # Errors
/// When one is missing or too old.
pub fn need_tools<'t>(targets: impl IntoIterator<Item = &'t Wanted>, arch: Arch) -> Result<()> {
    let (mut tools, mut runs) = (Vec::<Tool>::new(), false);
    for target in targets {
        tools.extend(target.tools);
        runs |= target.runs;
    }
    crate::host::tools::need(tools.into_iter().map(|tool| tool.on(arch)))?;
    match runs {
        true => crate::host::foreign::interpreter(arch).map(drop),
        false => Ok(()),
    }
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
    use serde_json::json;

    #[test]
    fn every_target_is_asked_for_by_its_own_name() {
        let written = json!(Targets::all());
        let all = Targets::all().wanted();
        let keys = written.as_object().unwrap().iter();
        for ((key, options), target) in keys.zip(&all) {
            assert_eq!((key.as_str(), options), (target.name, &target.written));
            assert!(!target.files.is_empty() && !target.proven_by.is_empty());
        }
        assert_eq!(all.len(), TARGETS.len());
        assert!(find("raw").is_some() && find("floppy").is_none());
    }

    #[test]
    fn artifacts_are_named_by_image_and_version() {
        let mut about = About {
            name: "web".into(),
            version: "0123456789ab".into(),
            ..About::default()
        };
        assert_eq!(about.stem(), "web-0123456789ab");
        about.version.clear();
        assert_eq!(about.stem(), "web");
    }
}
