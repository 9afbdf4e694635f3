//! Every difference between what virt-sysprep 1.48 leaves of the planted guests and what imgforge
//! leaves, with its reason.

/// How two trees differ in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// imgforge leaves it, virt-sysprep does not.
    OnlyOurs,
    /// virt-sysprep leaves it, imgforge does not.
    OnlyTheirs,
    /// Both leave it with other content.
    Content,
    /// Both leave it with another type, mode or owner.
    Mode,
}
use Kind::{Content, OnlyTheirs};

/// A difference on purpose.
#[derive(Debug)]
pub(super) struct Difference {
    /// Our operation that makes it.
    pub(super) operation: &'static str,
    /// What it is.
    pub(super) kind: Kind,
    /// The path; a `*` at its end means everything that begins so.
    path: &'static str,
    /// Why.
    #[allow(dead_code, reason = "for the reader, and for the message of a failure")]
    why: &'static str,
}

impl Difference {
    pub(super) fn fits(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == self.path,
        }
    }
}

const fn differs(
    operation: &'static str,
    kind: Kind,
    path: &'static str,
    why: &'static str,
) -> Difference {
    Difference {
        operation,
        kind,
        path,
        why,
    }
}

pub(super) static DIFFERENCES: &[Difference] = &[
    differs(
        "machine-id",
        Content,
        "/etc/machine-id",
        "virt-sysprep's own `customize` fills it again after its `machine-id` has emptied it",
    ),
    differs(
        "machine-id",
        Content,
        "/var/lib/dbus/machine-id",
        "an empty file is no id for D-Bus; a link to systemd's always is",
    ),
    differs(
        "lvm-system-devices",
        OnlyTheirs,
        "/etc/lvm/devices/system.devices",
        "it names the build's disks; the operation came with 1.49.1",
    ),
    differs(
        "zsh-history",
        OnlyTheirs,
        "/home/ann/.zsh_history",
        "as bash's; the operation came with 1.55.5",
    ),
    differs(
        "zsh-history",
        OnlyTheirs,
        "/root/.zsh_history",
        "as bash's; the operation came with 1.55.5",
    ),
    differs(
        "package-manager-cache",
        OnlyTheirs,
        "/var/cache/apt/pkgcache.bin",
        "apt makes it again, and it is tens of megabytes",
    ),
    differs(
        "puppet-data-log",
        OnlyTheirs,
        "/var/lib/puppet/*",
        "only files directly in some directories are removed by virt-sysprep: keys below others stay",
    ),
    differs(
        "logfiles",
        OnlyTheirs,
        "/var/log/anaconda",
        "the installer's directory, which is empty then",
    ),
    differs(
        "logfiles",
        OnlyTheirs,
        "/var/log/installer",
        "the installer's directory, which is empty then",
    ),
    differs(
        "machine-id",
        OnlyTheirs,
        "/var/lib/random-seed",
        "virt-sysprep's own `customize` writes a seed there, which all clones would share",
    ),
    differs(
        "package-manager-cache",
        OnlyTheirs,
        "/var/cache/yum/*",
        "empty directories",
    ),
    differs(
        "package-manager-cache",
        OnlyTheirs,
        "/var/cache/dnf/*",
        "packages lie in directories, of which virt-sysprep removes none",
    ),
    differs(
        "rh-subscription-manager",
        OnlyTheirs,
        "/etc/pki/*",
        "virt-sysprep looks for it in RHEL only; a key is a key in every distribution",
    ),
    differs(
        "user-account",
        Content,
        "/etc/group",
        "virt-sysprep leaves removed accounts among the members of other groups",
    ),
    differs(
        "user-account",
        Content,
        "/etc/gshadow",
        "virt-sysprep leaves removed accounts and their groups there",
    ),
    differs(
        "user-account",
        Content,
        "/etc/subuid",
        "virt-sysprep leaves the subordinate numbers of removed accounts",
    ),
];
