//! Ubuntu.

use super::{Apt, Distro, Suite};
use crate::installers::autoinstall::AUTOINSTALL;
use crate::installers::preseed::PRESEED;
use crate::units::Size;

const POCKETS: &[&str] = &["-updates", "-security"];

pub(super) const UBUNTU: Distro = Distro {
    id: "ubuntu",
    name: "Ubuntu",
    installers: &[&AUTOINSTALL, &PRESEED],
    osinfo: &[
        "ubuntu26.04",
        "ubuntu25.10",
        "ubuntu24.04",
        "ubuntu22.04",
        "ubuntu20.04",
        "ubuntu18.04",
    ],
    packages: super::debian::SERVER,
    installer_memory: Size::mib(1536),
    trees: &[],
    apt: Some(&APT),
};

const APT: Apt = Apt {
    id: "ubuntu",
    origin: "Ubuntu",
    domain: "ubuntu.com",
    keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    keyring_package: "ubuntu-keyring",
    components: &["main", "universe"],
    packages: super::apt::BOOT_PACKAGES,
    suites: &[
        suite("jammy", "Ubuntu 22.04 LTS (jammy)", "ubuntu22.04", false),
        suite("noble", "Ubuntu 24.04 LTS (noble)", "ubuntu24.04", true),
        suite("questing", "Ubuntu 25.10 (questing)", "ubuntu25.10", true),
        suite(
            "resolute",
            "Ubuntu 26.04 LTS (resolute)",
            "ubuntu26.04",
            true,
        ),
    ],
};

const fn suite(
    name: &'static str,
    product: &'static str,
    osinfo: &'static str,
    resolved: bool,
) -> Suite {
    Suite {
        name,
        product,
        osinfo,
        pockets: POCKETS,
        resolved,
    }
}
