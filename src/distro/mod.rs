//! Distributions: which suites there are and what an image of each needs. One file per family.

use crate::error::{Error, Result};

pub mod apt;
mod debian;
mod ubuntu;

/// A distribution of the Debian family.
#[derive(Debug, PartialEq, Eq)]
pub struct Distro {
    /// `ID` of os-release.
    pub id: &'static str,
    /// `Origin` of its archive's Release files.
    pub origin: &'static str,
    /// Keyring that signs its archive, on the host and in the guest.
    pub keyring: &'static str,
    /// Package of the host that brings the keyring.
    pub keyring_package: &'static str,
    /// Components that a recipe gets when it names none.
    pub components: &'static [&'static str],
    /// Kernel package for virtual machines.
    pub kernel: &'static str,
    /// Packages that make a bootable, reachable machine, beside the kernel.
    pub packages: &'static [&'static str],
    /// The suites, oldest first.
    pub suites: &'static [Suite],
}

/// One release of a distribution.
#[derive(Debug, PartialEq, Eq)]
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

/// The table: adding a distribution is one file and one line.
pub const DISTROS: &[&Distro] = &[&debian::DEBIAN, &ubuntu::UBUNTU];

/// Finds a suite by its code name.
///
/// # Errors
/// A usage error that lists the known suites.
pub fn suite(name: &str) -> Result<(&'static Distro, &'static Suite)> {
    all().find(|(_, suite)| suite.name == name).ok_or_else(|| {
        let known: Vec<_> = all().map(|(_, suite)| suite.name).collect();
        Error::usage(format!("bootstrap knows no suite `{name}`"))
            .hint(format!("known suites: {}", known.join(", ")))
    })
}

/// Every suite of every distribution.
pub fn all() -> impl Iterator<Item = (&'static Distro, &'static Suite)> {
    DISTROS
        .iter()
        .flat_map(|distro| distro.suites.iter().map(move |suite| (*distro, suite)))
}

impl Distro {
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
    pub fn base_packages(&self, suite: &Suite, kernel: Option<&str>) -> Vec<String> {
        let resolved = suite.resolved.then_some("systemd-resolved");
        std::iter::once(kernel.unwrap_or(self.kernel))
            .chain(self.packages.iter().copied())
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
    fn the_recipe_may_choose_the_kernel() {
        let (distro, found) = suite("jammy").unwrap();
        let packages = distro.base_packages(found, Some("linux-image-generic"));
        assert_eq!(packages[0], "linux-image-generic");
        assert!(!packages.iter().any(|p| p == "systemd-resolved"));
    }
}
