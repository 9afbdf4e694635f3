//! Which commits may be published from.

use std::path::Path;

use imgforge::error::{Error, Kind};
use imgforge::host::exec::Program;
use imgforge::pipeline::git::{Signers, publishable_by, source};

struct Repo {
    dir: tempfile::TempDir,
    home: tempfile::TempDir,
}

impl Repo {
    fn new() -> Self {
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

    fn key(&self, name: &str) -> String {
        self.home.path().join(name).to_string_lossy().into_owned()
    }

    fn git(&self, args: &[&str]) -> String {
        Program::new("git")
            .args(args)
            .dir(self.dir.path())
            .text()
            .unwrap()
    }

    fn commit(&self, text: &str, signed: bool) {
        std::fs::write(self.dir.path().join("recipe"), text).unwrap();
        self.git(&["add", "recipe"]);
        let sign = if signed { "-S" } else { "--no-gpg-sign" };
        self.git(&["commit", "-q", sign, "-m", text]);
    }

    fn signers(&self, name: &str) -> Signers {
        let public = std::fs::read_to_string(self.key(&format!("{name}.pub"))).unwrap();
        self.allowed(&format!("me@example.org {public}"))
    }

    fn allowed(&self, text: &str) -> Signers {
        let path = self.home.path().join("allowed-signers");
        std::fs::write(&path, text).unwrap();
        Signers::read(&path, self.dir.path()).unwrap()
    }

    fn refused(&self, required: bool, signers: Option<&Signers>) -> Error {
        let error = publishable_by(self.dir.path(), required, signers).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        error
    }
}

#[test]
fn only_a_clean_checkout_of_a_commit_signed_by_an_allowed_key_is_published_from() {
    let repo = Repo::new();
    let root = repo.dir.path();
    repo.commit("one", false);
    let found = publishable_by(root, false, None).unwrap().unwrap();
    assert_eq!(
        (found.commit.len(), found.dirty),
        (40, false),
        "nothing is demanded"
    );
    let a = repo.signers("a");
    assert!(
        repo.refused(true, Some(&a))
            .render()
            .contains("is not signed")
    );
    repo.commit("two", true);
    let found = publishable_by(root, true, Some(&a)).unwrap().unwrap();
    assert_eq!(found.commit, repo.git(&["rev-parse", "HEAD"]));
    assert!(
        repo.refused(true, None)
            .render()
            .contains("nobody says who may sign")
    );
    // A host that names signers demands them, whatever the repository says of itself.
    let b = repo.signers("b");
    let error = repo.refused(false, Some(&b)).render();
    assert!(
        error.contains("does not name") && error.contains("allowed-signers demands"),
        "{error}"
    );

    let a = repo.signers("a");
    std::fs::write(root.join("recipe"), "changed").unwrap();
    assert!(source(root).unwrap().unwrap().dirty);
    let error = repo.refused(true, Some(&a)).render();
    assert!(
        error.contains("1 files differ") && error.contains("M recipe"),
        "{error}"
    );
    repo.git(&["checkout", "-q", "recipe"]);
    std::fs::write(root.join("new"), "").unwrap();
    assert!(repo.refused(true, Some(&a)).render().contains("?? new"));
    std::fs::write(root.join(".git/info/exclude"), "new\n").unwrap();
    publishable_by(root, true, Some(&a)).unwrap();
}

#[test]
fn openpgp_signatures_count_when_the_host_names_their_key() {
    let repo = Repo::new();
    let home = crate::repository::world::Home::new(repo.home.path().join("gnupg"));
    home.gpg(&[
        "--quick-gen-key",
        "me <me@example.org>",
        "ed25519",
        "sign",
        "never",
    ]);
    let fingerprint = home.fingerprint();
    // git runs gpg without our key directory.
    let program = repo.home.path().join("gpg");
    let script = format!(
        "#!/bin/sh\nexec gpg --homedir {} --batch \"$@\"\n",
        home.0.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    repo.git(&["config", "gpg.format", "openpgp"]);
    repo.git(&["config", "gpg.program", &program.to_string_lossy()]);
    repo.git(&["config", "user.signingkey", &fingerprint]);
    repo.commit("one", true);
    let root = repo.dir.path();
    publishable_by(root, true, None).unwrap();
    let named = repo.allowed(&format!("openpgp {fingerprint} # me\n"));
    publishable_by(root, true, Some(&named)).unwrap();
    let other = repo.allowed(&format!("openpgp {}\n", "A".repeat(40)));
    assert!(
        repo.refused(true, Some(&other))
            .render()
            .contains("does not name")
    );
}

#[test]
fn who_may_sign_is_not_for_a_commit_to_say() {
    let repo = Repo::new();
    let inside = repo.dir.path().join("allowed-signers");
    std::fs::write(&inside, "").unwrap();
    let error = Signers::read(&inside, repo.dir.path()).unwrap_err();
    assert!(
        error.render().contains("lies in the recipe repository"),
        "{}",
        error.render()
    );
    assert!(
        source(Path::new("/")).unwrap().is_none(),
        "no repository is no error"
    );
}
