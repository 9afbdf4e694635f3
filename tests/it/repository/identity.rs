//! Which repository it is, in a file that nobody has signed: somebody who writes to the directory, and
//! has no key, makes nobody sign another repository's name, or words of theirs.

use imgforge::index::Claims;

use super::forged::change;
use super::world::*;

const IDENTITY: &str = ".imgforge/repository.json";

fn put(root: &Path, id: &str) {
    change(&root.join(IDENTITY), |identity| identity["id"] = id.into());
}

fn id(root: &Path) -> String {
    let text = std::fs::read(root.join(IDENTITY)).unwrap();
    let identity: Value = serde_json::from_slice(&text).unwrap();
    identity["id"].as_str().unwrap().to_owned()
}

/// What the index says, and the list, and the state as a whole.
fn signed_ids(root: &Path) -> Vec<String> {
    let verified = |path: &str| {
        let signed = std::fs::read(root.join(path)).unwrap();
        verify(&signed, &root.join("imgforge.gpg")).unwrap().text
    };
    let index = Claims::parse(&verified("index.asc")).owner.unwrap();
    let json = ["images/web-node/revisions.sjson", ".imgforge/state.sjson"].map(|path| {
        let text: Value = serde_json::from_str(&verified(path)).unwrap();
        text["repository"].as_str().unwrap().to_owned()
    });
    [index.repository].into_iter().chain(json).collect()
}

/// One key signs many repositories. Somebody changes the file between two looks at it.
#[test]
fn whatever_the_moment_of_a_change_one_id_is_signed() {
    let world = World::new();
    let [prod, test] = ["prod", "test"].map(|name| {
        let settings = world.settings(&world.path(name));
        let repository = Repository::open(settings).unwrap();
        publish(&repository, &world.disk(name));
        repository
    });
    let (theirs, ours) = (id(prod.path()), id(test.path()));
    let open = || Repository::open(world.settings(test.path()));
    put(test.path(), &theirs);
    let opened = open().unwrap();
    put(test.path(), &ours);
    opened.renew(&Stamp::now()).unwrap();
    assert_eq!(signed_ids(test.path()), vec![ours.clone(); 3]);
    // And while it is read, and signed.
    for moment in ["sign", "write an entry point aside", "write the journal"] {
        let root = test.path().to_owned();
        let theirs = theirs.clone();
        let changed = move |step: &str| {
            if step == moment {
                put(&root, &theirs);
            }
        };
        let raced = open().unwrap().on_step(changed).renew(&Stamp::now());
        raced.unwrap();
        assert_eq!(signed_ids(test.path()), vec![ours.clone(); 3], "{moment}");
        assert_eq!(id(test.path()), ours, "{moment}");
    }
    let index = std::fs::read(test.path().join("index.asc")).unwrap();
    put(test.path(), &theirs);
    open().unwrap().renew(&Stamp::now()).unwrap_err();
    assert_eq!(std::fs::read(test.path().join("index.asc")).unwrap(), index);
}

#[test]
fn what_is_no_id_is_none() {
    let world = World::new();
    let repository = world.repository();
    publish(&repository, &world.disk("one"));
    let root = repository.path();
    let right = id(root);
    for wrong in [
        format!("{right}\n# imgforge valid-until=2099-01-01T00:00:00Z"),
        format!("{right} "),
        right.to_uppercase(),
        right.replace('-', ""),
        format!("{{{right}}}"),
        "x".repeat(300),
        String::new(),
    ] {
        put(root, &wrong);
        let error = Repository::open(world.settings(root)).unwrap_err();
        assert!(error.render().contains("is not a UUID"), "{error}");
        let error = repository.renew(&Stamp::now()).unwrap_err();
        assert!(error.render().contains("is not a UUID"), "{error}");
        assert!(imgforge::repository::State::read(root).is_err());
    }
    put(root, &right);
    change(&root.join(IDENTITY), |identity| {
        identity["default-channel"] = "stable\n# imgforge frozen=yes".into();
    });
    repository.renew(&Stamp::now()).unwrap_err();
}

/// A torn backup, or somebody has removed it: what is signed says which one it was.
#[test]
fn a_lost_id_is_the_one_that_is_signed() {
    let site = World::publishing();
    let root = site.path("repo");
    let repository = site.repository();
    publish(&repository, &site.disk("one"));
    let right = id(&root);
    let renew = ["channel", "renew"];
    let (state, index) = (root.join(".imgforge/state.sjson"), root.join("index.asc"));
    let lose = || std::fs::remove_file(root.join(IDENTITY)).unwrap();
    // A host that remembers it, and others.
    site.ok(&renew);
    for args in [&renew[..], &["channel", "renew", "--allow-older"]] {
        lose();
        site.ok(args);
        assert_eq!(signed_ids(&root), vec![right.clone(); 3]);
        lose();
        site.repository().renew(&Stamp::now()).unwrap();
        assert_eq!(signed_ids(&root), vec![right.clone(); 3]);
    }
    // By an own key that is not the newest one.
    site.ok(&["repo", "rotate-key", "--suffix", "n"]);
    lose();
    site.ok(&renew);
    // An index says so, too.
    let whole = std::fs::read(&state).unwrap();
    std::fs::remove_file(&state).unwrap();
    lose();
    site.ok(&["channel", "renew", "--allow-older"]);
    assert_eq!(signed_ids(&root), vec![right.clone(); 3]);
    // Nobody's words count.
    std::fs::write(&state, whole).unwrap();
    for path in [&state, &index] {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, text.replace(&right, &right.replace('-', "0"))).unwrap();
    }
    lose();
    let text = site.fails(4, &renew);
    assert!(
        text.contains("no signed file here says") && text.contains("# imgforge repository="),
        "{text}"
    );
    assert!(!root.join(IDENTITY).exists());
}

