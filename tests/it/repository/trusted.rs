//! Whose signatures count: one rule for every verb, tried with the program itself.

use super::world::*;
use crate::support::Run as _;

/// A site with two channels, and a stranger's index and key in place of the default channel's.
fn taken_over(config: &str) -> World {
    let site = World::publishing();
    let owner = site.signer().clone();
    let stranger = Signer::own(&site.path("other"), &Ui::silent()).unwrap();
    take_over(&site, owner, stranger, config);
    site
}

fn take_over(site: &World, owner: Signer, stranger: Signer, config: &str) {
    std::fs::create_dir(site.path("recipes")).unwrap();
    let repository = Repository::open(Settings::new(site.path("repo"), owner)).unwrap();
    let (one, two) = (site.disk("one"), site.disk("two"));
    publish(&repository, &one);
    publish_with(&repository, &two, |p| p.channel = "nightly").unwrap();
    std::fs::copy(repository.keyring(), site.path("allowed.gpg")).unwrap();
    let fake = Repository::open(Settings::new(site.path("fake"), stranger)).unwrap();
    publish(&fake, &site.disk("evil"));
    for file in [
        "index.asc",
        "imgforge.gpg",
        "images/web-node/revisions.sjson",
    ] {
        std::fs::copy(fake.path().join(file), repository.path().join(file)).unwrap();
    }
    site.configure(&format!(
        "repositories:\n  main: {{path: repo, {config}}}\n"
    ));
}

/// What the command says, which refuses the stranger.
fn blames_a_stranger(site: &World, args: &[&str]) -> String {
    let error = site.fails(4, args);
    assert!(
        error.contains("not among the trusted ones"),
        "{args:?}: {error}"
    );
    error
}

/// A fingerprint names a certificate by its subkeys, too.
#[test]
fn a_stranger_who_has_an_allowed_key_for_a_subkey_is_a_stranger() {
    let site = World::publishing();
    let home = |name: &str| site.path(name);
    let owner = Home::with_an_expired_key(home("owner"));
    owner.gpg(&["--quick-set-expire", &owner.fingerprint(), "0"]);
    let thief = Home::of_an_adopter(home("thief"), &owner);
    let signer = |home: &Home| Signer::configured_in(&home.fingerprint(), &home.0).unwrap();
    let config = "allowed-signers: allowed.gpg";
    take_over(&site, signer(&owner), signer(&thief), config);
    for args in [
        &["pull", "main#web-node", "-o", "pulled.raw"][..],
        &["repo", "verify"],
        &["repo", "copy", "copied"],
        &["status"],
        &["sync", "openstack", "web-node"],
    ] {
        blames_a_stranger(&site, args);
    }
    let allowed = std::fs::read(site.path("allowed.gpg")).unwrap();
    let mut keyring = Keyring::read(&allowed, None).unwrap();
    let offered = std::fs::read(site.path("repo/imgforge.gpg")).unwrap();
    assert!(!keyring.renew(&[&offered]).unwrap());
    assert_eq!(keyring.bytes, allowed);
}

#[test]
fn allowed_signers_count_for_every_verb_and_the_stranger_is_blamed() {
    let site = taken_over("allowed-signers: allowed.gpg");
    let repo = site.path("repo");
    let repo = repo.to_str().unwrap();
    let other = format!("{repo}#web-node");
    for args in [
        &["pull", "main#web-node", "-o", "pulled.raw"][..],
        &["pull", &other, "-o", "pulled.raw"],
        &["repo", "verify"],
        &["repo", "verify", repo],
        &["repo", "verify", "repo"],
        &["repo", "copy", "copied"],
        &["status"],
        &["sync", "openstack", "web-node"],
    ] {
        let error = blames_a_stranger(&site, args);
        let honest = "channels/nightly/index.asc: ";
        assert!(!error.contains(honest), "{args:?}: {error}");
    }
    for left in ["pulled.raw", "copied/index.asc"] {
        assert!(!site.path(left).exists(), "{left}");
    }
    let nightly = [
        "pull",
        "main#web-node",
        "--channel",
        "nightly",
        "-o",
        "n.raw",
    ];
    site.ok(&nightly);
    // Nobody signs over it.
    let error = site.fails(2, &["channel", "freeze", "stable", "--why", "x"]);
    assert!(error.contains("is signed by the key"), "{error}");
}

