//! Whether what a build reads is what a commit has, byte by byte.
//!
//! `git status` does not tell: it leaves out what is ignored, and believes what the index was told
//! (`--assume-unchanged`, `--skip-worktree`). So the files that the keys of a build are made of are
//! hashed as git hashes them, without any conversion, and compared with the commit's tree.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::call::Git;
use crate::digest;
use crate::error::{Context as _, Result};
use crate::recipe::beneath;
use crate::store::inputs::Walked;

/// A pointer of Git LFS is shorter than this, in bytes.
const POINTER: u64 = 1024;

/// Stands for the file `.git` of a submodule, which no commit has.
const MODULE: &str = ".git";

/// What a tree says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    mode: String,
    id: String,
    /// Below the directory, where the submodule lies that has it.
    module: PathBuf,
}

/// What a build reads and the commit has otherwise, one line each. What lies outside the checkout's
/// directory is not the commit's to say.
///
/// # Errors
/// When git fails, or a file cannot be read.
pub(super) fn differences(git: &Git, commit: &str, read: &[Walked]) -> Result<Vec<String>> {
    let root = git.root();
    let mut wanted = Wanted::default();
    for walked in read {
        let Ok(named) = walked.path.strip_prefix(root) else {
            continue;
        };
        let real = match beneath::resolve(root, named) {
            Ok(real) => real,
            Err(why) => {
                wanted.wrong.insert(format!("{}: {why}", named.display()));
                continue;
            }
        };
        for link in real.links {
            let to = std::fs::read_link(root.join(&link))
                .doing(|| format!("reading {}", link.display()))?;
            wanted
                .links
                .insert(link, to.as_os_str().as_bytes().to_vec());
        }
        wanted.add(&real.path, walked);
    }
    let tree = tree(git, commit, &wanted.tops)?;
    wanted.judge(git, &tree)
}

/// What is compared, by its path below the checkout's directory.
#[derive(Debug, Default)]
struct Wanted {
    tops: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, File>,
    links: BTreeMap<PathBuf, Vec<u8>>,
    wrong: BTreeSet<String>,
}

#[derive(Debug)]
struct File {
    permissions: u32,
    blake3: String,
}

impl Wanted {
    /// What was found at and below the path that is really `top`.
    fn add(&mut self, top: &Path, walked: &Walked) {
        self.tops.insert(top.to_owned());
        for (below, text) in &walked.found {
            let path = match below.is_empty() {
                true => top.to_owned(),
                false => top.join(below),
            };
            let words: Vec<&str> = text.splitn(3, ' ').collect();
            match words.as_slice() {
                ["link", ..] => {
                    let to = text.strip_prefix("link ").unwrap_or_default();
                    self.links.insert(path, to.into());
                }
                ["file", permissions, blake3] => {
                    let permissions = u32::from_str_radix(permissions, 8).unwrap_or(u32::MAX);
                    let blake3 = (*blake3).to_owned();
                    let file = File {
                        permissions,
                        blake3,
                    };
                    self.files.insert(path, file);
                }
                _ => {}
            }
        }
    }

    fn judge(mut self, git: &Git, tree: &BTreeMap<PathBuf, Blob>) -> Result<Vec<String>> {
        let paths: Vec<&PathBuf> = self.files.keys().collect();
        let ids = ids(git, &paths)?;
        let mut wrong = std::mem::take(&mut self.wrong);
        for ((path, file), id) in self.files.iter().zip(&ids) {
            if let Some(why) = differs(git, path, file, id, tree.get(path))? {
                wrong.insert(format!("{}: {why}", path.display()));
            }
        }
        for (path, to) in &self.links {
            let same = match tree.get(path) {
                Some(blob) => blob.mode == "120000" && blob.id == id_of(git, to)?,
                None => false,
            };
            if !same {
                wrong.insert(format!(
                    "{}: a link that the commit does not have",
                    path.display()
                ));
            }
        }
        let missing = tree.keys().filter(|path| {
            let known = self.files.contains_key(*path) || self.links.contains_key(*path);
            !known
                && tree[*path].mode != MODULE
                && self.tops.iter().any(|top| path.starts_with(top))
        });
        wrong.extend(missing.map(|path| format!("{}: is missing", path.display())));
        Ok(wrong.into_iter().collect())
    }
}

