//! The programs that imgforge uses: their versions, packages, and what each is for.

mod emulator;

use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::exec::{self, Program};
use crate::machine::{self, Arch, Uefi};
pub use emulator::machine;

/// A program of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// Bootstraps Debian and Ubuntu.
    MmDebstrap,
    /// Lets an ordinary user have a range of user ids.
    NewUidMap,
    /// Partitions a disk image.
    Sfdisk,
    /// Makes the root file system.
    Mke2fs,
    /// Makes the EFI system partition.
    MkfsFat,
    /// Copies into the EFI system partition.
    Mcopy,
    /// Makes namespaces.
    Unshare,
    /// Makes, converts and checks disk images.
    QemuImg,
    /// Runs guests of an architecture.
    Qemu(Arch),
    /// Connects guests to the network, and to nothing of this host.
    Pasta,
    /// Manages guests.
    Libvirtd,
    /// Runs the distributions' own installers.
    VirtInstall,
    /// Puts answers into an installer's initrd.
    Cpio,
    /// Reads ISO images and makes seed disks.
    Xorriso,
    /// Makes libguestfs' appliance.
    Supermin,
    /// Signs and verifies.
    Gpg,
    /// Keeps gpg's secret keys.
    GpgAgent,
    /// Reads container images.
    Skopeo,
    /// Makes a squashfs of an archive.
    Sqfstar,
    /// Reads a squashfs.
    Unsquashfs,
    /// The programs of a RAM disk.
    Busybox,
    /// Makes bootable media.
    GrubMkrescue,
}

/// The facts about a [`Tool`].
#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Names that the program may have.
    programs: &'static [&'static str],
    /// The oldest version that works: major and minor.
    oldest: Option<(u32, u32)>,
    /// Debian's package.
    package: &'static str,
    /// "… is needed to PURPOSE".
    purpose: &'static str,
}

impl Tool {
    /// Every tool.
    pub const ALL: [Tool; 22] = [
        Tool::MmDebstrap,
        Tool::NewUidMap,
        Tool::Sfdisk,
        Tool::Mke2fs,
        Tool::MkfsFat,
        Tool::Mcopy,
        Tool::Unshare,
        Tool::QemuImg,
        Tool::Qemu(Arch::DEFAULT),
        Tool::Pasta,
        Tool::Libvirtd,
        Tool::VirtInstall,
        Tool::Cpio,
        Tool::Xorriso,
        Tool::Supermin,
        Tool::Gpg,
        Tool::GpgAgent,
        Tool::Skopeo,
        Tool::Sqfstar,
        Tool::Unsquashfs,
        Tool::Busybox,
        Tool::GrubMkrescue,
    ];

    fn facts(self) -> Facts {
        let facts = |programs, oldest, package, purpose| Facts {
            programs,
            oldest,
            package,
            purpose,
        };
        match self {
            Tool::MmDebstrap => facts(
                &["mmdebstrap"],
                Some((1, 2)),
                "mmdebstrap",
                "bootstrap a suite",
            ),
            Tool::NewUidMap => facts(
                &["newuidmap"],
                None,
                "uidmap",
                "bootstrap without being root",
            ),
            Tool::Sfdisk => facts(&["sfdisk"], None, "fdisk", "partition a disk"),
            Tool::Mke2fs => facts(&["mke2fs"], None, "e2fsprogs", "make a root file system"),
            Tool::MkfsFat => facts(&["mkfs.fat"], None, "dosfstools", "make an EFI partition"),
            Tool::Mcopy => facts(&["mcopy"], None, "mtools", "fill an EFI partition"),
            Tool::Unshare => facts(&["unshare"], None, "util-linux", "make private name spaces"),
            Tool::QemuImg => facts(
                &["qemu-img"],
                Some((6, 0)),
                "qemu-utils",
                "make and convert disks",
            ),
            Tool::Qemu(arch) => facts(arch.qemu, Some((6, 0)), arch.qemu_package, "run guests"),
            Tool::Pasta => facts(
                &["pasta"],
                None,
                "passt",
                "keep guests from this host's own services",
            ),
            Tool::Libvirtd => facts(
                &["libvirtd", "virtqemud"],
                Some((7, 0)),
                "libvirt-daemon libvirt-daemon-driver-qemu",
                "manage guests",
            ),
            Tool::VirtInstall => facts(
                &["virt-install"],
                Some((4, 0)),
                "virtinst",
                "run an installer",
            ),
            Tool::Cpio => facts(
                &["cpio"],
                None,
                "cpio",
                "put answers into an installer's initrd",
            ),
            Tool::Xorriso => facts(
                &["xorriso"],
                None,
                "xorriso",
                "read an installer's ISO image",
            ),
            Tool::Supermin => facts(
                &["supermin"],
                Some((5, 0)),
                "supermin",
                "make libguestfs' appliance",
            ),
            Tool::Gpg => facts(&["gpg"], Some((2, 2)), "gpg", "sign and verify"),
            Tool::GpgAgent => facts(&["gpg-agent"], None, "gpg-agent", "keep the signing key"),
            Tool::Skopeo => facts(&["skopeo"], None, "skopeo", "prove a container image"),
            Tool::Sqfstar => facts(
                &["sqfstar"],
                None,
                "squashfs-tools",
                "make a file system of an archive",
            ),
            Tool::Unsquashfs => facts(
                &["unsquashfs"],
                None,
                "squashfs-tools",
                "prove a ramdisk's root",
            ),
            Tool::Busybox => facts(&["busybox"], None, "busybox-static", "boot a ramdisk"),
            Tool::GrubMkrescue => facts(
                &["grub-mkrescue"],
                None,
                "grub-common",
                "make a medium that boots",
            ),
        }
    }

