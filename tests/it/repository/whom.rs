//! Nobody names a key, and somebody who can write to the repository's directory puts his there, with
//! all that it has signed.

use super::world::*;
use crate::pull::replay::sign_again;
use crate::support::{Run as _, Said};

/// What reads a repository of imgforge.yaml.
const READERS: [&[&str]; 6] = [
    &["pull", "main#web-node", "-o", "pulled.raw"],
    &["repo", "verify"],
    &["repo", "verify", "repo"],
    &["repo", "copy", "copied"],
    &["status"],
    &["sync", "openstack", "web-node"],
];

/// A repository that this host has published, and one of a stranger.
fn site() -> World {
    let site = World::publishing();
    std::fs::create_dir(site.path("recipes")).unwrap();
    publish(&site.repository(), &site.disk("one"));
    let stranger = Signer::own(&site.path("other"), &Ui::silent()).unwrap();
    let fake = Repository::open(Settings::new(site.path("fake"), stranger)).unwrap();
    publish(&fake, &site.disk("evil"));
    site
}

fn take_over(site: &World) {
    let copy = Program::new("cp").arg("-a").arg(site.path("fake/."));
    copy.arg(site.path("repo")).run().unwrap();
}

fn refused_by_all(site: &World, state: &str) -> String {
    let mut told = String::new();
    for args in READERS {
        let text = site.fails(4, &[&["--state", state], args].concat());
        assert!(
            text.contains("not among the trusted ones"),
            "{args:?}: {text}"
        );
        told = text;
    }
    for left in ["pulled.raw", "copied/index.asc"] {
        assert!(!site.path(left).exists(), "{left}");
    }
    told
}

#[test]
fn where_this_host_signs_its_key_counts_whatever_lies_in_the_directory() {
    let site = site();
    site.ok(&["repo", "verify"]);
    take_over(&site);
    let told = refused_by_all(&site, "state");
    assert!(
        told.contains("with which this host signs") && told.contains("`fingerprint:`"),
        "{told}"
    );
}

#[test]
fn where_this_host_signs_nothing_the_key_of_the_first_time_counts() {
    let site = site();
    for (state, first) in [("a", READERS[0]), ("b", READERS[1]), ("c", READERS[4])] {
        let output = site.run(&[&["--state", state], first].concat());
        output.says(&["is trusted from now on if"]);
    }
    std::fs::remove_file(site.path("pulled.raw")).unwrap();
    let key = |dir: &str| {
        let file = site.path(dir).join("imgforge.gpg");
        Keyring::of_file(&file, None)
            .unwrap()
            .fingerprints
            .remove(0)
    };
    take_over(&site);
    for state in ["a", "b", "c"] {
        refused_by_all(&site, state);
    }
    // Its owner says that it is right.
    let named = format!(
        "repositories: {{main: {{path: repo, fingerprint: '{}'}}}}\n",
        key("fake")
    );
    site.configure(&named);
    for state in ["a", "b"] {
        site.ok(&["--state", state, "repo", "verify"]);
    }
    let pull = |state| [&["--state", state], READERS[0]].concat();
    site.ok(&pull("d"));
    // That it is another repository is another question.
    let text = site.fails(4, &pull("a"));
    assert!(text.contains("was there before"), "{text}");
}

/// Else the right one would be refused afterwards.
#[test]
fn a_key_that_has_not_proved_good_is_not_remembered() {
    let site = site();
    let kept = site.path("kept");
    std::fs::rename(site.path("repo"), &kept).unwrap();
    std::fs::create_dir(site.path("repo")).unwrap();
    take_over(&site);
    let list = site.path("repo/images/web-node/revisions.sjson");
    std::fs::write(list, "damaged").unwrap();
    let readers = [READERS[1], READERS[2], READERS[3], READERS[4], READERS[5]];
    for args in readers {
        let said = site.run(&[&["--state", "new"], args].concat()).exits(4);
        assert!(!said.err.contains("is trusted from now on"), "{}", said.err);
    }
    std::fs::remove_dir_all(site.path("repo")).unwrap();
    std::fs::rename(kept, site.path("repo")).unwrap();
    for args in [READERS[1], READERS[3]] {
        site.ok(&[&["--state", "new"], args].concat());
    }
}

/// It would count beside the right one, and for its own repository alone later.
#[test]
fn of_two_keys_none_counts_the_first_time() {
    let site = site();
    let file = site.path("repo/imgforge.gpg");
    let key = |dir: &str| std::fs::read(site.path(dir).join("imgforge.gpg")).unwrap();
    let (ours, theirs) = (key("repo"), key("fake"));
    std::fs::write(&file, [&ours[..], &theirs].concat()).unwrap();
    for args in READERS {
        let text = site.fails(4, &[&["--state", "new"], args].concat());
        assert!(
            text.contains("has more than one key") && text.contains("`fingerprint:`"),
            "{args:?}: {text}"
        );
    }
    std::fs::write(&file, ours).unwrap();
    site.ok(&["--state", "new", "repo", "verify"]);
}

