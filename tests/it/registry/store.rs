//! Entries of the store in a registry: what one builder has made, another one has, or nobody.

use std::path::Path;

use imgforge::digest::Sha256;
use imgforge::gpg::Signer;
use imgforge::store::epoch::{self, Has, Mode};
use imgforge::store::inputs::Inputs;
use imgforge::store::{DISK, Store};
use imgforge::ui::Ui;
use imgforge::units::Span;
use serde_json::Value;

use super::site::{Builder, Newer, Plain, Site, damage, noise};
use crate::patience::wait_for;
use crate::support::names;
use crate::support::registry::Kind;

#[test]
fn what_one_builder_has_made_another_one_has() {
    let mut site = Site::new();
    let a = site.builder("a");
    let disk = [vec![0; 8 << 20], noise(300_000)].concat();
    let base = a.commit("base", None, &disk);
    let child = a.commit("child", Some(&base.meta().key), &noise(100_000));
    a.put(&child);
    // What is there is not sent again, by nobody.
    let again = site.builder("a");
    site.service.restart(Kind::default());
    again.put(&child);
    let asked = site.service.requests();
    assert!(
        asked.iter().all(|asked| !asked.starts_with("P")),
        "{asked:?}"
    );

    site.service.restart(Kind::default());
    let reader = site.builder("reader");
    for entry in [&base, &child] {
        assert!(reader.has(&entry.meta().key));
    }
    assert!(reader.bring(&child.meta().key));
    // It logs what it has answered.
    wait_for("four requests", || site.service.requests().len() >= 4);
    assert_eq!(site.service.requests().len(), 4);
    for entry in [&base, &child] {
        let key = &entry.meta().key;
        let here = reader.store.get::<Plain>(key).unwrap();
        assert_eq!(here.facts().said, entry.meta().image);
        reader.store.verify(here.entry()).unwrap();
        for name in [DISK, "lists/packages", "meta.json"] {
            let [there, here] = [entry, here.entry()].map(|entry| entry.path().join(name));
            assert!(
                std::fs::read(there).unwrap() == std::fs::read(here).unwrap(),
                "{name}"
            );
        }
    }
    let here = reader.store.entry(&base.meta().key).unwrap();
    assert!(here.allocated() < 1 << 20, "it is as sparse as it was");
    // Nothing more is asked, whoever asks.
    let next = site.builder("reader");
    assert!(next.bring(&child.meta().key));
    assert_eq!(site.service.requests().len(), 4);
    assert_eq!(reader.said(), "");
}

#[test]
fn what_is_damaged_or_gone_is_a_miss() {
    let site = Site::new();
    let a = site.builder("a");
    for (name, words, harm) in [
        ("poisoned", "missing or changed", &damage as &dyn Fn(&Path)),
        ("cut", "missing or changed", &|path| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(1000).unwrap();
        }),
        ("gone", "missing or changed", &|path| {
            std::fs::remove_file(path).unwrap()
        }),
    ] {
        let entry = a.commit(name, None, &noise(100_000));
        a.put(&entry);
        let key = &entry.meta().key;
        harm(&site.blob(key));
        site.builder("reader").misses(key, words);
        // The same command asks once; a build makes it then, and gives it to the others.
        let b = site.builder_with("b", "a", true);
        b.misses(key, words);
        b.put(&b.commit(name, None, &noise(100_000)));
    }
}

/// Puts what a manifest became under a tag.
fn put(site: &Site, tag: &str, manifest: &Value) {
    let bytes = serde_json::to_vec(manifest).unwrap();
    site.service
        .client("imgforge")
        .put_manifest(tag, bytes)
        .unwrap();
}

