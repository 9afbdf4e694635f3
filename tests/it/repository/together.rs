//! Architectures that come and go together, and what happens between.

use std::collections::BTreeSet;

use imgforge::repository::Policy;
use imgforge::repository::verify::audit;
use imgforge::units::Span;

use super::world::*;

/// Both architectures, each with the disk of that text.
pub(crate) fn publish_both(
    world: &World,
    repository: &Repository,
    texts: [&str; 2],
) -> Vec<Published> {
    publish_both_by(world, repository, texts, &Ui::silent())
}

/// As [`publish_both`]; what is said goes to `ui`.
pub(crate) fn publish_both_by(
    world: &World,
    repository: &Repository,
    texts: [&str; 2],
    ui: &Ui,
) -> Vec<Published> {
    let disks = texts.map(|text| world.disk(text));
    let gate = proof("sealed");
    let [mut intel, mut arm] = [&disks[0], &disks[1]].map(|disk| publication(disk, &gate));
    (intel.arch, arm.arch) = ("x86_64", "aarch64");
    arm.stamp = intel.stamp.clone();
    repository.publish(&[intel, arm], ui).unwrap()
}

/// The digests that the index of a repository has.
pub(crate) fn listed(repository: &Repository) -> BTreeSet<String> {
    let entries = repository.entries("stable").unwrap();
    entries
        .into_iter()
        .filter_map(|entry| entry.sha512)
        .collect()
}

/// The digests of these disks.
fn digests(world: &World, texts: [&str; 2]) -> BTreeSet<String> {
    texts.map(|text| world.disk(text).sha512).into()
}

#[test]
fn files_that_are_pruned_while_another_architecture_is_copied_are_brought_in_again() {
    let world = World::new();
    publish_both(&world, &world.repository(), ["intel one", "arm one"]);
    publish_both(&world, &world.repository(), ["intel two", "arm two"]);
    let (other, pruned) = (world.repository(), Arc::new(Mutex::new(0)));
    let counted = Arc::clone(&pruned);
    let repository = world.repository().on_step(move |step| {
        let mut pruned = counted.lock().unwrap();
        if step == "copy the blob" && *pruned == 0 {
            let policy = Policy {
                keep: Some(1),
                window: Span::seconds(0),
                grace: Span::seconds(0),
            };
            *pruned = other.prune(&policy, true, &Stamp::now()).unwrap().len();
        }
    });
    let texts = ["intel three", "arm one"];
    publish_both(&world, &repository, texts);
    assert_eq!(*pruned.lock().unwrap(), 2, "both of the first");
    assert_eq!(listed(&repository), digests(&world, texts));
    let ui = Ui::silent().stage("repository", "verify");
    let found = audit(
        world.path("repo").to_str().unwrap(),
        &Signers::default(),
        &ui,
    );
    assert_eq!(found.unwrap().faults, Vec::<String>::new());
}

/// One architecture alone, under the name of both.
fn publish_intel(world: &World, repository: &Repository, text: &str) {
    publish(repository, &world.disk(text));
}

/// A repository that keeps what it says, and that.
fn heard(world: &World, rules: ChannelRules) -> (Repository, Ui, Arc<Mutex<Vec<String>>>) {
    let settings = Settings {
        channels: [("stable".to_owned(), rules)].into(),
        ..world.settings(&world.path("repo"))
    };
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let ui = Ui::new(Notices(Arc::clone(&said)));
    (Repository::open(settings).unwrap(), ui, said)
}

#[test]
fn a_rollback_does_not_take_back_the_wrong_architecture() {
    let world = World::new();
    let repository = world.repository();
    publish_intel(&world, &repository, "intel one");
    publish_intel(&world, &repository, "intel two");
    publish_both(&world, &repository, ["intel two", "arm one"]);
    let back = |to| repository.rollback("web-node", "stable", to, &Stamp::now(), &Ui::silent());
    let error = back(None).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    let told = error.render();
    for what in [
        "for aarch64 came last, and had nothing else in the channel `stable` before",
        "`imgforge repo yank web-node@3 --why TEXT` takes it out, of every channel and for good; `--to REV` rolls another architecture back",
    ] {
        assert!(told.contains(what), "{told}");
    }
    assert_eq!(
        listed(&repository),
        digests(&world, ["intel two", "arm one"])
    );
    // What it says works.
    assert_eq!(back(Some(1)).unwrap()[0].arch, "x86_64");
    assert_eq!(
        listed(&repository),
        digests(&world, ["intel one", "arm one"])
    );
    let (now, ui) = (Stamp::now(), Ui::silent());
    repository.yank("web-node", 3, false, &now, &ui).unwrap();
    assert_eq!(listed(&repository), [world.disk("intel one").sha512].into());
}

#[test]
fn what_was_pruned_is_not_said_to_have_never_been() {
    let world = World::new();
    let repository = world.repository();
    publish_intel(&world, &repository, "intel one");
    publish_intel(&world, &repository, "intel two");
    let policy = Policy {
        keep: Some(1),
        window: Span::seconds(0),
        grace: Span::seconds(0),
    };
    repository.prune(&policy, true, &Stamp::now()).unwrap();
    let back = || repository.rollback("web-node", "stable", None, &Stamp::now(), &Ui::silent());
    let error = back().unwrap_err().render();
    let pruned = "for x86_64 had revision 1 in the channel `stable` before, which was pruned";
    assert!(error.contains(pruned), "{error}");
}

#[test]
fn bytes_that_a_rollback_took_back_return_with_a_warning() {
    let world = World::new();
    let (repository, ui, said) = heard(&world, ChannelRules::default());
    let again = |texts| publish_both_by(&world, &repository, texts, &ui);
    again(["intel one", "arm one"]);
    again(["intel bad", "arm one"]);
    let moved = repository.rollback("web-node", "stable", None, &Stamp::now(), &ui);
    assert_eq!(moved.unwrap()[0].arch, "x86_64");
    said.lock().unwrap().clear();
    again(["intel one", "arm two"]);
    assert_eq!(*said.lock().unwrap(), Vec::<String>::new());
    again(["intel bad", "arm three"]);
    let told = said.lock().unwrap().join("\n");
    insta::assert_snapshot!(told, @"`stable` gets the bytes of web-node@3 for x86_64 again, which a rollback had removed: `imgforge repo yank web-node@3 --why TEXT` keeps them out");
    again(["intel bad", "arm four"]);
    assert_eq!(said.lock().unwrap().len(), 1, "once");
}

#[test]
fn an_architecture_that_is_new_has_no_trial_and_that_is_told() {
    let world = World::new();
    let (repository, ui, said) = heard(&world, canary("10%"));
    publish_intel(&world, &repository, "intel one");
    publish_intel(&world, &repository, "intel two");
    publish_both_by(&world, &repository, ["intel two", "arm one"], &ui);
    let told = said.lock().unwrap().join("\n");
    assert_eq!(
        told,
        "`web-node` for aarch64 is new in `stable`: all machines get it, without a canary first"
    );
    // A trial came when it began, whatever its share is since.
    let half = Some("50%".parse().unwrap());
    let (now, ui) = (Stamp::now(), Ui::silent());
    repository
        .complete("web-node", "stable", half, &now, &ui)
        .unwrap();
    let back = repository.rollback("web-node", "stable", None, &Stamp::now(), &ui);
    let error = back.unwrap_err().render();
    assert!(error.contains("for aarch64 came last"), "{error}");
}