/// What lies beside the signed files is believed only where they say the same.
#[test]
fn a_record_that_nobody_signed_reaches_no_cloud() {
    let site = World::publishing();
    publish(&site.repository(), &site.disk("one"));
    let sync = ["sync", "openstack", "web-node"];
    let error = site.fails(2, &sync);
    assert!(
        error.contains("has no disk of `web-node` for OpenStack"),
        "{error}"
    );
    let record = site.path("repo/.imgforge/names/web-node.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["revisions"]["1"]["sha512"] = "0".repeat(128).into();
    std::fs::write(record, value.to_string()).unwrap();
    let error = site.fails(4, &sync);
    assert!(
        error.contains("the record of `web-node` says something else"),
        "{error}"
    );
}

#[test]
fn key_and_fingerprint_of_the_configuration_count_the_same() {
    let site = taken_over("key: allowed.gpg");
    let fingerprint =
        imgforge::gpg::Keyring::read(&std::fs::read(site.path("allowed.gpg")).unwrap(), None);
    let fingerprint = fingerprint.unwrap().fingerprints.remove(0);
    let by_fingerprint =
        format!("repositories:\n  main: {{path: repo, fingerprint: '{fingerprint}'}}\n");
    let error = site.fails(4, &["repo", "verify"]);
    assert!(
        error.contains("index.asc: the key that signed is not among"),
        "{error}"
    );
    site.configure(&by_fingerprint);
    let error = site.fails(4, &["repo", "verify"]);
    assert!(
        error.contains(&format!("the key {fingerprint} is not there")),
        "{error}"
    );
    // Who names a key on the command line means it.
    let fake = site.path("fake/imgforge.gpg");
    site.ok(&["repo", "verify", "fake", "--key", fake.to_str().unwrap()]);
}

#[test]
fn what_the_allowed_signers_sign_is_right_for_every_verb() {
    let site = World::publishing();
    let repository = site.repository();
    publish(&repository, &site.disk("one"));
    std::fs::copy(repository.keyring(), site.path("allowed.gpg")).unwrap();
    site.configure("repositories:\n  main: {path: repo, allowed-signers: allowed.gpg}\n");
    site.ok(&["repo", "verify"]);
    site.ok(&["repo", "copy", "copied"]);
    site.ok(&["pull", "main#web-node", "-o", "pulled.raw"]);
    site.ok(&["channel", "renew"]);
    site.ok(&["repo", "verify", "copied", "--key", "allowed.gpg"]);
}

/// A small file of others can keep gpg busy for long.
#[test]
fn gpg_reads_what_others_wrote_for_a_limited_time() {
    let site = World::publishing();
    publish(&site.repository(), &site.disk("one"));
    let log = site.path("log");
    let script = format!(
        "echo \"$(ulimit -t) $*\" >> {}\nexec /usr/bin/gpg \"$@\"",
        log.display()
    );
    let path = site.script("gpg", &script);
    let key = std::fs::read(site.path("repo/imgforge.gpg")).unwrap();
    let fingerprint = Keyring::read(&key, None).unwrap().fingerprints.remove(0);
    let by_fingerprint = format!("{{path: repo, fingerprint: '{fingerprint}'}}");
    for place in ["{path: repo}", &by_fingerprint] {
        site.configure(&format!("repositories:\n  main: {place}\n"));
        let mut verify = site.command(&["repo", "verify"]);
        verify.env("PATH", &path).said().ok();
    }
    let log = std::fs::read_to_string(log).unwrap();
    for reads in ["--show-keys", "--import", "--decrypt"] {
        let mut lines = log.lines().filter(|line| line.contains(reads)).peekable();
        assert!(lines.peek().is_some(), "{reads}: {log}");
        for line in lines {
            let (seconds, _) = line.split_once(' ').unwrap();
            assert!(
                seconds.parse().is_ok_and(|seconds: u32| seconds < 60),
                "{line}"
            );
        }
    }
}

/// With `use-keyboxd` gpg 2.4 ignores every keyring: the cause is named, not the repository blamed.
#[test]
fn a_gpg_that_ignores_keyrings_is_named() {
    let site = World::publishing();
    publish(&site.repository(), &site.disk("one"));
    let etc = site.path("etc");
    site.write("etc/common.conf", "# ours\nuse-keyboxd\n");
    let script = format!(
        "case $* in\n--list-dirs) echo sysconfdir:{} ;;\n\
         --list-components) echo keyboxd:Public Keys:/usr/lib/gnupg/keyboxd: ;;\n\
         *) exec /usr/bin/gpgconf \"$@\" ;;\nesac",
        etc.display()
    );
    let path = site.script("gpgconf", &script);
    let program = |args: &[&str]| site.command(args).env("PATH", &path).said();
    for args in [
        &["repo", "verify"][..],
        &["pull", "main#web-node", "-o", "x.raw"],
    ] {
        let error = program(args).err;
        let file = etc.join("common.conf");
        let named = format!("{} has `use-keyboxd`", file.display());
        assert!(
            error.contains(&named) && !error.contains("not to be trusted"),
            "{error}"
        );
    }
    std::fs::write(etc.join("common.conf"), "#use-keyboxd\n").unwrap();
    program(&["repo", "verify"]).ok();
}

/// Who writes to the directory can put the key there as it was.
#[test]
fn a_revocation_that_was_seen_holds() {
    let site = World::publishing();
    std::fs::create_dir(site.path("recipes")).unwrap();
    site.configure("repositories: {main: {path: repo, allowed-signers: allowed.gpg}}\n");
    publish(&site.repository(), &site.disk("one"));
    let there = site.path("repo/imgforge.gpg");
    let before = std::fs::read(&there).unwrap();
    std::fs::write(site.path("allowed.gpg"), &before).unwrap();
    site.ok(&["repo", "copy", "one"]);
    let home = Home(site.path("state/gnupg"));
    let certificates = std::fs::read_dir(home.0.join("openpgp-revocs.d")).unwrap();
    for certificate in certificates {
        let text = std::fs::read_to_string(certificate.unwrap().path()).unwrap();
        let import = home.program().arg("--import");
        import.input(text.replace(":-----", "-----")).run().unwrap();
    }
    let revoked = home.program().arg("--export").output().unwrap();
    for offered in [revoked, before] {
        std::fs::write(&there, offered).unwrap();
        let text = site.fails(4, &["repo", "copy", "two"]);
        assert!(text.contains("the key that signed is revoked"), "{text}");
        site.fails(4, &["status"]);
    }
}

/// Who only reads need not be able to write what was seen.
#[test]
fn what_cannot_be_kept_ends_nobody_who_reads() {
    let world = World::new();
    publish(&world.repository(), &world.disk("one"));
    let keyring = Keyring::of_file(&world.path("repo/imgforge.gpg"), None).unwrap();
    std::fs::write(world.path("file"), "").unwrap();
    let signers = Signers::of_keyring(keyring.clone()).remembered_in(&world.path("file/seen"));
    assert_eq!(signers.keyring(None).unwrap(), keyring);
}
