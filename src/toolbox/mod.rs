//! Toolboxes: read-only disks with programs for a guest's steps, so that nothing is installed in it.
//!
//! A toolbox is made of the packages of the guest's own release, once, and kept in the store. It
//! brings its own loader, libc and Python, and finds the guest's configuration where it always is;
//! so the release's package manager bindings read the guest's package database.

pub mod collections;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::Mirror;
use crate::digest::Key;
use crate::distro::{self, Apt, Suite, apt, mirror};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::namespace::{as_guest_root, remove_tree};
use crate::machine::Arch;
use crate::recipe::Config;
use crate::store::inputs::Inputs;
use crate::store::ledger::Ledger;
use crate::store::lock::Lock;
use crate::store::{Entry, Facts, Meta, Store};
use crate::ui::StageUi;

/// Grows when a toolbox of the same packages comes out differently.
const VERSION: u32 = 1;

/// The toolbox's disk in its entry.
const DISK: &str = "toolbox.raw";

/// Who runs the toolbox's Python, on the host and in a guest: its own loader finds its own
/// libraries, and programs that it starts find the guest's.
const PYTHON: &str = include_str!("python");

/// What Ansible and the modules that it brings need; they install nothing themselves.
const PACKAGES: &[&str] = &[
    "ansible-core",
    "python3-apt",
    "python3-debian",
    "python3-jmespath",
    "python3-netaddr",
    "python3-passlib",
];

/// What a toolbox is made from.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where it is kept.
    pub store: &'a Store,
    /// Where what is unfinished is written down.
    pub ledger: &'a Ledger,
    /// The site's mirrors.
    pub config: &'a Config,
    /// `mirrors.build` of the recipe.
    pub mirror: &'a Mirror,
    /// What the guest's programs are built for.
    pub arch: Arch,
    /// Who is told.
    pub ui: &'a StageUi,
}

/// What the store knows of a toolbox.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ansible {
    /// What Ansible says its version is.
    ansible: String,
}

impl Facts for Ansible {
    const STAGE: &'static str = "toolbox";
}

/// A toolbox that is in use: it stays in the store as long as this lives.
#[derive(Debug)]
pub struct Toolbox {
    entry: Entry,
    _lock: Lock,
}

impl Toolbox {
    /// Its disk, raw, an ext4 file system as a whole.
    pub fn disk(&self) -> PathBuf {
        self.entry.path().join(DISK)
    }

    /// The key of what it was made from.
    pub fn key(&self) -> &Key {
        &self.entry.meta().key
    }
}

/// The toolbox with Ansible for the release whose code name is `codename`.
///
/// # Errors
/// When there is none for this release, or its packages cannot be fetched.
pub fn ansible(request: &Request<'_>, codename: &str) -> Result<Toolbox> {
    let (distro, suite) = distro::suite(codename).map_err(|_| {
        Error::usage(format!(
            "Ansible cannot be brought to the release `{codename}`: there is no toolbox for it"
        ))
        .hint(
            "do the work with `shell` or `puppet`, or install Ansible in the guest with `packages`",
        )
    })?;
    let mut inputs = Inputs::new(Ansible::STAGE, VERSION);
    inputs.value("arch", request.arch);
    inputs.value("suite", suite.name);
    inputs.value("packages", PACKAGES);
    inputs.value("python", PYTHON);
    inputs.place("mirrors.build", request.mirror.as_str());
    let key = inputs.key()?;
    let store = request.store;
    let lock = store.lock(&key, |pid| {
        request.ui.step(format!(
            "waiting for process {pid}, which makes the same toolbox"
        ));
    })?;
    if let Some(entry) = store.entry(&key) {
        entry.touch();
        return Ok(Toolbox {
            entry,
            _lock: lock.downgrade()?,
        });
    }
    let began = std::time::Instant::now();
    let draft = store.draft(request.ledger)?;
    request.ui.step(format!(
        "making the toolbox with Ansible for {}",
        suite.product
    ));
    let made = make(request, distro, suite, draft.path());
    let removed = remove_tree(&draft.path().join("tree"));
    let facts = made?;
    removed?;
    let image = format!("ansible-{}", suite.name);
    let meta = Meta::new(key, &image, Ansible::STAGE, inputs, began);
    let entry = draft.commit_over(store, meta, facts)?.entry().clone();
    Ok(Toolbox {
        entry,
        _lock: lock.downgrade()?,
    })
}

