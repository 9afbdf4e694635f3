//! What a lock holds: of each collection of a registry its version, where it came from and a digest
//! of its content; of what comes from elsewhere, and of roles, a digest of all together, as nobody
//! tells which entry brought which.
//!
//! The digest is of what was installed, so that it counts for archives, git and whatever has no
//! version alike. Ansible's own program leaves the key out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::digest;
use crate::error::{Context as _, Error, Result};

/// The key of the digest in an entry.
const CONTENT: &str = "content-sha256";

/// What Ansible's own program writes beside the content: when, and lists of the rest.
const NOTES: [&str; 3] = ["meta/.galaxy_install_info", "MANIFEST.json", "FILES.json"];

/// A requirements file, as far as locking needs it.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Requirements {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) collections: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<Value>,
}

/// Reads a requirements file, or a lock.
///
/// # Errors
/// When it is none.
pub(super) fn parse(text: &str, path: &Path) -> Result<Requirements> {
    serde_yaml::from_str(text).map_err(|cause| {
        Error::usage(format!("{} is not a requirements file", path.display()))
            .cause(cause)
            .hint("it lists `collections:` and `roles:`")
    })
}

/// A collection that was installed.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    pub(super) version: String,
    /// The registry that it came from.
    pub(super) server: Option<String>,
    /// SHA-256 of its content, in hex.
    pub(super) content: String,
}

/// What was installed.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// By `NAMESPACE.NAME`.
    pub(super) collections: BTreeMap<String, Collection>,
    /// SHA-256 of all roles together, in hex.
    pub(super) roles: String,
}

impl Installed {
    /// Looks at `galaxy`, the directory with `ansible_collections` and `roles`.
    pub(super) fn read(galaxy: &Path) -> Result<Installed> {
        let root = galaxy.join("ansible_collections");
        let mut collections = BTreeMap::new();
        for collection in children(&root)?.iter().map(|dir| children(dir)) {
            for dir in collection? {
                let Some((name, version)) = named(&dir.join("MANIFEST.json")) else {
                    continue;
                };
                let about = root.join(format!("{name}-{version}.info/GALAXY.yml"));
                let about = std::fs::read_to_string(about).unwrap_or_default();
                let about: Value = serde_yaml::from_str(&about).unwrap_or_default();
                let collection = Collection {
                    version,
                    server: about["server"].as_str().map(str::to_owned),
                    content: content(&dir)?,
                };
                collections.insert(name, collection);
            }
        }
        let roles = content(&galaxy.join("roles"))?;
        Ok(Installed { collections, roles })
    }

    /// The versions of the collections.
    pub(super) fn versions(&self) -> BTreeMap<String, String> {
        let all = self.collections.iter();
        all.map(|(name, it)| (name.clone(), it.version.clone()))
            .collect()
    }
}

/// The name and the version that a collection's own description tells.
fn named(manifest: &Path) -> Option<(String, String)> {
    let text = std::fs::read(manifest).ok()?;
    let manifest: Value = serde_json::from_slice(&text).ok()?;
    let info = |key: &str| manifest["collection_info"][key].as_str();
    let name = format!("{}.{}", info("namespace")?, info("name")?);
    Some((name, info("version")?.to_owned()))
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

/// SHA-256 of the names and contents of all files in `dir`, and of whether they can be executed.
fn content(dir: &Path) -> Result<String> {
    let mut lines = vec![];
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        let doing = || format!("reading {}", at.display());
        let Ok(meta) = at.symlink_metadata() else {
            continue;
        };
        let name = at.strip_prefix(dir).unwrap_or(&at);
        if NOTES.iter().any(|note| name.ends_with(note)) {
            continue;
        }
        let what = if meta.is_dir() {
            for entry in std::fs::read_dir(&at).doing(doing)? {
                todo.push(entry.doing(doing)?.path());
            }
            continue;
        } else if meta.is_symlink() {
            format!("link {}", std::fs::read_link(&at).doing(doing)?.display())
        } else {
            let executable = meta.permissions().mode() & 0o111 != 0;
            format!("{executable} {}", digest::file_sha256(&at)?)
        };
        lines.push(format!("{}\0{what}\0", name.display()));
    }
    lines.sort();
    Ok(hex::encode(Sha256::digest(lines.concat())))
}

/// The lock of `requirements`, or the same lock again: every collection of a registry with its exact
/// version; what comes from elsewhere as written. `dir` is where the file lies.
pub(super) fn locked(
    requirements: &Requirements,
    installed: &Installed,
    dir: &Path,
) -> Requirements {
    let known = &installed.collections;
    let is_local = |value: &Value| !super::local_sources_of(value, dir).is_empty();
    let (mut collections, mut seen, mut elsewhere) = (vec![], vec![], vec![]);
    for value in &requirements.collections {
        let name = name(value);
        let name = name.split(':').next().unwrap_or_default();
        let kind = value["type"].as_str().unwrap_or("galaxy");
        match known.get(name).filter(|_| kind == "galaxy") {
            Some(it) => {
                seen.push(name.to_owned());
                collections.push(exact(name, it, value["source"].as_str()));
            }
            None => {
                elsewhere.push(collections.len());
                collections.push(value.clone());
            }
        }
    }
    let local = local_names(requirements, dir);
    let rest = known.iter().filter(|(name, _)| !seen.contains(*name));
    let mut others = String::new();
    for (name, it) in rest.filter(|(name, _)| !local.contains(*name)) {
        // With anything from elsewhere only a registry's name tells that it was not brought by that.
        if elsewhere.is_empty() || it.server.is_some() {
            collections.push(exact(name, it, it.server.as_deref()));
        } else {
            others += &format!("{name} {}\n", it.content);
        }
    }
    let others = hex::encode(Sha256::digest(others));
    // The files of local ones belong to the recipe.
    elsewhere.retain(|at: &usize| !is_local(&collections[*at]));
    for at in elsewhere {
        collections[at] = with_content(&collections[at], &["name"], &others);
    }
    let roles = requirements.roles.iter().map(|role| match is_local(role) {
        true => role.clone(),
        false => with_content(role, &["src", "version", "name"], &installed.roles),
    });
    Requirements {
        roles: roles.collect(),
        collections,
    }
}

