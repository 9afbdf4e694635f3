//! What an operation works on: a mounted machine, and what must stay.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Declared;
use super::accounts::{self, Account};
use crate::error::Result;
use crate::guest::{Guestfs, Key, Os, literal};

/// The file type bits of a mode, and a regular file's.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// What a pattern matches.
enum Found {
    File(PathBuf),
    Dir(PathBuf),
}

/// A mounted machine, and what must stay in it.
#[derive(Debug)]
pub struct GuestRoot<'g> {
    /// The session with its disks.
    pub guest: &'g Guestfs,
    /// The operating system that is mounted.
    pub os: &'g Os,
    /// What the image declares.
    pub declared: &'g Declared,
    /// Keys of the encrypted volumes, should one have to be opened again.
    pub luks_keys: &'g [Key],
    /// What the user should know in the end, a sentence each.
    pub notes: Vec<String>,
    /// What operations said of files that were locked.
    pub(super) locked_notes: std::cell::RefCell<Vec<String>>,
    /// Whether the guest's own list of certificate authorities must be made anew.
    pub(super) ca_store_changed: bool,
    /// Old and new UUIDs of file systems.
    pub(super) renamed: Vec<(String, String)>,
    accounts: Vec<Account>,
    keep: Vec<PathBuf>,
}

