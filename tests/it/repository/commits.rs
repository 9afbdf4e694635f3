//! Git as the source of truth, from the command line to the manifest.

use std::os::unix::fs::PermissionsExt as _;

use super::world::*;
use imgforge::digest::file_sha256;

#[test]
fn nothing_is_published_but_from_a_signed_commit_which_manifest_and_history_name() {
    let site = World::publishing();
    let root = site.dir.path().to_owned();
    let git = |args: &[&str]| {
        let program = Program::new("git").args(args).dir(&root);
        program
            .text()
            .unwrap_or_else(|error| panic!("{}", error.render()))
    };
    // Of a file in the checkout a commit could say who may sign it.
    let keys = tempfile::tempdir().unwrap();
    let (key, allowed) = (keys.path().join("key"), keys.path().join("allowed"));
    let make = Program::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]);
    make.arg(&key).run().unwrap();
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    std::fs::write(&allowed, format!("me@example.org {public}")).unwrap();
    git(&["init", "-q"]);
    for (name, value) in [
        ("user.email", "me@example.org"),
        ("user.name", "Me"),
        ("gpg.format", "ssh"),
        ("user.signingkey", key.to_str().unwrap()),
        ("gpg.ssh.allowedSignersFile", allowed.to_str().unwrap()),
    ] {
        git(&["config", name, value]);
    }
    std::fs::write(
        root.join(".gitignore"),
        "/state/\n/repo/\n*.raw\n*.xz\n/announce\n/words\n",
    )
    .unwrap();
    site.configure(
        "require-signed-commits: true\nrepositories: {main: {path: repo, hooks: [{run: [./announce, words]}]}}\n",
    );
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(root.join("disk.raw"), &disk).unwrap();
    // It is too large for git: the commit has its digest.
    let image = format!(
        "disk.raw, sha256: {}",
        file_sha256(&root.join("disk.raw")).unwrap()
    );
    let recipe = format!("install: {{import: {{image: {image}}}}}\nmachine: {{disk: 1GiB}}\n");
    site.image("small", &recipe);
    git(&["add", "."]);
    git(&["commit", "-q", "--no-gpg-sign", "-m", "first"]);
    site.ok(&["build", "small", "--until", "install"]);
    site.finish("small", &site.disk("one"));

    let publish = ["publish", "small", "--to", "nightly"];
    let error = site.fails(4, &publish);
    assert!(
        error.contains("is not signed") && error.contains("hint: "),
        "{error}"
    );
    git(&["commit", "-q", "--amend", "-S", "-m", "signed"]);
    // A hook runs on the host with what is published: no commit says what this one does.
    let script = format!(
        "#!/bin/sh\ncat \"$1\" - >{}\n",
        root.join("state/told").display()
    );
    std::fs::write(root.join("announce"), script).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.join("announce"), mode).unwrap();
    std::fs::write(root.join("words"), "published\n").unwrap();
    for name in ["announce", "words"] {
        let error = site.fails(4, &publish);
        let line = format!("{name}: the commit does not have it");
        assert!(error.contains(&line), "{error}");
        git(&["add", "-f", name]);
        git(&["commit", "-q", "--amend", "-S", "-m", "signed"]);
    }
    let config = std::fs::read_to_string(root.join("imgforge.yaml")).unwrap();
    std::fs::write(root.join("imgforge.yaml"), format!("{config}# changed\n")).unwrap();
    let error = site.fails(4, &publish);
    assert!(error.contains("M imgforge.yaml"), "{error}");
    assert!(!root.join("repo/channels/nightly/index.asc").exists());

    git(&["checkout", "-q", "imgforge.yaml"]);
    site.ok(&publish);
    let told = std::fs::read_to_string(root.join("state/told")).unwrap();
    assert!(told.starts_with("published\n{"), "{told}");
    let commit = git(&["rev-parse", "HEAD"]);
    let manifest = std::fs::read(root.join("repo/images/small/1/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["commit"], commit.trim());
    let history = site.ok(&["channel", "history", "small", "--json"]).out;
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history[0]["commit"], commit.trim());
}
