//! Which commits may be published from.

mod forged;
mod repo;

use std::path::{Path, PathBuf};

use imgforge::error::Kind;
use imgforge::git::{Signers, publishable_by, source};
use imgforge::host::exec::Program;
use imgforge::store::digests::Digests;
use imgforge::store::inputs::Walked;

use crate::support::{Run as _, imgforge};
use repo::Repo;

/// A file or directory as a plan reads it.
fn walked(digests: &Digests, path: PathBuf) -> Walked {
    let found = digests.walk(&path).unwrap();
    Walked {
        path,
        found,
        installer: false,
    }
}

#[test]
fn only_a_clean_checkout_of_a_commit_signed_by_an_allowed_key_is_published_from() {
    let repo = Repo::new();
    let root = repo.dir.path();
    repo.commit("one", false);
    let found = publishable_by(root, false, &[], None).unwrap().unwrap();
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
    let found = publishable_by(root, true, &[], Some(&a)).unwrap().unwrap();
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
    publishable_by(root, true, &[], Some(&a)).unwrap();
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
    // git signs with our key directory.
    let script = format!(
        "#!/bin/sh\nexec gpg --homedir {} --batch \"$@\"\n",
        home.0.display()
    );
    let program = repo.script("gpg", &script);
    repo.git(&["config", "gpg.format", "openpgp"]);
    repo.git(&["config", "gpg.program", &program]);
    repo.git(&["config", "user.signingkey", &fingerprint]);
    let root = repo.dir.path();
    let write = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
    std::fs::create_dir(root.join("recipes")).unwrap();
    write(
        "recipes/small.yaml",
        "name: small\ninstall: {import: {image: recipe}}\n",
    );
    write(
        "imgforge.yaml",
        "state: ../state\nrepositories: {main: {path: recipe}}\n",
    );
    repo.git(&["add", "."]);
    repo.commit("one", true);
    // Its own configuration names no program that counts.
    repo.git(&["config", "gpg.program", "/bin/false"]);
    let allowed = repo.home.path().join("allowed-signers");
    let build = |text: &str| {
        std::fs::write(&allowed, text).unwrap();
        let mut build = imgforge();
        build
            .arg("-C")
            .arg(root)
            .args(["--progress", "plain", "--state"]);
        build.arg(repo.home.path().join("state"));
        build.args(["build", "small", "--publish"]);
        build.env("GNUPGHOME", &home.0);
        build.env("IMGFORGE_ALLOWED_SIGNERS", &allowed).said()
    };
    // The repository's directory is a file: that is found after the commit is.
    let found = build(&format!("openpgp {fingerprint} # me\n")).exits(3);
    found.says(&["cannot be written"]);
    let refused = build(&format!("openpgp {}\n", "A".repeat(40))).exits(4);
    refused.says(&["does not name"]);
}

/// A signed commit has what is copied, and nothing tells `git status` of a change.
#[test]
fn what_a_build_reads_are_the_bytes_of_the_commit() {
    let repo = Repo::new();
    let root = repo.dir.path();
    let path = |name: &str| root.join("files").join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    let mode = |name: &str, mode: u32| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path(name), mode).unwrap();
    };
    std::fs::create_dir_all(path("sub")).unwrap();
    std::fs::write(root.join(".gitignore"), "*.secret\n").unwrap();
    std::fs::write(root.join(".gitattributes"), "files/dos text eol=crlf\n").unwrap();
    for name in ["a", "sub/b", "run", "odd \"name"] {
        write(name, name);
    }
    write("dos", "one\ntwo\n");
    let real = "large ".repeat(1000);
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&real));
    let pointer = "version https://git-lfs.github.com/spec/v1\n";
    write(
        "large",
        &format!("{pointer}oid sha256:{digest}\nsize {}\n", real.len()),
    );
    mode("run", 0o755);
    std::os::unix::fs::symlink("a", path("link")).unwrap();
    std::os::unix::fs::symlink("files", root.join("near")).unwrap();
    repo.git(&["add", "."]);
    repo.commit("one", true);
    repo.git(&["config", "core.fileMode", "false"]);
    let a = repo.signers("a");
    let digests = Digests::open(repo.home.path());
    let read =
        |name: &str| publishable_by(root, true, &[walked(&digests, root.join(name))], Some(&a));
    let fine = |name: &str| drop(read(name).unwrap());
    let refused = |name: &str, why: &str| {
        let error = read(name).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        let text = error.render();
        assert!(text.contains(why), "no `{why}` in {text}");
    };
    fine("files");
    fine("near/a");
    let hide = |how: &str, name: &str| repo.git(&["update-index", how, &format!("files/{name}")]);

    write("token.secret", "ignored");
    refused("files", "files/token.secret: the commit does not have it");
    refused("near", "files/token.secret: the commit does not have it");
    fine("files/sub");
    std::fs::remove_file(path("token.secret")).unwrap();

    hide("--assume-unchanged", "a");
    write("a", "changed");
    refused("files", "files/a: it differs from the commit");
    refused(
        "files/a",
        "1 files that the build reads are not those of the commit",
    );
    write("a", "a");
    hide("--skip-worktree", "sub/b");
    std::fs::remove_file(path("sub/b")).unwrap();
    refused("files", "files/sub/b: is missing");
    write("sub/b", "sub/b");
    mode("run", 0o644);
    refused("files/run", "files/run: whether it is executable differs");
    mode("run", 0o755);
    hide("--assume-unchanged", "link");
    std::fs::remove_file(path("link")).unwrap();
    std::os::unix::fs::symlink("run", path("link")).unwrap();
    refused("files", "files/link: a link that the commit does not have");
    std::fs::remove_file(path("link")).unwrap();
    std::os::unix::fs::symlink("a", path("link")).unwrap();

    // What its filter would put there, and anything else.
    hide("--assume-unchanged", "large");
    write("large", &real);
    fine("files/large");
    write("large", &real.replace('g', "G"));
    refused("files", "files/large: it differs");
    write("large", &real);
    hide("--assume-unchanged", "dos");
    write("dos", "one\r\ntwo\r\n");
    refused("files", "files/dos: its line ends were converted");
    write("dos", "one\ntwo\n");
    fine("files");

    std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
    repo.git(&["add", "out"]);
    repo.git(&["commit", "-q", "-S", "-m", "out"]);
    refused("out/hostname", "the link out leads out of the repository");
}

