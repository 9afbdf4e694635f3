//! The kernel that a ramdisk boots, and the modules that its initrd carries.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::error::{Context as _, Error, Result};
use crate::machine::Arch;
use crate::targets::tree::{Kind, Node, Tree};

/// Where modules are; `/lib` is usually a link.
const PLACES: [&str; 2] = ["usr/lib/modules", "lib/modules"];

const FIRMWARE: [&str; 2] = ["usr/lib/firmware", "lib/firmware"];

/// What the root needs, in the order of loading.
pub(super) const ROOT: &[&str] = &["loop", "squashfs", "overlay"];

/// What fetching needs beside a card's driver, where it is a module.
pub(crate) const NETWORK: &[&str] = &["af_packet", "virtio_pci"];

/// Drivers of network cards, as many as the kernel has. Those for the chips on a card go along.
pub(crate) const CARDS: &[&str] = &[
    "virtio_net",
    "vmxnet3",
    "hv_netvsc",
    "ena",
    "gve",
    "xen_netfront",
    "e1000",
    "e1000e",
    "igb",
    "igbvf",
    "igc",
    "ixgbe",
    "ixgbevf",
    "i40e",
    "iavf",
    "ice",
    "r8169",
    "realtek",
    "8139too",
    "8139cp",
    "tg3",
    "broadcom",
    "bnx2",
    "bnx2x",
    "bnxt_en",
    "be2net",
    "mlx4_en",
    "mlx4_core",
    "mlx5_core",
    "atlantic",
    "aquantia",
    "alx",
    "atl1c",
    "sky2",
    "forcedeth",
    "qede",
    "sfc",
    "cxgb4",
    "pci_hyperv",
    "hv_vmbus",
];

/// Drivers that only kernels for every machine have.
const BARE_METAL: &[&str] = &["e1000e", "igb", "tg3", "r8169"];

/// A module of the kernel.
#[derive(Debug, Clone)]
struct Module {
    /// Its path, relative to the kernel's modules.
    path: String,
    /// Those that it needs, as `modules.dep` lists them.
    needs: Vec<String>,
}

/// A kernel of the image.
#[derive(Debug)]
pub(crate) struct Kernel<'t> {
    /// Its release, as `uname -r` tells it.
    pub(crate) release: String,
    /// Its file.
    pub(crate) image: &'t Node,
    dir: String,
    modules: BTreeMap<String, Module>,
    built_in: BTreeSet<String>,
}

