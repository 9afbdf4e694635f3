//! QEMU as nobody: the program that takes its place where root starts it.
//!
//! libvirt, libguestfs and imgforge start `confine.sh` as they would start QEMU, and it does the rest.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use tempfile::TempDir;

use super::{exec, others};
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
            write(&program, &text("\"${0%/*}\"", &qemu, &[]))?
                // By size and time libguestfs knows a QEMU that it has asked already.
                .set_modified(found.modified()?)?;
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
    write(program, &text).map(drop)
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

fn write(program: &Path, text: &str) -> io::Result<File> {
    let mut file = File::create(program)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(0o755))?;
    Ok(file)
}

/// `dir`, or a directory of this user where programs can be started in there: hardened hosts start
/// none in places for temporary files.
fn executable(dir: &Path) -> io::Result<PathBuf> {
    if !statvfs(dir)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Ok(dir.to_owned());
    }
    let other = home().join(".cache/imgforge");
    fs::create_dir_all(&other)?;
    Ok(other)
}

fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| "/root".into())
}
