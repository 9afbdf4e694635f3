//! What a playbook's `requirements.yml` names: resolved on the host, locked beside it, and kept.
//!
//! The lock has the form of a requirements file with exact versions, so that Ansible's own
//! program reads it, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Request, Toolbox};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::store::digests::Digests;
use crate::store::inputs::Inputs;
use crate::store::lock::Lock;
use crate::store::{Entry, Meta, write_atomic};

const VERSION: u32 = 1;

/// The directory in an entry: `ansible_collections/` and `roles/` are below it.
const DIR: &str = "galaxy";

/// Collections and roles that are in use: they stay in the store as long as this lives.
#[derive(Debug)]
pub struct Galaxy {
    entry: Entry,
    _lock: Lock,
}

impl Galaxy {
    /// The directory with `ansible_collections` and `roles`.
    pub fn path(&self) -> PathBuf {
        self.entry.path().join(DIR)
    }
}

/// The lock of `requirements`: `requirements.yml` has `requirements.lock.yml`.
pub fn lock_path(requirements: &Path) -> PathBuf {
    requirements.with_extension("lock.yml")
}

/// A requirements file, as far as locking needs it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Requirements {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    collections: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Value>,
}

/// Installs what the lock of `requirements` names, or, without a lock, what `requirements` names.
///
/// # Errors
/// When Ansible's own program fails, or a file cannot be read.
pub fn install(request: &Request<'_>, toolbox: &Toolbox, requirements: &Path) -> Result<Galaxy> {
    let lock = lock_path(requirements);
    let from = if lock.is_file() { &lock } else { requirements };
    let text = std::fs::read_to_string(from).doing(|| format!("reading {}", from.display()))?;
    let mut inputs = Inputs::new("galaxy", VERSION);
    inputs.input("the toolbox", toolbox.key());
    inputs.value("requirements", &text);
    let store = request.store;
    let digests = Digests::open(store.state());
    let dir = from.parent().unwrap_or(Path::new("."));
    for name in local_sources(&parse(&text, from)?, dir) {
        inputs.path(&format!("source {name}"), &dir.join(&name), &digests)?;
    }
    let key = inputs.key();
    let held = store.lock(&key, |_| {})?;
    if let Some(entry) = store.get(&key) {
        entry.touch();
        let _lock = held.downgrade()?;
        return Ok(Galaxy { entry, _lock });
    }
    let began = std::time::Instant::now();
    let draft = store.draft(request.ledger)?;
    let tree = draft.path().join("tree");
    unpack(&toolbox.disk(), &tree)?;
    fetch(request, &tree, from, draft.path(), &parse(&text, from)?)?;
    std::fs::remove_dir_all(&tree).doing(|| format!("removing {}", tree.display()))?;
    let versions = versions(&draft.path().join(DIR))?;
    let meta = Meta {
        key,
        image: "ansible".into(),
        stage: "galaxy".into(),
        parent: None,
        disk: None,
        created: super::now(),
        took: began.elapsed().as_secs_f64(),
        inputs,
        facts: json!({ "collections": versions }),
    };
    let entry = draft.commit_over(store, meta)?;
    let _lock = held.downgrade()?;
    Ok(Galaxy { entry, _lock })
}

/// Writes the lock of `requirements`, which has none, from what was installed.
///
/// # Errors
/// When a file cannot be read or written.
pub fn lock(requirements: &Path, galaxy: &Galaxy) -> Result<PathBuf> {
    let doing = || format!("reading {}", requirements.display());
    let text = std::fs::read_to_string(requirements).doing(doing)?;
    let locked = locked(parse(&text, requirements)?, &versions(&galaxy.path())?);
    let path = lock_path(requirements);
    let yaml = serde_yaml::to_string(&locked)
        .map_err(|e| Error::internal(format!("the lock cannot be written: {e}")))?;
    let head = "# Written by imgforge; remove it to resolve the requirements anew.\n";
    write_atomic(&path, format!("{head}{yaml}").as_bytes())?;
    Ok(path)
}

fn parse(text: &str, path: &Path) -> Result<Requirements> {
    serde_yaml::from_str(text).map_err(|cause| {
        Error::usage(format!("{} is no requirements file", path.display()))
            .cause(cause)
            .hint("it lists `collections:` and `roles:`")
    })
}

