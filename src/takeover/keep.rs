//! What of the running system the new one gets: `--keep`, one function an item, and the machine file that
//! they make together.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::network::{self, Running};
use crate::access::{Mode, UserName};
use crate::deployment::{MachineFile, OwnFile};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::text::nearest;

/// A file that is kept is no larger, in bytes; as in machine files.
const LARGEST: u64 = 16 << 20;

/// Where systemd-resolved has the servers that it asks.
const RESOLVED: &str = "run/systemd/resolve/resolv.conf";

/// What can be kept, with its word, what it is, and how it is read.
type Item = (
    &'static str,
    &'static str,
    fn(&mut Kept, &Path) -> Result<String>,
);

/// Every item; a path such as `/etc/app.conf` is one, too.
const ITEMS: [Item; 6] = [
    ("host-keys", "the host keys of SSH", Kept::host_keys),
    (
        "authorized-keys",
        "root's authorized keys",
        Kept::authorized_keys,
    ),
    (
        "network",
        "addresses, gateways and name servers, by card",
        Kept::network,
    ),
    ("hostname", "the host name", Kept::hostname),
    ("machine-id", "/etc/machine-id", Kept::machine_id),
    ("resolv-conf", "/etc/resolv.conf", Kept::resolv_conf),
];

/// What `--keep` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    None,
    /// All items that have a word.
    All,
    /// One of them.
    Item(&'static str),
    /// A file.
    File(PathBuf),
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Keep::None),
            "all" => return Ok(Keep::All),
            path if path.starts_with('/') => return Ok(Keep::File(path.into())),
            _ => {}
        }
        let words = || ITEMS.iter().map(|(word, ..)| *word);
        words()
            .find(|word| *word == text)
            .map(Keep::Item)
            .ok_or_else(|| {
                let known: Vec<&str> = words().collect();
                let known = format!(
                    "there are {}, all, none, and paths of files",
                    known.join(", ")
                );
                match nearest(text, words()) {
                    Some(near) => format!("`{text}` is not known: did you mean `{near}`? {known}"),
                    None => format!("`{text}` is not known: {known}"),
                }
            })
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::None => f.write_str("none"),
            Keep::All => f.write_str("all"),
            Keep::Item(word) => f.write_str(word),
            Keep::File(path) => path.display().fmt(f),
        }
    }
}

/// What is kept: a machine file, and the files that it names.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) file: MachineFile,
    /// Content by its name in the machine file. It may be secret, and is never shown.
    pub(super) files: BTreeMap<String, Secret>,
    /// What it is, for people, and what of it is not kept.
    pub(super) told: Vec<String>,
}