/// One key signs many repositories; all of one is put in the place of another.
#[test]
fn a_copy_of_another_repository_is_signed_on_demand_only() {
    let site = World::publishing();
    publish(&site.repository(), &site.disk("one"));
    let renew = ["channel", "renew"];
    site.ok(&renew);
    site.ok(&["repo", "copy", "test"]);
    let index = site.path("test/index.asc");
    let before = std::fs::read(&index).unwrap();
    let root = |path: &str| site.configure(&format!("repositories: {{main: {{path: {path}}}}}\n"));
    root("test");
    for args in [&renew[..], &["channel", "freeze", "stable", "--why", "x"]] {
        let text = site.fails(4, args);
        assert!(
            text.contains("which this host has seen in") && text.contains("--allow-older"),
            "{text}"
        );
    }
    assert_eq!(std::fs::read(&index).unwrap(), before);
    site.ok(&["channel", "renew", "--allow-older"]);
    site.ok(&renew);
    // The same directory by another path, and one that was moved.
    std::os::unix::fs::symlink("repo", site.path("link")).unwrap();
    root("link");
    site.ok(&renew);
    std::fs::remove_dir_all(site.path("test")).unwrap();
    std::fs::rename(site.path("repo"), site.path("moved")).unwrap();
    root("moved");
    site.ok(&renew);
}

/// A host that has seen neither knows only what each is published for.
#[test]
fn a_copy_of_what_was_signed_for_another_address_is_signed_on_demand_only() {
    let site = World::publishing();
    let configure = |path: &str, url: &str| {
        let place = format!("{{path: {path}, url: 'https://{url}.example.org/'}}");
        site.configure(&format!("repositories: {{main: {place}}}\n"));
    };
    let forget = || std::fs::remove_dir_all(site.path("state/repositories")).unwrap();
    publish(&site.repository(), &site.disk("one"));
    let renew = ["channel", "renew"];
    configure("repo", "prod");
    site.ok(&renew);
    site.ok(&["repo", "copy", "test"]);
    // Who has seen the repository there may give it another address.
    configure("repo", "other");
    site.ok(&renew);
    configure("test", "test");
    forget();
    for args in [&renew[..], &["channel", "freeze", "stable", "--why", "x"]] {
        let text = site.fails(4, args);
        let expected =
            "which was signed for https://prod.example.org, not for https://test.example.org";
        assert!(
            text.contains(expected) && text.contains("--allow-older"),
            "{text}"
        );
    }
    site.ok(&["channel", "renew", "--allow-older"]);
    forget();
    site.ok(&renew);
    // It has lost nothing, and counts on: its original's next transactions come after its own, too.
    let index = site.read("test/index.asc");
    let number = index.split_once("state=").unwrap().1.lines().next();
    assert_eq!(number, Some("4"), "{index}");
}

/// Nothing that is signed says whose directory it is.
#[test]
fn an_id_that_nothing_confirms_is_made_anew() {
    let world = World::new();
    let prod = Repository::open(world.settings(&world.path("prod"))).unwrap();
    publish(&prod, &world.disk("one"));
    let theirs = id(prod.path());
    // Such a file in a new directory, and beside what somebody has emptied.
    for name in ["new", "emptied"] {
        let root = world.path(name);
        let repository = Repository::open(world.settings(&root)).unwrap();
        if name == "emptied" {
            publish(&repository, &world.disk("two"));
            for dir in ["images", ".imgforge/names"] {
                std::fs::remove_dir_all(root.join(dir)).unwrap();
            }
            for file in ["index.asc", ".imgforge/state.sjson"] {
                std::fs::remove_file(root.join(file)).unwrap();
            }
        }
        put(&root, &theirs);
        let repository = Repository::open(world.settings(&root)).unwrap();
        publish(&repository, &world.disk("two"));
        let ours = signed_ids(&root);
        assert!(!ours.contains(&theirs), "{name}");
        publish(&repository, &world.disk("three"));
        assert_eq!(signed_ids(&root), ours);
        assert_eq!(ours, vec![id(&root); 3]);
    }
    // Nor does anybody get the key retired that signs.
    let root = world.path("last");
    let repository = Repository::open(world.settings(&root)).unwrap();
    let main = Keyring::of_file(&repository.keyring(), None)
        .unwrap()
        .fingerprints;
    let keys = json!({"version": 1, "main": main[0], "seconds": [], "retired": main});
    std::fs::write(root.join(".imgforge/keys.json"), keys.to_string()).unwrap();
    publish(&repository, &world.disk("two"));
    let index = std::fs::read_to_string(root.join("index.asc")).unwrap();
    assert!(!index.contains("retired-key="), "{index}");
}
