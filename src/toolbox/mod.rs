//! Toolboxes: read-only disks with programs for a guest's steps, so that nothing is installed in it.
//!
//! A toolbox is made of the packages of the guest's own release, once, and kept in the store. It
//! brings its own loader, libc and Python, and finds the guest's configuration where it always is;
//! so the release's package manager bindings read the guest's package database.

mod kept;
mod packages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::{Address, Mirror};
use crate::digest::Key;
use crate::distro::{self, Apt, Suite};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::foreign;
use crate::host::namespace::{as_guest_root, remove_tree, tree_size};
use crate::lock::Fetching;
use crate::machine::Arch;
use crate::proxy::Cache;
use crate::store::inputs::Inputs;
use crate::store::ledger::Ledger;
use crate::store::{Facts, Store};
use crate::ui::StageUi;
pub use kept::{Kept, kept};
use packages::unpack;

/// Grows when a toolbox of the same packages comes out differently.
const VERSION: u32 = 4;

/// The toolbox's disk in its entry.
const DISK: &str = "toolbox.raw";

/// Who runs the toolbox's Python, on the host and in a guest: its own loader finds its own
/// libraries, and programs that it starts find the guest's.
const PYTHON: &str = include_str!("python");

/// What a toolbox is there for.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// The word in names of entries, such as `ansible`.
    pub word: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Packages of the guest's release; what they need comes along.
    pub packages: &'static [&'static str],
    /// The Python program, below the toolbox's root, whose version is kept.
    pub program: &'static str,
    /// What to do for a release that has no toolbox.
    pub otherwise: &'static str,
}

/// What a toolbox is made from.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where it is kept.
    pub store: &'a Store,
    /// Where what is unfinished is written down.
    pub ledger: &'a Ledger,
    /// The site's mirrors, by distribution.
    pub mirrors: &'a BTreeMap<String, Vec<Address>>,
    /// `mirrors.build` of the recipe.
    pub mirror: &'a Mirror,
    /// What the guest's programs are built for.
    pub arch: Arch,
    /// What the stage fetches, and may fetch.
    pub fetching: &'a Fetching,
    /// Keeps downloads.
    pub cache: &'a Cache,
    /// The log of the proxy through which packages come.
    pub log: &'a Path,
    /// Who is told.
    pub ui: &'a StageUi,
}

/// What the store knows of a toolbox.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    /// What each program says its version is, by the word of [`Contents`].
    versions: BTreeMap<String, String>,
}

impl Facts for Made {
    const STAGE: &'static str = "toolbox";
}

/// A toolbox that is in use.
#[derive(Debug)]
pub struct Toolbox(pub(crate) Kept);

impl Toolbox {
    /// Its disk, raw, an ext4 file system as a whole.
    pub fn disk(&self) -> PathBuf {
        self.0.path().join(DISK)
    }

    /// The key of what it was made from.
    pub fn key(&self) -> &Key {
        &self.0.entry.meta().key
    }
}

