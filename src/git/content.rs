//! Whether what a build reads is what a commit has, byte by byte.
//!
//! `git status` does not tell: it leaves out what is ignored, and believes what the index was told
//! (`--assume-unchanged`, `--skip-worktree`). So the files that the keys of a build are made of are
//! hashed as git hashes them, without any conversion, and compared with the commit's tree.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::call::Git;
use crate::error::{Context as _, Result};
use crate::store::inputs::Walked;
use crate::yaml::beneath;

/// Stands for the file `.git` of a submodule, which no commit has.
const MODULE: &str = ".git";

const DIFFERS: &str = "it differs from the commit";

/// What a tree says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    mode: String,
    id: String,
    pointer: Option<Pointer>,
}

/// What a blob that is a pointer of Git LFS says of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pointer {
    sha256: String,
    /// In bytes.
    size: u64,
}

/// What a build reads and the commit has otherwise, one line each. What lies outside the checkout's
/// directory is not the commit's to say. `git` is [`Git::genuine`].
///
/// # Errors
/// When git fails, or a file cannot be read.
pub(super) fn differences(git: &Git, commit: &str, read: &[Walked]) -> Result<Vec<String>> {
    let root = git.root();
    let mut wanted = ComparedFile::default();
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
struct ComparedFile {
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

impl ComparedFile {
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
        let mut wrong = std::mem::take(&mut self.wrong);
        let copies = tempfile::tempdir().doing(|| "making a directory for copies".into())?;
        let mut copied = vec![];
        for (path, file) in &self.files {
            let copy = copies.path().join(copied.len().to_string());
            match look(&git.root().join(path), file, tree.get(path), &copy)? {
                FileState::Same => {}
                FileState::Other(why) => drop(wrong.insert(format!("{}: {why}", path.display()))),
                FileState::Copied(blob) => copied.push((path, blob, copy)),
            }
        }
        let ids = ids(git, copied.iter().map(|(_, _, copy)| copy))?;
        for ((path, blob, copy), id) in copied.iter().zip(ids) {
            if id != blob.id {
                let why = otherwise(git, blob, copy)?;
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

/// What a look at a file has told.
#[derive(Debug)]
enum FileState<'b> {
    Same,
    Other(&'static str),
    /// It is as planned, and its copy is to be compared with the blob.
    Copied(&'b Blob),
}

/// Reads a file once, to compare it with the plan and the commit: read again it may be another.
fn look<'b>(
    real: &Path,
    file: &File,
    blob: Option<&'b Blob>,
    copy: &Path,
) -> Result<FileState<'b>> {
    let Some(blob) = blob else {
        return Ok(FileState::Other("the commit does not have it"));
    };
    let executable = match blob.mode.as_str() {
        "100644" => false,
        "100755" => true,
        // It says where the submodule's own git is.
        MODULE => return Ok(FileState::Same),
        _ => return Ok(FileState::Other("it is no file in the commit")),
    };
    let doing = || format!("reading {}", real.display());
    let mut from = std::fs::File::open(real).doing(doing)?;
    let size = from.metadata().doing(doing)?.len();
    let pointer = blob.pointer.as_ref().filter(|to| to.size == size);
    let (blake3, same) = match pointer {
        Some(to) => {
            let mut sha256 = Sha256::new();
            let blake3 = read(&mut from, |bytes| {
                sha256.update(bytes);
                Ok(())
            });
            let blake3 = blake3.doing(doing)?;
            (blake3, hex::encode(sha256.finalize()) == to.sha256)
        }
        None => {
            let to = std::fs::File::create(copy);
            let to = to.and_then(|mut to| read(&mut from, |bytes| to.write_all(bytes)));
            (to.doing(|| format!("copying {}", real.display()))?, false)
        }
    };
    Ok(if blake3 != file.blake3 {
        FileState::Other("it changed since the build was planned")
    } else if (file.permissions & 0o111 != 0) != executable {
        FileState::Other("whether it is executable differs from the commit")
    } else if same {
        FileState::Same
    } else if pointer.is_some() {
        FileState::Other(DIFFERS)
    } else {
        FileState::Copied(blob)
    })
}

/// Gives all of a file to `take`; returns its BLAKE3.
fn read(from: &mut impl Read, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                take(&buffer[..read])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How a file is not the blob.
fn otherwise(git: &Git, blob: &Blob, copy: &Path) -> Result<&'static str> {
    let text = std::fs::read(copy).doing(|| format!("reading {}", copy.display()))?;
    let unix = String::from_utf8_lossy(&text).replace("\r\n", "\n");
    match unix.len() != text.len() && id_of(git, unix.as_bytes())? == blob.id {
        true => Ok(
            "its line ends were converted: `git config core.autocrlf false`, then check it out again",
        ),
        false => Ok(DIFFERS),
    }
}

/// The names that git gives to the content of these files, none of which has a line end in its own.
fn ids<'p>(git: &Git, paths: impl Iterator<Item = &'p PathBuf>) -> Result<Vec<String>> {
    let names: Vec<_> = paths.map(|path| path.as_os_str().as_bytes()).collect();
    if names.is_empty() {
        return Ok(vec![]);
    }
    let hash = ["hash-object", "--no-filters", "--stdin-paths"];
    let text = git.call(&hash).input(names.join(&b'\n')).text()?;
    Ok(text.lines().map(str::to_owned).collect())
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
                pointer: None,
            };
            found.insert(path, blob);
        } else if tops.iter().any(|top| touched(&top)) {
            let below = tops.iter().filter(touched).map(|top| {
                let below = top.strip_prefix(&path);
                below.map_or_else(|_| PathBuf::new(), Path::to_owned)
            });
            let inner = Git::at(&git.root().join(&path)).genuine(id)?;
            let of_module = tree(&inner, id, &below.collect())?;
            let git_file = Blob {
                mode: MODULE.to_owned(),
                id: String::new(),
                pointer: None,
            };
            found.insert(path.join(".git"), git_file);
            let of_module = of_module.into_iter();
            found.extend(of_module.map(|(name, blob)| (path.join(name), blob)));
        }
    }
    point(git, &mut found)?;
    Ok(found)
}

/// Finds which of the blobs are pointers of Git LFS.
fn point(git: &Git, tree: &mut BTreeMap<PathBuf, Blob>) -> Result<()> {
    let ids: BTreeSet<&str> = tree.values().map(|blob| blob.id.as_str()).collect();
    let ids: Vec<&str> = ids.into_iter().filter(|id| !id.is_empty()).collect();
    let all = git.call(&["cat-file", "--batch"]).input(ids.join("\n"));
    let all = all.output()?;
    let mut pointers = BTreeMap::new();
    let mut rest = all.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 1..];
        // Otherwise it is `missing`: too large for a pointer.
        if let [id, "blob", size] = head.split(' ').collect::<Vec<_>>()[..] {
            let size = size.parse().unwrap_or(usize::MAX).min(rest.len());
            if let Some(pointer) = pointer(&String::from_utf8_lossy(&rest[..size])) {
                pointers.insert(id.to_owned(), pointer);
            }
            rest = rest.get(size + 1..).unwrap_or_default();
        }
    }
    for blob in tree.values_mut().filter(|blob| blob.pointer.is_none()) {
        blob.pointer = pointers.get(&blob.id).cloned();
    }
    Ok(())
}

fn pointer(text: &str) -> Option<Pointer> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    text.strip_prefix("version https://git-lfs.github.com/spec/")?;
    Some(Pointer {
        sha256: field("oid sha256:")?.to_owned(),
        size: field("size ")?.parse().ok()?,
    })
}
