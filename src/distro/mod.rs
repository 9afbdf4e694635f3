//! Distributions: one table that answers the same questions for every family. One file per family.

use crate::error::{Error, Result};
use crate::installers::Installer;
use crate::machine::Arch;
use crate::units::Size;

pub mod apt;
pub mod chosen;
mod debian;
pub mod mirror;
mod redhat;
pub mod release;
pub mod repos;
pub mod sources;
mod ubuntu;

/// A value of an os-release(5), without its quotes.
pub fn os_release<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.map(|value| value.trim_matches(['"', '\'']))
}

/// A distribution: what the stages must know about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Distro {
    /// `ID` of os-release, and the name under which `mirrors:` lists its mirrors.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// Its installers, the newest first.
    pub installers: &'static [&'static Installer],
    /// libosinfo's short ids of its releases, newest first. All begin with the same word.
    pub osinfo: &'static [&'static str],
    /// What an installed system gets beside the installer's minimum.
    pub packages: &'static [&'static str],
    /// What its installer needs at least.
    pub installer_memory: Size,
    /// Ends of the addresses of its install trees, with `{arch}`: what stands before is the mirror.
    pub trees: &'static [&'static str],
    /// Its archive, where `bootstrap` can install from it.
    pub apt: Option<&'static Apt>,
}

/// What `bootstrap` must know about a distribution of the Debian family.
#[derive(Debug, PartialEq, Eq)]
pub struct Apt {
    /// `ID` of os-release.
    pub id: &'static str,
    /// `Origin` of its archive's Release files.
    pub origin: &'static str,
    /// Domain of the hosts that have its archive.
    pub domain: &'static str,
    /// Keyring that signs its archive, on the host and in the guest.
    pub keyring: &'static str,
    /// Package of the host that brings the keyring.
    pub keyring_package: &'static str,
    /// Components that a recipe gets when it names none.
    pub components: &'static [&'static str],
    /// Packages that make a bootable, reachable machine, beside the kernel.
    pub packages: &'static [&'static str],
    /// The suites, oldest first.
    pub suites: &'static [Suite],
}

/// One release of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Code name, such as `trixie`.
    pub name: &'static str,
    /// Product name for people.
    pub product: &'static str,
    /// libosinfo's short id.
    pub osinfo: &'static str,
    /// Suffixes of the suites with updates; empty for rolling suites.
    pub pockets: &'static [&'static str],
    /// `systemd-resolved` is a package of its own.
    pub resolved: bool,
}

/// The table: adding a distribution is one constant and one line.
pub const DISTROS: &[&Distro] = &[
    &debian::DEBIAN,
    &ubuntu::UBUNTU,
    &redhat::FEDORA,
    &redhat::RHEL,
    &redhat::CENTOS,
    &redhat::ROCKY,
    &redhat::ALMALINUX,
];

/// The distribution whose `mirrors:` and os-release go by this name.
pub fn by_id(id: &str) -> Option<&'static Distro> {
    DISTROS.iter().find(|distro| distro.id == id).copied()
}

/// The distribution that libosinfo's short id `os` belongs to, known release or not.
pub fn by_osinfo(os: &str) -> Option<&'static Distro> {
    let word = osinfo_word(os);
    let of = |distro: &&&Distro| distro.osinfo.iter().any(|id| osinfo_word(id) == word);
    DISTROS.iter().find(of).copied()
}

/// Ids to take, best first, where the host's osinfo database does not know `os`: older releases
/// of the same distribution, then whatever is new enough.
pub fn fallback_os(os: &str) -> Vec<&'static str> {
    let known = by_osinfo(os).map_or(&[][..], |distro| distro.osinfo);
    let newer = known.iter().position(|id| *id == os).map_or(0, |at| at + 1);
    let generic = ["linux2024", "linux2022", "linux2020", "generic"];
    known[newer..].iter().copied().chain(generic).collect()
}

/// `debian` of `debian13`, `ubuntu` of `ubuntu24.04`; `centos-stream` of `centos-stream10`.
fn osinfo_word(id: &str) -> &str {
    let word = id.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    word.trim_end_matches("testing")
}

