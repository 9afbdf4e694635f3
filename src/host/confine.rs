//! QEMU as nobody: the program that takes its place where root starts it.
//!
//! libvirt, libguestfs and imgforge start `confine.sh` as they would start QEMU, and it does the rest.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::{StatVfsMountFlags, statvfs};
use tempfile::TempDir;

use super::temporary::is_ours;
use super::{accel, durable, exec, others};
use crate::error::{Context as _, Result};

/// What is started in place of QEMU.
const CONFINE: &str = include_str!("confine.sh");

/// What an ordinary user's libguestfs starts: QEMU looks for its firmware where it starts, before it does
/// where it is.
const ELSEWHERE: &str = "#!/bin/sh\ncd / && exec @QEMU@ \"$@\"\n";

/// The first of 2^24 user ids that no user has. A container that has none of them has 65534.
const NOBODY: u32 = 0x7000_0000;

/// What QEMU may do in a process of its own that starts no other program, for `-sandbox`.
pub const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// As [`SANDBOX`], for a QEMU that starts others. They begin sessions of their own, which counts as
/// elevating privileges.
pub const SANDBOX_OF_PARENTS: &str = "on,obsolete=deny,resourcecontrol=deny";

/// What starts the QEMU of one machine without a daemon: as nobody, where this user is root, and what is
/// libguestfs' where nobody else has left files. Dropping it removes what that needs.
#[derive(Debug)]
pub struct Confined {
    program: PathBuf,
    _dir: Option<TempDir>,
}

impl Confined {
    /// For the machine that gets `-uuid` and this UUID, in place of `qemu`. `scratch` holds what QEMU
    /// leaves; `disks` are those that libguestfs is told of, in this order, with their formats. A machine
    /// that has none of those starts where its caller says.
    ///
    /// # Errors
    /// When `scratch` cannot be written, or a disk names what nobody may read for it.
    pub fn new(qemu: &Path, scratch: &Path, uuid: &str, disks: &[(&Path, &str)]) -> Result<Self> {
        let root = rustix::process::geteuid().is_root();
        // Who starts what is not there says so.
        let started = |_: &fs::Metadata| root || !disks.is_empty();
        let Some(found) = fs::metadata(qemu).ok().filter(started) else {
            let program = qemu.to_owned();
            return Ok(Confined {
                program,
                _dir: None,
            });
        };
        let disks = disks.iter().filter(|_| root);
        let layers = disks.map(|(disk, format)| others::layers(disk, format));
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
            let text = match root {
                true => text("\"${0%/*}\"", &qemu, None, &found)?,
                false => ELSEWHERE.replace("@QEMU@", &qemu),
            };
            exec::write_program(&program, &text).map_err(io::Error::other)?;
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

/// Whether a user id is one of those that root's QEMU gets as nobody, and what is started for it.
pub fn is_nobodys(user: u32) -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let given = || rustix::process::geteuid().is_root();
    let another = || user == 65534 && !maps(&map, NOBODY);
    (user >> 24 == NOBODY >> 24 || another()) && given()
}

/// Whether a user name space has a user id, by its uid_map.
fn maps(map: &str, user: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
        matches!(numbers[..], [first, _, count] if (first..first + count).contains(&user.into()))
    })
}

/// What a daemon of root starts in place of `qemu`, for guests that have their directories in `runtime`; none
/// sees `keys`. It is another text for another QEMU of that name.
///
/// # Errors
/// When there is no `qemu`.
pub fn for_daemon(qemu: &Path, runtime: &Path, keys: &Path) -> io::Result<String> {
    let quoted = |path: &Path| exec::quote(&path.to_string_lossy());
    let found = fs::metadata(qemu)?;
    text(&quoted(runtime), &quoted(qemu), Some(keys), &found)
}

/// What tells a QEMU from the next one of its name, in words.
///
/// # Errors
/// When its file system keeps no times.
pub fn version(found: &fs::Metadata) -> io::Result<String> {
    let changed = found.modified()?.duration_since(UNIX_EPOCH);
    let changed = changed.unwrap_or_default().as_secs();
    Ok(format!("{} bytes of {changed}", found.len()))
}