/// Every collection of the registry with its exact version; what comes from elsewhere as written.
fn locked(requirements: Requirements, versions: &BTreeMap<String, String>) -> Requirements {
    let name = |value: &Value| match value {
        Value::String(name) => name.clone(),
        value => value["name"].as_str().unwrap_or_default().to_owned(),
    };
    let elsewhere = |value: &Value| {
        let kind = value["type"].as_str().unwrap_or("galaxy");
        kind != "galaxy"
            || !versions.contains_key(name(value).split(':').next().unwrap_or_default())
    };
    let mut collections: Vec<Value> = vec![];
    let mut seen = vec![];
    for value in requirements.collections {
        if elsewhere(&value) {
            collections.push(value);
            continue;
        }
        let name = name(&value);
        let name = name.split(':').next().unwrap_or_default();
        let mut exact = json!({ "name": name, "version": versions[name] });
        if let Some(source) = value.get("source") {
            exact["source"] = source.clone();
        }
        seen.push(name.to_owned());
        collections.push(exact);
    }
    let dependencies = versions.iter().filter(|(name, _)| !seen.contains(name));
    // With anything from elsewhere nobody knows which of these it brought.
    if collections.len() == seen.len() {
        collections.extend(
            dependencies.map(|(name, version)| json!({ "name": name, "version": version })),
        );
    }
    Requirements {
        collections,
        roles: requirements.roles,
    }
}

/// What the step reads on this host for its `requirements`, relative to `root`: the lock, or the
/// file itself where there is none, and the archives and directories that it names as sources.
pub fn files(requirements: &str, root: &Path) -> Vec<String> {
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
    let names = wanted
        .collections
        .iter()
        .chain(&wanted.roles)
        .flat_map(|value| {
            [
                value.as_str(),
                value["name"].as_str(),
                value["source"].as_str(),
                value["src"].as_str(),
            ]
        });
    let there = names.flatten().map(|name| name.trim_start_matches("./"));
    let there = there.filter(|name| !name.is_empty() && dir.join(name).exists());
    let unique: BTreeSet<&str> = there.collect();
    unique.into_iter().map(str::to_owned).collect()
}

/// Puts the toolbox's tree on the host, without being root.
fn unpack(disk: &Path, tree: &Path) -> Result<()> {
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
        Program::at(tree.join("python"))
            .arg(tree.join("usr/bin/ansible-galaxy"))
            .args([kind, "install", "-r"])
            .arg(from)
            .arg("-p")
            .arg(dir.join(DIR).join(below))
            // Sources in the file are relative to it.
            .dir(from.parent().unwrap_or(Path::new("/")))
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_HOME", dir.join("home"))
            .env("ANSIBLE_LOCAL_TEMP", dir.join("home/tmp"))
            .env("ANSIBLE_NOCOLOR", "1")
            .hint(format!("check the names and sources in {}", from.display()))
            .lines(move |line| ui.line(line))?;
    }
    drop(std::fs::remove_dir_all(dir.join("home")));
    // The commit syncs single files, and these are many.
    let top = std::fs::File::open(dir).doing(|| format!("opening {}", dir.display()))?;
    rustix::fs::syncfs(top)
        .map_err(std::io::Error::from)
        .doing(|| format!("writing {}", dir.display()))
}

/// The versions of the collections in `galaxy`, by `NAMESPACE.NAME`.
fn versions(galaxy: &Path) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    let root = galaxy.join("ansible_collections");
    for namespace in children(&root)? {
        for collection in children(&namespace)? {
            let Ok(text) = std::fs::read(collection.join("MANIFEST.json")) else {
                continue;
            };
            let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
            let info = &manifest["collection_info"];
            if let (Some(namespace), Some(name), Some(version)) = (
                info["namespace"].as_str(),
                info["name"].as_str(),
                info["version"].as_str(),
            ) {
                versions.insert(format!("{namespace}.{name}"), version.to_owned());
            }
        }
    }
    Ok(versions)
}

/// The directories in `dir`; none where it is not there.
fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => Ok(entries
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.is_dir())
            .collect()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(cause) => Err(cause).doing(|| format!("reading {}", dir.display())),
    }
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

    #[test]
    fn a_lock_has_exact_versions_and_keeps_what_comes_from_elsewhere() {
        let wanted: Requirements = serde_yaml::from_str(
            "collections:\n- acme.tools\n- {name: acme.net, version: '>=1', source: https://hub.example/}\n",
        )
        .unwrap();
        let versions = [
            ("acme.tools", "1.4.0"),
            ("acme.net", "2.0.1"),
            ("acme.base", "0.9.0"),
        ];
        let versions = versions.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let lock = locked(wanted, &versions);
        assert_eq!(
            serde_json::to_value(&lock.collections).unwrap(),
            json!([
                {"name": "acme.tools", "version": "1.4.0"},
                {"name": "acme.net", "version": "2.0.1", "source": "https://hub.example/"},
                {"name": "acme.base", "version": "0.9.0"},
            ])
        );
        let wanted: Requirements =
            serde_yaml::from_str("collections:\n- {name: ./acme-x.tar.gz, type: file}\n").unwrap();
        let lock = locked(wanted, &versions);
        assert_eq!(
            serde_json::to_value(&lock.collections).unwrap(),
            json!([{"name": "./acme-x.tar.gz", "type": "file"}])
        );
    }
}
