//! Somebody writes to the directory of a repository, and has no key: what they plant beside what is
//! signed lends nothing to what is signed next.

use std::os::unix::fs::symlink;

use imgforge::repository::query::query;
use imgforge::repository::verify::audit;
use imgforge::sbom::query::Query;

use super::forged::{change, copied, filled, record};
use super::world::*;

/// Plants a revision that was only bound, to the bytes `sha512`.
fn bind(r: &mut Value, number: &str, sha512: &str) {
    let mut one = r["revisions"]["1"].clone();
    one["pending"] = true.into();
    one["sha512"] = sha512.into();
    one["file"] = "images/web-node/1/planted.xz".into();
    let (sha256, sha512) = ("0".repeat(64), "0".repeat(128));
    let path = "images/web-node/1/planted";
    one["companions"] = json!({"planted": {
        "path": path, "size": 1, "sha256": sha256, "sha512": sha512, "signed": true,
    }});
    r["revisions"][number] = one;
}

#[test]
fn what_was_only_bound_lends_nothing_but_its_number() {
    let world = World::new();
    let (repository, _) = filled(&world);
    let (root, ui, now) = (repository.path(), Ui::silent(), Stamp::now());
    let [one, two, three] = ["one", "two", "three"].map(|text| world.disk(text));
    std::fs::copy(&one.xz, root.join("images/web-node/1/planted.xz")).unwrap();
    std::fs::copy(&two.xz, root.join("images/web-node/1/planted")).unwrap();
    let record = record(root, "web-node");
    let planted = || {
        let mut grep = Program::new("grep").args(["-rl", "--exclude-dir=.imgforge", "planted"]);
        grep = grep.arg(root);
        grep.text().unwrap_or_default()
    };

    change(&record, |r| bind(r, "0", &one.sha512));
    let moved = repository.rollback("web-node", "stable", None, &now, &ui);
    assert_eq!(moved.unwrap()[0].revision, Some(3));
    assert_eq!(planted(), "");
    let again = repository.rollback("web-node", "stable", Some(0), &now, &ui);
    let error = again.unwrap_err().render();
    assert!(error.contains("`web-node` has no revision 0"), "{error}");

    // Bytes that are there, and such that nobody has published.
    for (number, disk) in [(5, &two), (9, &three)] {
        change(&record, |r| bind(r, &number.to_string(), &disk.sha512));
        assert_eq!(publish(&repository, disk).revision, number);
        assert_eq!(planted(), "");
        world.fetched_equals(&repository, "stable", "web-node", disk);
    }
    // Nor does another key sign a file that nobody has published.
    change(&record, |r| {
        bind(r, "20", &one.sha512);
        let beside = &mut r["revisions"]["20"]["companions"]["planted"];
        beside["sha512"] = two.sha512.clone().into();
    });
    repository.rotate(None, "2027", &now).unwrap();
    repository.finish_rotation(&now).unwrap();
    assert!(!root.join("images/web-node/1/planted.asc").exists());
    let faults = || {
        let ui = Ui::silent().stage("repository", "verify");
        let root = root.to_str().unwrap();
        audit(root, &Signers::default(), &ui).unwrap().faults
    };
    assert_eq!(faults(), Vec::<String>::new());
}

#[test]
fn what_happened_counts_only_as_it_was_signed() {
    let site = World::publishing();
    let world = &site;
    let (repository, right) = filled(world);
    let (root, ui, now) = (repository.path(), Ui::silent(), Stamp::now());
    let record = record(root, "web-node");
    type Forge = fn(&mut Value);
    let forgeries: [(&str, Forge); 4] = [
        ("only bound", |r| {
            bind(r, "9", "0");
            let mut line = r["history"][0].clone();
            line["revision"] = 9.into();
            r["history"].as_array_mut().unwrap().insert(0, line);
        }),
        ("another architecture", |r| {
            r["history"][0]["arch"] = "aarch64".into();
        }),
        ("another revision", |r| {
            r["history"][0]["revision"] = 2.into()
        }),
        ("less", |r| {
            r["history"].as_array_mut().unwrap().remove(0);
        }),
    ];
    let refused = |what: &str| {
        let moved = repository.rollback("web-node", "stable", None, &now, &ui);
        for text in [
            moved.map(drop).unwrap_err().render(),
            copied(world, "copy").unwrap_err().render(),
            site.fails(4, &["sync", "openstack", "web-node"]),
            site.fails(4, &["repo", "verify"]),
        ] {
            let told = text.contains("the record of `web-node` says something else");
            assert!(told, "{what}: {text}");
        }
    };
    for (what, forge) in forgeries {
        change(&record, forge);
        refused(what);
        std::fs::write(&record, &right).unwrap();
    }
    // An imgforge that did not sign what happened has signed which revisions there are.
    let list = root.join("images/web-node/revisions.sjson");
    let signed = verify(&std::fs::read(&list).unwrap(), &repository.keyring()).unwrap();
    let mut text: Value = serde_json::from_str(&signed.text).unwrap();
    text.as_object_mut().unwrap().remove("history");
    let home = Home(world.path("state/gnupg"));
    let sign = ["--digest-algo", "SHA512", "--clearsign"];
    let sign = home.program().args(sign).input(format!("{text:#}\n"));
    std::fs::write(&list, sign.output().unwrap()).unwrap();
    for (what, forge) in &forgeries[..2] {
        change(&record, forge);
        refused(what);
        std::fs::write(&record, &right).unwrap();
    }
    let moved = repository.rollback("web-node", "stable", None, &now, &ui);
    assert_eq!(moved.unwrap()[0].revision, Some(3));
    site.ok(&["repo", "verify"]);

    // Of a name that has no list, nothing has happened.
    let mut value: Value = serde_json::from_slice(&right).unwrap();
    value["name"] = "planted".into();
    value["revisions"] = json!({});
    std::fs::write(super::forged::record(root, "planted"), value.to_string()).unwrap();
    let error = repository.renew(&now).unwrap_err().render();
    assert!(
        error.contains("planted/revisions.sjson is not to be trusted"),
        "{error}"
    );
}