#[test]
fn what_nobody_of_the_site_has_signed_does_not_exist() {
    let mut site = Site::new();
    let a = site.builder("a");
    let entry = a.commit("base", None, &noise(100_000));
    a.put(&entry);
    let other = a.commit("other", None, &noise(50_000));
    a.put(&other);
    let key = &entry.meta().key;
    let (good, _) = site.manifest(key.as_str());
    let (foreign, _) = site.manifest(other.meta().key.as_str());
    let signature = |of: &Value| of["annotations"]["org.imgforge.signature"].clone();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        manifest
    };
    let cases = [
        (foreign.clone(), "the entry of another key"),
        (
            with(&|it| {
                it["annotations"]
                    .as_object_mut()
                    .unwrap()
                    .remove("org.imgforge.signature");
            }),
            "it has no signature",
        ),
        (
            with(&|it| it["annotations"]["org.imgforge.signature"] = "me".into()),
            "not a clear-signed text",
        ),
        (
            with(&|it| it["annotations"]["org.imgforge.signature"] = signature(&foreign)),
            "its signature is of something else",
        ),
        // Another disk under the key.
        (
            with(&|it| it["layers"] = foreign["layers"].clone()),
            "its signature is of something else",
        ),
        (
            with(&|it| {
                it["config"] = foreign["config"].clone();
                it["layers"] = foreign["layers"].clone();
            }),
            "its signature is of something else",
        ),
        (
            with(&|it| it["artifactType"] = "application/x".into()),
            "it is a application/x",
        ),
    ];
    for (manifest, words) in &cases {
        put(&site, key.as_str(), manifest);
        site.builder("reader").misses(key, words);
    }
    put(&site, key.as_str(), &good);
    assert!(site.builder("reader").bring(key));

    // Who has another key makes nothing that counts, and is told.
    let stranger = site.builder("stranger");
    let theirs = stranger.commit("theirs", None, &noise(1000));
    stranger.put(&theirs);
    let said = stranger.said();
    assert!(
        said.contains("the site's builders would not accept what this host signs"),
        "{said}"
    );
    assert!(
        !site
            .service
            .client("imgforge")
            .has_manifest(theirs.meta().key.as_str())
            .unwrap()
    );
    // Nothing of it was sent.
    let report = stranger.report("report", "of a stranger");
    site.builder("stranger").put(&report);
    let bytes = Sha256::of(b"of a stranger");
    assert!(!site.service.client("imgforge").has_blob(&bytes).unwrap());
    // Nor does what counts elsewhere.
    let elsewhere = site.dir.path().join("elsewhere.gpg");
    let key = Signer::own(&site.dir.path().join("stranger"), &Ui::silent()).unwrap();
    std::fs::write(&elsewhere, key.public_key().unwrap()).unwrap();
    let here = std::mem::replace(&mut site.signers, elsewhere);
    site.builder("stranger").put(&theirs);
    assert!(site.builder("b").has(&theirs.meta().key));
    site.signers = here;
    let theirs = &theirs.meta().key;
    site.builder("reader")
        .misses(theirs, "not among the trusted");
}

/// A key has other bytes at every builder that makes it: what was made on one fits no other.
#[test]
fn a_layer_on_another_disk_than_the_one_here_is_a_miss() {
    let site = Site::new();
    let a = site.builder("a");
    let base = a.commit("base", None, &noise(1000));
    let child = a.commit("child", Some(&base.meta().key), &noise(2000));
    a.put(&child);
    let b = site.builder_with("b", "a", true);
    b.commit("base", None, &noise(1001));
    b.misses(&child.meta().key, "made on another disk");
    // Nor does what is made here on it go out, as nobody could use it.
    let own = b.commit("own", Some(&base.meta().key), &noise(3000));
    b.put(&own);
    assert!(
        !site
            .service
            .client("imgforge")
            .has_manifest(own.meta().key.as_str())
            .unwrap()
    );
    // A parent that is nowhere.
    let orphan = site.builder("reader");
    site.lose(&base.meta().key);
    orphan.misses(&child.meta().key, "neither here nor in the shared store");
    // Facts of another imgforge.
    assert!(
        !site
            .builder("reader")
            .store
            .has::<Newer>(&child.meta().key)
            .unwrap()
    );
}

/// A key has other bytes at every builder that makes it: what was made of one says nothing of another.
#[test]
fn what_was_made_of_another_disk_than_the_one_here_is_a_miss() {
    let site = Site::new();
    let a = site.builder("a");
    let base = a.commit("base", None, &noise(1000));
    let key = &base.meta().key;
    let put = |builder: &Builder, entry| {
        let ledger = &builder.ledger;
        builder.store.share_out(entry, Some(key), ledger).unwrap();
    };
    let report = a.report("report", "of a");
    put(&a, &report);
    let report = &report.meta().key;
    assert!(site.builder("reader").bring(report));
    let b = site.builder_with("b", "a", true);
    b.commit("base", None, &noise(1001));
    b.misses(report, "made of another disk");
    // Nor does what is made of it here go out.
    let (own, again) = (b.report("own", "of b"), b.report("report", "of b"));
    put(&b, &own);
    put(&b, &again);
    let client = site.service.client("imgforge");
    assert!(!client.has_manifest(own.meta().key.as_str()).unwrap());
    // Once the registry has lost the disk, what was made of it is nobody's.
    site.lose(key);
    site.builder("c")
        .misses(report, "neither here nor in the shared store");
    put(&site.builder_with("b", "a", true), &again);
    let d = site.builder("d");
    assert!(d.bring(key) && d.bring(report));
    let here = d.store.get::<Plain>(report).unwrap();
    assert_eq!(here.facts().said, "of b");
}