    /// The one for guests of `arch`, in place of another architecture's.
    #[must_use]
    pub fn on(self, arch: Arch) -> Tool {
        match self {
            Tool::Qemu(_) => Tool::Qemu(arch),
            other => other,
        }
    }

    /// The program's usual name.
    pub fn program(self) -> &'static str {
        self.facts().programs[0]
    }

    /// Debian's package, or packages separated by blanks.
    pub fn package(self) -> &'static str {
        self.facts().package
    }

    /// What is on this host.
    pub fn look(self) -> State {
        let facts = self.facts();
        let found = facts
            .programs
            .iter()
            .find(|program| exec::find(program).is_some());
        match (found, facts.oldest) {
            (None, _) => State::Missing,
            (Some(_), None) => State::Present(None),
            (Some(program), Some(_)) => State::Present(
                Program::new(program)
                    .arg("--version")
                    .timeout(Duration::from_secs(60))
                    .text()
                    .ok()
                    .and_then(|text| Version::parse(&text)),
            ),
        }
    }

    /// What is wrong with this state, as a sentence without a full stop.
    pub fn complaint(self, state: &State) -> Option<String> {
        let Facts {
            oldest, purpose, ..
        } = self.facts();
        let wanted = match oldest {
            Some((major, minor)) => format!("`{}` {major}.{minor} or newer", self.program()),
            None => format!("`{}`", self.program()),
        };
        match state {
            State::Missing => Some(format!(
                "{wanted} is needed to {purpose}, and is not installed"
            )),
            State::Present(Some(have)) if oldest.is_some_and(|old| (have.0, have.1) < old) => Some(
                format!("{wanted} is needed to {purpose}; this one is {have}"),
            ),
            State::Present(_) => None,
        }
    }
}

/// What the host has of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is not on `PATH`.
    Missing,
    /// It is there; its version where that matters and the program tells it.
    Present(Option<Version>),
}

/// Major and minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// The first thing in a text that looks like a version: `gpg (GnuPG) 2.2.40` gives 2.2.
    pub fn parse(text: &str) -> Option<Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.')
            .find_map(|word| {
                let mut parts = word.split('.');
                let major = parts.next()?.parse().ok()?;
                let minor = parts.next()?.parse().ok()?;
                Some(Version(major, minor))
            })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Asks for all of these tools at once.
///
/// # Errors
/// [`Kind::Host`](crate::error::Kind::Host) that names everything missing or too old, with one
/// line that installs it.
pub fn need(tools: impl IntoIterator<Item = Tool>) -> Result<()> {
    let mut tools: Vec<Tool> = tools.into_iter().collect();
    tools.sort();
    tools.dedup();
    let states = tools.into_iter().map(|tool| (tool, tool.look()));
    judge(states)
}

fn judge(states: impl IntoIterator<Item = (Tool, State)>) -> Result<()> {
    let (mut complaints, mut packages) = (vec![], vec![]);
    for (tool, state) in states {
        if let Some(complaint) = tool.complaint(&state) {
            complaints.push(complaint);
            packages.push(tool.package());
        }
    }
    if complaints.is_empty() {
        return Ok(());
    }
    let error = match complaints.len() {
        1 => Error::host(complaints.remove(0)),
        n => Error::host(format!("{n} programs are missing or too old")).evidence(complaints),
    };
    Err(error.hint(format!("install it: {}", install_line(&packages))))
}

/// UEFI for guests of an architecture.
///
/// # Errors
/// [`Kind::Host`](crate::error::Kind::Host) when none is installed.
pub fn uefi(arch: Arch) -> Result<Uefi> {
    machine::find_uefi(arch).ok_or_else(|| {
        let package = install_line(&[arch.uefi_package]);
        Error::host(format!(
            "UEFI for {} guests is not installed",
            arch.as_str()
        ))
        .hint(format!("install it: {package}"))
    })
}

/// The command that installs Debian packages on this host, as this user.
pub fn install_line(packages: &[&str]) -> String {
    let sudo = if rustix::process::geteuid().is_root() {
        ""
    } else {
        "sudo "
    };
    format!("{sudo}apt-get install {}", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        for (text, version) in [
            ("mmdebstrap 1.3.5", Version(1, 3)),
            (
                "qemu-img version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)",
                Version(10, 0),
            ),
            ("gpg (GnuPG) 2.2.40\nlibgcrypt 1.10.1", Version(2, 2)),
            ("libvirtd (libvirt) 9.0.0", Version(9, 0)),
            ("4.1.0", Version(4, 1)),
        ] {
            assert_eq!(Version::parse(text), Some(version), "{text}");
        }
        assert_eq!(Version::parse("no version 5 here"), None);
    }

    #[test]
    fn everything_missing_is_named_at_once() {
        let error = judge([
            (Tool::MmDebstrap, State::Present(Some(Version(0, 9)))),
            (Tool::QemuImg, State::Present(None)),
            (Tool::Gpg, State::Present(Some(Version(2, 2)))),
            (Tool::Unshare, State::Missing),
        ])
        .unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Host);
        assert_eq!(
            error.render().replace("sudo ", ""),
            "error: 2 programs are missing or too old\n  \
             | `mmdebstrap` 1.2 or newer is needed to bootstrap a suite; this one is 0.9\n  \
             | `unshare` is needed to make private name spaces, and is not installed\n\
             hint: install it: apt-get install mmdebstrap util-linux\n"
        );
    }

    #[test]
    fn the_tools_of_this_host_are_good() {
        need(Tool::ALL).unwrap();
    }
}
