use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::*;
use crate::store::inputs::Inputs;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    declared: Vec<String>,
}

impl Facts for Plain {
    const STAGE: &'static str = "install";
    const VERSION: u32 = 2;
}

fn store() -> (tempfile::TempDir, Store, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path().join("state"));
    store.prepare().unwrap();
    let ledger = Ledger::open(store.state()).unwrap();
    (dir, store, ledger)
}

fn add(store: &Store, ledger: &Ledger, name: &str, parent: Option<&Key>, size: usize) -> Entry {
    let inputs = Inputs::new(name, 1);
    let meta = Meta {
        parent: parent.cloned(),
        created: 0,
        ..Meta::new(inputs.key().unwrap(), "web", name, inputs, Instant::now())
    };
    let draft = store.draft(ledger).unwrap();
    std::fs::write(draft.path().join(DISK), vec![1u8; size]).unwrap();
    let layer = draft.commit(store, meta, Plain::default()).unwrap();
    layer.entry().clone()
}

#[test]
fn an_entry_appears_at_once_and_a_dropped_draft_leaves_nothing() {
    let (_dir, store, ledger) = store();
    let draft = store.draft(&ledger).unwrap();
    std::fs::write(draft.path().join("half"), "x").unwrap();
    let path = draft.path().to_owned();
    drop(draft);
    assert!(!path.exists());
    let entry = add(&store, &ledger, "install", None, 10);
    assert_eq!(
        store.entry(&entry.meta().key).unwrap().meta().stage,
        "install"
    );
    assert_eq!(store.all().len(), 1);
    drop(ledger);
    assert!(
        store.orphans().is_empty(),
        "a finished process leaves no page"
    );
}

#[test]
fn what_a_dead_process_left_is_found_and_what_a_living_one_has_is_not() {
    let (_dir, store, ledger) = store();
    let draft = store.draft(&ledger).unwrap();
    assert!(store.orphans().is_empty(), "the owner lives");
    let path = draft.path().to_owned();
    std::mem::forget(draft);
    drop(ledger);
    let orphans = store.orphans();
    let items: Vec<_> = orphans
        .iter()
        .flat_map(|o| &o.items)
        .map(|(_, item)| item.clone())
        .collect();
    assert_eq!(items, [Item::Scratch { path }]);
}

