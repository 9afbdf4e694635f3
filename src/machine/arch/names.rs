//! How others spell architectures, also those for which imgforge builds nothing.

use super::Arch;

/// Names of architectures, which others' images may have as well: the kernel's, Debian's, and older
/// or other ones that clients of virt-builder take for it.
const NAMES: &[(&str, &str, &[&str])] = &[
    ("x86_64", "amd64", &["amd64"]),
    ("aarch64", "arm64", &[]),
    ("riscv64", "riscv64", &[]),
    ("i386", "i386", &["i486", "i586", "i686"]),
    ("ppc", "powerpc", &["powerpc"]),
    ("ppc64", "ppc64", &["powerpc64"]),
    ("ppc64le", "ppc64el", &["powerpc64le"]),
];

/// Brings the spellings of an architecture together as clients of virt-builder do, which do not
/// know Debian's name of every one.
pub fn canonical(arch: &str) -> &str {
    let known = NAMES.iter().find(|(.., others)| others.contains(&arch));
    known.map_or(arch, |(name, ..)| name)
}

/// The kernel's name of an architecture, where `arch` is Debian's name and clients of virt-builder
/// do not know that one.
pub fn misspelled(arch: &str) -> Option<&'static str> {
    let wrong = |(name, debian, _): &&(&'static str, &str, &[&str])| {
        *debian == arch && *name != arch && canonical(arch) == arch
    };
    NAMES.iter().find(wrong).map(|(name, ..)| *name)
}

/// Debian's name of an architecture that the kernel calls `arch`.
pub fn debian_name(arch: &str) -> &str {
    let known = NAMES.iter().find(|(name, ..)| *name == arch);
    known.map_or(arch, |(_, debian, _)| debian)
}

/// Whether `arch` is the one that need not be named.
pub fn is_default(arch: &str) -> bool {
    arch == Arch::default().as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vocabulary_has_its_own_name_of_an_architecture() {
        assert_eq!(debian_name("x86_64"), "amd64");
        assert_eq!(debian_name("aarch64"), "arm64");
        assert_eq!(debian_name("s390x"), "s390x");
        assert_eq!(canonical("i686"), "i386");
        assert_eq!(canonical("amd64"), "x86_64");
        assert_eq!(canonical("arm64"), "arm64");
        assert_eq!(misspelled("arm64"), Some("aarch64"));
        assert_eq!(misspelled("amd64"), None);
        assert_eq!(misspelled("x86_64"), None);
    }
}