impl<'t> Kernel<'t> {
    /// The newest kernel that has the modules `wanted`, for what `who` calls.
    pub(crate) fn choose(
        tree: &'t Tree,
        arch: Arch,
        who: &str,
        wanted: &[&str],
    ) -> Result<Kernel<'t>> {
        let kernels = Kernel::all(tree, arch, who)?;
        let lacking = |kernel: &Kernel<'_>| -> Vec<String> {
            let missing = wanted.iter().filter(|name| !kernel.has(name));
            missing.map(|name| (*name).to_owned()).collect()
        };
        let lines: Vec<String> = kernels
            .iter()
            .map(|kernel| format!("{} lacks {}", kernel.release, lacking(kernel).join(", ")))
            .collect();
        let good = kernels
            .into_iter()
            .find(|kernel| lacking(kernel).is_empty());
        good.ok_or_else(|| {
            Error::usage("no kernel of the image can boot it from memory").evidence(lines)
        })
    }

    /// Every kernel, the newest one first, for what `who` calls.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn all(tree: &'t Tree, arch: Arch, who: &str) -> Result<Vec<Kernel<'t>>> {
        let mut kernels: Vec<Kernel<'t>> = releases(tree)
            .into_iter()
            .filter_map(|(dir, release)| Kernel::read(tree, arch, dir, release))
            .collect();
        kernels.sort_by_key(|kernel| std::cmp::Reverse(numbers(&kernel.release)));
        match kernels.is_empty() {
            false => Ok(kernels),
            true => Err(Error::usage(format!("{who} needs a kernel in the image"))
                .cause("no kernel in /boot has its modules in /lib/modules")
                .hint(format!(
                    "add one to `packages`, such as {}",
                    arch.generic_kernel()
                ))),
        }
    }

    fn read(tree: &'t Tree, arch: Arch, dir: String, release: String) -> Option<Kernel<'t>> {
        let file = arch.kernel;
        let places = [format!("boot/{file}-{release}"), format!("{dir}/{file}")];
        let image = places
            .iter()
            .filter_map(|path| tree.get(path))
            .find(|node| node.kind == Kind::File && node.size > 0)?;
        let text = |name: &str| tree.text(&format!("{dir}/{name}")).unwrap_or_default();
        let modules = text("modules.dep")
            .lines()
            .filter_map(|line| {
                let (path, needs) = line.split_once(':')?;
                let needs = needs.split_whitespace().map(str::to_owned).collect();
                Some((
                    name(path),
                    Module {
                        path: path.to_owned(),
                        needs,
                    },
                ))
            })
            .collect();
        let built_in = text("modules.builtin").lines().map(name).collect();
        Some(Kernel {
            release,
            image,
            dir,
            modules,
            built_in,
        })
    }

    pub(crate) fn has(&self, module: &str) -> bool {
        let module = module.replace('-', "_");
        self.modules.contains_key(&module) || self.built_in.contains(&module)
    }

    /// Whether it drives virtual machines only, as the kernels of clouds do.
    pub(crate) fn is_of_clouds(&self) -> bool {
        self.loadable(BARE_METAL.iter().copied()).is_empty()
    }

    /// Those of the names that are modules of this kernel.
    pub(crate) fn loadable<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
        let names = names.into_iter().map(|name| name.replace('-', "_"));
        names
            .filter(|name| self.modules.contains_key(name))
            .collect()
    }

    /// A directory's modules without the ones of other kernels stay in the root.
    pub(super) fn keeps(&self, path: &[u8]) -> bool {
        let text = String::from_utf8_lossy(path);
        let below = PLACES
            .iter()
            .find_map(|place| text.strip_prefix(place)?.strip_prefix('/'));
        below.is_none_or(|rest| rest.split('/').next() == Some(&*self.release))
    }

    /// How squashfs files can be compressed that this kernel reads.
    pub(super) fn squashfs(&self, tree: &Tree) -> &'static str {
        let places = [
            format!("boot/config-{}", self.release),
            format!("{}/config", self.dir),
        ];
        let config = places
            .iter()
            .find_map(|path| tree.text(path))
            .unwrap_or_default();
        let says = |word: &str| {
            config
                .lines()
                .any(|line| line == format!("CONFIG_SQUASHFS_{word}=y"))
        };
        match () {
            () if says("ZSTD") => "zstd",
            () if says("XZ") => "xz",
            () => "gzip",
        }
    }

    /// Members of the initrd below `lib`: the modules `names` with everything that they need, and
    /// what finds and loads them.
    pub(crate) fn members(&self, tree: &Tree, names: &[String]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut all: BTreeMap<String, &Module> = BTreeMap::new();
        for wanted in names {
            let Some(module) = self.modules.get(wanted) else {
                continue;
            };
            all.insert(wanted.clone(), module);
            for need in &module.needs {
                let need = name(need);
                if let Some(module) = self.modules.get(&need) {
                    all.insert(need, module);
                }
            }
        }
        let dir = format!("lib/modules/{}", self.release);
        let mut members = vec![];
        let mut dependencies = String::new();
        let mut firmware = BTreeSet::new();
        for (name, module) in &all {
            let bytes = self.bytes(tree, &module.path)?;
            firmware.extend(firmwares(&bytes));
            let needs = module
                .needs
                .iter()
                .map(|need| format!(" {}.ko", self::name(need)));
            dependencies += &format!("{name}.ko:{}\n", needs.collect::<String>());
            members.push((format!("{dir}/{name}.ko"), bytes));
        }
        let aliases = tree
            .text(&format!("{}/modules.alias", self.dir))
            .unwrap_or_default();
        let aliases = aliases.lines().filter(|line| {
            line.rsplit(' ')
                .next()
                .is_some_and(|module| all.contains_key(&module.replace('-', "_")))
        });
        let aliases: String = aliases.map(|line| format!("{line}\n")).collect();
        members.push((format!("{dir}/modules.dep"), dependencies.into_bytes()));
        members.push((format!("{dir}/modules.alias"), aliases.into_bytes()));
        for name in firmware {
            if let Some(bytes) = blob(tree, &name)? {
                members.push((format!("lib/firmware/{name}"), bytes));
            }
        }
        Ok(members)
    }

    fn bytes(&self, tree: &Tree, path: &str) -> Result<Vec<u8>> {
        let path = format!("{}/{path}", self.dir);
        let node = tree.get(&path).ok_or_else(|| {
            Error::usage(format!("the kernel {} is not complete", self.release)).cause(format!(
                "/{path} is in its modules.dep, and not on the disk"
            ))
        })?;
        plain(tree, node, &path)
    }
}

