//! Who may sign the recipes, according to this host.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::call::Git;
use crate::error::{Context as _, Error, Result};

/// Whether there is such a name, file or not. What cannot be seen may say who may sign: it is not
/// taken for nothing.
fn is_named(path: &Path) -> Result<bool> {
    let unseen = |cause: std::io::Error| {
        let path = path.display();
        Error::host(format!(
            "nobody can tell whether there is a {path}, which says who may sign"
        ))
        .cause(cause)
        .hint(
            "make its directory readable for this user, mount what is missing, or remove the name",
        )
    };
    let absent = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::NotFound;
    for name in path.ancestors() {
        match name.symlink_metadata() {
            Ok(_) if name == path => return Ok(true),
            // A link to nowhere is no absent directory.
            Ok(_) => return name.metadata().map(|_| false).map_err(unseen),
            Err(cause) if absent(&cause) => {}
            Err(cause) => return Err(unseen(cause)),
        }
    }
    Ok(false)
}

/// Whether a file lies in the recipe repository at `root`, or elsewhere in the checkout around it.
fn lies_in_checkout(path: &Path, root: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let root = real(root);
    let checkout = root.ancestors().find(|dir| dir.join(".git").exists());
    real(path).starts_with(checkout.unwrap_or(&root))
}

/// The setting of git's own that would let a commit say who may sign it, and the file that it names
/// in the checkout, if it does.
pub(super) fn in_commit(git: &Git, root: &Path) -> Option<(&'static str, PathBuf)> {
    let named = |setting: &&str| {
        let ask = ["config", "--type=path", "--get", setting];
        // git fails where there is no such setting.
        let path = root.join(git.call(&ask).text().ok()?);
        lies_in_checkout(&path, root).then_some(path)
    };
    let settings = ["gpg.ssh.allowedSignersFile", "gpg.ssh.revocationFile"];
    settings
        .into_iter()
        .find_map(|setting| Some((setting, named(&setting)?)))
}

/// Who may sign, according to this host.
#[derive(Debug)]
pub struct Signers {
    pub(super) path: PathBuf,
    text: String,
}

impl Signers {
    pub(super) fn find(root: &Path) -> Result<Option<Self>> {
        let named = std::env::var_os("IMGFORGE_ALLOWED_SIGNERS").map(PathBuf::from);
        let explicit = named.is_some();
        let config = std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".config")));
        let user = config.map(|dir| dir.join("imgforge/allowed-signers"));
        let candidates = match named {
            Some(path) => vec![path],
            None => [Some(PathBuf::from("/etc/imgforge/allowed-signers")), user]
                .into_iter()
                .flatten()
                .collect(),
        };
        for path in candidates {
            if explicit || is_named(&path)? {
                return Self::read(&path, root).map(Some);
            }
        }
        Ok(None)
    }

    /// Reads the file `path`, which must not lie in the recipe repository at `root`.
    ///
    /// # Errors
    /// When it does, or cannot be read.
    pub fn read(path: &Path, root: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            let path = path.display();
            Error::host(format!("{path}, which says who may sign, cannot be read")).cause(cause)
        })?;
        if lies_in_checkout(path, root) {
            return Err(
                Error::usage(format!("{} lies in the recipe repository", path.display()))
                    .cause("a commit could change who may sign it")
                    .hint("move it to /etc/imgforge/allowed-signers"),
            );
        }
        let path = path.to_owned();
        Ok(Signers { path, text })
    }

    /// Whether a line names one of these OpenPGP keys.
    pub(super) fn openpgp(&self, keys: &[&str]) -> bool {
        let named = self
            .text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("openpgp "));
        let plain = |text: &str| {
            text.split('#')
                .next()
                .unwrap_or_default()
                .replace(' ', "")
                .to_uppercase()
        };
        named
            .map(plain)
            .any(|name| name.len() >= 40 && keys.iter().any(|key| *key == name))
    }

    /// The other lines, for ssh-keygen.
    pub(super) fn ssh_file(&self) -> Result<tempfile::NamedTempFile> {
        let doing = || "writing the allowed signers for git".to_owned();
        let mut file = tempfile::NamedTempFile::new().doing(doing)?;
        for line in self
            .text
            .lines()
            .filter(|line| !line.trim_start().starts_with("openpgp "))
        {
            writeln!(file, "{line}").doing(doing)?;
        }
        file.flush().doing(doing)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A file that says who may sign is demanded as long as nobody knows that it is not there.
    #[test]
    fn only_a_name_that_is_not_there_demands_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).join("allowed-signers");
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        assert!(!is_named(&at("etc")).unwrap() && !is_named(&at("none")).unwrap());
        std::fs::write(at("etc"), "").unwrap();
        assert!(is_named(&at("etc")).unwrap());
        std::fs::remove_file(at("etc")).unwrap();
        symlink("/nowhere/mounted", at("etc")).unwrap();
        assert!(
            is_named(&at("etc")).unwrap(),
            "a link to nowhere is read, and that fails"
        );
        assert!(Signers::read(&at("etc"), dir.path()).is_err());
        symlink("/nowhere/mounted", dir.path().join("link")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        for unseen in ["link", "loop", "file"] {
            let error = is_named(&at(unseen)).unwrap_err().render();
            assert!(
                error.contains("which says who may sign"),
                "{unseen}: {error}"
            );
        }
    }
}
