//! `repo verify` finds what is wrong, and nothing else.

use imgforge::repository::verify::{VerifyReport, audit};

use super::super::server::Server;
use super::forged::copied;
use super::world::*;

fn report(place: &str) -> VerifyReport {
    audit(
        place,
        &Signers::default(),
        &Ui::silent().stage("repository", "verify"),
    )
    .unwrap()
}

/// A repository with two channels, two revisions, and files beside a blob.
fn filled(world: &World) -> Repository {
    let repository = world.repository();
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish_with(&repository, &one, |p| {
        p.companions = vec![
            Companion::bytes("sbom.json", "{}\n"),
            Companion::bytes("provenance.json", "{\"a\": 1}\n").signed(),
        ];
    })
    .unwrap();
    publish_with(&repository, &two, |p| p.channel = "nightly").unwrap();
    repository
}

#[test]
fn a_good_repository_is_right_from_a_directory_and_through_a_server() {
    let world = World::new();
    let repository = filled(&world);
    let root = repository.path().to_owned();
    let found = report(root.to_str().unwrap());
    assert_eq!(found.faults, Vec::<String>::new());
    assert_eq!((found.channels, found.entries, found.revisions), (2, 2, 2));
    assert!(
        found.files >= 4 && found.bytes > 0 && found.signatures >= 4,
        "{found:?}"
    );

    let server = Server::of(&root);
    let served = report(&server.url("").to_string());
    assert_eq!(served.faults, Vec::<String>::new());
    assert_eq!((served.entries, served.files), (found.entries, found.files));

    let nothing = audit(
        world.dir.path().to_str().unwrap(),
        &Signers::default(),
        &Ui::silent().stage("repository", "verify"),
    );
    assert!(
        nothing
            .unwrap_err()
            .message()
            .contains("is not a repository")
    );
}

#[test]
fn a_default_channel_that_never_had_anything_is_no_fault_and_one_that_lost_its_index_is() {
    let world = World::new();
    let (repository, one) = (world.repository(), world.disk("one"));
    publish_with(&repository, &one, |p| p.channel = "nightly").unwrap();
    let root = repository.path().to_str().unwrap();
    let found = report(root);
    assert_eq!(found.faults, Vec::<String>::new());
    assert_eq!((found.channels, found.entries), (1, 1));

    publish(&repository, &one);
    std::fs::remove_file(repository.path().join("index.asc")).unwrap();
    let list = repository.path().join("channels/index.json");
    let text = std::fs::read_to_string(&list).unwrap();
    let mut channels: Value = serde_json::from_str(&text).unwrap();
    channels["channels"]
        .as_array_mut()
        .unwrap()
        .retain(|channel| channel["index"] != "index.asc");
    std::fs::write(&list, channels.to_string()).unwrap();
    let found = report(root).faults.join("\n");
    assert!(
        found.contains("`stable` has the image, and no index"),
        "{found}"
    );
}