/// [`CONFINE`] with words of the shell put in; keys are hidden wherever root has them.
fn text(
    runtime: &str,
    qemu: &str,
    keys: Option<&Path>,
    found: &fs::Metadata,
) -> io::Result<String> {
    let home = home();
    let gpg = std::env::var_os("GNUPGHOME").map(PathBuf::from);
    let hidden: Vec<String> = [home.join(".gnupg"), home.join(".ssh")]
        .iter()
        .map(PathBuf::as_path)
        .chain(keys)
        .chain(gpg.as_deref())
        .map(|dir| exec::quote(&dir.to_string_lossy()))
        .collect();
    let text = CONFINE.replace("@VERSION@", &version(found)?);
    let text = text.replace("@RUNTIME@", runtime).replace("@QEMU@", qemu);
    let devices: Vec<&str> = accel::devices().collect();
    let text = text.replace("@ACCELERATORS@", &devices.join(" "));
    Ok(text.replace("@HIDDEN@", &hidden.join(" ")))
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

    /// QEMU takes `bios-256k.bin` of the directory in which it starts, whoever left it there. The web
    /// server of a ramdisk's boot test has its files there.
    #[test]
    fn qemu_starts_where_nobody_else_has_left_firmware() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let shared = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&dir, shared.clone()).unwrap();
        let (qemu, disk, here) = (dir.join("qemu"), dir.join("disk"), dir.join("here"));
        fs::create_dir(&here).unwrap();
        fs::write(here.join("kernel"), "").unwrap();
        fs::write(&qemu, "#!/bin/sh\npwd\n").unwrap();
        fs::set_permissions(&qemu, shared).unwrap();
        fs::write(&disk, [0; 512]).unwrap();
        let uuid = "0badcafe-0000-4000-8000-000000000000";
        let starts_in = |disks: &[_], more: &[&str]| {
            let confined = Confined::new(&qemu, &dir, uuid, disks).unwrap();
            let program = exec::Program::at(confined.program()).dir(&here);
            program.args(["-uuid", uuid]).args(more).text().unwrap()
        };
        assert_eq!(starts_in(&[(&disk, "raw")], &[]), "/");
        let served = starts_in(&[], &["-netdev", "user,id=n,guestfwd=x"]);
        assert!(Path::new(&served).starts_with(&dir), "{served}");
    }

    /// libvirt asks an emulator again that has changed.
    #[test]
    fn a_daemon_sees_that_qemu_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let qemu = dir.path().join("qemu");
        let text = || for_daemon(&qemu, dir.path(), dir.path()).unwrap();
        fs::write(&qemu, "one").unwrap();
        let one = text();
        assert_eq!(text(), one);
        fs::write(&qemu, "another").unwrap();
        assert_ne!(text(), one);
    }

    /// Not even to nobody is a directory open that is root's own, and /run is out of sight.
    #[test]
    #[ignore = "root: src/host/confine.rs src/host/confine.sh"]
    fn a_daemon_starts_a_qemu_that_nobody_reaches() {
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let runtime = tempfile::tempdir().unwrap();
        let runtime = runtime.path().canonicalize().unwrap();
        mode(&runtime, 0o755);
        fs::create_dir(runtime.join("libvirt")).unwrap();
        fs::write(runtime.join("libvirt/resolv.conf"), "").unwrap();
        let program = runtime.join("libvirt/qemu");
        for parent in [std::env::temp_dir(), "/run".into()] {
            let own = tempfile::tempdir_in(parent).unwrap();
            mode(own.path(), 0o700);
            let qemu = own.path().join("qemu");
            fs::write(&qemu, "#!/bin/sh\nid -u\n").unwrap();
            mode(&qemu, 0o755);
            let text = for_daemon(&qemu, &runtime, &runtime.join("keys")).unwrap();
            exec::write_program(&program, &text).unwrap();
            let guest = runtime.join("0badcafe");
            fs::create_dir(&guest).unwrap();
            let started = exec::Program::at(&program);
            let uuid = "0badcafe-0000-4000-8000-000000000000";
            let user = started.args(["-uuid", uuid]).text().unwrap();
            assert!(is_nobodys(user.parse().unwrap()), "{user}");
            assert_eq!(exec::Program::at(&program).text().unwrap(), "0");
            fs::remove_dir_all(guest).unwrap();
        }
    }

    #[test]
    fn a_container_may_have_few_user_ids() {
        assert!(maps("         0          0 4294967295\n", NOBODY));
        assert!(!maps("0 1000 1\n1 100000 65536\n", NOBODY));
    }

    /// mountinfo says `a\0401`.
    #[test]
    fn a_mount_point_with_a_blank_before_a_digit_is_read_only() {
        let words = CONFINE.lines().find(|line| line.contains("printf -v at"));
        let script = format!("at='/a\\0401\\134b'; {}; printf %s \"$at\"", words.unwrap());
        let bash = exec::Program::new("bash").args(["-c", &script]);
        assert_eq!(bash.text().unwrap(), "/a 1\\b");
    }

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
