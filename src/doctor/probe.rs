//! Looks at the host. Judges nothing, changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use crate::error::{Context as _, Result};
use crate::gpg::Signer;
use crate::host::exec::{Program, apart};
use crate::host::foreign;
use crate::host::tools::{self, Tool};
use crate::hypervisor::{Connection, Options};
use crate::machine::{self, Arch};
use crate::store::ledger::Ledger;

/// A kernel of the host.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) path: PathBuf,
    pub(super) readable: bool,
    /// Its modules are installed.
    pub(super) modules: bool,
}

/// How libvirt was reached.
#[derive(Debug)]
pub(super) struct Libvirt {
    pub(super) uri: String,
    /// A daemon of imgforge's own.
    pub(super) private: bool,
}

/// What an ordinary user needs for name spaces.
#[derive(Debug)]
pub(super) struct UserIds {
    pub(super) root: bool,
    pub(super) user: String,
    /// There are lines in `/etc/subuid` and `/etc/subgid`.
    pub(super) ranges: bool,
    /// A user name space can be made.
    pub(super) namespaces: bool,
}

pub(super) fn libvirt(uri: Option<&str>) -> Result<Libvirt> {
    // A ledger of its own: the state directory may not be writable, and this changes nothing.
    let scratch = tempfile::tempdir().doing(|| "making a scratch directory".into())?;
    let ledger = Ledger::open(scratch.path())?;
    let connection = Connection::open(&Options {
        uri,
        host_ports: &[],
        isolated: false,
        program: Path::new("imgforge"),
        ledger: &ledger,
    })?;
    Ok(Libvirt {
        uri: connection.uri().to_owned(),
        private: connection.is_private(),
    })
}

/// The kernels in `boot`, the newest last.
pub(super) fn kernels(boot: &Path, modules: &Path) -> Vec<Kernel> {
    let mut found: Vec<(Vec<u64>, Kernel)> = std::fs::read_dir(boot)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name
                .strip_prefix("vmlinuz-")
                .or_else(|| name.strip_prefix("vmlinux-"))?;
            let kernel = Kernel {
                path: entry.path(),
                readable: access(entry.path(), Access::READ_OK).is_ok(),
                modules: modules.join(version).is_dir(),
            };
            Some((numbers(version), kernel))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.into_iter().map(|(_, kernel)| kernel).collect()
}

/// The numbers of a kernel's version, so that 6.10 comes after 6.9.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect()
}

pub(super) fn user_ids() -> UserIds {
    let uid = rustix::process::geteuid();
    let user = Program::new("id")
        .arg("-un")
        .text()
        .unwrap_or_else(|_| uid.as_raw().to_string());
    let (name, id) = (format!("{user}:"), format!("{}:", uid.as_raw()));
    let has_range = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .any(|line| line.starts_with(&name) || line.starts_with(&id))
    };
    UserIds {
        root: uid.is_root(),
        ranges: has_range("/etc/subuid") && has_range("/etc/subgid"),
        namespaces: Program::new("true")
            .in_namespaces(&["--user", "--map-current-user", "--net"])
            .run()
            .is_ok(),
        user,
    }
}

/// Whether programs of root that read disks of others can be set apart from the host.
pub(super) fn apart() -> Option<Result<()>> {
    let root = rustix::process::geteuid().is_root();
    root.then(apart::possible)
}

pub(super) fn firmware() -> bool {
    machine::find_uefi(Arch::default()).is_some()
}

/// What guests of another architecture need, each as an error where it is missing: QEMU, UEFI, and what
/// runs packages' scripts.
pub(super) fn foreign(arch: Arch) -> [Result<()>; 3] {
    [
        tools::need([Tool::Qemu(arch)]).and_then(|()| tools::machine(arch)),
        tools::uefi(arch).map(drop),
        foreign::find(arch).map(drop),
    ]
}

/// The directory itself, or the nearest one above it that exists.
fn existing(dir: &Path) -> &Path {
    dir.ancestors()
        .find(|dir| dir.symlink_metadata().is_ok())
        .unwrap_or(Path::new("/"))
}

pub(super) fn writable(dir: &Path) -> io::Result<()> {
    let nearest = existing(dir);
    if !nearest.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory));
    }
    Ok(access(nearest, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Bytes that this user may still write.
pub(super) fn space(dir: &Path) -> io::Result<u64> {
    crate::host::space::free(existing(dir))
}

/// Packages that bootstrapping reads files of, and whether they are there.
pub(super) fn archives() -> [(&'static str, bool); 3] {
    [
        (
            "debian-archive-keyring",
            "keyrings/debian-archive-keyring.gpg",
        ),
        ("ubuntu-keyring", "keyrings/ubuntu-archive-keyring.gpg"),
        ("distro-info-data", "distro-info/ubuntu.csv"),
    ]
    .map(|(package, file)| (package, Path::new("/usr/share").join(file).is_file()))
}

pub(super) fn signing_key(name: Option<&str>) -> Result<()> {
    name.map_or(Ok(()), |name| Signer::configured(name).map(drop))
}

/// Any answer of the server counts.
pub(super) fn mirror(url: &str) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .http_status_as_error(false)
        .build()
        .into();
    agent
        .head(url)
        .call()
        .map(drop)
        .map_err(|cause| cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_sorted_by_version() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["vmlinuz-6.10.0-1", "vmlinuz-6.9.0-2", "config-6.9.0-2"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("6.9.0-2")).unwrap();
        let found: Vec<(String, bool)> = kernels(dir.path(), dir.path())
            .into_iter()
            .map(|k| {
                (
                    k.path.file_name().unwrap().to_string_lossy().into_owned(),
                    k.modules,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("vmlinuz-6.9.0-2".to_owned(), true),
                ("vmlinuz-6.10.0-1".to_owned(), false)
            ]
        );
    }

    #[test]
    fn a_directory_below_a_file_is_not_writable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(writable(&file.path().join("state")).is_err());
        let dir = tempfile::tempdir().unwrap();
        assert!(writable(&dir.path().join("not/yet/there")).is_ok());
        assert!(space(&dir.path().join("not/yet")).unwrap() > 0);
    }

    #[test]
    fn a_mirror_that_refuses_is_named() {
        assert!(mirror("http://127.0.0.1:9/").is_err());
    }
}
