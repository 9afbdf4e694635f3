//! What a playbook's `requirements.yml` names: resolved on the host, locked beside it, and kept.
//!
//! The lock has the form of a requirements file with exact versions and digests, so that Ansible's
//! own program reads it, too; see [`lock`](mod@lock).

mod archive;
mod lock;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::store::digests::Digests;
use crate::store::files::Files;
use crate::store::inputs::Inputs;
use crate::store::{Facts, write_atomic};
use crate::toolbox::{Kept, Request, Toolbox, kept, python};
use lock::{Installed, Requirements, parse};

const VERSION: u32 = 2;

/// The directory in an entry: `ansible_collections/` and `roles/` are below it.
pub(super) const DIR: &str = "galaxy";

/// What the store knows of them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Collections {
    /// The versions of the collections, by name.
    collections: BTreeMap<String, String>,
}

impl Facts for Collections {
    const STAGE: &'static str = "galaxy";
}

/// The lock of `requirements`: `requirements.yml` has `requirements.lock.yml`.
pub(super) fn lock_path(requirements: &Path) -> PathBuf {
    requirements.with_extension("lock.yml")
}

/// Installs what the lock of the file `written`, below `root`, names, or, without a lock, what the file names.
/// All of it is one archive of the build's own lock, and comes from that where the build is bound to it.
///
/// # Errors
/// When Ansible's own program fails, or a file cannot be read.
pub(super) fn install(
    request: &Request<'_>,
    toolbox: &Toolbox,
    root: &Path,
    written: &str,
) -> Result<Kept> {
    let requirements = &root.join(written);
    let lock = lock_path(requirements);
    let from = if lock.is_file() { &lock } else { requirements };
    let text = std::fs::read_to_string(from).doing(|| format!("reading {}", from.display()))?;
    let mut inputs = Inputs::new(Collections::STAGE, VERSION);
    inputs.input("the toolbox", toolbox.key());
    inputs.value("requirements", &text);
    let digests = Digests::open(request.store.state());
    let dir = from.parent().unwrap_or(Path::new("."));
    let wanted = parse(&text, from)?;
    for name in local_sources(&wanted, dir) {
        inputs.path(&format!("source {name}"), &dir.join(&name), &digests)?;
    }
    let beside = format!("collections {written}");
    kept(
        request,
        ("ansible", &beside),
        inputs,
        |inputs, draft, fetching| {
            if archive::replay(request, fetching, draft)? {
                let collections = Installed::read(&draft.join(DIR))?.versions();
                return Ok(Collections { collections });
            }
            let tree = draft.join("tree");
            unpack(&toolbox.disk(), &tree)?;
            // What the key is made of, and no later version of it.
            let files = Files::take(inputs.read(), dir, draft.join("inputs"), false)?;
            let copy = files.root().join(from.file_name().unwrap_or_default());
            std::fs::write(&copy, &text).doing(|| format!("writing {}", copy.display()))?;
            fetch(request, &tree, &copy, draft, &wanted).map_err(|error| {
                error.hint(format!("check the names and sources in {}", from.display()))
            })?;
            drop(files);
            std::fs::remove_dir_all(&tree).doing(|| format!("removing {}", tree.display()))?;
            let installed = Installed::read(&draft.join(DIR))?;
            if from == lock.as_path() && !lock::check(&wanted, &installed, from)? {
                request.ui.ui().warning(format!(
                "{} has no digests: it cannot tell what is published again in the same version; \
                 remove it, and the next build locks them",
                from.display()
            ));
            }
            archive::record(request, fetching, draft)?;
            let collections = installed.versions();
            Ok(Collections { collections })
        },
    )
}

/// Writes the lock of `requirements`, which has none, from what was installed in `galaxy`; its path.
pub(super) fn lock(requirements: &Path, galaxy: &Path) -> Result<PathBuf> {
    let doing = || format!("reading {}", requirements.display());
    let text = std::fs::read_to_string(requirements).doing(doing)?;
    let wanted = parse(&text, requirements)?;
    let dir = requirements.parent().unwrap_or(Path::new("."));
    let locked = lock::locked(&wanted, &Installed::read(galaxy)?, dir);
    let path = lock_path(requirements);
    let yaml = serde_yaml::to_string(&locked)
        .map_err(|e| Error::internal(format!("the lock cannot be written: {e}")))?;
    let head = "# Written by imgforge; remove it to resolve the requirements again.\n";
    write_atomic(&path, format!("{head}{yaml}").as_bytes())?;
    Ok(path)
}

