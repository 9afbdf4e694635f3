//! `.treeinfo`, by which Fedora and its relatives describe their install trees.

use std::collections::BTreeMap;

use super::Promise;
use crate::machine::Arch;

/// The SHA-256 of files, by their paths, that a `.treeinfo` has.
pub(super) fn checksums(text: &str) -> Vec<(String, String)> {
    let sections = sections(text);
    let all = sections.get("checksums").into_iter().flatten();
    let of = |(path, sum): (&&str, &&str)| {
        let sum = sum.strip_prefix("sha256:")?.to_ascii_lowercase();
        Some((path.trim_start_matches("./").to_owned(), sum))
    };
    all.filter_map(of).collect()
}

fn sections(text: &str) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name;
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with(['#', ';'])
        {
            let values = sections.entry(section).or_default();
            values.insert(key.trim(), value.trim());
        }
    }
    sections
}

/// The section with an architecture's kernel and initrd.
fn images(arch: Arch) -> String {
    format!("images-{}", arch.as_str())
}

/// Kernel and initrd of a `.treeinfo`.
pub(crate) fn treeinfo(text: &str, arch: Arch) -> Option<(Promise, Promise)> {
    let sections = sections(text);
    let images = sections.get(&*images(arch))?;
    let checksums = sections.get("checksums");
    let promise = |name: &str| {
        let path = *images.get(name)?;
        let sum = checksums.and_then(|sums| sums.get(path)?.strip_prefix("sha256:"));
        Some(Promise {
            path: path.to_owned(),
            sha256: sum.map(str::to_owned),
        })
    };
    Some((promise("kernel")?, promise("initrd")?))
}

/// The first of what an installation needs that a `.treeinfo` gives no SHA-256 of.
pub(super) fn uncovered(text: &str, arch: Arch, sums: &[(String, String)]) -> Option<String> {
    let sections = sections(text);
    let stage2 = sections.get("stage2").and_then(|it| it.get("mainimage"));
    let boots = sections.get(&*images(arch));
    let boots = ["kernel", "initrd"].map(|name| boots.and_then(|it| it.get(name)));
    let needed = boots.into_iter().chain([stage2]).flatten();
    let mut needed = needed.map(|path| (*path).to_owned());
    let missing = needed.find(|path| !sums.iter().any(|(known, _)| known == path));
    let index = sums.iter().any(|(path, _)| is_index(path));
    missing.or((!index).then(|| "repodata/repomd.xml".to_owned()))
}

/// Whether a path is that of the index of packages.
fn is_index(path: &str) -> bool {
    path == "repodata/repomd.xml" || path.ends_with("/repodata/repomd.xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_treeinfo_promises_kernel_and_initrd() {
        let text = "[checksums]\nimages/pxeboot/vmlinuz = sha256:aa\n\
                    images/pxeboot/initrd.img = md5:bb\n\n# a comment\n[general]\narch = x86_64\n\n\
                    [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";
        let (kernel, initrd) = treeinfo(text, Arch::default()).unwrap();
        assert_eq!(kernel.path, "images/pxeboot/vmlinuz");
        assert_eq!(kernel.sha256.as_deref(), Some("aa"));
        assert_eq!(initrd.sha256, None);
        let arm = "[images-aarch64]\nkernel = x\ninitrd = y\n";
        assert_eq!(treeinfo(arm, Arch::default()), None);
        let (kernel, initrd) = treeinfo(arm, Arch::Aarch64).unwrap();
        assert_eq!((&*kernel.path, &*initrd.path), ("x", "y"));
    }
}