/// Finds a suite by its code name.
///
/// # Errors
/// A usage error that lists the known suites.
pub fn suite(name: &str) -> Result<(&'static Apt, &'static Suite)> {
    all().find(|(_, suite)| suite.name == name).ok_or_else(|| {
        let known: Vec<_> = all().map(|(_, suite)| suite.name).collect();
        Error::usage(format!("bootstrap knows no suite `{name}`"))
            .hint(format!("known suites: {}", known.join(", ")))
    })
}

/// The suite that libosinfo calls so, where it can be bootstrapped.
pub fn suite_by_osinfo(id: &str) -> Option<(&'static Apt, &'static Suite)> {
    all().find(|(_, suite)| suite.osinfo == id)
}

/// Every suite of every distribution that can be bootstrapped.
pub fn all() -> impl Iterator<Item = (&'static Apt, &'static Suite)> {
    let apts = DISTROS.iter().filter_map(|distro| distro.apt);
    apts.flat_map(|apt| apt.suites.iter().map(move |suite| (apt, suite)))
}

impl Distro {
    /// Ends of the addresses of its install trees for an architecture.
    pub fn tree_ends(&self, arch: Arch) -> Vec<String> {
        let trees = self.trees.iter();
        trees
            .map(|tree| tree.replace("{arch}", arch.as_str()))
            .collect()
    }
}

impl Apt {
    /// Checks that the host can verify this distribution's archive.
    ///
    /// # Errors
    /// A host error that names the package with the keyring.
    pub fn check_keyring(&self) -> Result<()> {
        if std::path::Path::new(self.keyring).is_file() {
            return Ok(());
        }
        Err(Error::host(format!(
            "{} is needed to verify packages of {} and was not found",
            self.keyring, self.origin
        ))
        .hint(format!("apt-get install {}", self.keyring_package)))
    }

    /// What the image gets before the recipe's own packages.
    pub fn base_packages(&self, suite: &Suite, arch: Arch, kernel: Option<&str>) -> Vec<String> {
        let resolved = suite.resolved.then_some("systemd-resolved");
        let usual = arch.cloud_kernel(self.id);
        kernel
            .or(usual)
            .into_iter()
            .chain(self.packages.iter().copied())
            .chain(arch.boot_loader.iter().copied())
            .chain(resolved)
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_found_once_and_unknown_ones_listed() {
        for (_, known) in all() {
            assert_eq!(all().filter(|(_, s)| s.name == known.name).count(), 1);
        }
        let (distro, found) = suite("noble").unwrap();
        assert_eq!((distro.id, found.osinfo), ("ubuntu", "ubuntu24.04"));
        let error = suite("warty").unwrap_err();
        assert!(error.hint_text().unwrap().contains("bookworm, trixie"));
    }

    #[test]
    fn systems_are_found_by_what_osinfo_calls_them() {
        for distro in DISTROS {
            assert_eq!(by_id(distro.id), Some(*distro));
            for id in distro.osinfo {
                assert_eq!(by_osinfo(id), Some(*distro), "{id}");
            }
        }
        let id = |os| by_osinfo(os).map(|distro| distro.id);
        assert_eq!(id("fedora99"), Some("fedora"));
        assert_eq!(id("rocky9.6"), Some("rocky"));
        assert_eq!(id("debiantesting"), Some("debian"));
        assert_eq!(id("win11"), None);
    }

    #[test]
    fn what_osinfo_does_not_know_falls_back_to_older_releases() {
        assert_eq!(fallback_os("debian13")[..2], ["debian12", "debian11"]);
        assert_eq!(fallback_os("debian99")[0], "debian13");
        assert_eq!(fallback_os("haiku")[0], "linux2024");
    }

    #[test]
    fn the_recipe_may_choose_the_kernel() {
        let (distro, found) = suite("jammy").unwrap();
        let packages = distro.base_packages(found, Arch::default(), Some("linux-image-generic"));
        assert_eq!(packages[0], "linux-image-generic");
        assert!(!packages.iter().any(|p| p == "systemd-resolved"));
    }
}