/// The toolbox with all of `contents` for the release whose code name is `codename`.
///
/// # Errors
/// When there is none for this release, or its packages cannot be fetched.
pub fn toolbox(
    request: &Request<'_>,
    contents: &[&'static Contents],
    codename: &str,
) -> Result<Toolbox> {
    let title = joined(contents, " and ", |one| one.title);
    let (distro, suite) = distro::suite(codename).map_err(|_| {
        let said = format!(
            "{title} cannot be brought to the release `{codename}`: there is no toolbox for it"
        );
        Error::usage(said).hint(joined(contents, "; ", |one| one.otherwise))
    })?;
    made_for(request, contents, distro, suite)
}

/// The toolbox for a release; the key of its archive is looked for before anything is fetched.
fn made_for(
    request: &Request<'_>,
    contents: &[&'static Contents],
    distro: &'static Apt,
    suite: &Suite,
) -> Result<Toolbox> {
    let title = joined(contents, " and ", |one| one.title);
    let packages: Vec<&str> = contents
        .iter()
        .flat_map(|one| one.packages)
        .copied()
        .collect();
    let mut inputs = Inputs::new(Made::STAGE, VERSION);
    inputs.value("arch", request.arch);
    inputs.value("suite", suite.name);
    inputs.value("packages", &packages);
    inputs.value("python", PYTHON);
    inputs.place("mirrors.build", request.mirror.as_str());
    let image = format!("{}-{}", joined(contents, "-", |one| one.word), suite.name);
    let beside = format!("toolbox {image}");
    let made = kept(request, (&image, &beside), inputs, |_, dir, fetching| {
        let what = format!("{title} for {}", suite.product);
        request.ui.step(format!("making the toolbox with {what}"));
        distro.check_keyring()?;
        foreign::need(request.arch)?;
        let tree = dir.join("tree");
        let made = unpack(request, &packages, (distro, suite), dir, fetching)
            .doing(|| format!("fetching {what}"))
            .and_then(|()| make(request, contents, dir));
        let removed = remove_tree(&tree);
        let made = made?;
        removed.map(|()| made)
    })?;
    Ok(Toolbox(made))
}

/// One text of all, for people or names.
fn joined(
    contents: &[&'static Contents],
    between: &str,
    text: fn(&Contents) -> &'static str,
) -> String {
    let texts: Vec<&str> = contents.iter().map(|one| text(one)).collect();
    texts.join(between)
}

/// Makes the disk in `dir` of the unpacked packages.
fn make(request: &Request<'_>, contents: &[&'static Contents], dir: &Path) -> Result<Made> {
    let tree = dir.join("tree");
    write_python(&tree, request.arch)?;
    prune(&tree)?;
    // A guest without hardware acceleration would compile for minutes what it cannot keep.
    request.ui.step("compiling the toolbox's Python");
    for part in ["usr/lib/python3", &stdlib(&tree)?] {
        python(&tree, dir)
            .args([
                "-m",
                "compileall",
                "-q",
                "--invalidation-mode",
                "unchecked-hash",
            ])
            .args(["-x", r"lib2to3|/test/|ansible_test"])
            .arg(tree.join(part))
            .run()?;
    }
    let mut versions = BTreeMap::new();
    for one in contents {
        let version = python(&tree, dir)
            .arg(tree.join(one.program))
            .arg("--version")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", dir.join("home"))
            .text()?;
        let first = version.lines().next().unwrap_or_default();
        versions.insert(one.word.to_owned(), first.to_owned());
    }
    drop(std::fs::remove_dir_all(dir.join("home")));
    request.ui.step("writing the toolbox's disk");
    write_disk(&tree, &dir.join(DISK))?;
    Ok(Made { versions })
}

fn write_python(tree: &Path, arch: Arch) -> Result<()> {
    let text = PYTHON.replace("@LIBRARIES@", arch.libraries);
    let text = text.replace("@LOADER@", arch.loader);
    let python = tree.join("python");
    let doing = || format!("writing {}", python.display());
    std::fs::write(&python, text).doing(doing)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, mode).doing(doing)
}

/// The Python of the toolbox that is unpacked as `tree`, started in `dir`: it takes modules, and programs
/// their configuration, from there. On a host, unlike in a guest of its release, it would find no
/// modules of OpenSSL, or those of another version.
pub(crate) fn python(tree: &Path, dir: &Path) -> Program {
    let libraries = |arch: &&Arch| tree.join("usr/lib").join(arch.libraries);
    let mut all = Arch::ALL.iter();
    let arch = all
        .find(|arch| libraries(arch).is_dir())
        .unwrap_or(&Arch::DEFAULT);
    let (libraries, script) = (libraries(&arch), tree.join("python"));
    let python = match foreign::interpreter(*arch) {
        // What the script does, by QEMU.
        Ok(Some(qemu)) => Program::at(qemu)
            .env("QEMU_CPU", arch.qemu_user_cpu)
            .arg(libraries.join(arch.loader))
            .arg("--argv0")
            .arg(&script)
            .arg("--library-path")
            .arg(&libraries)
            .arg(tree.join("usr/bin/python3"))
            .args(["-B", "-s"]),
        Ok(None) | Err(_) => Program::at(script), // By itself, or as the host has registered it.
    };
    python
        .dir(dir)
        .env("OPENSSL_MODULES", libraries.join("ossl-modules"))
}

/// Removes what no program reads.
fn prune(tree: &Path) -> Result<()> {
    let dead = [
        "dev",
        "tmp",
        "var",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/info",
        "usr/share/perl",
        "usr/share/bash-completion",
    ];
    for path in dead {
        remove_tree(&tree.join(path))?;
    }
    Ok(())
}

/// `usr/lib/python3.N`, which holds the standard library.
fn stdlib(tree: &Path) -> Result<String> {
    let lib = tree.join("usr/lib");
    let doing = || format!("reading {}", lib.display());
    for entry in std::fs::read_dir(&lib).doing(doing)? {
        let name = entry.doing(doing)?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("python3.") {
            return Ok(format!("usr/lib/{name}"));
        }
    }
    Err(Error::internal("the toolbox has no Python"))
}

/// An ext4 file system that is never written: without a journal, without room.
fn write_disk(tree: &Path, disk: &Path) -> Result<()> {
    let used = tree_size(tree)?.div_ceil(1 << 20);
    as_guest_root("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-L", "imgforge-tools", "-m", "0"])
        .args([
            "-O",
            "^has_journal,^resize_inode,^metadata_csum_seed,^orphan_file",
        ])
        .args(["-E", "lazy_itable_init=0,nodiscard"])
        .arg("-d")
        .arg(tree)
        .arg(disk)
        .arg(format!("{}M", used + used / 4 + 32))
        // The host's own defaults may be newer than the guest's kernel.
        .env("MKE2FS_CONFIG", "/dev/null")
        .hint("apt-get install e2fsprogs")
        .run()
}

#[cfg(test)]
mod tests;
