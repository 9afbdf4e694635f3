//! A client that has changed over to the new key of a rotation.

use super::world::*;

/// What a new machine finds; the key by its file, else by its fingerprint.
fn find(world: &World, (key, fingerprint): (&Path, &str), by_file: bool, channel: Option<&str>) {
    let index = world.path("repo/index-2027.asc");
    for (image, revision) in [("web", 2), ("web@1", 1), ("web@2", 2)] {
        let machine = Machine::new(world);
        let options = Options {
            key: by_file.then_some(key),
            fingerprint: (!by_file).then_some(fingerprint),
            channel,
            ..machine.trusting()
        };
        let found = machine.find(&format!("{}#{image}", index.display()), &options);
        let found = found.unwrap_or_else(|error| panic!("{image}: {}", error.render()));
        assert_eq!(found.revision, revision);
    }
}

#[test]
fn the_new_key_counts_for_all_that_a_client_verifies() {
    let world = World::new();
    let disks = [("one", 3), ("two", 5)].map(|(name, seed)| disk(&world, name, &[seed, 7]));
    for channel in ["stable", "nightly"] {
        for disk in &disks {
            publish(&world, disk, "web", channel);
        }
    }
    let repository = world.repository();
    let begun = repository.rotate(None, "2027", &Stamp::now()).unwrap();
    let file = world.path("repo/imgforge-2027.gpg");
    let key = (file.as_path(), begun.to.as_str());
    let all = || {
        for by_file in [true, false] {
            find(&world, key, by_file, None);
            find(&world, key, by_file, Some("nightly"));
        }
    };
    all();
    // An imgforge that did not write the list under its second URL yet is made up for.
    let list = world.path("repo/images/web/revisions-2027.sjson");
    std::fs::remove_file(&list).unwrap();
    publish(&world, &disks[1], "web", "stable");
    assert!(list.exists());
    all();
    repository.finish_rotation(&Stamp::now()).unwrap();
    all();
    std::fs::remove_file(&list).unwrap();
    find(&world, key, true, None);
}
