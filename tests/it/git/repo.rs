//! A checkout, and the keys that sign its commits.

use imgforge::error::{Error, Kind};
use imgforge::git::{Signers, publishable_by};
use imgforge::host::exec::Program;

pub(super) struct Repo {
    pub(super) dir: tempfile::TempDir,
    pub(super) home: tempfile::TempDir,
}

impl Repo {
    pub(super) fn new() -> Self {
        let repo = Repo {
            dir: tempfile::tempdir().unwrap(),
            home: tempfile::tempdir().unwrap(),
        };
        repo.git(&["init", "-q"]);
        repo.git(&["config", "user.email", "me@example.org"]);
        repo.git(&["config", "user.name", "Me"]);
        for name in ["a", "b"] {
            let key = repo.key(name);
            Program::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &key])
                .run()
                .unwrap();
        }
        repo.git(&["config", "gpg.format", "ssh"]);
        repo.git(&["config", "user.signingkey", &repo.key("a")]);
        repo
    }

    pub(super) fn key(&self, name: &str) -> String {
        self.home.path().join(name).to_string_lossy().into_owned()
    }

    /// An executable script outside of the checkout; its path.
    pub(super) fn script(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        imgforge::host::exec::write_program(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    pub(super) fn git(&self, args: &[&str]) -> String {
        Program::new("git")
            .args(args)
            .dir(self.dir.path())
            .text()
            .unwrap()
    }

    pub(super) fn commit(&self, text: &str, signed: bool) {
        std::fs::write(self.dir.path().join("recipe"), text).unwrap();
        self.git(&["add", "recipe"]);
        let sign = if signed { "-S" } else { "--no-gpg-sign" };
        self.git(&["commit", "-q", sign, "-m", text]);
    }

    pub(super) fn signers(&self, name: &str) -> Signers {
        let public = std::fs::read_to_string(self.key(&format!("{name}.pub"))).unwrap();
        self.allowed(&format!("me@example.org {public}"))
    }

    pub(super) fn allowed(&self, text: &str) -> Signers {
        let path = self.home.path().join("allowed-signers");
        std::fs::write(&path, text).unwrap();
        Signers::read(&path, self.dir.path()).unwrap()
    }

    pub(super) fn refused(&self, required: bool, signers: Option<&Signers>) -> Error {
        let error = publishable_by(self.dir.path(), required, &[], signers).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        error
    }
}