/// A page is there for a moment before it is locked.
#[test]
fn who_clears_up_takes_nobodys_page_away() {
    let (_dir, store, _ledger) = store();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                store.orphans().into_iter().for_each(gc::Orphan::close);
            }
        });
        for _ in 0..200 {
            let ledger = Ledger::open(store.state());
            let kept = ledger.and_then(|ledger| store.draft(&ledger).map(drop));
            if kept.is_err() {
                over.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            kept.unwrap();
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn eviction_takes_the_oldest_leaf_and_never_a_parent_or_an_entry_in_use() {
    let (_dir, store, ledger) = store();
    let base = add(&store, &ledger, "base", None, 1 << 20);
    let old = add(&store, &ledger, "old", Some(&base.meta().key), 1 << 20);
    let new = add(&store, &ledger, "new", Some(&base.meta().key), 1 << 20);
    for (entry, age) in [(&base, 300), (&old, 200), (&new, 100)] {
        let time = SystemTime::now() - std::time::Duration::from_secs(age);
        std::fs::File::options()
            .write(true)
            .open(entry.path().join("used"))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    let gone = store.evict(1).unwrap();
    assert_eq!(
        gone.iter()
            .map(|gone| gone.name.clone())
            .collect::<Vec<_>>(),
        [format!("web old {}", old.meta().key.short())]
    );
    let used = store.share(&new.meta().key).unwrap();
    assert!(
        store.evict(u64::MAX).unwrap().is_empty(),
        "the leaf is in use and its parent is needed"
    );
    drop(used);
    assert_eq!(store.evict(u64::MAX).unwrap().len(), 2);
    assert!(store.all().is_empty());
}

#[test]
fn the_second_who_wants_a_key_waits_and_is_told_for_whom() {
    let (_dir, store, _ledger) = store();
    let key = Key::of(b"x");
    let held = store.lock(&key, |_| panic!("nobody else has it")).unwrap();
    let (told, heard) = std::sync::mpsc::channel();
    let other = store.clone();
    let thread =
        std::thread::spawn(move || other.lock(&key, |pid| told.send(pid).unwrap()).map(drop));
    assert_eq!(heard.recv().unwrap(), std::process::id());
    drop(held);
    thread.join().unwrap().unwrap();
}

#[test]
fn a_state_directory_below_a_file_is_the_hosts_fault() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::new(file.path().join("state")).prepare().unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Host);
    assert!(error.hint_text().unwrap().contains("--state"));
}

#[test]
fn a_kept_draft_keeps_the_entry_below_it() {
    let (_dir, store, ledger) = store();
    let base = add(&store, &ledger, "base", None, 10);
    let draft = store.draft(&ledger).unwrap();
    draft
        .keep(&store.kept("web"), Some(&base.meta().key))
        .unwrap();
    assert!(store.evict(u64::MAX).unwrap().is_empty());
    std::fs::remove_dir_all(store.kept("web")).unwrap();
    assert_eq!(store.evict(u64::MAX).unwrap().len(), 1);
}

fn draft_of(store: &Store, ledger: &Ledger, meta: &Meta, byte: u8) -> Draft {
    let draft = store.draft(ledger).unwrap();
    std::fs::write(draft.path().join(DISK), vec![byte; 100]).unwrap();
    assert!(meta.disk.is_some() || meta.parent.is_none());
    draft
}

#[test]
fn an_entry_is_never_replaced() {
    let (_dir, store, ledger) = store();
    let base = add(&store, &ledger, "base", None, 10);
    let before = std::fs::read(base.disk()).unwrap();
    let draft = draft_of(&store, &ledger, base.meta(), 9);
    let error = draft
        .commit(&store, base.meta().clone(), Plain::default())
        .unwrap_err();
    assert!(
        error.render().contains("never replaces one"),
        "{}",
        error.render()
    );
    assert_eq!(std::fs::read(base.disk()).unwrap(), before);
    // Whose content is its key may be mended.
    let draft = draft_of(&store, &ledger, base.meta(), 9);
    draft
        .commit_over(&store, base.meta().clone(), Plain::default())
        .unwrap();
    assert_eq!(std::fs::read(base.disk()).unwrap(), [9; 100]);
}

#[test]
fn a_layer_stands_on_the_very_disk_that_it_was_made_on() {
    let (_dir, store, ledger) = store();
    let base = add(&store, &ledger, "base", None, 10);
    let child = add(&store, &ledger, "child", Some(&base.meta().key), 10);
    let leaf = add(&store, &ledger, "leaf", Some(&child.meta().key), 10);
    let stands = || store.entry(&leaf.meta().key).is_some();
    assert!(stands());
    store.verify(&leaf).unwrap();
    // Other bytes, which nobody wrote down.
    std::fs::write(base.disk(), [7; 10]).unwrap();
    let error = store.verify(&leaf).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Gate);
    let text = error.render();
    assert!(text.contains("the base stage of web changed"), "{text}");
    // Another disk under its name.
    let other = draft_of(&store, &ledger, base.meta(), 7);
    other
        .commit_over(&store, base.meta().clone(), Plain::default())
        .unwrap();
    assert!(!stands() && store.entry(&base.meta().key).is_some());
    std::fs::remove_dir_all(base.path()).unwrap();
    assert!(!stands(), "there is no disk below it");
    assert_eq!(store.all().len(), 2, "they take space all the same");
}

/// An imgforge without digests of chains: what is younger than its child was made again.
#[test]
fn an_old_entry_stands_on_an_older_one() {
    let (_dir, store, ledger) = store();
    let base = add(&store, &ledger, "base", None, 10);
    let child = add(&store, &ledger, "child", Some(&base.meta().key), 10);
    let write = |entry: &Entry, created: u64| {
        let mut meta = entry.meta().clone();
        (meta.disk, meta.created) = (None, created);
        let text = serde_json::to_vec(&meta).unwrap();
        std::fs::write(entry.path().join("meta.json"), text).unwrap();
    };
    for (of_base, stands) in [(100, true), (300, false)] {
        write(&base, of_base);
        write(&child, 200);
        assert_eq!(
            store.entry(&child.meta().key).is_some(),
            stands,
            "{of_base}"
        );
    }
}

