//! The kernel of a medium, which is the image's own, and the drivers that go along.

use crate::deployment::DiskRule;
use crate::error::{Error, Result};
use crate::machine::Arch;
use crate::targets::ramdisk::kernel::{CARDS, Kernel, NETWORK};
use crate::targets::tree::Tree;

use super::iso;

/// Drivers of disks, as many as the kernel has, and of what they are connected to.
const DISKS: &[&str] = &[
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "ahci",
    "ata_piix",
    "nvme",
    "vmd",
    "usb_storage",
    "uas",
    "xhci_pci",
    "ehci_pci",
    "mmc_block",
    "sdhci_pci",
    "sdhci_acpi",
    "vmw_pvscsi",
    "hv_storvsc",
    "xen_blkfront",
    "mptspi",
    "mptsas",
    "mpt3sas",
    "megaraid_sas",
    "aacraid",
    "hpsa",
    "smartpqi",
];

/// The newest kernel of the image that drives the machines whose disks the rule fits, and reads the `iso`,
/// where it is one.
///
/// # Errors
/// When there is none.
pub(super) fn choose<'t>(
    tree: &'t Tree,
    arch: Arch,
    rule: &DiskRule,
    iso: bool,
) -> Result<Kernel<'t>> {
    let kernels = Kernel::all(tree, arch, "an installer")?;
    let against = |kernel: &Kernel<'_>| match () {
        () if kernel.is_of_clouds() && !rule.is_of_virtual_machines() => {
            Some("drives virtual machines only")
        }
        () if iso && !kernel.has("isofs") => Some("has no isofs, and cannot read the medium"),
        () => None,
    };
    let lines: Vec<String> = kernels
        .iter()
        .filter_map(|kernel| Some(format!("{} {}", kernel.release, against(kernel)?)))
        .collect();
    let good = kernels.into_iter().find(|kernel| against(kernel).is_none());
    good.ok_or_else(|| {
        let generic = arch.generic_kernel();
        Error::usage("no kernel of the image is one for this medium")
            .evidence(lines)
            .hint(format!(
                "add {generic} to its `packages`; for virtual machines alone: --disk transport=virtio"
            ))
    })
}

/// The drivers that go along.
pub(super) fn drivers(kernel: &Kernel<'_>) -> Vec<String> {
    kernel.loadable(
        NETWORK
            .iter()
            .chain(CARDS)
            .chain(DISKS)
            .chain(iso::DRIVERS)
            .copied(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::tree::{Kind, Node};

    /// A newer kernel of clouds, and perhaps one of all machines.
    fn tree(generic: bool) -> Tree {
        let mut tree = Tree::empty();
        let mut kernel = |release: &str, modules: &str| {
            let lines: String = modules
                .split(' ')
                .map(|name| format!("{name}.ko:\n"))
                .collect();
            let dep = format!("usr/lib/modules/{release}/modules.dep");
            let image = format!("boot/vmlinuz-{release}");
            for (path, text) in [(&*image, "kernel"), (&*dep, &*lines)] {
                tree.nodes.push(Node::made(path, Kind::File, 0o644, text));
            }
        };
        kernel("6.12.9-cloud-amd64", "virtio_blk nvme ena");
        if generic {
            kernel("6.12.8-amd64", "virtio_blk nvme e1000e");
        }
        tree.nodes.sort_by(|one, other| one.path.cmp(&other.path));
        tree
    }

    #[test]
    fn machines_get_a_kernel_that_drives_them() {
        let chosen = |tree: &Tree, rule: &str| {
            let rule = rule.parse().unwrap();
            choose(tree, Arch::X86_64, &rule, false).map(|kernel| kernel.release)
        };
        let (clouds, both) = (tree(false), tree(true));
        let of_clouds = "6.12.9-cloud-amd64";
        for rule in ["transport=virtio", "/dev/vda"] {
            assert_eq!(chosen(&both, rule).unwrap(), of_clouds);
            assert_eq!(chosen(&clouds, rule).unwrap(), of_clouds);
        }
        for rule in ["only", "serial=A", "/dev/sda", "transport=nvme"] {
            assert_eq!(chosen(&both, rule).unwrap(), "6.12.8-amd64");
            let error = chosen(&clouds, rule).unwrap_err().render();
            assert!(
                error.contains("cloud-amd64 drives virtual machines only"),
                "{error}"
            );
        }
    }
}
