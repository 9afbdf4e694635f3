//! The state directory: builds, new epochs, and room that is made.

use imgforge::digest::Key;
use imgforge::store::Store;

use super::disk::{self, Tree};
use super::{Run, states};
use crate::support::World;

const BUILD: [&str; 4] = ["build", "small", "--until", "install"];
const AGAIN: [&str; 6] = ["build", "small", "--until", "install", "--from", "install"];

/// A recipe repository, and its state directory.
struct State {
    world: World,
    store: Store,
}

impl State {
    fn new() -> Self {
        let world = World::importing();
        let store = Store::new(world.path("state"));
        State { world, store }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let scratch = self.world.path("files");
        states(self.store.state(), &self.world.command(arguments), &scratch)
    }

    /// The key of the install stage as a plan says it now.
    fn key(&self) -> Key {
        let stages = self.world.planned(&["small"]).into_iter();
        let mut found = stages.filter(|planned| planned["stage"] == "install");
        let found = found.next().unwrap();
        Key::parse(found["key"].as_str().unwrap()).unwrap()
    }

    /// Every entry is whole, and its key will not be used again.
    fn stands(&self, tree: &Tree) {
        disk::restore(tree, self.store.state());
        for entry in self.store.all() {
            self.store.verify(&entry).unwrap();
            let made = self
                .store
                .state()
                .join("made")
                .join(entry.meta().key.as_str());
            assert!(made.exists(), "{}", made.display());
        }
    }

    /// Plans, builds and cleaning go on.
    fn goes_on(&self, tree: &Tree) {
        self.stands(tree);
        self.world.ok(&["gc"]);
        self.world.ok(&BUILD);
        let entry = self
            .store
            .entry(&self.key())
            .expect("a build ends with its entry");
        self.store.verify(&entry).unwrap();
        let left = self.world.stored();
        assert!(
            !left.iter().any(|name| name.starts_with(".draft-")),
            "{left:?}"
        );
    }

    /// A build that has ended is one for ever; before, nothing is half done.
    fn holds(&self, run: &Run) {
        let key = self.key();
        for tree in &run.after {
            disk::restore(tree, self.store.state());
            assert_eq!(self.key(), key, "the epoch is lost");
            assert!(self.store.entry(&key).is_some(), "the entry is lost");
        }
        run.all().for_each(|tree| self.stands(tree));
        run.some().for_each(|tree| self.goes_on(tree));
    }
}

#[test]
#[ignore = "long: src/store src/pipeline"]
fn a_first_build_is_there_when_it_said_so() {
    let state = State::new();
    let run = state.run(&BUILD);
    state.holds(&run);
}

#[test]
#[ignore = "long: src/store src/pipeline"]
fn a_build_anew_keeps_what_there_was_until_its_epoch_lasts() {
    let state = State::new();
    state.world.ok(&BUILD);
    let old = state.key();
    let run = state.run(&AGAIN);
    assert_ne!(state.key(), old);
    state.holds(&run);
    for tree in run.all() {
        disk::restore(tree, state.store.state());
        assert!(state.store.entry(&old).is_some());
    }
}

#[test]
fn what_gc_removes_is_there_or_not() {
    let state = State::new();
    state.world.ok(&BUILD);
    state.world.ok(&AGAIN);
    let run = state.run(&["gc", "--free", "1GiB"]);
    assert_eq!(state.store.all().len(), 0);
    run.all().for_each(|tree| state.stands(tree));
    run.some().for_each(|tree| state.goes_on(tree));
}
