//! Files of a machine, written into its root by debugfs(8), and read back.

use std::collections::BTreeSet;

use super::Root;
use crate::blockdev::Device as _;
use crate::error::{Context as _, Error, Result};
use crate::ext4::{Fs, Inode};
use crate::host::exec::Program;

/// A file, or a link, that the root gets. One that is there gives way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::deploy) struct Put {
    pub(super) path: String,
    pub(super) content: Content,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What it is.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::deploy) enum Content {
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A symbolic link to this.
    Link(String),
    /// A directory; one that is there stays, and gets this owner and mode.
    Directory,
}

/// Content may be secret.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Content::Link(target) => write!(f, "link to {target}"),
            Content::Directory => f.write_str("directory"),
        }
    }
}

impl Put {
    /// A file of root's.
    pub(super) fn root(path: impl Into<String>, mode: u32, content: impl Into<Vec<u8>>) -> Put {
        Put {
            path: path.into(),
            content: Content::Bytes(content.into()),
            mode,
            uid: 0,
            gid: 0,
        }
    }

    /// For tests: all of it as text.
    #[cfg(test)]
    pub(super) fn shown(&self) -> String {
        let Content::Bytes(bytes) = &self.content else {
            return format!("{} {:?}\n", self.path, self.content);
        };
        let text = String::from_utf8_lossy(bytes);
        format!("== {} {:04o}\n{text}", self.path, self.mode)
    }
}

/// What is wrong with a path for a new file, if anything. debugfs reads its commands as a shell would.
pub(super) fn bad_path(path: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=%~".contains(c);
    match () {
        () if !path.starts_with('/') || path.ends_with('/') => {
            Some("is not the absolute path of a file")
        }
        () if path
            .split('/')
            .skip(1)
            .any(|part| matches!(part, "" | "." | "..")) =>
        {
            Some("has a part that is empty, `.` or `..`")
        }
        () if !path.chars().all(plain) => Some("has a character that paths here cannot have"),
        () if path.len() > 1000 => Some("is too long"),
        () => None,
    }
}

/// The commands that put files into a file system; the content of the first one lies in the file `0`.
pub(super) struct Script<'a> {
    fs: &'a Fs<'a>,
    text: String,
    /// Directories that an earlier command makes.
    made: BTreeSet<String>,
}

impl<'a> Script<'a> {
    pub(super) fn new(fs: &'a Fs<'a>) -> Script<'a> {
        Script {
            fs,
            text: String::new(),
            made: BTreeSet::new(),
        }
    }

    fn say(&mut self, command: &str) {
        self.text += command;
        self.text.push('\n');
    }

    fn find(&self, path: &str) -> Result<Option<Inode>> {
        self.fs
            .find(path)
            .doing(|| format!("reading {path} of the root"))
    }

    /// Goes into a directory, which is made where it is missing.
    fn enter(&mut self, dir: &str) -> Result<()> {
        if let Some(inode) = self.find(dir)? {
            if !inode.is_dir() {
                return Err(Error::stage(format!(
                    "{dir} of the image is not a directory"
                )));
            }
            self.say(&format!("cd <{}>", inode.number));
            return Ok(());
        }
        let (above, name) = dir.rsplit_once('/').unwrap_or(("", dir));
        self.enter(above)?;
        if self.made.insert(dir.to_owned()) {
            self.say(&format!("mkdir {name}"));
            self.attributes(name, 0o40755, 0, 0);
        }
        self.say(&format!("cd {name}"));
        Ok(())
    }

    fn attributes(&mut self, name: &str, mode: u32, uid: u32, gid: u32) {
        self.say(&format!("sif {name} mode 0{mode:o}"));
        self.say(&format!("sif {name} uid {uid}"));
        self.say(&format!("sif {name} gid {gid}"));
    }

    /// Puts one; its content is in the file of this number.
    pub(super) fn put(&mut self, number: usize, put: &Put) -> Result<()> {
        let (dir, name) = put.path.rsplit_once('/').unwrap_or(("", &put.path));
        if let Content::Directory = put.content {
            self.enter(&put.path)?;
            self.attributes(".", 0o40000 | put.mode, put.uid, put.gid);
            return Ok(());
        }
        let there = match self.find(dir)? {
            Some(inode) if inode.is_dir() => {
                let names = self
                    .fs
                    .list(&inode)
                    .doing(|| format!("reading {dir} of the root"))?;
                names.iter().any(|(other, _)| other == name.as_bytes())
            }
            _ => false,
        };
        self.enter(dir)?;
        if there {
            self.say(&format!("rm {name}"));
        }
        match &put.content {
            Content::Link(target) => self.say(&format!("symlink {name} {target}")),
            _ => {
                self.say(&format!("write {number} {name}"));
                self.attributes(name, 0o100000 | put.mode, put.uid, put.gid);
            }
        }
        Ok(())
    }
}

/// Whether all of them have a place.
pub(super) fn check(fs: &Fs<'_>, puts: &[Put]) -> Result<()> {
    let mut script = Script::new(fs);
    let mut each = puts.iter().enumerate();
    each.try_for_each(|(number, put)| script.put(number, put))
}

/// Writes all of them, and reads them back: debugfs goes on after an error.
pub(super) fn write(root: &Root<'_>, puts: &[Put]) -> Result<()> {
    if puts.is_empty() {
        return Ok(());
    }
    let scratch = tempfile::tempdir().doing(|| "making a temporary directory".into())?;
    let fs = root.files()?;
    let mut script = Script::new(&fs);
    for (number, put) in puts.iter().enumerate() {
        if let Content::Bytes(bytes) = &put.content {
            let file = scratch.path().join(number.to_string());
            std::fs::write(&file, bytes).doing(|| format!("writing {}", file.display()))?;
        }
        script.put(number, put)?;
    }
    let commands = scratch.path().join("commands");
    std::fs::write(&commands, &script.text).doing(|| "writing the commands".into())?;
    let debugfs = Program::new("debugfs").args(["-w", "-f", "commands"]);
    debugfs.arg(root.address()).dir(scratch.path()).run()?;
    root.disk.flush()?;
    let fs = root.files()?;
    for put in puts {
        if !is_there(&fs, put)? {
            return Err(
                Error::stage(format!("{} could not be written into the root", put.path))
                    .cause("debugfs has left it out, or the file system is full")
                    .hint("look at the size of the disk, then run the same command again"),
            );
        }
    }
    Ok(())
}

fn is_there(fs: &Fs<'_>, put: &Put) -> Result<bool> {
    let doing = || format!("reading {} of the root", put.path);
    let (dir, name) = put.path.rsplit_once('/').unwrap_or(("", &put.path));
    let Some(dir) = fs.find(dir).doing(doing)? else {
        return Ok(false);
    };
    let names = fs.list(&dir).doing(doing)?;
    let Some((_, number)) = names
        .into_iter()
        .find(|(other, _)| other == name.as_bytes())
    else {
        return Ok(false);
    };
    let inode = fs.inode(number).doing(doing)?;
    let owned = (inode.mode & 0o7777, inode.uid, inode.gid) == (put.mode, put.uid, put.gid);
    Ok(match &put.content {
        Content::Link(target) => {
            inode.is_link() && fs.link(&inode).doing(doing)? == target.as_bytes()
        }
        Content::Directory => inode.is_dir() && owned,
        Content::Bytes(bytes) => {
            let most = bytes.len() as u64 + 1;
            inode.is_file() && owned && fs.read(&inode, most).doing(doing)? == *bytes
        }
    })
}