/// Why a file is not the commit's.
fn differs(
    git: &Git,
    path: &Path,
    file: &File,
    id: &str,
    blob: Option<&Blob>,
) -> Result<Option<&'static str>> {
    let Some(blob) = blob else {
        return Ok(Some("the commit does not have it"));
    };
    let executable = match blob.mode.as_str() {
        "100644" => false,
        "100755" => true,
        // It says where the submodule's own git is.
        MODULE => return Ok(None),
        _ => return Ok(Some("it is no file in the commit")),
    };
    let real = git.root().join(path);
    if digest::file_blake3(&real)? != file.blake3 {
        return Ok(Some("it changed since the build was planned"));
    }
    if (file.permissions & 0o111 != 0) != executable {
        return Ok(Some("whether it is executable differs from the commit"));
    }
    if id == blob.id || is_pointed_to(git, &real, blob)? {
        return Ok(None);
    }
    let text = std::fs::read(&real).doing(|| format!("reading {}", real.display()))?;
    let unix = String::from_utf8_lossy(&text).replace("\r\n", "\n");
    match unix.len() != text.len() && id_of(git, unix.as_bytes())? == blob.id {
        true => Ok(Some(
            "its line ends were converted: `git config core.autocrlf false`, then check it out again",
        )),
        false => Ok(Some("it differs from the commit")),
    }
}

/// Whether the blob is a pointer of Git LFS to this very file.
fn is_pointed_to(git: &Git, real: &Path, blob: &Blob) -> Result<bool> {
    let (git, blob) = (Git::at(&git.root().join(&blob.module)), blob.id.as_str());
    let size = git.call(&["cat-file", "-s", blob]).text()?;
    if size.parse::<u64>().is_ok_and(|size| size >= POINTER) {
        return Ok(false);
    }
    let pointer = git.call(&["cat-file", "blob", blob]).text()?;
    let field = |name: &str| pointer.lines().find_map(|line| line.strip_prefix(name));
    let known = pointer.starts_with("version https://git-lfs.github.com/spec/");
    match (known, field("oid sha256:"), field("size ")) {
        (true, Some(oid), Some(size)) => {
            let meta = std::fs::metadata(real).doing(|| format!("reading {}", real.display()))?;
            Ok(size.parse() == Ok(meta.len()) && digest::file_sha256(real)? == oid)
        }
        _ => Ok(false),
    }
}

/// The names that git gives to the content of these files.
fn ids(git: &Git, paths: &[&PathBuf]) -> Result<Vec<String>> {
    let mut named = Vec::new();
    let mut ids = BTreeMap::new();
    for (at, path) in paths.iter().enumerate() {
        let real = git.root().join(path);
        let bytes = real.as_os_str().as_bytes();
        // The list has one name a line, and a quote begins a quoted one.
        if bytes.contains(&b'\n') || path.as_os_str().as_bytes().starts_with(b"\"") {
            let text = std::fs::read(&real).doing(|| format!("reading {}", real.display()))?;
            ids.insert(at, id_of(git, &text)?);
        } else {
            named.extend_from_slice(bytes);
            named.push(b'\n');
        }
    }
    let hash = ["hash-object", "--no-filters", "--stdin-paths"];
    let text = match named.is_empty() {
        true => String::new(),
        false => git.call(&hash).input(named).text()?,
    };
    let mut lines = text.lines().map(str::to_owned);
    let all = (0..paths.len()).map(|at| ids.remove(&at).or_else(|| lines.next()));
    Ok(all.map(Option::unwrap_or_default).collect())
}

fn id_of(git: &Git, content: &[u8]) -> Result<String> {
    git.call(&["hash-object", "--no-filters", "--stdin"])
        .input(content)
        .text()
}

/// The commit's files at and below these paths; those of a submodule are what the commit of it that
/// this one names has.
fn tree(git: &Git, commit: &str, tops: &BTreeSet<PathBuf>) -> Result<BTreeMap<PathBuf, Blob>> {
    let listed = git.call(&["ls-tree", "-r", "-z", commit]).output()?;
    let mut found = BTreeMap::new();
    for line in listed
        .split(|byte| *byte == 0)
        .filter(|line| !line.is_empty())
    {
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else {
            continue;
        };
        let about = String::from_utf8_lossy(&line[..tab]).into_owned();
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&line[tab + 1..]));
        let [mode, kind, id] = about.split(' ').collect::<Vec<_>>()[..] else {
            continue;
        };
        let touched = |top: &&PathBuf| top.starts_with(&path) || path.starts_with(top);
        if kind != "commit" {
            let blob = Blob {
                mode: mode.to_owned(),
                id: id.to_owned(),
                module: PathBuf::new(),
            };
            found.insert(path, blob);
        } else if tops.iter().any(|top| touched(&top)) {
            let below = tops.iter().filter(touched).map(|top| {
                let below = top.strip_prefix(&path);
                below.map_or_else(|_| PathBuf::new(), Path::to_owned)
            });
            let inner = Git::at(&git.root().join(&path));
            let mut of_module = tree(&inner, id, &below.collect())?;
            let git_file = Blob {
                mode: MODULE.to_owned(),
                id: String::new(),
                module: PathBuf::new(),
            };
            of_module.insert(".git".into(), git_file);
            found.extend(of_module.into_iter().map(|(name, blob)| {
                let module = path.join(&blob.module);
                (path.join(name), Blob { module, ..blob })
            }));
        }
    }
    Ok(found)
}
