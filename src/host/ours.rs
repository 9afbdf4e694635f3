//! Who else than this user can change a file, and with it what imgforge does.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fstatfs, major, minor, openat, readlinkat};

use super::opened;
use crate::host::exec::quote;

/// The number of FUSE, and of what is like it, among file systems: see statfs(2).
const FUSE: i64 = 0x6573_5546;

/// Whose files count as this user's own.
#[derive(Debug, Clone)]
pub struct Owners {
    users: Vec<u32>,
}

/// What a name meant when it was opened, whatever becomes of it.
#[derive(Debug)]
pub struct Seen {
    data: Metadata,
    teller: Teller,
    target: Option<PathBuf>,
}

/// Who says what there is on a file system, its owners and modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// The kernel, or a program that only root can have mounted.
    Host,
    /// A program of this user, by FUSE.
    User(u32),
    /// Whatever program, by FUSE: it is mounted no more, or elsewhere.
    Unknown,
}

impl Seen {
    /// What is there; a link is looked at itself.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Self::of(&openat(CWD, path, flags, Mode::empty())?.into())
    }

    /// What an open file is. It is asked, not its name, and is held meanwhile: the program behind a
    /// FUSE is unmounted in the middle of an answer, if it likes that.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        let target = match data.is_symlink() {
            true => Some(readlinkat(file, "", vec![])?.into_bytes()),
            false => None,
        };
        let target = target.map(|bytes| OsString::from_vec(bytes).into());
        let is_fuse = fstatfs(file.as_fd()).map_or(true, |found| found.f_type == FUSE);
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let teller = match is_fuse {
            true => teller(&mounts(), data.dev()),
            false => Teller::Host,
        };
        Ok(Seen {
            data,
            teller,
            target,
        })
    }

    /// What an absolute path leads through, from the root directory on, each found in the one before.
    ///
    /// # Errors
    /// When one cannot be looked at, or is a link that another one follows.
    pub fn on_the_way_to(path: &Path) -> io::Result<Vec<Self>> {
        let mut seen = vec![];
        opened::steps(path, |part: OwnedFd| seen.push(Self::of(&part.into())))?;
        seen.into_iter().collect()
    }

    /// Owner, mode and kind.
    pub fn data(&self) -> &Metadata {
        &self.data
    }

    /// Where it leads, if it is a link: as the one that was opened says, whatever has its name now.
    pub fn target(&self) -> Option<&Path> {
        self.target.as_deref()
    }
}

/// What lets somebody else change a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong with it, a clause.
    pub why: String,
    /// The command that mends it, if there is one that harms nobody.
    pub mend: Option<String>,
}

impl Fault {
    /// Of what cannot be looked at, nobody knows whose it is.
    pub fn unseen(path: &Path, cause: &std::io::Error) -> Self {
        Fault {
            why: format!("{} cannot be looked at: {cause}", path.display()),
            mend: None,
        }
    }
}

/// The user that this process acts as.
pub fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl From<Vec<u32>> for Owners {
    fn from(users: Vec<u32>) -> Self {
        Owners { users }
    }
}

impl Owners {
    /// This user alone.
    pub fn me() -> Self {
        vec![me()].into()
    }

    /// This user, and root, who can do all that this user can.
    pub fn me_and_root() -> Self {
        Self::of(me(), None)
    }

    /// Whose recipes are obeyed: those of this user and of root; of root also those of who called
    /// `sudo`, as git has it.
    pub fn obeyed() -> Self {
        Self::of(me(), std::env::var("SUDO_UID").ok().as_deref())
    }

    fn of(me: u32, sudo: Option<&str>) -> Self {
        let caller: Option<u32> = sudo.filter(|_| me == 0).and_then(|uid| uid.parse().ok());
        let mut owners = vec![0, me];
        owners.extend(caller);
        owners.into()
    }

    /// These, and who has the root directory: in a user namespace the host's root is no known user.
    #[must_use]
    pub fn and_of_the_root_directory(mut self) -> Self {
        self.users
            .extend(Path::new("/").metadata().map(|root| root.uid()));
        self
    }