fn name(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        value => value["name"].as_str().unwrap_or_default().to_owned(),
    }
}

fn exact(name: &str, it: &Collection, source: Option<&str>) -> Value {
    let mut exact = json!({ "name": name, "version": it.version });
    if let Some(source) = source {
        exact["source"] = source.into();
    }
    exact[CONTENT] = it.content.as_str().into();
    exact
}

/// An entry with a digest; `keys` are what the parts of a text mean.
fn with_content(value: &Value, keys: &[&str], content: &str) -> Value {
    let mut value = match value {
        Value::String(text) => {
            let parts = text.splitn(keys.len(), ',').map(|part| part.trim().into());
            let parts = keys.iter().map(|key| (*key).to_owned()).zip(parts);
            Value::Object(parts.collect())
        }
        value => value.clone(),
    };
    value[CONTENT] = content.into();
    value
}

/// The names of the collections that lie beside the requirements, in directories and archives.
fn local_names(requirements: &Requirements, dir: &Path) -> Vec<String> {
    let sources = requirements.collections.iter();
    let sources = sources.flat_map(|value| super::local_sources_of(value, dir));
    let of_source = |source: String| {
        let path = dir.join(source);
        if path.is_file() {
            return of_archive(&path).into_iter().collect::<Vec<_>>();
        }
        let below = children(&path).unwrap_or_default();
        let all = std::iter::once(path).chain(below);
        all.filter_map(|dir| of_directory(&dir)).collect()
    };
    sources.flat_map(of_source).collect()
}

fn of_directory(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join("galaxy.yml")).ok();
    let about: Option<Value> = text.and_then(|text| serde_yaml::from_str(&text).ok());
    match about {
        Some(about) => {
            let info = |key: &str| about[key].as_str();
            Some(format!("{}.{}", info("namespace")?, info("name")?))
        }
        None => named(&dir.join("MANIFEST.json")).map(|(name, _)| name),
    }
}

fn of_archive(path: &Path) -> Option<String> {
    /// A manifest is small.
    const MOST: u64 = 4 << 20;
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(File::open(path).ok()?));
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        if !entry.path().ok()?.ends_with("MANIFEST.json") {
            continue;
        }
        let mut text = Vec::new();
        entry.take(MOST).read_to_end(&mut text).ok()?;
        let manifest: Value = serde_json::from_slice(&text).ok()?;
        let info = |key: &str| manifest["collection_info"][key].as_str();
        return Some(format!("{}.{}", info("namespace")?, info("name")?));
    }
    None
}

/// Compares what was installed by a lock with it; whether the lock has all digests.
///
/// # Errors
/// [`Kind::Gate`](crate::error::Kind::Gate) when something is not what was locked.
pub(super) fn check(lock: &Requirements, installed: &Installed, path: &Path) -> Result<bool> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let now = locked(lock, installed, dir);
    let lists = [
        (&lock.collections, &now.collections),
        (&lock.roles, &now.roles),
    ];
    let mut complete = true;
    for (lock, now) in lists {
        for entry in now.iter().filter(|entry| entry[CONTENT].is_string()) {
            let refuse = |why: &str| {
                let shown = plain(entry);
                Error::gate(format!("{shown} is not what {} locked", path.display()))
                    .cause(why)
                    .hint(
                        "look at what was published since; if that is right, remove the lock, and \
                         the next build writes another",
                    )
            };
            let same = |other: &&Value| plain(other) == plain(entry);
            let Some(known) = lock.iter().find(same) else {
                return Err(refuse("the lock does not name it in this version"));
            };
            match &known[CONTENT] {
                Value::Null => complete = false,
                content if *content != entry[CONTENT] => {
                    return Err(refuse("its content is another one"));
                }
                _ => {}
            }
        }
    }
    Ok(complete)
}

/// An entry without its digest, as a text.
fn plain(value: &Value) -> String {
    let mut value = match value {
        Value::String(text) => return text.clone(),
        value => value.clone(),
    };
    if let Some(entry) = value.as_object_mut() {
        entry.remove(CONTENT);
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let first = text("name").or(text("src")).unwrap_or_default();
        return match (entry.len(), text("version")) {
            (1, _) => first.to_owned(),
            (2, Some(version)) => format!("{first} {version}"),
            _ => value.to_string(),
        };
    }
    value.to_string()
}

#[cfg(test)]
mod tests;