/// Content that is never shown.
pub(super) struct Secret(pub(super) Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Kept {
    /// Reads what is kept from the system below `root`.
    ///
    /// # Errors
    /// When something is not there, or cannot be kept as it is.
    pub(super) fn read(root: &Path, keep: &[Keep]) -> Result<Kept> {
        if keep.is_empty() {
            let [all, none] = ["all", "network,host-keys,authorized-keys"];
            return Err(
                Error::usage("nobody has said what of this system is kept").hint(format!(
                    "--keep {all}, some of it such as --keep {none}, or --keep none"
                )),
            );
        }
        if keep.contains(&Keep::None) && keep.len() > 1 {
            return Err(Error::usage("--keep none excludes everything else"));
        }
        let mut kept = Kept::default();
        for (word, what, read) in ITEMS {
            if keep.contains(&Keep::All) || keep.contains(&Keep::Item(word)) {
                let told = read(&mut kept, root).map_err(|error| {
                    error.hint(format!(
                        "keep other things: leave `{word}` ({what}) out of --keep, and name the rest"
                    ))
                })?;
                kept.told.push(told);
            }
        }
        for one in keep {
            if let Keep::File(path) = one {
                kept.keep_file(root, path)?;
                kept.told.push(path.display().to_string());
            }
        }
        Ok(kept)
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.file == MachineFile::default()
    }

    /// Puts a file into the new system, with these permissions.
    fn put(&mut self, path: &str, content: Vec<u8>, mode: u32) {
        let name = format!("file-{}", self.files.len());
        self.file.files.push(OwnFile {
            path: path.to_owned(),
            file: name.clone(),
            owner: None,
            mode: Some(Mode::new(mode)),
        });
        self.files.insert(name, Secret(content));
    }

    fn host_keys(&mut self, root: &Path) -> Result<String> {
        let dir = root.join("etc/ssh");
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("ssh_host_") && name.ends_with("_key"))
            .collect();
        names.sort();
        if names.is_empty() {
            return Err(lacks("it has no host keys in /etc/ssh"));
        }
        // As they are: older ones are in forms of OpenSSL's.
        for name in &names {
            for (name, mode) in [(name.clone(), 0o600), (format!("{name}.pub"), 0o644)] {
                let content = content(&dir.join(&name))?;
                self.put(&format!("/etc/ssh/{name}"), content, mode);
            }
        }
        let kinds: Vec<&str> = names
            .iter()
            .map(|name| &name["ssh_host_".len()..name.len() - "_key".len()])
            .collect();
        Ok(format!("host keys of SSH: {}", kinds.join(", ")))
    }

    fn authorized_keys(&mut self, root: &Path) -> Result<String> {
        let text = text(&root.join("root/.ssh/authorized_keys"))?;
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<String> = keys.map(str::to_owned).collect();
        if keys.is_empty() {
            return Err(lacks("/root/.ssh/authorized_keys has no key"));
        }
        let user: UserName = "root".parse().map_err(Error::internal)?;
        let told = format!("authorized keys of root: {}", keys.len());
        self.file.ssh.authorized_keys.insert(user, keys);
        Ok(told)
    }

    fn network(&mut self, root: &Path) -> Result<String> {
        let ip = |args: &[&str]| Program::new("ip").arg("-json").args(args).text();
        let running = Running {
            addresses: &ip(&["address", "show"])?,
            routes: [
                &ip(&["-4", "route", "show"])?,
                &ip(&["-6", "route", "show"])?,
            ],
            servers: &resolv_conf(root)?,
            sys: &root.join("sys"),
        };
        let found = network::cards(&running)?;
        let told = found.to_string();
        self.file.network = found.cards;
        Ok(told)
    }

    fn hostname(&mut self, root: &Path) -> Result<String> {
        let name = text(&root.join("etc/hostname"))?;
        let name = name.trim().parse().map_err(lacks)?;
        let told = format!("host name: {}", String::from(Clone::clone(&name)));
        self.file.hostname = Some(name);
        Ok(told)
    }

    fn machine_id(&mut self, root: &Path) -> Result<String> {
        let content = content(&root.join("etc/machine-id"))?;
        if content.trim_ascii().len() != 32 {
            return Err(lacks("/etc/machine-id is not a machine id"));
        }
        self.put("/etc/machine-id", content, 0o444);
        Ok("/etc/machine-id".into())
    }

    fn resolv_conf(&mut self, root: &Path) -> Result<String> {
        self.put("/etc/resolv.conf", resolv_conf(root)?.into_bytes(), 0o644);
        Ok("/etc/resolv.conf".into())
    }

    fn keep_file(&mut self, root: &Path, path: &Path) -> Result<()> {
        let shown = path.display();
        let file = root.join(path.strip_prefix("/").unwrap_or(path));
        let about = file
            .metadata()
            .map_err(|cause| Error::usage(format!("{shown} cannot be kept")).cause(cause))?;
        if !about.is_file() || about.len() > LARGEST {
            return Err(Error::usage(format!("{shown} cannot be kept"))
                .cause("only files are kept, of 16 MiB at most")
                .hint("name each file of a directory: --keep /etc/app/a.conf,/etc/app/b.conf"));
        }
        let content = content(&file)?;
        let name = path.to_str().ok_or_else(|| {
            Error::usage(format!("{shown} cannot be kept")).cause("its name is not UTF-8")
        })?;
        let owner = owner(root, &about)?;
        self.put(name, content, about.mode() & 0o7777);
        if let Some(last) = self.file.files.last_mut() {
            last.owner = match owner.as_deref() {
                None => None,
                Some(owner) => Some(owner.parse().map_err(lacks)?),
            };
        }
        Ok(())
    }
}

/// Names of the owner and the group of a file, if it is not root's.
fn owner(root: &Path, about: &std::fs::Metadata) -> Result<Option<String>> {
    let name = |file: &str, id: u32| {
        let text = text(&root.join(file))?;
        let found = text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
        });
        found.ok_or_else(|| lacks(format!("{file} has no name for the number {id}")))
    };
    match (about.uid(), about.gid()) {
        (0, 0) => Ok(None),
        (user, group) => {
            let (user, group) = (name("etc/passwd", user)?, name("etc/group", group)?);
            Ok(Some(format!("{user}:{group}")))
        }
    }
}

/// `/etc/resolv.conf`, with real servers in place of systemd-resolved's own address.
fn resolv_conf(root: &Path) -> Result<String> {
    let usual = text(&root.join("etc/resolv.conf")).unwrap_or_default();
    match usual.contains("127.0.0.53") {
        true => text(&root.join(RESOLVED)),
        false => Ok(usual),
    }
}

fn content(path: &Path) -> Result<Vec<u8>> {
    let read = crate::digest::read(path, LARGEST);
    Ok(read.doing(|| format!("reading {}", path.display()))?.bytes)
}

fn text(path: &Path) -> Result<String> {
    content(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Something that is to be kept, and is not as it should be.
fn lacks(why: impl Into<String>) -> Error {
    Error::host("what is to be kept cannot be kept, and nothing was changed").cause(why.into())
}
