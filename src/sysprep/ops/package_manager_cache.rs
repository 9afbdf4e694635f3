use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "package-manager-cache",
    "Remove the caches of package managers",
    "Removes downloaded packages and metadata of apt, dnf, yum, zypper, apk and pacman.",
    run,
)
.gone(&[
    "var/cache/apt/archives/nginx_1.deb",
    "var/cache/apt/pkgcache.bin",
]);

const PATHS: &[&str] = &[
    "/var/cache/apt/pkgcache.bin*",
    "/var/cache/apt/srcpkgcache.bin*",
    "/var/cache/dnf/*",
    "/var/cache/libdnf5/*",
    "/var/cache/yum/*",
    "/var/cache/zypp*/*",
    "/var/cache/apk/*",
    "/var/cache/pacman/pkg/*",
    "/var/cache/PackageKit/*",
];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    // `partial` belongs to a user of its own.
    root.remove_files(&[
        "/var/cache/apt/archives/*",
        "/var/cache/apt/archives/partial/*",
    ])?;
    root.remove(PATHS)
}