/// A user's two keys, in one directory.
fn two_keys(site: &World) -> (Home, String, String) {
    let home = |name: &str| Home::with_an_expired_key(site.path(name));
    let (old, new) = (home("gnupg"), home("new"));
    let (a, b) = (old.fingerprint(), new.fingerprint());
    old.gpg(&["--quick-set-expire", &a, "0"]);
    new.gpg(&["--quick-set-expire", &b, "0"]);
    let secret = new.program().arg("--export-secret-keys").output().unwrap();
    old.program().arg("--import").input(secret).run().unwrap();
    (old, a, b)
}

/// Runs the program with the user's keys.
fn run_with(site: &World, home: &Home, args: &[&str]) -> Said {
    let mut command = site.command(args);
    command.env("GNUPGHOME", &home.0).said()
}

/// Nobody has signed keys.json.
#[test]
fn another_key_of_this_host_counts_for_no_reader() {
    let site = site();
    let (home, ours, other) = two_keys(&site);
    let make = |dir: &str, key: &str, disk: &str| {
        let signer = Signer::configured_in(key, &home.0).unwrap();
        let settings = Settings::new(site.path(dir), signer);
        publish(&Repository::open(settings).unwrap(), &site.disk(disk));
    };
    make("prod", &ours, "right");
    make("test", &other, "evil");
    let root = site.path("prod");
    let index = std::fs::read(root.join("index.asc")).unwrap();
    site.configure(&format!(
        "signing-key: '{ours}'\nrepositories: {{main: {{path: prod}}}}\n"
    ));
    let copy = Program::new("cp").arg("-a").arg(site.path("test/."));
    copy.arg(&root).run().unwrap();
    let keys = json!({
        "version": 1, "main": other, "retired": [],
        "seconds": [{"suffix": "x", "fingerprint": ours, "own": false}],
    });
    std::fs::write(root.join(".imgforge/keys.json"), keys.to_string()).unwrap();
    for second in [None, Some(index)] {
        if let Some(second) = second {
            std::fs::write(root.join("index-x.asc"), second).unwrap();
        }
        for args in READERS.iter().filter(|args| args.last() != Some(&"repo")) {
            run_with(&site, &home, args).says(&["not among the trusted ones"]);
        }
    }
    assert!(!site.path("pulled.raw").exists());
}

/// A host has all keys that imgforge has made there.
#[test]
fn a_retired_key_of_this_host_counts_no_more() {
    let site = site();
    let put = |from: &str, to: &str| {
        drop(std::fs::remove_dir_all(site.path(to)));
        let copy = Program::new("cp").arg("-a").arg(site.path(from));
        copy.arg(site.path(to)).run().unwrap();
    };
    site.ok(&["repo", "rotate-key", "--suffix", "2027"]);
    site.ok(&["repo", "verify"]);
    put("repo", "kept");
    site.ok(&["repo", "rotate-key", "--finish"]);
    site.ok(&["repo", "verify"]);
    put("kept", "repo");
    for path in ["index.asc", "images/web-node/revisions.sjson"] {
        sign_again(&site, path, 1, |text| text);
    }
    refused_by_all(&site, "state");
    let text = site.fails(2, &["channel", "renew"]);
    assert!(text.contains("was finished here"), "{text}");
    // As the hint says.
    std::fs::remove_dir_all(site.path("state/repositories")).unwrap();
    site.ok(&["repo", "verify"]);
    site.ok(&["channel", "renew"]);
}

/// The old key signs until a rotation is finished, whichever of the two is configured.
#[test]
fn both_keys_of_a_rotation_are_this_hosts() {
    let site = site();
    let (old, a, b) = two_keys(&site);
    let root = site.path("signed");
    let signer = Signer::configured_in(&a, &old.0).unwrap();
    let repository = Repository::open(Settings::new(&root, signer)).unwrap();
    publish(&repository, &site.disk("two"));
    let verify = |key: &str| {
        site.configure(&format!(
            "signing-key: '{key}'\nrepositories: {{main: {{path: signed}}}}\n"
        ));
        run_with(&site, &old, &["repo", "verify"])
    };
    verify(&a).ok();
    assert_ne!(verify(&b).code, Some(0));
    repository.rotate(Some(&b), "2027", &Stamp::now()).unwrap();
    verify(&a).ok();
    verify(&b).ok();
    repository.finish_rotation(&Stamp::now()).unwrap();
    verify(&b).ok();
    assert_ne!(verify(&a).code, Some(0));
}
