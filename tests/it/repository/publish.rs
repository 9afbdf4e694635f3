//! What is published, under which number.

use super::world::*;

#[test]
fn equal_bytes_are_published_once_and_numbers_never_come_again() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    assert_eq!(publish(&repository, &one).revision, 1);
    let again = publish(&repository, &one);
    assert_eq!((again.revision, again.changed), (1, false));
    assert_eq!(publish(&repository, &two).revision, 2);
    let back = publish(&repository, &one);
    assert_eq!(
        (back.revision, back.changed),
        (3, true),
        "old bytes under a higher revision"
    );
    assert!(back.url.contains("/images/web-node/1/"), "{}", back.url);
    assert!(
        !repository
            .path()
            .join("images/web-node/3/web-node-0123456789ab.xz")
            .exists()
    );
    world.fetched_equals(&repository, "stable", "web-node", &one);

    // Other words about the same bytes change the index, not the revision.
    let renamed = publish_with(&repository, &one, |p| p.title = "Web").unwrap();
    assert_eq!((renamed.revision, renamed.changed), (3, true));

    // A lost blob comes back.
    std::fs::remove_dir_all(repository.path().join("images/web-node/1")).unwrap();
    let restored = publish(&repository, &one);
    assert_eq!(restored.revision, 3);
    world.fetched_equals(&repository, "stable", "web-node", &one);
}

#[test]
fn only_a_tested_disk_of_the_right_bytes_is_published() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    assert_eq!(
        GateProof::new("sealed", GateReport::default())
            .unwrap_err()
            .kind(),
        Kind::Gate
    );

    let refused = |change: fn(&mut Publication<'_>)| -> Error {
        publish_with(&repository, &disk, change).unwrap_err()
    };
    assert_eq!(refused(|p| p.sealed = "another").kind(), Kind::Gate);
    let error = refused(|p| p.size = Size::bytes(1));
    assert!(
        error.render().contains("is not what was packed"),
        "{}",
        error.render()
    );
    for name in ["a b", "../x", ".hidden", "", "a/b"] {
        let refused = publish_with(&repository, &disk, |p| p.name = name).unwrap_err();
        assert_eq!(refused.kind(), Kind::Usage, "{name}");
    }
    assert_eq!(refused(|p| p.arch = "arm64").kind(), Kind::Gate);
    assert!(!repository.path().join("index.asc").exists());
    assert_eq!(
        std::fs::read_dir(repository.path().join(".imgforge/incoming"))
            .unwrap()
            .count(),
        0
    );
}
