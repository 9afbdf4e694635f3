//! Fedora, RHEL and what is rebuilt from it.

use super::Distro;
use crate::installers::kickstart::KICKSTART;
use crate::units::Size;

/// What Anaconda needs in text mode: its own image and the packages' index are in memory.
const MEMORY: Size = Size::mib(1536);

/// What a machine that is reached over the network has.
const SERVER: &[&str] = &["openssh-server", "ca-certificates"];

/// Trees of RHEL's relatives: the boot media's packages, and the whole of the base system.
const TREES: &[&str] = &["BaseOS/{arch}/os", "BaseOS/{arch}/kickstart"];

pub(super) const FEDORA: Distro = Distro {
    id: "fedora",
    name: "Fedora",
    installers: &[&KICKSTART],
    osinfo: &[
        "fedora43", "fedora42", "fedora41", "fedora40", "fedora39", "fedora38", "fedora37",
        "fedora36", "fedora35",
    ],
    packages: SERVER,
    installer_memory: MEMORY,
    trees: &["Everything/{arch}/os", "Server/{arch}/os"],
    apt: None,
};

pub(super) const RHEL: Distro = Distro {
    id: "rhel",
    name: "Red Hat Enterprise Linux",
    osinfo: &[
        "rhel10.0", "rhel9.6", "rhel9.4", "rhel9.2", "rhel9.0", "rhel8.8", "rhel8.6",
    ],
    ..ROCKY
};

pub(super) const CENTOS: Distro = Distro {
    id: "centos",
    name: "CentOS Stream",
    osinfo: &["centos-stream10", "centos-stream9", "centos-stream8"],
    ..ROCKY
};

pub(super) const ROCKY: Distro = Distro {
    id: "rocky",
    name: "Rocky Linux",
    installers: &[&KICKSTART],
    osinfo: &["rocky10", "rocky9", "rocky8"],
    packages: SERVER,
    installer_memory: MEMORY,
    trees: TREES,
    apt: None,
};

pub(super) const ALMALINUX: Distro = Distro {
    id: "almalinux",
    name: "AlmaLinux",
    osinfo: &["almalinux10", "almalinux9", "almalinux8"],
    ..ROCKY
};
