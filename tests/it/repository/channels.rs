//! Channels of one repository.

use super::world::*;

#[test]
fn channels_share_the_counter_and_have_names_of_their_own() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    let nightly = |disk: &Disk| publish_with(&repository, disk, |p| p.channel = "nightly").unwrap();
    let first = nightly(&one);
    assert_eq!(
        (first.revision, first.entry.as_str()),
        (1, "web-node-nightly")
    );
    assert_eq!(publish(&repository, &two).revision, 2);
    assert_eq!(
        nightly(&two).revision,
        2,
        "the same bytes keep their number"
    );
    world.fetched_equals(&repository, "nightly", "web-node-nightly", &two);
    world.fetched_equals(&repository, "stable", "web-node", &two);
    assert_eq!(repository.entries("nightly").unwrap()[0].revision, 2);

    let error = publish_with(&repository, &one, |p| p.name = "web-node-nightly").unwrap_err();
    assert!(
        error.render().contains("belongs to `web-node`"),
        "{}",
        error.render()
    );
    let other = Settings {
        default_channel: "nightly".into(),
        ..world.settings(repository.path())
    };
    assert!(
        Repository::open(other)
            .unwrap_err()
            .message()
            .contains("is `stable`")
    );
}
