//! The host's libosinfo knows only the systems of its own time; a newer one gets the nearest.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::host::exec::Program;

/// The ids that virt-install accepts here.
///
/// # Errors
/// When virt-install does not run.
pub fn known() -> Result<BTreeSet<String>> {
    let text = Program::new("virt-install")
        .args(["--osinfo", "list"])
        .hint("apt install virtinst")
        .text()?;
    Ok(parse(&text))
}

/// One system a line, with all its names.
fn parse(text: &str) -> BTreeSet<String> {
    let names = text.lines().flat_map(|line| line.split(','));
    names
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty() && !name.contains(' '))
        .collect()
}

/// The id to use for `os`: itself, else the nearest version of its family, else the first known
/// one of `near`, else a Linux of recent years.
pub fn choose(os: &str, near: &[&str], known: &BTreeSet<String>) -> String {
    if known.contains(os) {
        return os.to_owned();
    }
    let listed = || near.iter().find(|name| known.contains(**name));
    let recent = || {
        known
            .iter()
            .rfind(|name| split(name).is_some_and(|(f, _)| f == "linux"))
    };
    nearest(os, known)
        .or_else(|| listed().map(|name| (*name).to_owned()))
        .or_else(|| recent().cloned())
        .unwrap_or_else(|| "generic".into())
}

fn nearest(os: &str, known: &BTreeSet<String>) -> Option<String> {
    let (family, version) = split(os)?;
    let mut versions: Vec<(Vec<u32>, &String)> = known
        .iter()
        .filter_map(|name| split(name).map(|(f, v)| (f, v, name)))
        .filter(|(f, ..)| *f == family)
        .map(|(_, v, name)| (v, name))
        .collect();
    versions.sort();
    let older = versions.iter().rfind(|(v, _)| *v <= version);
    older.or(versions.first()).map(|(_, name)| (*name).clone())
}

/// `ubuntu24.04`: the family, and the version's numbers.
fn split(name: &str) -> Option<(&str, Vec<u32>)> {
    let at = name.find(|c: char| c.is_ascii_digit())?;
    let numbers: Option<Vec<u32>> = name[at..].split('.').map(|n| n.parse().ok()).collect();
    Some((&name[..at], numbers?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_system_becomes_the_nearest_that_is_known() {
        let known = parse(
            "debian11, debianbullseye\ndebian9\ndebiantesting\nfedora37\nfedora-rawhide\n\
             linux2020\nlinux2022\nrocky8\nrocky9.0\nubuntu22.04, ubuntujammy\nubuntu20.04\n",
        );
        for (os, chosen) in [
            ("debian11", "debian11"),
            ("debianbullseye", "debianbullseye"),
            ("debian13", "debian11"),
            ("debian8", "debian9"),
            ("fedora42", "fedora37"),
            ("ubuntu24.04", "ubuntu22.04"),
            ("rocky9.4", "rocky9.0"),
            ("almalinux9", "linux2022"),
            ("nonsense", "linux2022"),
        ] {
            assert_eq!(choose(os, &[], &known), chosen, "{os}");
        }
        assert_eq!(choose("almalinux9", &["rhel9", "rocky8"], &known), "rocky8");
        assert_eq!(choose("x", &[], &BTreeSet::new()), "generic");
    }
}