/// What the step reads on this host for its `requirements`, relative to `root`: the lock, or the
/// file itself where there is none, and the archives and directories that it names as sources.
pub(super) fn files(requirements: &str, root: &Path) -> Vec<String> {
    let lock = lock_path(Path::new(requirements));
    let written = match root.join(&lock).is_file() {
        true => lock.to_string_lossy().into_owned(),
        false => requirements.to_owned(),
    };
    let path = root.join(&written);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = parse(&text, &path).unwrap_or_default();
    let dir = Path::new(requirements).parent().unwrap_or(Path::new(""));
    let sources = local_sources(&wanted, &root.join(dir)).into_iter();
    let below = |name: String| dir.join(name).to_string_lossy().into_owned();
    std::iter::once(written).chain(sources.map(below)).collect()
}

/// The archives and directories below `dir` that are named as sources.
fn local_sources(wanted: &Requirements, dir: &Path) -> Vec<String> {
    let all = wanted.collections.iter().chain(&wanted.roles);
    let all: BTreeSet<String> = all.flat_map(|value| local_sources_of(value, dir)).collect();
    all.into_iter().collect()
}

fn local_sources_of(value: &serde_json::Value, dir: &Path) -> Vec<String> {
    let fields = ["name", "source", "src"].map(|key| value[key].as_str());
    let names = std::iter::once(value.as_str()).chain(fields).flatten();
    let there = names.map(|name| name.trim_start_matches("./"));
    let there = there.filter(|name| !name.is_empty() && dir.join(name).exists());
    there.map(str::to_owned).collect()
}

/// Puts the toolbox's tree on the host, without being root.
pub(super) fn unpack(disk: &Path, tree: &Path) -> Result<()> {
    std::fs::create_dir(tree).doing(|| format!("making {}", tree.display()))?;
    Program::new("debugfs")
        .args(["-R", &format!("rdump / {}", tree.display())])
        .arg(disk)
        .hint("apt-get install e2fsprogs")
        .run()
}

fn fetch(
    request: &Request<'_>,
    tree: &Path,
    from: &Path,
    dir: &Path,
    wanted: &Requirements,
) -> Result<()> {
    let kinds = [
        ("collection", "", wanted.collections.is_empty()),
        ("role", "roles", wanted.roles.is_empty()),
    ];
    std::fs::create_dir(dir.join(DIR)).doing(|| format!("making {}", dir.display()))?;
    for (kind, below, none) in kinds {
        if none {
            continue;
        }
        request.ui.step(format!("fetching the playbook's {kind}s"));
        let ui = request.ui.clone();
        // Sources in the file are relative to it.
        python(tree, from.parent().unwrap_or(Path::new("/")))
            .arg(tree.join("usr/bin/ansible-galaxy"))
            .args([kind, "install", "-r"])
            .arg(from)
            .arg("-p")
            .arg(dir.join(DIR).join(below))
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_HOME", dir.join("home"))
            .env("ANSIBLE_LOCAL_TEMP", dir.join("home/tmp"))
            .env("ANSIBLE_NOCOLOR", "1")
            .lines(move |line| ui.line(line))?;
    }
    drop(std::fs::remove_dir_all(dir.join("home")));
    // The commit syncs single files, and these are many.
    let top = std::fs::File::open(dir).doing(|| format!("opening {}", dir.display()))?;
    rustix::fs::syncfs(top)
        .map_err(std::io::Error::from)
        .doing(|| format!("writing {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_and_directories_of_this_host_are_files_of_the_step() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("ansible");
        std::fs::create_dir_all(dir.join("acme/tools")).unwrap();
        std::fs::write(dir.join("net.tar.gz"), "").unwrap();
        let text = "collections:\n- {name: ./acme/tools, type: dir}\n- acme.base\nroles:\n- {src: net.tar.gz}\n";
        std::fs::write(dir.join("requirements.yml"), text).unwrap();
        let wanted = [
            "ansible/requirements.yml",
            "ansible/acme/tools",
            "ansible/net.tar.gz",
        ];
        assert_eq!(files("ansible/requirements.yml", root.path()), wanted);
        std::fs::write(dir.join("requirements.lock.yml"), "").unwrap();
        let locked = files("ansible/requirements.yml", root.path());
        assert_eq!(locked, ["ansible/requirements.lock.yml"]);
    }
}
