//! The keys of Puppet's agents: on this host, outside the store, readable for their owner only.
//!
//! The server keeps the certificate and gives it again to whoever has the key, so the key alone
//! makes the next build the same agent.

use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;

/// Where they are in the state directory.
const DIR: &str = "puppet";

/// The private key of the agent named `certname`, which the state directory keeps; made where it is
/// missing.
pub(super) fn of(state: &Path, certname: &str) -> Result<Vec<u8>> {
    key(&state.join(DIR), certname)
}

/// The key, if it was made already.
pub(super) fn kept(state: &Path, certname: &str) -> Option<Vec<u8>> {
    std::fs::read(path(&state.join(DIR), certname)).ok()
}

fn path(dir: &Path, certname: &str) -> PathBuf {
    dir.join(format!("{certname}.pem"))
}

fn key(dir: &Path, certname: &str) -> Result<Vec<u8>> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let path = path(dir, certname);
    let doing = || format!("the key of Puppet's agent, {}", path.display());
    match std::fs::read(&path) {
        Ok(key) => return Ok(key),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => return Err(cause).doing(doing),
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .doing(doing)?;
    let made = Program::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA"])
        .args(["-pkeyopt", "rsa_keygen_bits:4096"])
        .hint("apt-get install openssl")
        .output()?;
    if !made.starts_with(b"-----BEGIN") {
        return Err(Error::internal("openssl printed no key"));
    }
    let mut file = tempfile::NamedTempFile::new_in(dir).doing(doing)?;
    std::io::Write::write_all(&mut file, &made).doing(doing)?;
    let private = std::fs::Permissions::from_mode(0o600);
    file.as_file().set_permissions(private).doing(doing)?;
    file.as_file().sync_all().doing(doing)?;
    // Another build may have been faster; its key is the one.
    match file.persist_noclobber(&path) {
        Ok(_) => Ok(made),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::read(&path).doing(doing)
        }
        Err(error) => Err(error.error).doing(doing),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Step, kept_secrets, secrets};
    use super::*;

    #[test]
    fn an_agent_has_the_same_private_key_in_every_build() {
        use std::os::unix::fs::PermissionsExt as _;
        let state = tempfile::tempdir().unwrap();
        let steps: Vec<Step> = serde_json::from_value(serde_json::json!([
            {"action": {"puppet": {"agent": {"server": "puppet.example", "certname": "node-a"}}}},
            {"action": "reboot"},
        ]))
        .unwrap();
        assert!(kept_secrets(&steps, state.path()).is_empty());
        let first = secrets(&steps, state.path()).unwrap();
        let (name, key) = first.iter().next().unwrap();
        assert_eq!((first.len(), name.as_str()), (1, "puppet.node-a"));
        assert!(key.starts_with(b"-----BEGIN PRIVATE KEY-----"));
        assert_eq!(secrets(&steps, state.path()).unwrap(), first);
        assert_eq!(kept_secrets(&steps, state.path()), first);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = state.path().join("puppet");
        assert_eq!((mode(&dir), mode(&dir.join("node-a.pem"))), (0o700, 0o600));
    }
}