    /// Whose program says what there is of this file, if that is none of these: of FUSE, where owners
    /// and modes are its words.
    pub fn foreign_teller(&self, seen: &Seen) -> Option<String> {
        match seen.teller {
            Teller::User(user) if !self.users.contains(&user) => Some(format!("the user {user}")),
            Teller::Unknown => Some("an unknown user".into()),
            Teller::Host | Teller::User(_) => None,
        }
    }

    /// What lets others write a file, or name things in a directory. Others may in a `sticky`
    /// directory, where each renames what is their own, if what is in it is looked at by itself.
    pub fn fault(&self, path: &Path, seen: &Seen, sticky: bool) -> Option<Fault> {
        let found = &seen.data;
        let (owner, group, mode) = (found.uid(), found.gid(), found.mode());
        let (shown, word) = (path.display(), quote(&path.to_string_lossy()));
        let fault = |why, mend| Some(Fault { why, mend });
        if let Some(user) = self.foreign_teller(seen) {
            let why = format!("{shown} is what a program of {user} says, by FUSE");
            return fault(why, None);
        }
        if !self.users.contains(&owner) {
            let why = format!("{shown} belongs to another user, with the number {owner}");
            return fault(why, Some(format!("chown -R {}: {word}", me())));
        }
        // The permissions of a link are no permissions.
        if found.is_symlink() || sticky && mode & 0o1000 != 0 {
            return None;
        }
        // An ordinary user's private group has the user's number, and is nobody else's.
        let private = owner != 0 && owner == group;
        let who = match (mode & 0o002 != 0, mode & 0o020 != 0 && !private) {
            (true, _) => "everybody may write there",
            (_, true) => "its group may write there",
            _ => return None,
        };
        let mode = mode & 0o7777;
        let why = format!("{who}: {shown} has the mode {mode:04o}");
        // One as /tmp has to stay as it is.
        let mend = (mode & 0o1000 == 0).then(|| format!("chmod go-w {word}"));
        fault(why, mend)
    }

    /// What lets others decide what the names at and above a directory mean.
    pub fn fault_at_or_above(&self, dir: &Path) -> Option<Fault> {
        let fault = |dir: &Path| match Seen::at(dir) {
            Ok(seen) => self.fault(dir, &seen, true),
            Err(cause) => Some(Fault::unseen(dir, &cause)),
        };
        let found = dir.ancestors().find_map(fault);
        // Much more lies there than what it is about.
        found.map(|fault| Fault {
            mend: None,
            ..fault
        })
    }
}

/// Who says what there is on the device of a file that is open, which may be of FUSE: also virtiofs
/// is, in other words, and not of a program of this host.
fn teller(mounts: &str, device: u64) -> Teller {
    let device = format!("{}:{}", major(device), minor(device));
    let teller = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        if place.split(' ').nth(2) != Some(&device) {
            return None;
        }
        let mut kind = kind.split(' ');
        if !kind.next()?.starts_with("fuse") {
            return Some(Teller::Host);
        }
        let mut options = kind.next_back()?.split(',');
        let user = options.find_map(|word| word.strip_prefix("user_id="));
        let user = user.and_then(|user| user.parse().ok());
        Some(user.map_or(Teller::Unknown, Teller::User))
    });
    teller.unwrap_or(Teller::Unknown)
}

/// Opens a file for reading that only this user can have written: a link, a pipe, or a file that
/// is somebody else's, is refused.
///
/// # Errors
/// When it is refused, or cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    open_as(path, File::options().read(true))
}

/// As [`open`], for writing too: an exclusive lock on NFS asks for that.
///
/// # Errors
/// As [`open`].
pub fn open_writable(path: &Path) -> io::Result<File> {
    open_as(path, File::options().read(true).write(true))
}

fn open_as(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.custom_flags(flags.bits() as i32).open(path)?;
    let seen = Seen::of(&file)?;
    match Owners::me().fault(path, &seen, false) {
        Some(fault) => Err(io::Error::new(io::ErrorKind::PermissionDenied, fault.why)),
        None if !seen.data.is_file() => {
            let why = format!("{} is no file", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidInput, why))
        }
        None => Ok(file),
    }
}

