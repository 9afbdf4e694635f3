//! Which files publications replace: entry points, views and records. A copy takes these and no
//! others, whatever lies beside them.

use std::collections::BTreeSet;
use std::path::Path;

use super::state::State;
use super::{below, check_name};
use crate::error::{Context as _, Result};

/// The names of images and channels, which tell such files.
pub(super) struct Names {
    images: BTreeSet<String>,
    channels: BTreeSet<String>,
}

impl Names {
    /// Those that the records have.
    pub(super) fn of(state: &State) -> Self {
        Names {
            images: state.images.keys().cloned().collect(),
            channels: state.channels.keys().cloned().collect(),
        }
    }

    /// And those of a directory that gets a copy: what its own records have, and of which it has an
    /// index or a list without a record. What of them is not copied counts for nothing any more.
    pub(super) fn and_of_copy(mut self, to: &Path) -> Result<Self> {
        // Where its records are damaged, they are replaced.
        if let Ok(earlier) = State::read(to) {
            let earlier = Self::of(&earlier);
            self.images.extend(earlier.images);
            self.channels.extend(earlier.channels);
        }
        let left = |dir: &str, file: &str, what: &str| -> Result<Vec<String>> {
            let mut names = below::names(to, dir)?;
            names.retain(|name| check_name(what, name).is_ok());
            names.retain(|name| to.join(dir).join(name).join(file).exists());
            Ok(names)
        };
        self.images
            .extend(left("images", "revisions.sjson", "image")?);
        self.channels
            .extend(left("channels", "index.asc", "channel")?);
        Ok(self)
    }

    /// Whether a path below the root is that of such a file.
    pub(super) fn include(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let known = |channel: &str| self.channels.contains(channel);
        let image = |name: &str| self.images.contains(name);
        let json = |file: &str| file.strip_suffix(".json").is_some_and(image);
        let stream = |file: &str| {
            ["index.json", "images.json", "index.sjson", "images.sjson"].contains(&file)
        };
        match parts[..] {
            ["index.html"] | ["channels", "index.json"] => true,
            [file] => keyed(file, "index", ".asc") || keyed(file, "imgforge", ".gpg"),
            [".imgforge", file] => [
                "repository.json",
                "channels.json",
                "keys.json",
                "state.sjson",
            ]
            .contains(&file),
            [".imgforge", "names", file] => json(file),
            ["images", name, file] if image(name) => {
                ["index.html", "packages.json", "changes.json"].contains(&file)
                    || keyed(file, "revisions", ".sjson")
            }
            ["streams", "v1", file] => stream(file),
            ["streams", "v1", channel, file] => known(channel) && stream(file),
            ["vagrant", file] | ["vagrant", _, file] => json(file),
            ["channels", channel, ref rest @ ..] if known(channel) => match *rest {
                [file] => keyed(file, "index", ".asc"),
                ["streams", "v1", file] => stream(file),
                ["vagrant", file] | ["vagrant", _, file] => json(file),
                [name, file] if image(name) => {
                    ["latest.json", "latest.sjson", "boot.ipxe"].contains(&file)
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// `STEM.END`, or `STEM-SUFFIX.END` of another key.
fn keyed(file: &str, stem: &str, end: &str) -> bool {
    let middle = file
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(end));
    middle.is_some_and(|middle| {
        middle.is_empty() || middle.strip_prefix('-').is_some_and(crate::index::is_id)
    })
}

/// The files below a root but those of revisions, the lock and what is unfinished.
pub(super) fn entry_points(root: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    walk(root, Path::new(""), &mut found)?;
    Ok(found)
}

fn walk(root: &Path, below: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    let dir = root.join(below);
    let doing = || format!("reading {}", dir.display());
    let entries = match std::fs::read_dir(&dir) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result.doing(doing)?,
    };
    for entry in entries {
        let entry = entry.doing(doing)?;
        let path = below.join(entry.file_name());
        let Some(text) = path.to_str().map(str::to_owned) else {
            continue;
        };
        if entry.file_type().doing(doing)?.is_dir() {
            if !is_private(&text) && !is_revision(&path) {
                walk(root, &path, found)?;
            }
        } else if !is_private(&text) && !text.ends_with(".new") {
            found.insert(text);
        }
    }
    Ok(())
}

fn is_private(path: &str) -> bool {
    let of_this_host = [
        ".imgforge/incoming",
        ".imgforge/transaction",
        ".imgforge/lock",
        ".imgforge/journal.json",
    ];
    of_this_host.contains(&path)
}

/// `images/NAME/REVISION`.
fn is_revision(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.len() == 3 && parts[0] == "images" && parts[2].parse::<u64>().is_ok()
}