#[test]
fn whatever_is_wrong_is_found_with_its_place() {
    type Spoil = fn(&Path);
    fn change(path: &Path, from: &str, to: &str) {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{}", path.display());
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
    const BLOB: &str = "images/web-node/1/web-node-0123456789ab.xz";
    let world = World::new();
    let repository = filled(&world);
    let cases: [(&str, Spoil); 11] = [
        ("index.asc: the signature is wrong", |root| {
            change(&root.join("index.asc"), "Debian 13", "Debian 14");
        }),
        ("index.asc: the index of `stable` is missing", |root| {
            std::fs::remove_file(root.join("index.asc")).unwrap();
        }),
        ("virt-builder would read more", |root| {
            let signed = std::fs::read_to_string(root.join("index.asc")).unwrap();
            let more = "[evil]\narch=x86_64\nfile=evil\nsize=1\n\n";
            let signed = signed.replacen("-----BEGIN", &format!("{more}-----BEGIN"), 1);
            std::fs::write(root.join("index.asc"), signed).unwrap();
        }),
        ("its SHA-512 is not what", |root| {
            let mut bytes = std::fs::read(root.join(BLOB)).unwrap();
            bytes[40] ^= 1;
            std::fs::write(root.join(BLOB), bytes).unwrap();
        }),
        ("it has 0 bytes", |root| {
            std::fs::write(root.join(BLOB), "").unwrap()
        }),
        ("names it, and", |root| {
            std::fs::remove_file(root.join(BLOB)).unwrap()
        }),
        ("sbom.json: its SHA-512", |root| {
            std::fs::write(root.join("images/web-node/1/sbom.json"), "[]\n").unwrap();
        }),
        ("provenance.json.asc: the signature is missing", |root| {
            std::fs::remove_file(root.join("images/web-node/1/provenance.json.asc")).unwrap();
        }),
        ("the manifest is about other bytes", |root| {
            change(
                &root.join("images/web-node/2/manifest.json"),
                "\"sha512\": \"",
                "\"sha512\": \"0",
            );
        }),
        (
            "images/web-node/revisions.sjson: the signature is wrong",
            |root| {
                change(
                    &root.join("images/web-node/revisions.sjson"),
                    "x86_64",
                    "x86_65",
                );
            },
        ),
        ("`web-node` should have revision 7", |root| {
            let record = root.join(".imgforge/names/web-node.json");
            let text = std::fs::read_to_string(&record).unwrap();
            let mut value: Value = serde_json::from_str(&text).unwrap();
            value["channels"]["stable"]["current"]["x86_64"] = json!(7);
            std::fs::write(record, value.to_string()).unwrap();
        }),
    ];
    for (number, (expected, spoil)) in cases.into_iter().enumerate() {
        let copy = world.path(&format!("copy{number}"));
        let cp = Program::new("cp").arg("-a").arg(repository.path());
        cp.arg(&copy).run().unwrap();
        spoil(&copy);
        // Text before the signed message is not ours to read; gpg refuses the file as a whole.
        let expected = match expected {
            "virt-builder would read more" => "this is not a clear-signed text",
            other => other,
        };
        let found = report(copy.to_str().unwrap()).faults.join("\n");
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn of_a_manifest_copies_and_audits_need_only_which_bytes_it_is_about() {
    let world = World::new();
    let path = filled(&world)
        .path()
        .join("images/web-node/1/manifest.json");
    let old: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut little = json!({"version": 9, "title": {"en": "Web"}});
    for key in ["revision", "file", "sha512"] {
        little[key] = old[key].clone();
    }
    std::fs::write(&path, little.to_string()).unwrap();
    copied(&world, "copy").unwrap();
    for place in ["repo", "copy"] {
        let found = report(world.path(place).to_str().unwrap());
        assert_eq!(found.faults, Vec::<String>::new(), "{place}");
    }
}

#[test]
fn keys_kept_outside_are_the_ones_that_count() {
    let world = World::new();
    let repository = filled(&world);
    let root = repository.path().to_owned();
    let allowed = world.path("allowed.gpg");
    std::fs::copy(repository.keyring(), &allowed).unwrap();
    let stranger = Signer::own(&world.path("other"), &Ui::silent()).unwrap();
    let fake = Repository::open(Settings::new(world.path("fake"), stranger.clone())).unwrap();
    publish(&fake, &world.disk("three"));

    // Who can write the directory replaces the key and everything that it signs.
    let settings = |path: &Path, signer: &Signer| Settings {
        signers: Signers::of_file(&allowed),
        ..Settings::new(path, signer.clone())
    };
    let ours = Repository::open(settings(&root, world.signer())).unwrap();
    assert_eq!(ours.entries("stable").unwrap().len(), 1);
    for file in ["index.asc", "imgforge.gpg"] {
        std::fs::copy(fake.path().join(file), root.join(file)).unwrap();
    }
    let error = ours.entries("stable").unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let ui = Ui::silent().stage("repository", "verify");
    let found = audit(root.to_str().unwrap(), &Signers::of_file(&allowed), &ui).unwrap();
    assert!(
        found.faults[0].contains("not among the trusted"),
        "{found:?}"
    );

    // Nothing is signed that those keys would not verify.
    let other = Repository::open(settings(fake.path(), &stranger)).unwrap();
    assert!(publish_with(&other, &world.disk("one"), |_| {}).is_err());
}

/// Somebody who writes to the directory can leave a journal, too.
#[test]
fn a_journal_of_nothing_hides_nothing() {
    let world = World::new();
    let repository = filled(&world);
    let root = repository.path().to_owned();
    let files = [
        "index.asc",
        "images/web-node/revisions.sjson",
        ".imgforge/names/web-node.json",
    ];
    let older = files.map(|path| std::fs::read(root.join(path)).unwrap());
    publish(&repository, &world.disk("three"));
    let journal = root.join(".imgforge/journal.json");
    std::fs::write(&journal, "{\"version\": 1, \"renames\": []}").unwrap();
    let found = report(root.to_str().unwrap());
    assert_eq!(found.faults, Vec::<String>::new());
    assert_eq!(found.notes.len(), 2, "{found:?}");
    for (path, bytes) in files.iter().zip(older) {
        std::fs::write(root.join(path), bytes).unwrap();
    }
    let faults = report(root.to_str().unwrap()).faults.join("\n");
    for expected in ["index.asc", "the record of `web-node`"] {
        let told = format!("{expected} is not the one that was signed last");
        assert!(faults.contains(&told), "{faults}");
    }
    std::fs::write(
        &journal,
        "{\"version\": 1, \"renames\": [{\"to\": \"../x\"}]}",
    )
    .unwrap();
    let faults = report(root.to_str().unwrap()).faults.join("\n");
    assert!(faults.contains("outside the repository"), "{faults}");
}

/// What is derived is compared with the lists as the next publication will find both.
#[test]
fn a_publication_that_was_interrupted_anywhere_is_no_fault() {
    let world = World::new();
    filled(&world);
    let (root, moments) = (world.path("repo"), Arc::new(Mutex::new(0)));
    let (from, count, to) = (root.clone(), Arc::clone(&moments), world.path("moment"));
    let repository = world.repository().on_step(move |step| {
        if step == "rename an entry point" || step == "remove the journal" {
            let mut count = count.lock().unwrap();
            let to = to.with_extension(count.to_string());
            let copy = Program::new("cp").arg("-a").args([&from, &to]);
            copy.run().unwrap();
            *count += 1;
        }
    });
    let (three, now, ui) = (world.disk("three"), Stamp::now(), Ui::silent());
    publish_with(&repository, &three, |p| p.channel = "testing").unwrap();
    repository.yank("web-node", 2, false, &now, &ui).unwrap();
    let count = *moments.lock().unwrap();
    assert!(count > 20, "{count}");
    for moment in 0..count {
        let found = report(world.path(&format!("moment.{moment}")).to_str().unwrap());
        assert_eq!(found.faults, Vec::<String>::new(), "{moment}");
        let notes = found.notes.join("\n");
        let expected = "the next one finishes it, or `imgforge channel renew`";
        assert!(notes.contains(expected), "{moment}: {notes}");
    }
    // What is no file is a fault, also then.
    let last = world.path(&format!("moment.{}", count - 1));
    let pointer = last.join("channels/stable/web-node/latest.sjson");
    std::fs::remove_file(&pointer).unwrap();
    std::os::unix::fs::symlink(root.join("index.asc"), &pointer).unwrap();
    let found = report(last.to_str().unwrap()).faults.join("\n");
    assert!(found.contains("latest.sjson"), "{found}");
}
