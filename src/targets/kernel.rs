//! Whether a kernel of the image drives the machines of a target.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Tree;
use super::{Target, TargetContext};
use crate::error::{Error, Result};
use crate::machine::Arch;

/// Modules: one of each group is needed.
pub(crate) type Groups = &'static [&'static [&'static str]];

/// Where modules are; `/lib` is usually a link.
const PLACES: [&str; 2] = ["usr/lib/modules/", "lib/modules/"];

/// What kernels for clouds leave out.
const GENERIC_ONLY: &[&str] = &["mptspi", "e1000", "e1000e", "igb"];

/// What the names of kernels for clouds have in common.
const CLOUDS: &[&str] = &["cloud", "virtual", "kvm", "aws", "azure", "gcp"];

fn generic(arch: Arch) -> String {
    format!(
        "kernels for clouds leave drivers out: `install: {{bootstrap: {{kernel: {}}}}}` (Ubuntu: \
         linux-image-generic) installs the generic one",
        arch.generic_kernel()
    )
}

/// Says before anything runs that no generic kernel will be in the image: `packages` are all that
/// the recipes name, and without one of them a bootstrap installs a kernel for clouds.
///
/// # Errors
/// When a target needs a generic one.
pub(crate) fn preflight(needs: &[(&str, Groups)], arch: Arch, packages: &[String]) -> Result<()> {
    let has_generic = packages.iter().any(|name| {
        name.starts_with("linux-image-") && !CLOUDS.iter().any(|cloud| name.contains(cloud))
    });
    let only = |group: &&[&str]| group.iter().all(|name| GENERIC_ONLY.contains(name));
    match needs.iter().find(|(_, groups)| groups.iter().any(only)) {
        Some((name, _)) if !has_generic => Err(Error::usage(format!(
            "the target `{name}` needs a generic kernel, and the image will have one for clouds"
        ))
        .hint(generic(arch))),
        _ => Ok(()),
    }
}

/// Asks whether some kernel has a module of each of the target's groups, before the long work.
///
/// # Errors
/// When the disk has no kernel, or none that will do.
pub(super) fn check(target: &Target, site: &TargetContext<'_>) -> Result<()> {
    if target.modules.is_empty() {
        return Ok(());
    }
    let tree = site.source.tree(site.ui)?;
    has(&tree, target.name, site.machine.arch, target.modules)
}

/// Asks whether some kernel has a module of each group that `name` needs.
///
/// # Errors
/// When there is no kernel, or none that will do.
pub(super) fn has(tree: &Tree, name: &str, arch: Arch, groups: &[&[&str]]) -> Result<()> {
    judge(name, arch, groups, &kernels(tree))
}

/// The modules of each kernel, built-in ones included.
fn kernels(tree: &Tree) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in &tree.nodes {
        let path = String::from_utf8_lossy(&node.path);
        let Some(rest) = PLACES.iter().find_map(|place| path.strip_prefix(place)) else {
            continue;
        };
        if let Some((kernel, "modules.dep" | "modules.builtin")) = rest.split_once('/') {
            let text = tree.text(&path).unwrap_or_default();
            all.entry(kernel.to_owned())
                .or_default()
                .extend(modules(&text));
        }
    }
    all
}

/// Names of the modules in modules.dep or modules.builtin.
fn modules(list: &str) -> impl Iterator<Item = String> {
    list.lines().filter_map(|line| {
        let file = line.split(':').next()?.rsplit('/').next()?;
        Some(file.split(".ko").next()?.replace('-', "_"))
    })
}

fn judge(
    name: &str,
    arch: Arch,
    groups: &[&[&str]],
    kernels: &BTreeMap<String, BTreeSet<String>>,
) -> Result<()> {
    let lacks = |have: &BTreeSet<String>| -> Vec<String> {
        let missing = groups
            .iter()
            .filter(|group| !group.iter().any(|name| have.contains(*name)));
        missing.map(|group| group.join(" or ")).collect()
    };
    if kernels.is_empty() {
        return Err(
            Error::usage(format!("the target `{name}` needs a kernel in the image"))
                .cause("there is none in /lib/modules")
                .hint(format!(
                    "add one to `packages`, such as {}",
                    arch.generic_kernel()
                )),
        );
    }
    let judged: Vec<_> = kernels
        .iter()
        .map(|(kernel, have)| (kernel, lacks(have)))
        .collect();
    if judged.iter().any(|(_, lacks)| lacks.is_empty()) {
        return Ok(());
    }
    let lines = judged
        .iter()
        .map(|(kernel, lacks)| format!("{kernel} lacks {}", lacks.join(", ")));
    Err(Error::usage(format!(
        "no kernel of the image drives the machines of the target `{name}`"
    ))
    .evidence(lines)
    .hint(generic(arch)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::find;

    #[test]
    fn a_cloud_kernel_will_not_do_for_vmware() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let cloud = (
            "6.12-cloud".to_owned(),
            list(&["virtio_net", "vmxnet3", "ahci"]),
        );
        let generic = ("6.12".to_owned(), list(&["mptspi", "e1000"]));
        let modules = find("ova").unwrap().modules;
        let error = judge("ova", Arch::X86_64, modules, &[cloud.clone()].into()).unwrap_err();
        assert_eq!(error.evidence_lines(), ["6.12-cloud lacks mptspi, e1000"]);
        assert!(error.hint_text().unwrap().contains("linux-image-amd64"));
        judge("ova", Arch::X86_64, modules, &[cloud, generic].into()).unwrap();
        let error = judge("ova", Arch::X86_64, modules, &BTreeMap::new()).unwrap_err();
        assert!(error.message().contains("needs a kernel"), "{error}");
    }

    #[test]
    fn a_kernel_for_clouds_is_foreseen() {
        let said = |target: &str, packages: &[&str]| {
            let packages: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
            let modules = find(target).unwrap().modules;
            preflight(&[(target, modules)], Arch::X86_64, &packages)
        };
        for packages in [&[][..], &["linux-image-cloud-amd64"], &["nginx"]] {
            let error = said("ova", packages).unwrap_err();
            assert!(
                error.message().contains("`ova` needs a generic kernel"),
                "{error}"
            );
            said("qcow2", packages).unwrap();
            said("gcp", packages).unwrap();
        }
        said("vmdk", &["linux-image-amd64"]).unwrap();
        said("ova", &["linux-image-generic"]).unwrap();
    }

    #[test]
    fn modules_are_named_as_the_kernel_names_them() {
        let text = "kernel/drivers/net/vmxnet3/vmxnet3.ko.xz: kernel/a.ko\nkernel/x/hv-vmbus.ko\n";
        assert_eq!(modules(text).collect::<Vec<_>>(), ["vmxnet3", "hv_vmbus"]);
    }
}
