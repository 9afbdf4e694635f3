//! QEMU as nobody: the program that takes its place where root starts it.
//!
//! libvirt, libguestfs and imgforge start `confine.sh` as they would start QEMU, and it does the rest.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use tempfile::TempDir;

use super::temporary::is_ours;
use super::{durable, exec, others};
use crate::error::{Context as _, Result};

/// What is started in place of QEMU.
const CONFINE: &str = include_str!("confine.sh");

/// What QEMU may do in a process of its own that starts no other program, for `-sandbox`.
pub const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// As [`SANDBOX`], for a QEMU that starts others. They begin sessions of their own, which counts as
/// elevating privileges.
pub const SANDBOX_OF_PARENTS: &str = "on,obsolete=deny,resourcecontrol=deny";

/// What starts the QEMU of one machine without a daemon: as nobody, where this user is root. Dropping
/// it removes what that needs.
#[derive(Debug)]
pub struct Confined {
    program: PathBuf,
    _dir: Option<TempDir>,
}

impl Confined {
    /// For the machine that gets `-uuid` and this UUID, in place of `qemu`. `scratch` holds what QEMU
    /// leaves; `disks` are those that libguestfs is told of, in this order, with their formats.
    ///
    /// # Errors
    /// When `scratch` cannot be written, or a disk names what nobody may read for it.
    pub fn new(qemu: &Path, scratch: &Path, uuid: &str, disks: &[(&Path, &str)]) -> Result<Self> {
        let root = rustix::process::geteuid().is_root();
        // Who starts what is not there says so.
        let Some(found) = fs::metadata(qemu).ok().filter(|_| root) else {
            let program = qemu.to_owned();
            return Ok(Confined {
                program,
                _dir: None,
            });
        };
        let layers = disks
            .iter()
            .map(|(disk, format)| others::layers(disk, format));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let make = || -> io::Result<Confined> {
            let dir = tempfile::Builder::new()
                .prefix("qemu-")
                .tempdir_in(executable(scratch)?)?;
            let guest = dir.path().join(uuid.get(..8).unwrap_or(uuid));
            fs::DirBuilder::new().mode(0o700).create(&guest)?;
            for (number, layers) in layers.iter().enumerate() {
                let mut list = File::create(guest.join(format!("layers-hd{number}")))?;
                for (path, format) in layers {
                    let path = std::path::absolute(path)?;
                    let words = [format.as_bytes(), path.as_os_str().as_bytes(), b""];
                    list.write_all(&words.join(&0))?;
                }
            }
            // Messages name it.
            let program = dir.path().join(qemu.file_name().unwrap_or_default());
            let qemu = exec::quote(&std::path::absolute(qemu)?.to_string_lossy());
            write(&program, &text("\"${0%/*}\"", &qemu, &[]))?;
            // By size and time libguestfs knows a QEMU that it has asked already.
            File::open(&program)?.set_modified(found.modified()?)?;
            Ok(Confined {
                program,
                _dir: Some(dir),
            })
        };
        make().doing(|| "preparing to start QEMU".into())
    }

    /// What to start instead of QEMU.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// Writes what a daemon of root starts in place of `runtime/qemu`, for guests that have their
/// directories in `runtime`; none sees `keys`.
///
/// # Errors
/// When the file cannot be written.
pub fn for_daemon(program: &Path, runtime: &Path, keys: &[PathBuf]) -> io::Result<()> {
    let quoted = |path: &Path| exec::quote(&path.to_string_lossy());
    let text = text(&quoted(runtime), &quoted(&runtime.join("qemu")), keys);
    write(program, &text)
}

/// [`CONFINE`] with words of the shell put in; keys are hidden wherever root has them.
fn text(runtime: &str, qemu: &str, keys: &[PathBuf]) -> String {
    let home = home();
    let gpg = std::env::var_os("GNUPGHOME").map(PathBuf::from);
    let hidden: Vec<String> = [home.join(".gnupg"), home.join(".ssh")]
        .iter()
        .chain(keys)
        .chain(&gpg)
        .map(|dir| exec::quote(&dir.to_string_lossy()))
        .collect();
    CONFINE
        .replace("@RUNTIME@", runtime)
        .replace("@QEMU@", qemu)
        .replace("@HIDDEN@", &hidden.join(" "))
}

fn write(program: &Path, text: &str) -> io::Result<()> {
    exec::write_program(program, text).map_err(io::Error::other)
}

/// `dir`, or another directory where programs can be started: hardened hosts start none in places for
/// temporary files.
fn executable(dir: &Path) -> io::Result<PathBuf> {
    if starts_programs(dir)? {
        return Ok(dir.to_owned());
    }
    let others = [
        home().join(".cache/imgforge"),
        "/var/cache/imgforge".into(),
        "/var/lib/imgforge".into(),
    ];
    let usable = others.iter().find_map(|other| usable(other).ok().flatten());
    usable.ok_or_else(|| {
        let dirs = others.map(|other| other.display().to_string()).join(", ");
        io::Error::other(format!(
            "programs can be started neither in {} nor in one of {dirs}, or others may write there",
            dir.display()
        ))
    })
}

fn starts_programs(dir: &Path) -> io::Result<bool> {
    Ok(!statvfs(dir)?.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// The directory, made if need be, if programs can be started there and nobody else can put one in
/// their place: root's `HOME` may be another user's.
fn usable(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut there = dir.ancestors().filter(|dir| dir.exists());
    let there = there.next().unwrap_or(Path::new("/")).canonicalize()?;
    if !is_ours(&there) {
        return Ok(None);
    }
    durable::create_dir(dir, 0o700)?;
    let dir = dir.canonicalize()?;
    Ok((is_ours(&dir) && starts_programs(&dir)?).then_some(dir))
}

fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| "/root".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// `sudo` leaves root the `HOME` of whoever called it, on some hosts.
    #[test]
    fn no_program_is_started_where_another_user_can_swap_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let place = dir.join("home/.cache/imgforge");
        fs::create_dir(dir.join("home")).unwrap();
        let mode = |mode| fs::set_permissions(dir.join("home"), fs::Permissions::from_mode(mode));
        mode(0o777).unwrap();
        assert_eq!(usable(&place).unwrap(), None);
        assert_eq!(dir.join("home").read_dir().unwrap().count(), 0);
        mode(0o755).unwrap();
        assert_eq!(usable(&place).unwrap(), Some(place.clone()));
        mode(0o777).unwrap();
        assert_eq!(usable(&place).unwrap(), None, "also if it is there");
        // What a program of QEMU's would be told, if there were one.
        assert_eq!(usable(Path::new("/proc/imgforge")).ok().flatten(), None);
    }
}
