//! Debian.

use super::{Apt, Distro, Suite};
use crate::installers::preseed::PRESEED;
use crate::units::Size;

const POCKETS: &[&str] = &["-updates", "-security"];

pub(super) const DEBIAN: Distro = Distro {
    id: "debian",
    name: "Debian",
    installers: &[&PRESEED],
    osinfo: &[
        "debian13", "debian12", "debian11", "debian10", "debian9", "debian8",
    ],
    packages: SERVER,
    installer_memory: Size::mib(512),
    trees: &[],
    apt: Some(&APT),
};

/// What a machine that is reached over the network has.
pub(super) const SERVER: &[&str] = &[
    "openssh-server",
    "libpam-systemd",
    "dbus",
    "ca-certificates",
];

const APT: Apt = Apt {
    id: "debian",
    origin: "Debian",
    domain: "debian.org",
    keyring: "/usr/share/keyrings/debian-archive-keyring.gpg",
    keyring_package: "debian-archive-keyring",
    components: &["main"],
    packages: super::apt::BOOT_PACKAGES,
    suites: &[
        suite(
            "bookworm",
            "Debian GNU/Linux 12 (bookworm)",
            "debian12",
            POCKETS,
        ),
        suite(
            "trixie",
            "Debian GNU/Linux 13 (trixie)",
            "debian13",
            POCKETS,
        ),
        suite(
            "forky",
            "Debian GNU/Linux 14 (forky)",
            "debiantesting",
            POCKETS,
        ),
        suite("sid", "Debian GNU/Linux (sid)", "debiantesting", &[]),
    ],
};

const fn suite(
    name: &'static str,
    product: &'static str,
    osinfo: &'static str,
    pockets: &'static [&'static str],
) -> Suite {
    Suite {
        name,
        product,
        osinfo,
        pockets,
        resolved: true,
    }
}