fn make(request: &Request<'_>, distro: &'static Apt, suite: &Suite, dir: &Path) -> Result<Ansible> {
    distro.check_keyring()?;
    let tree = dir.join("tree");
    unpack(request, distro, suite, dir, &tree)?;
    write_python(&tree)?;
    prune(&tree)?;
    // A guest without hardware acceleration would compile for minutes what it cannot keep.
    request.ui.step("compiling the toolbox's Python");
    for part in ["usr/lib/python3", &stdlib(&tree)?] {
        python(dir)
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
    let version = python(dir)
        .arg(tree.join("usr/bin/ansible-playbook"))
        .arg("--version")
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_HOME", dir.join("home"))
        .text()?;
    drop(std::fs::remove_dir_all(dir.join("home")));
    request.ui.step("writing the toolbox's disk");
    write_disk(&tree, &dir.join(DISK))?;
    let ansible = version.lines().next().unwrap_or_default().to_owned();
    Ok(Ansible { ansible })
}

fn write_python(tree: &Path) -> Result<()> {
    let python = tree.join("python");
    let doing = || format!("writing {}", python.display());
    std::fs::write(&python, PYTHON).doing(doing)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, mode).doing(doing)
}

/// The Python of the toolbox in `dir`: it takes modules, and Ansible its configuration, from where it
/// starts.
fn python(dir: &Path) -> Program {
    Program::at(dir.join("tree/python")).dir(dir)
}

fn unpack(
    request: &Request<'_>,
    distro: &'static Apt,
    suite: &Suite,
    dir: &Path,
    tree: &Path,
) -> Result<()> {
    let site = request.config.mirrors.get(distro.id);
    let archive = mirror::choose(
        request.mirror,
        site.map(Vec::as_slice).unwrap_or_default(),
        distro,
        suite,
        request.ui,
    )?;
    if archive.is_none() {
        // mmdebstrap's own choice must be this distribution's.
        mirror::tool_default(dir, distro, suite)?;
    }
    let sources = dir.join("toolbox.sources");
    let mut program = as_guest_root("mmdebstrap")
        .args(["--mode=root", "--format=directory", "--variant=extract"])
        .arg(format!("--architectures={}", request.arch.debian()))
        .arg(format!("--keyring={}", distro.keyring))
        .arg(format!("--components={}", distro.components.join(",")))
        .arg(r#"--aptopt=Acquire::Languages "none""#)
        .arg(r#"--aptopt=APT::Install-Recommends "false""#)
        .arg("--aptopt=Acquire::Retries 3")
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(suite.name)
        .arg(tree);
    if let Some(archive) = &archive {
        let text = apt::sources(distro, suite, archive, &[]);
        std::fs::write(&sources, text).doing(|| format!("writing {}", sources.display()))?;
        program = program.arg(&sources);
    }
    let ui = request.ui.clone();
    program
        .scratch(dir)
        .hint("see the log; `imgforge doctor` checks tools, keyrings and mirrors")
        .lines(move |line| ui.line(line))
        .doing(|| format!("fetching Ansible for {}", suite.product))?;
    drop(std::fs::remove_file(sources));
    Ok(())
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
    let printed = as_guest_root("du")
        .args(["--summarize", "--block-size=1M"])
        .arg(tree)
        .text()?;
    let used = printed
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<u64>().ok());
    let used = used.ok_or_else(|| Error::internal("du printed no size"))?;
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
mod tests {
    use super::*;

    #[test]
    fn python_starts_where_nobody_else_has_left_modules() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("tree")).unwrap();
        write_python(&dir.join("tree")).unwrap();
        std::fs::write(dir.join("tree/python"), "#!/bin/sh\npwd\n").unwrap();
        assert_eq!(python(&dir).text().unwrap(), dir.to_str().unwrap());
    }
}
