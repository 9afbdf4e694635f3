//! The keys of Puppet's agents: on this host, outside the store, readable for their owner only.
//!
//! The server keeps the certificate and gives it again to whoever has the key, so the key alone
//! makes the next build the same agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::recipe::types::{Action, Step};
use crate::runner::key_secret;

/// Where they are in the state directory.
const DIR: &str = "puppet";

/// The keys of the agents in `steps`, by the names of the secrets that bring them; made where they
/// are missing.
pub(super) fn keys(state: &Path, steps: &[Step]) -> Result<BTreeMap<String, Vec<u8>>> {
    agents(steps)
        .map(|certname| Ok((key_secret(certname), key(&state.join(DIR), certname)?)))
        .collect()
}

/// Those of the keys that were made already.
pub(super) fn made(state: &Path, steps: &[Step]) -> BTreeMap<String, Vec<u8>> {
    agents(steps)
        .filter_map(|certname| {
            let key = std::fs::read(path(&state.join(DIR), certname)).ok()?;
            Some((key_secret(certname), key))
        })
        .collect()
}

/// The names in the certificates of the agents in `steps`.
fn agents(steps: &[Step]) -> impl Iterator<Item = &str> {
    steps.iter().filter_map(|step| match &step.action {
        Action::Puppet(puppet) => Some(puppet.agent.as_ref()?.certname.as_str()),
        _ => None,
    })
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
        assert!(made(state.path(), &steps).is_empty());
        let first = keys(state.path(), &steps).unwrap();
        let (name, key) = first.iter().next().unwrap();
        assert_eq!((first.len(), name.as_str()), (1, "puppet.node-a"));
        assert!(key.starts_with(b"-----BEGIN PRIVATE KEY-----"));
        assert_eq!(keys(state.path(), &steps).unwrap(), first);
        assert_eq!(made(state.path(), &steps), first);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = state.path().join("puppet");
        assert_eq!((mode(&dir), mode(&dir.join("node-a.pem"))), (0o700, 0o600));
    }
}