/// A copy of the store at each step of a commit is what a kill at that step leaves.
#[test]
fn a_commit_that_dies_anywhere_leaves_the_old_or_the_new() {
    let (dir, store, ledger) = store();
    let base = add(&store, &ledger, "base", None, 10);
    let child = add(&store, &ledger, "child", Some(&base.meta().key), 10);
    let again = Meta {
        inputs: Inputs::new("base", 2),
        key: Inputs::new("base", 2).key().unwrap(),
        ..base.meta().clone()
    };
    let draft = draft_of(&store, &ledger, &again, 7);
    let copies = std::cell::RefCell::new(vec![]);
    let step = |name: &'static str| {
        let copy = dir.path().join(format!("killed-{}", copies.borrow().len()));
        let cp = crate::host::exec::Program::new("cp").arg("-a");
        cp.arg(store.state()).arg(&copy).run().unwrap();
        copies.borrow_mut().push((name, Store::new(copy)));
    };
    draft
        .place(&store, again.clone(), Plain::default(), &step)
        .unwrap();
    let copies = copies.into_inner();
    assert!(copies.len() >= 4);
    for (name, store) in copies {
        let old = store.entry(&child.meta().key).expect(name);
        store.verify(&old).expect(name);
        if let Some(new) = store.entry(&again.key) {
            store.verify(&new).expect(name);
            assert!(store.was_made(&again.key), "{name}");
        } else {
            assert!(!store.entries().join(again.key.as_str()).exists(), "{name}");
        }
    }
}

#[test]
fn what_is_written_under_a_known_name_goes_through_no_link() {
    let (dir, store, ledger) = store();
    let base = add(&store, &ledger, "base", None, 10);
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "dear").unwrap();
    let key = Key::of(b"linked");
    let link = |path: PathBuf| {
        drop(std::fs::remove_file(&path));
        std::os::unix::fs::symlink(&victim, path).unwrap();
    };
    link(store.state().join("locks").join(key.as_str()));
    link(base.path().join("used"));
    assert!(store.lock(&key, |_| {}).is_err() && store.try_lock(&key).is_none());
    base.touch();
    assert_eq!(std::fs::read(&victim).unwrap(), b"dear");
}

/// What was reported in another shape is never taken for nothing.
#[test]
fn facts_of_another_shape_make_an_entry_unreadable_and_it_stays() {
    let (_dir, store, ledger) = store();
    let key = add(&store, &ledger, "install", None, 10).meta().key.clone();
    let path = store.entries().join(key.as_str()).join("meta.json");
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(*store.get::<Plain>(&key).unwrap().facts(), Plain::default());
    for (from, to, why) in [
        ("\"declared\"", "\"keeps\"", "unknown field `keeps`"),
        ("\"declared\": []", "", "missing field `declared`"),
        ("\"facts-version\": 2", "\"facts-version\": 3", "version 3"),
        ("\"facts-version\": 2,", "", "version 1"),
        ("\"stage\": \"install\"", "\"stage\": \"seal-x\"", "seal-x"),
        ("\"image\"", "\"name\"", "missing field `image`"),
    ] {
        std::fs::write(&path, written.replacen(from, to, 1)).unwrap();
        let said = store.look::<Plain>(&key).unwrap_err().to_string();
        assert!(said.contains(why), "{from}: {said}");
        assert!(store.get::<Plain>(&key).is_none() && store.was_made(&key));
    }
    std::fs::write(&path, written).unwrap();
    assert!(store.has::<Plain>(&key).unwrap());
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert_eq!(store.has::<Plain>(&key), Ok(false));
}

#[test]
fn a_lock_ends_when_it_is_dropped_whoever_has_a_copy_of_its_file() {
    let (_dir, store, _ledger) = store();
    let key = Key::of(b"x");
    let held = store.share(&key).unwrap();
    // As a program has one between fork and exec.
    let copy = held.copy();
    drop(held);
    assert!(store.try_lock(&key).is_some());
    drop(copy);
}