/// The commit of a submodule is part of the commit, so its files are.
#[test]
fn the_files_of_a_submodule_are_those_of_its_commit() {
    let (repo, inner) = (Repo::new(), Repo::new());
    inner.commit("inner", false);
    let from = inner.dir.path().to_str().unwrap();
    let allow = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
    ];
    repo.git(&[&allow[..], &[from, "roles"]].concat());
    repo.commit("one", true);
    let (root, a) = (repo.dir.path(), repo.signers("a"));
    let digests = Digests::open(repo.home.path());
    let read = || {
        publishable_by(
            root,
            true,
            &[walked(&digests, root.join("roles"))],
            Some(&a),
        )
    };
    read().unwrap();
    std::fs::write(root.join("roles/recipe"), "changed").unwrap();
    let error = read().unwrap_err().render();
    assert!(
        error.contains("roles/recipe: it differs from the commit"),
        "{error}"
    );
}

/// Every setting of a checkout that names a program, for what imgforge asks of git.
#[test]
fn no_program_that_a_checkout_names_is_run() {
    let repo = Repo::new();
    repo.commit("one", true);
    let (root, a) = (repo.dir.path(), repo.signers("a"));
    let ran = repo.home.path().join("ran");
    let script = format!("#!/bin/sh\necho \"$0\" >> {}\n", ran.display());
    let program = repo.script("program", &script);
    for hook in ["post-index-change", "reference-transaction"] {
        repo.script(&format!("hooks/{hook}"), &script);
    }
    for (name, value) in [
        ("core.hooksPath", repo.key("hooks").as_str()),
        ("core.fsmonitor", &program),
        ("core.pager", &program),
        ("core.sshCommand", &program),
        ("core.askPass", &program),
        ("credential.helper", &program),
        ("diff.external", &program),
        ("diff.evil.textconv", &program),
        ("filter.evil.clean", &program),
        ("filter.evil.smudge", &program),
        ("filter.evil.process", &program),
        ("filter.evil.required", "true"),
        ("filter.a=b.clean", &program),
        ("gpg.program", &program),
        ("gpg.ssh.program", &program),
        ("gpg.openpgp.program", &program),
        ("gpg.ssh.defaultKeyCommand", &program),
        ("log.showSignature", "true"),
    ] {
        repo.git(&["config", name, value]);
    }
    let attributes = "* filter=evil diff=evil\nrecipe filter=a=b\n";
    std::fs::write(root.join(".git/info/attributes"), attributes).unwrap();
    let file = std::fs::File::options()
        .write(true)
        .open(root.join("recipe"));
    let touched = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    file.unwrap().set_modified(touched).unwrap();
    publishable_by(root, true, &[], Some(&a)).unwrap();
    assert!(!source(root).unwrap().unwrap().dirty);
    assert!(!ran.exists(), "{}", std::fs::read_to_string(&ran).unwrap());
    // They are there to be run.
    let status = Program::new("git").args(["status", "--short"]).dir(root);
    drop(status.text());
    assert!(ran.exists());
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

/// Without a host's file git asks its own setting: of a file in the checkout, who commits decides.
#[test]
fn no_commit_names_its_own_signers_by_gits_setting() {
    let repo = Repo::new();
    let root = repo.dir.path();
    std::fs::create_dir(root.join("image")).unwrap();
    let public = std::fs::read_to_string(repo.key("a.pub")).unwrap();
    std::fs::write(root.join("keys"), format!("me@example.org {public}")).unwrap();
    std::fs::write(root.join("image/recipe"), "").unwrap();
    repo.git(&["add", "keys", "image"]);
    repo.commit("one", true);
    let elsewhere = repo.home.path().join("keys");
    std::fs::copy(root.join("keys"), &elsewhere).unwrap();
    let name = |setting: &str, path: &Path| {
        let setting = format!("gpg.ssh.{setting}");
        repo.git(&["config", &setting, path.to_str().unwrap()]);
    };
    name("allowedSignersFile", &elsewhere);
    for root in [root, &root.join("image")] {
        publishable_by(root, true, &[], None).unwrap();
        for path in [
            root.join("keys"),
            repo.dir.path().join("keys"),
            "keys".into(),
        ] {
            if !root.join(&path).exists() {
                continue;
            }
            name("allowedSignersFile", &path);
            let error = publishable_by(root, true, &[], None).unwrap_err();
            assert_eq!(error.kind(), Kind::Gate);
            let text = error.render();
            assert!(text.contains("lies in the checkout"), "{text}");
        }
        name("allowedSignersFile", &elsewhere);
        name("revocationFile", &repo.dir.path().join("keys"));
        let text = publishable_by(root, true, &[], None).unwrap_err().render();
        assert!(text.contains("revocationFile"), "{text}");
        repo.git(&["config", "--unset", "gpg.ssh.revocationFile"]);
    }
}