#[test]
fn a_broken_transfer_is_gone_on_with_and_nothing_half_counts() {
    let mut site = Site::new();
    let a = site.builder("a");
    let size = 24 << 20;
    let entry = a.commit("base", None, &noise(size));
    let key = entry.meta().key.clone();
    // In the middle of the disk.
    site.relay.break_after(size as i64 / 2, i64::MAX);
    a.put(&entry);
    assert_eq!(
        a.said().matches("continues without").count(),
        1,
        "{}",
        a.said()
    );
    site.service.kill();
    site.service.restart(Kind::default());
    site.relay.mend();
    let reader = site.builder("reader");
    assert!(!reader.has(&key));
    assert_eq!(reader.said(), "");
    site.builder("a").put(&entry);
    assert!(site.relay.went() >= size as i64);

    site.relay.break_after(i64::MAX, size as i64 / 2);
    let reader = site.builder("reader");
    assert!(!reader.bring(&key) && !reader.store.is_here(&key));
    let said = reader.said();
    assert_eq!(said.matches("continues without").count(), 1, "{said}");
    site.service.kill();
    site.service.restart(Kind::default());
    site.relay.mend();
    let reader = site.builder("reader");
    assert!(reader.bring(&key));
    let came = site.relay.came();
    assert!(came < size as i64 * 3 / 4, "{came}");
    reader
        .store
        .verify(&reader.store.entry(&key).unwrap())
        .unwrap();
    let left = names(&reader.store.state().join("store"));
    assert_eq!(left, [key.as_str()]);
}

/// It is told once, and asked no more.
#[test]
fn a_registry_that_is_down_or_takes_nothing_is_left_alone() {
    let mut site = Site::new();
    let a = site.builder("a");
    let entries = ["one", "two", "three"].map(|name| a.commit(name, None, &noise(50_000)));
    a.put(&entries[0]);
    site.service.restart(Kind {
        readonly: true,
        ..Kind::default()
    });
    let readonly = site.builder("a");
    entries.iter().for_each(|entry| readonly.put(entry));
    let said = readonly.said();
    assert_eq!(
        said.matches("continues without putting").count(),
        1,
        "{said}"
    );
    assert!(said.contains("405"), "{said}");
    assert!(site.builder("reader").bring(&entries[0].meta().key));
    site.service.kill();
    let down = site.builder("b");
    for entry in &entries {
        assert!(!down.has(&entry.meta().key));
    }
    let said = down.said();
    assert_eq!(
        said.matches("continues without asking").count(),
        1,
        "{said}"
    );
}

/// What ages has one epoch at all builders of the site.
#[test]
fn builders_of_a_site_share_the_epochs_of_what_ages() {
    let site = Site::new();
    let plan = |builder: &Builder, seconds: u64, mode: Mode| {
        let mut inputs = Inputs::new("install", 1);
        let (has, age): (Has, _) = (Store::has::<Plain>, Some(Span::seconds(seconds)));
        epoch::apply(&builder.store, &mut inputs, has, age, mode, false).unwrap();
        inputs
    };
    let a = site.builder("a");
    let of = Inputs::new("install", 1).key().unwrap();
    let minutes_ago = imgforge::time::now() - 600;
    let epochs = a.store.state().join("epochs");
    std::fs::create_dir(&epochs).unwrap();
    std::fs::write(epochs.join(of.as_str()), minutes_ago.to_string()).unwrap();
    let inputs = plan(&a, 3600, Mode::Keep);
    let made = a.commit_of(inputs.clone(), "base", None, &noise(1000));
    a.put(&made);
    let reader = site.builder("reader");
    let key = &made.meta().key;
    for mode in [Mode::Look, Mode::Keep, Mode::Keep] {
        assert_eq!(plan(&reader, 3600, mode), inputs);
    }
    assert!(reader.bring(key));
    // It is as old there as here.
    assert_ne!(plan(&site.builder("c"), 60, Mode::Look), inputs);
    // Who comes late with an older one changes nothing.
    let mut older = Inputs::new("install", 1);
    older.value("refresh epoch", minutes_ago - 60);
    a.put(&a.commit_of(older, "older", None, &noise(1000)));
    assert!(!a.said().contains("continues without"), "{}", a.said());
    assert_eq!(plan(&site.builder("e"), 3600, Mode::Look), inputs);
    // Whose word counts for nothing tells no epoch.
    let (mut told, _) = site.manifest(&format!("{of}.epoch"));
    told["annotations"]["org.imgforge.epoch"] = "1".into();
    put(&site, &format!("{of}.epoch"), &told);
    let d = site.builder("d");
    assert_ne!(plan(&d, 1 << 40, Mode::Keep), inputs);
    assert!(
        d.said().contains("its signature is of something else"),
        "{}",
        d.said()
    );
}