impl<'g> GuestRoot<'g> {
    /// Reads the guest's accounts, as their homes tell what is to be kept.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(
        guest: &'g Guestfs,
        os: &'g Os,
        declared: &'g Declared,
        luks_keys: &'g [Key],
    ) -> Result<Self> {
        let passwd = match guest.is_file("/etc/passwd")? {
            true => guest.read_file("/etc/passwd")?,
            false => Vec::new(),
        };
        let mut root = GuestRoot {
            guest,
            os,
            declared,
            luks_keys,
            notes: os.notes.clone(),
            locked_notes: std::cell::RefCell::default(),
            ca_store_changed: false,
            renamed: vec![],
            accounts: accounts::parse(&String::from_utf8_lossy(&passwd)),
            keep: declared.files.iter().map(PathBuf::from).collect(),
        };
        let users = declared.keys.keys().chain(&declared.accounts);
        let files = users.map(|user| PathBuf::from(root.authorized_keys(user)));
        root.keep.extend(files.collect::<Vec<_>>());
        Ok(root)
    }

    /// The guest's accounts.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Where a user's public keys are.
    pub(super) fn authorized_keys(&self, user: &str) -> String {
        let account = self.accounts.iter().find(|account| account.name == user);
        let home = match account {
            Some(account) => account.home.clone(),
            None if user == "root" => "/root".into(),
            None => format!("/home/{user}"),
        };
        format!("{home}/.ssh/authorized_keys")
    }

    /// Whether the packages are Debian's.
    pub fn is_deb(&self) -> bool {
        self.os.package_format == "deb"
    }

    /// Removes files and trees. A `*` in the last part of a pattern also means hidden files.
    ///
    /// # Errors
    /// When something cannot be removed; nothing to remove is no error.
    pub fn remove(&self, patterns: &[&str]) -> Result<()> {
        for found in self.find(patterns)? {
            match found {
                Found::File(path) => self.remove_file(&path)?,
                Found::Dir(path) => self.remove_dir(&path)?,
            }
        }
        Ok(())
    }

    /// Removes what patterns match but for directories.
    ///
    /// # Errors
    /// As [`GuestRoot::remove`].
    pub fn remove_files(&self, patterns: &[&str]) -> Result<()> {
        for found in self.find(patterns)? {
            if let Found::File(path) = found {
                self.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Removes all files in trees but `except`; the directories stay.
    ///
    /// # Errors
    /// As [`GuestRoot::remove`].
    pub fn remove_files_below(&self, dirs: &[&str], except: &[String]) -> Result<()> {
        let patterns: Vec<String> = dirs.iter().map(|dir| format!("{dir}/*")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        for found in self.find(&patterns)? {
            match found {
                Found::File(path) if except.iter().any(|kept| Path::new(kept) == path) => {}
                Found::File(path) => self.remove_file(&path)?,
                Found::Dir(path) => {
                    let below = literal(&path.to_string_lossy());
                    self.remove_files_below(&[&below], except)?;
                }
            }
        }
        Ok(())
    }

    /// What patterns match; a link to a directory is a file.
    fn find(&self, patterns: &[&str]) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for path in self.guest.glob_marked(&one_pattern(patterns))? {
            let bytes = path.as_os_str().as_bytes();
            all.push(match bytes.strip_suffix(b"/") {
                None => Found::File(path),
                Some(bare) => {
                    let bare = PathBuf::from(OsStr::from_bytes(bare));
                    let link = match bare.to_str() {
                        Some(text) => self.guest.is_symlink(text)?,
                        None => false,
                    };
                    if link {
                        Found::File(bare)
                    } else {
                        Found::Dir(bare)
                    }
                }
            });
        }
        Ok(all)
    }

    /// Takes every line but the declared ones from the `authorized_keys` of declared users, where
    /// `reach` says that the file's path is meant.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn keep_declared_keys(&self, reach: impl Fn(&str) -> bool) -> Result<()> {
        for user in self.declared.keys.keys() {
            let path = self.authorized_keys(user);
            let whole =
                self.declared.accounts.contains(user) || self.declared.files.contains(&path);
            if whole || !reach(&path) || !self.guest.is_file(&path)? {
                continue;
            }
            let old = self.guest.read_file(&path)?;
            let text = String::from_utf8_lossy(&old);
            let new = self.declared.declared_lines(user, &text);
            if new.is_empty() {
                self.changing(Path::new(&path), || self.guest.rm_f(&path))?;
            } else if new != text {
                self.write(&path, new)?;
            }
        }
        Ok(())
    }

    /// Removes everything in directories, which stay.
    ///
    /// # Errors
    /// As [`GuestRoot::remove`].
    pub fn empty(&self, dirs: &[&str]) -> Result<()> {
        dirs.iter()
            .try_for_each(|dir| self.remove(&[&format!("{dir}/*")]))
    }

    /// Empties regular files that have content; owner and mode stay.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn truncate(&self, patterns: &[&str]) -> Result<()> {
        let found = self.guest.glob(&one_pattern(patterns))?;
        found.iter().try_for_each(|path| self.truncate_path(path))
    }

    /// Empties one existing file if it is regular and has content.
    ///
    /// # Errors
    /// When it is missing or cannot be written.
    pub fn truncate_path(&self, path: &str) -> Result<()> {
        let stat = self.guest.lstat(path)?;
        if stat.mode & TYPE == REGULAR && stat.size > 0 && !self.is_kept(Path::new(path)) {
            self.changing(Path::new(path), || self.guest.truncate_size(path, 0))?;
        }
        Ok(())
    }

    /// Removes one file or tree, named literally.
    ///
    /// # Errors
    /// When it cannot be removed; a missing one is no error.
    pub fn remove_path(&self, path: &str) -> Result<()> {
        let dir = self.guest.is_dir(path)? && !self.guest.is_symlink(path)?;
        match dir {
            true => self.remove_dir(Path::new(path)),
            false => self.remove_file(Path::new(path)),
        }
    }

    /// Whether an existing path is a regular file; symbolic links are not followed.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn is_regular(&self, path: &str) -> Result<bool> {
        Ok(self.guest.lstat(path)?.mode & TYPE == REGULAR)
    }

    /// Rewrites text files with `edit`, if that changes them. Owner and mode stay.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn edit(&self, patterns: &[&str], edit: impl Fn(&str) -> String) -> Result<()> {
        for path in self.guest.glob(&one_pattern(patterns))? {
            if self.is_kept(Path::new(&path)) || !self.guest.is_file(&path)? {
                continue;
            }
            // What is not text is not the kind of file that `edit` knows.
            if let Ok(text) = String::from_utf8(self.guest.read_file(&path)?) {
                let edited = edit(&text);
                if edited != text {
                    self.write(&path, edited)?;
                }
            }
        }
        Ok(())
    }

    /// Writes a file with a mode, unless it is there already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn install(&self, path: &str, content: &str, mode: u32) -> Result<()> {
        if self.guest.is_file(path)? && self.guest.read_file(path)? == content.as_bytes() {
            return Ok(());
        }
        if let Some((dir, _)) = path.rsplit_once('/') {
            self.guest.mkdir_p(dir)?;
        }
        self.changing(Path::new(path), || {
            self.guest.write(path, content)?;
            self.guest.chmod(mode as i32, path)
        })
    }

    /// Makes a symbolic link, unless it is there already.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn link(&self, path: &str, target: &str) -> Result<()> {
        if self.guest.is_symlink(path)? && self.guest.readlink(path)? == target {
            return Ok(());
        }
        self.changing(Path::new(path), || self.guest.ln_sf(target, path))
    }

    /// Whether a path is to be kept, or in something that is.
    pub fn is_kept(&self, path: &Path) -> bool {
        self.keep.iter().any(|kept| path.starts_with(kept))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        match self.is_kept(path) {
            true => Ok(()),
            false => self.changing(path, || self.guest.rm_f_path(path)),
        }
    }

    /// Removes what is not kept; a mount point is emptied.
    fn remove_dir(&self, path: &Path) -> Result<()> {
        if self.is_kept(path) {
            return Ok(());
        }
        let mounts = self.os.mountpoints.iter().map(|(at, _)| Path::new(at));
        if !self
            .keep
            .iter()
            .map(PathBuf::as_path)
            .chain(mounts)
            .any(|stays| stays.starts_with(path))
        {
            return self.removing(path);
        }
        // Names that are not UTF-8 cannot be asked for below; such a directory holds no kept file
        // that anyone could have named.
        match path.to_str() {
            Some(dir) => self.empty(&[&literal(dir)]),
            None => Ok(()),
        }
    }
}

/// All patterns as one, as each question costs a round trip. A `*` in the last part means hidden
/// files, too, and the last letter of a literal goes into brackets: only a pattern matches
/// dangling links.
fn one_pattern(patterns: &[&str]) -> String {
    let mut all = Vec::new();
    for pattern in patterns {
        // libguestfs wants the pattern itself to begin with the slash.
        let pattern = pattern.trim_start_matches('/');
        if let Some(dir) = pattern.strip_suffix("/*") {
            all.extend(["*", ".[!.]*", "..?*"].map(|name| format!("{dir}/{name}")));
        } else {
            let last = pattern
                .chars()
                .next_back()
                .filter(|c| c.is_ascii_alphanumeric());
            all.push(match last {
                Some(last) => format!("{}[{last}]", &pattern[..pattern.len() - 1]),
                None => (*pattern).to_owned(),
            });
        }
    }
    format!("/{{{}}}", all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_one_question() {
        assert_eq!(
            one_pattern(&["/etc/a", "/tmp/*", "/home/*/.x", "/etc/shadow-"]),
            "/{etc/[a],tmp/*,tmp/.[!.]*,tmp/..?*,home/*/.[x],etc/shadow-}"
        );
    }
}
