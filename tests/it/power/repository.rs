//! The repository: publications, and what finishes one that was cut off.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use imgforge::digest::file_sha512;
use imgforge::gpg::Signers;
use imgforge::repository::{Repository, State, verify::audit};
use imgforge::ui::Ui;

use super::disk::{self, Tree};
use super::{Run, states};
use crate::repository::world::{Disk, World, publish, verify};

/// The texts of indexes, by themselves and the key that signed them.
type Texts = BTreeMap<(Vec<u8>, Vec<u8>), String>;

/// A recipe repository, whose image a real `imgforge publish` publishes.
struct Published {
    site: World,
    /// What was verified already.
    verified: RefCell<Texts>,
}

impl Published {
    fn new() -> Self {
        let site = World::publishing();
        Published {
            site,
            verified: RefCell::default(),
        }
    }

    /// What a build of the image that made `disk` leaves.
    fn build(&self, disk: &Disk) {
        let mut raw = vec![0; 1 << 20];
        raw[510..512].copy_from_slice(&[0x55, 0xaa]);
        raw[..32].copy_from_slice(&disk.sha512.as_bytes()[..32]);
        std::fs::write(self.site.path("disk.raw"), raw).unwrap();
        let body = "install: {import: {image: disk.raw}}\nmachine: {disk: 1GiB}\n";
        self.site.image("small", body);
        self.site.ok(&["build", "small", "--until", "install"]);
        self.site.finish("small", disk);
    }

    /// What a loss of power leaves of the directory `root` while imgforge runs.
    fn run(&self, root: &str, arguments: &[&str]) -> Run {
        let scratch = tempfile::tempdir().unwrap();
        let (root, publish) = (self.site.path(root), self.site.command(arguments));
        states(&root, &publish, scratch.path())
    }

    /// What readers find is signed and whole; which revisions they find.
    fn read(&self, tree: &Tree) -> BTreeSet<u64> {
        let root = self.site.path("repo");
        disk::restore(tree, &root);
        let Ok(signed) = std::fs::read(root.join("index.asc")) else {
            return BTreeSet::new();
        };
        let key = std::fs::read(root.join("imgforge.gpg")).unwrap();
        let mut known = self.verified.borrow_mut();
        let text = known
            .entry((signed, key))
            .or_insert_with_key(|(signed, _)| {
                verify(signed, &root.join("imgforge.gpg")).unwrap().text
            });
        let sections = imgforge::index::parse(text).unwrap();
        let entries = imgforge::index::check(&sections).unwrap();
        for entry in entries.iter().filter(|entry| !entry.hidden) {
            let found = file_sha512(&root.join(&entry.file)).unwrap();
            assert_eq!(Some(found), entry.sha512, "{}", entry.file);
        }
        let shown = entries.iter().filter(|entry| !entry.hidden);
        shown.map(|entry| entry.revision).collect()
    }

    fn audit(&self) {
        let (root, ui) = (self.site.path("repo"), Ui::silent());
        let ui = ui.stage("repository", "verify");
        let report = audit(root.to_str().unwrap(), &Signers::default(), &ui).unwrap();
        assert_eq!(report.faults, [""; 0]);
    }

    /// It verifies, and the next publication ends well.
    fn goes_on(&self, tree: &Tree, next: &Disk) {
        let root = self.site.path("repo");
        disk::restore(tree, &root);
        if root.join("index.asc").exists() {
            self.audit();
        }
        let repository: Repository = self.site.repository();
        let published = publish(&repository, next);
        let entries = repository.entries("stable").unwrap();
        let found = entries.iter().find(|entry| entry.id == "web-node").unwrap();
        assert_eq!(
            (found.revision, found.sha512.as_ref()),
            (published.revision, Some(&next.sha512))
        );
        self.audit();
        for left in [".imgforge/incoming", ".imgforge/transaction"] {
            let count = std::fs::read_dir(root.join(left)).unwrap().count();
            assert_eq!(count, 0, "{left}");
        }
    }
}

/// What readers find during the run and afterwards, and that publishers go on.
fn holds(published: &Published, run: &Run, during: &[u64], after: u64) {
    let next = published.site.disk("next");
    for tree in &run.after {
        assert_eq!(published.read(tree), [after].into());
        let state = State::read(&published.site.path("repo")).unwrap();
        let revisions = &state.images["small"].revisions;
        assert!(revisions.contains_key(&after), "its number may come again");
    }
    for tree in run.all() {
        let found = published.read(tree);
        assert!(
            found.iter().all(|revision| during.contains(revision)),
            "{found:?}"
        );
        // Only a repository that was never published to has none.
        assert!(found.len() == 1 || during.len() == 1, "{found:?}");
    }
    run.some().for_each(|tree| published.goes_on(tree, &next));
}

#[test]
#[ignore = "long: src/repository src/gpg src/sync"]
fn a_first_publication_is_there_when_it_said_so() {
    let published = Published::new();
    published.build(&published.site.disk("one"));
    let run = published.run("repo", &["publish", "small"]);
    holds(&published, &run, &[1], 1);
}

#[test]
#[ignore = "long: src/repository src/gpg src/sync"]
fn a_later_publication_leaves_the_old_or_the_new_and_is_finished() {
    let published = Published::new();
    for text in ["one", "two"] {
        published.build(&published.site.disk(text));
        if text == "one" {
            published.site.ok(&["publish", "small"]);
        }
    }
    let run = published.run("repo", &["publish", "small"]);
    holds(&published, &run, &[1, 2], 2);
    // Whoever comes next finishes it, and may lose the power, too.
    let begun = |tree: &&Tree| tree.contains_key(".imgforge/journal.json");
    let half = run.all().find(begun).expect("a transaction has a journal");
    disk::restore(half, &published.site.path("repo"));
    let run = published.run("repo", &["publish", "small"]);
    holds(&published, &run, &[1, 2], 2);
}

#[test]
#[ignore = "long: src/repository src/gpg src/sync"]
fn what_is_purged_is_listed_nowhere_before_it_goes() {
    let published = Published::new();
    for text in ["one", "two"] {
        published.build(&published.site.disk(text));
        published.site.ok(&["publish", "small"]);
    }
    let run = published.run(
        "repo",
        &["repo", "yank", "small@2", "--purge", "--why", "a test"],
    );
    holds(&published, &run, &[2, 3], 3);
}

/// Without it, nobody could publish to the repository again.
#[test]
#[ignore = "long: src/repository src/gpg src/sync"]
fn the_key_that_signed_a_publication_is_there_afterwards() {
    let published = Published::new();
    published.build(&published.site.disk("one"));
    let state = published.site.path("state");
    assert!(!state.join("gnupg").exists(), "it makes one");
    let run = published.run("state", &["publish", "small"]);
    // GnuPG's locks, which a power loss may leave, are its own.
    let is_key = |path: &str| path.starts_with("gnupg/private-keys") || path.ends_with(".kbx");
    let keys = |tree: &Tree| -> Tree {
        let keys = tree.iter().filter(|(path, _)| is_key(path));
        keys.map(|(path, kind)| (path.clone(), kind.clone()))
            .collect()
    };
    let wanted = keys(&disk::read(&state));
    assert_eq!(
        wanted.len(),
        3,
        "a directory, the secret key, the public one"
    );
    for tree in &run.after {
        assert_eq!(disk::differences(&keys(tree), &wanted), [""; 0]);
    }
}