#[test]
fn what_changes_on_its_way_in_is_not_signed() {
    let world = World::new();
    let one = world.disk("one");
    let secret = world.path("secret");
    std::fs::write(&secret, "planted").unwrap();
    type Plant = fn(&Path, &Path);
    let plants: [Plant; 2] = [
        |secret, file| {
            std::fs::copy(secret, file).unwrap();
        },
        |secret, file| {
            std::fs::remove_file(file).unwrap();
            symlink(secret, file).unwrap();
        },
    ];
    for plant in plants {
        let (incoming, secret) = (world.path("repo/.imgforge/incoming"), secret.clone());
        let repository = world.repository().on_step(move |step| {
            let copied = step == "copy a file";
            let dirs = copied.then(|| std::fs::read_dir(&incoming).unwrap());
            for dir in dirs.into_iter().flatten() {
                let file = dir.unwrap().path().join("files/first.json");
                if file.exists() {
                    plant(&secret, &file);
                }
            }
        });
        let published = publish_with(&repository, &one, |p| {
            let all = ["first.json", "second.json"];
            p.companions = all
                .map(|name| Companion::bytes(name, "right").signed())
                .into();
        });
        let error = published.unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        assert!(error.render().contains("first.json"), "{}", error.render());
        assert!(!repository.path().join("index.asc").exists());
    }
}

#[test]
fn no_reader_follows_a_link() {
    let world = World::new();
    let (repository, _) = filled(&world);
    let (root, ui, now) = (repository.path(), Ui::silent(), Stamp::now());
    let secret = world.path("secret");
    let planted = |path: &str| {
        drop(std::fs::remove_file(root.join(path)));
        symlink(&secret, root.join(path)).unwrap();
    };
    std::fs::write(&secret, "-----BEGIN PGP SIGNED MESSAGE-----\n").unwrap();
    planted("images/stray.sjson");
    let verify = Ui::silent().stage("repository", "verify");
    let report = audit(root.to_str().unwrap(), &Signers::default(), &verify).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());

    std::fs::write(&secret, r#"{"note": "top secret"}"#).unwrap();
    planted("images/web-node/1/manifest.json");
    let moved = repository.rollback("web-node", "stable", Some(1), &now, &ui);
    assert_eq!(moved.unwrap()[0].revision, Some(3));
    let grep = Program::new("grep").args(["-r", "top secret"]).arg(root);
    assert_eq!(grep.text().unwrap_or_default(), "");

    std::fs::write(&secret, "{}").unwrap();
    planted("images/web-node/packages.json");
    let error = query(root, &"bash".parse::<Query>().unwrap(), None).unwrap_err();
    assert!(
        error.render().contains("packages.json is a link"),
        "{}",
        error.render()
    );
}

#[test]
fn nobody_reads_the_password_of_the_repositorys_address() {
    let world = World::new();
    let repository = Repository::open(Settings {
        url: Some("https://puller:s3cret@images.example.org/x/".into()),
        ..world.settings(&world.path("repo"))
    })
    .unwrap();
    let published = publish(&repository, &world.disk("one"));
    let url = "https://images.example.org/x/images/web-node/1/";
    assert!(published.url.starts_with(url), "{published:?}");
    let grep = Program::new("grep").args(["-rl", "s3cret"]);
    let found = grep.arg(repository.path()).text();
    assert_eq!(found.unwrap_or_default(), "");
}

#[test]
fn a_manifest_tells_of_a_file_beside_it_and_of_no_other() {
    let site = World::publishing();
    let one = site.disk("one");
    std::fs::create_dir(site.path("there")).unwrap();
    let manifest = json!({
        "name": "web-node", "version": "1", "file": "../one.raw",
        "sha512": file_sha512(&one.raw).unwrap(), "disk-format": "raw", "min-disk": 1,
        "min-ram": 1, "properties": {}, "create": "",
    });
    let path = site.path("there/web-node-1.openstack.json");
    std::fs::write(&path, manifest.to_string()).unwrap();
    let sync = ["sync", "openstack", "--manifest", path.to_str().unwrap()];
    let error = site.fails(2, &sync);
    assert!(
        error.contains("`../one.raw` is not a file beside it"),
        "{error}"
    );
}