/// Makes these options refuse a link, or wait for the other end of a pipe.
pub fn no_link(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn root_obeys_who_called_sudo_and_nobody_else_does() {
        assert_eq!(Owners::of(0, Some("1000")).users, [0, 0, 1000]);
        assert_eq!(Owners::of(0, Some("x")).users, [0, 0]);
        assert_eq!(Owners::of(0, None).users, [0, 0]);
        assert_eq!(Owners::of(1001, Some("1000")).users, [0, 1001]);
    }

    #[test]
    fn what_others_own_or_may_write_is_told_with_what_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a file");
        std::fs::write(&file, "").unwrap();
        let fault = |owners: &[u32], mode: u32, sticky| {
            set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            Owners::from(owners.to_vec()).fault(&file, &Seen::at(&file).unwrap(), sticky)
        };
        let (mine, other) = ([me()], [me() + 1]);
        assert_eq!(fault(&mine, 0o644, false), None);
        assert_eq!(fault(&mine, 0o1666, true), None);
        let found = fault(&mine, 0o646, false).unwrap();
        assert!(found.why.starts_with("everybody may write"), "{found:?}");
        assert_eq!(
            found.mend.unwrap(),
            format!("chmod go-w '{}'", file.display())
        );
        assert_eq!(fault(&mine, 0o1646, false).unwrap().mend, None);
        let found = fault(&other, 0o600, true).unwrap();
        assert!(found.why.contains("belongs to another user"), "{found:?}");
        assert_eq!(
            found.mend.unwrap(),
            format!("chown -R {}: '{}'", me(), file.display())
        );
        // Root's group has members; a user's own has that user.
        let found = file.symlink_metadata().unwrap();
        let private = found.uid() != 0 && found.uid() == found.gid();
        assert_eq!(fault(&mine, 0o664, false).is_none(), private);
    }

    /// Who owns the directory exchanges the link once it was judged.
    #[test]
    fn a_link_leads_where_the_one_that_was_looked_at_does() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink("good", &link).unwrap();
        let seen = Seen::at(&link).unwrap();
        std::fs::remove_file(&link).unwrap();
        symlink("evil", &link).unwrap();
        assert_eq!(seen.target(), Some(Path::new("good")));
        assert_eq!(Seen::at(dir.path()).unwrap().target(), None);
    }

    #[test]
    fn a_link_or_a_pipe_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, 0o600.into(), 0).unwrap();
        assert!(open(&at("file")).is_ok());
        for name in ["link", "pipe"] {
            assert!(open(&at(name)).is_err(), "{name}");
        }
        let linked = no_link(File::options().write(true).create(true)).open(at("link"));
        assert!(linked.is_err());
        assert_eq!(std::fs::read(at("file")).unwrap(), b"x");
    }

    /// Its program may be unmounted as soon as it is asked: what no table names is nobody's.
    #[test]
    fn a_file_system_of_fuse_is_its_users() {
        let mounts = "23 28 0:22 / /sys rw,nosuid - sysfs sysfs rw\n\
             60 28 0:53 / /home/eve/mnt rw shared:9 - fuse.sshfs eve@host:/ rw,user_id=1007\n\
             62 28 0:62 / /mnt/share rw - virtiofs share rw\n\
             61 28 0:54 / /mnt/a\\040b rw - fuseblk /dev/sdb1 rw,user_id=0,allow_other\n";
        let of = |minor| teller(mounts, rustix::fs::makedev(0, minor));
        assert_eq!([of(22), of(62)], [Teller::Host; 2]);
        assert_eq!([of(53), of(54)], [1007, 0].map(Teller::User));
        assert_eq!(of(55), Teller::Unknown);
        let mine = Owners::from(vec![0, 1007]);
        for (teller, is_fault) in [
            (Teller::Host, false),
            (Teller::User(1007), false),
            (Teller::User(1008), true),
            (Teller::Unknown, true),
        ] {
            let data = Path::new("/").metadata().unwrap();
            let target = None;
            let found = mine.foreign_teller(&Seen {
                data,
                teller,
                target,
            });
            assert_eq!(found.is_some(), is_fault, "{teller:?}");
        }
    }
}
