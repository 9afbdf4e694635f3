//! bootstrap: packages straight onto a disk, without a virtual machine and without root.
//!
//! mmdebstrap fills a directory, the guest's own GRUB makes its boot images in there, and
//! `mke2fs -d` turns the directory into the root file system of a raw disk. An ordinary user
//! works in a user namespace. Nothing is mounted outside a namespace that ends with us.

use std::path::{Path, PathBuf};

use crate::address::{Address, Mirror};
use crate::distro::apt::Archive;
use crate::distro::chosen::{chosen, named_mirrors};
use crate::distro::{self, Apt, Suite, mirror};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::GuestTree;
use crate::host::namespace::remove_tree;
use crate::lock::Fetching;
use crate::machine::Machine;
use crate::proxy::{self, ArchiveRelay};
use crate::recipe::types::{Bootstrap, Mirrors};
use crate::stage::install::{BaseDisk, BaseFacts, SourcesFile, to_qcow2};
use crate::ui::StageUi;
use crate::units::Size;

mod disk;
mod grub;
mod native;
mod packages;
mod system;
#[cfg(test)]
mod tests;

/// Grows when a bootstrap makes other disks of the same inputs.
pub const VERSION: u32 = 1;

/// Everything that a bootstrap depends on.
#[derive(Debug)]
pub struct Input<'a> {
    /// Name of the image; its host name too.
    pub image: &'a str,
    /// The method's options.
    pub bootstrap: &'a Bootstrap,
    /// The machine: the size of the disk.
    pub machine: &'a Machine,
    /// Where packages come from.
    pub mirrors: &'a Mirrors,
    /// The mirrors of imgforge.yaml for this distribution, in order; empty: none.
    pub site_mirrors: &'a [Address],
    /// What the disk's UUIDs derive from: a digest of what the recipe says of the stage.
    pub seed: &'a str,
    /// What is fetched, and may be.
    pub fetching: &'a Fetching,
    /// What the proxy for packages works with.
    pub relay: proxy::Settings,
    /// Private scratch directory on the store's file system; its owner removes it with [`remove_tree`].
    pub scratch: &'a Path,
    /// The qcow2 file to make.
    pub disk: &'a Path,
    /// Where progress goes.
    pub ui: &'a StageUi,
}

/// Makes a disk that boots on BIOS and UEFI.
///
/// # Errors
/// When the suite is unknown, the disk too small, a tool or keyring missing, a mirror unreachable,
/// or the finished disk does not hold what was written.
pub fn run(input: &Input<'_>) -> Result<BaseDisk> {
    let (distro, suite) = distro::suite(&input.bootstrap.suite)?;
    let suite = &with_pockets(suite, input.bootstrap);
    distro.check_keyring()?;
    let arch = input.machine.arch;
    let layout = disk::Layout::new(arch, input.machine.disk, input.seed)?;
    let named = input.bootstrap.mirror.clone().map(Mirror::At);
    let build = named.as_ref().unwrap_or(&input.mirrors.build);
    // First, as it tells whether mmdebstrap knows the suite.
    let default = mirror::tool_default(input.scratch, distro, suite, arch)?;
    let named = named_mirrors(build, input.site_mirrors);
    let archive = chosen(input.fetching, &named, || {
        let found = mirror::choose(build, input.site_mirrors, distro, suite, arch, input.ui)?;
        Ok(found.or_else(|| default.clone()))
    })?;
    let relay = ArchiveRelay::start(&input.relay, distro, archive.as_ref())?;
    let tree = packages::install(input, distro, suite, &relay, &layout);
    relay.finish(input.fetching);
    let tree = tree?;
    let archives = (archive, default);
    let sources = configure(input, distro, suite, archives, tree.data(), &layout)?;
    let raw = write_disk(input, &tree, &layout)?;
    input.ui.step("converting the disk");
    to_qcow2(&raw, "raw", input.disk)?;
    std::fs::remove_file(&raw).doing(|| format!("removing {}", raw.display()))?;
    Ok(BaseDisk {
        disk: input.disk.to_owned(),
        size: input.machine.disk,
        facts: BaseFacts {
            osinfo: Some(suite.osinfo.into()),
            product: Some(suite.product.into()),
            expand: Some("/dev/sda3".into()),
            sources,
            fetched: vec![],
        },
    })
}

/// The suite with the updates that the recipe wants.
fn with_pockets(suite: &Suite, bootstrap: &Bootstrap) -> Suite {
    let pockets = if bootstrap.updates {
        suite.pockets
    } else {
        &[]
    };
    Suite {
        pockets,
        ..suite.clone()
    }
}

/// Writes the system's configuration into the tree; returns the distribution's own sources.
fn configure(
    input: &Input<'_>,
    distro: &Apt,
    suite: &Suite,
    (archive, default): (Option<Archive>, Option<Archive>),
    tree: &Path,
    layout: &disk::Layout,
) -> Result<Option<SourcesFile>> {
    input.ui.step("configuring the system");
    let components = &input.bootstrap.components;
    let text = |archive: &Archive| distro::apt::sources(distro, suite, archive, components);
    let build = archive.as_ref().or(default.as_ref());
    let sources = build.map(text).unwrap_or_default();
    system::clear_devices(tree)?;
    system::write(tree, &system::files(input.image, distro, &sources, layout))?;
    grub::write_config(tree, suite, layout)?;
    Ok(default.map(|archive| SourcesFile {
        path: format!("/{}", distro::apt::sources_path(distro)),
        text: text(&archive),
        build: sources,
    }))
}

/// Partitions, file systems and boot code, then proves that they are there.
fn write_disk(input: &Input<'_>, tree: &GuestTree, layout: &disk::Layout) -> Result<PathBuf> {
    input.ui.step("writing the disk");
    let raw = input.scratch.join("disk.raw");
    disk::check_fit(tree, layout)?;
    disk::partition(&raw, layout)?;
    disk::make_root(input.scratch, tree, &raw, layout)?;
    disk::make_esp(tree, &raw, layout)?;
    grub::write_boot_code(tree.data(), &raw, layout)?;
    disk::prove(tree.data(), &raw, layout)?;
    remove_tree(tree.data())?;
    Ok(raw)
}

/// The smallest disk that any suite fits on.
const SMALLEST: Size = Size::mib(1024);

fn too_small(size: Size, needed: Size) -> Error {
    Error::usage(format!(
        "a disk of {size} is too small: this system needs at least {}",
        needed.human()
    ))
    .hint("raise `machine: {disk: …}` in the recipe")
}