/// The directories of modules, and the kernels that they are of.
fn releases(tree: &Tree) -> Vec<(String, String)> {
    let of = |node: &Node| {
        let path = String::from_utf8_lossy(&node.path).into_owned();
        let release = PLACES.iter().find_map(|place| {
            let rest = path.strip_prefix(place)?.strip_prefix('/')?;
            rest.strip_suffix("/modules.dep")
                .filter(|release| !release.contains('/'))
        })?;
        let release = release.to_owned();
        Some((path.strip_suffix("/modules.dep")?.to_owned(), release))
    };
    tree.nodes.iter().filter_map(of).collect()
}

fn numbers(release: &str) -> Vec<u64> {
    let parts = release.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// A module's name as the kernel writes it.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// The largest module or firmware, in bytes: firmware of graphics cards has about 60 MiB.
const LARGEST: u64 = 256 << 20;

/// The bytes of a file that may be compressed: kernels and busybox load modules of every kind
/// only if they are not.
fn plain(tree: &Tree, node: &Node, path: &str) -> Result<Vec<u8>> {
    let doing = || format!("reading /{path}");
    let from = tree.open(node);
    let from: Box<dyn std::io::Read + '_> = match path.rsplit('.').next() {
        Some("xz") => Box::new(xz2::read::XzDecoder::new(from)),
        Some("zst") => Box::new(zstd::Decoder::new(from).doing(doing)?),
        Some("gz") => Box::new(flate2::read::GzDecoder::new(from)),
        _ => Box::new(from),
    };
    let mut bytes = vec![];
    from.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .doing(doing)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(Error::stage(format!(
            "/{path} is larger than any module or firmware"
        ))),
        false => Ok(bytes),
    }
}

/// What a module says of the firmware that it asks for.
fn firmwares(module: &[u8]) -> Vec<String> {
    let word = b"\0firmware=";
    memchr::memmem::find_iter(module, word)
        .filter_map(|at| {
            let rest = &module[at + word.len()..];
            let end = memchr::memchr(0, rest)?;
            Some(std::str::from_utf8(&rest[..end]).ok()?.to_owned())
        })
        .collect()
}

/// A firmware of the image, if it has it.
fn blob(tree: &Tree, name: &str) -> Result<Option<Vec<u8>>> {
    for place in FIRMWARE {
        for end in ["", ".xz", ".zst"] {
            let path = format!("{place}/{name}{end}");
            if let Some(node) = tree.get(&path).filter(|node| node.kind == Kind::File) {
                return plain(tree, node, &path).map(Some);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        assert!(numbers("6.12.9-amd64") < numbers("6.12.43+deb13-amd64"));
        assert!(numbers("6.1.0-56-amd64") < numbers("6.12.0"));
    }

    #[test]
    fn modules_say_what_firmware_they_want() {
        let module = b"x\0license=GPL\0firmware=a/b.fw\0firmware=c.bin\0alias=y\0";
        assert_eq!(firmwares(module), ["a/b.fw", "c.bin"]);
        assert_eq!(name("kernel/net/virtio-net.ko.xz"), "virtio_net");
    }
}
