//! Publishers that are many, killed, or out of space.

use super::world::*;

#[test]
fn a_full_disk_at_any_write_leaves_a_valid_repository() {
    on_a_small_disk("repository::crash::each_write_on_a_full_disk");
    on_a_small_disk("repository::crash::a_copy_on_a_full_disk");
}

#[test]
#[ignore = "child"]
fn each_write_on_a_full_disk() {
    let world = World::new();
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish(&world.repository(), &one);
    for when in [
        "copy the blob",
        "bind the revision",
        "write the manifest",
        "write an entry point aside",
        "write the journal",
    ] {
        let full = Arc::new(Mutex::new(None));
        let fill = Arc::clone(&full);
        let repository = world.repository().on_step(move |step| {
            if step == when {
                *fill.lock().unwrap() = Some(fill_up());
            }
        });
        let error = publish_with(&repository, &two, |_| {}).unwrap_err();
        let text = error.render();
        assert!(text.contains("the disk is full"), "{when}: {text}");
        assert!(text.contains("imgforge repo prune"), "{when}: {text}");
        drop(full.lock().unwrap().take());
        let entry = world.repository().entries("stable").unwrap().remove(0);
        assert_eq!(
            (entry.revision, entry.sha512.as_ref()),
            (1, Some(&one.sha512)),
            "{when}"
        );
    }
    assert_eq!(publish(&world.repository(), &two).revision, 2);
    world.fetched_equals(&world.repository(), "stable", "web-node", &two);
}

#[test]
#[ignore = "child"]
fn a_copy_on_a_full_disk() {
    let world = World::new();
    let repository = world.repository();
    publish(&repository, &world.disk("one"));
    let (target, ui) = (world.path("copy"), Ui::silent().stage("repository", "copy"));
    let full = Arc::new(Mutex::new(None));
    let fill = Arc::clone(&full);
    let broken = world.repository().on_step(move |step| {
        if step == "copy a file" {
            *fill.lock().unwrap() = Some(fill_up());
        }
    });
    let text = broken.copy(&target, &ui).unwrap_err().render();
    assert!(text.contains("the disk is full"), "{text}");
    assert!(!target.join("index.asc").exists());
    drop(full.lock().unwrap().take());
    repository.copy(&target, &ui).unwrap();
    assert!(target.join("index.asc").exists());
}

/// In a directory that others may write, they can put links where the next files are to be.
#[test]
fn links_where_files_are_made_lead_nowhere() {
    use std::os::unix::fs::symlink;
    let world = World::new();
    let root = world.path("repo");
    publish(&world.repository(), &world.disk("one"));
    let victim = world.path("victim");
    let kept = victim.join("kept");
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("file"), "theirs").unwrap();
    let link = |name: &str| {
        let name = root.join(name);
        drop(std::fs::remove_file(&name));
        symlink(kept.join("file"), &name).unwrap();
    };
    let aside = [
        ".imgforge/names/web-node.json.new",
        ".imgforge/journal.json.new",
        ".imgforge/lock",
    ];
    aside.iter().for_each(|name| link(name));
    let planted = root.clone();
    let theirs = kept.join("file");
    let repository = world.repository().on_step(move |step| {
        let name = match step {
            "write the manifest" => "images/web-node/2/manifest.json.new",
            "write an entry point aside" => ".imgforge/transaction/0",
            _ => return,
        };
        // Both exist already where a step comes again.
        drop(symlink(&theirs, planted.join(name)));
    });
    publish(&repository, &world.disk("two"));
    let (copy, ui) = (world.path("copy"), Ui::silent().stage("repository", "copy"));
    let part = copy.join("images/web-node/2/web-node-0123456789ab.xz.part");
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    symlink(kept.join("file"), &part).unwrap();
    repository.copy(&copy, &ui).unwrap();
    assert_eq!(std::fs::read(kept.join("file")).unwrap(), b"theirs");
    assert!(
        !copy
            .join("images/web-node/2/web-node-0123456789ab.xz")
            .is_symlink()
    );

    // Nor is anything read, or removed, through one.
    let incoming = root.join(".imgforge/incoming");
    std::fs::remove_dir_all(&incoming).unwrap();
    symlink(&victim, &incoming).unwrap();
    let text = Repository::open(world.settings(&root))
        .unwrap_err()
        .render();
    assert!(text.contains("incoming is a link"), "{text}");
    assert!(kept.join("file").exists());
    std::fs::remove_file(&incoming).unwrap();
    for name in ["channels.json", "repository.json", "names/web-node.json"] {
        let (file, aside) = (root.join(".imgforge").join(name), world.path("aside"));
        std::fs::rename(&file, &aside).unwrap();
        symlink(&aside, &file).unwrap();
        let text = imgforge::repository::state::State::read(&root)
            .unwrap_err()
            .render();
        assert!(text.contains(&format!("{name} is a link")), "{text}");
        std::fs::rename(&aside, &file).unwrap();
    }
    publish(
        &Repository::open(world.settings(&root)).unwrap(),
        &world.disk("three"),
    );
}

#[test]
fn many_publishers_at_once_get_revisions_of_their_own() {
    let world = World::new();
    let disks: Vec<Disk> = (0..6)
        .map(|number| world.disk(&format!("disk{number}")))
        .collect();
    let path = world.path("repo");
    let revisions = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for disk in &disks {
            scope.spawn(|| {
                let repository = Repository::open(world.settings(&path)).unwrap();
                revisions
                    .lock()
                    .unwrap()
                    .push(publish(&repository, disk).revision);
            });
        }
    });
    let mut revisions = revisions.into_inner().unwrap();
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6]);
    let repository = world.repository();
    let entry = repository.entries("stable").unwrap().remove(0);
    let newest = disks
        .iter()
        .find(|disk| Some(&disk.sha512) == entry.sha512.as_ref())
        .unwrap();
    assert_eq!(entry.revision, 6);
    world.fetched_equals(&repository, "stable", "web-node", newest);
}

#[test]
fn a_publisher_killed_at_any_moment_leaves_a_valid_repository() {
    let world = World::new();
    let (one, two) = (world.disk("one"), world.disk("two"));
    publish(&world.repository(), &one);

    let (repository, moments) = world.copied_at_each_step();
    assert_eq!(publish(&repository, &two).revision, 2);

    let moments = moments.lock().unwrap().clone();
    assert!(moments.len() >= 8, "{moments:?}");
    for (step, copy) in moments {
        let signed = std::fs::read(copy.join("index.asc")).unwrap();
        verify(&signed, &copy.join("imgforge.gpg")).unwrap();
        let repository = Repository::open(world.settings(&copy)).unwrap();
        let entry = repository.entries("stable").unwrap().remove(0);
        let blob = copy.join(&entry.file);
        assert_eq!(Some(file_sha512(&blob).unwrap()), entry.sha512, "{step}");
        assert_eq!(publish(&repository, &two).revision, 2, "{step}");
        let three = publish_with(&repository, &one, |_| {}).unwrap();
        assert_eq!(three.revision, 3, "{step}");
        let left = std::fs::read_dir(copy.join(".imgforge/incoming"))
            .unwrap()
            .count();
        assert_eq!(left, 0, "{step}");
        let aside = std::fs::read_dir(copy.join(".imgforge/transaction")).unwrap();
        assert_eq!(aside.count(), 0, "{step}");
    }
}

#[test]
fn what_a_killed_publisher_only_bound_is_shown_to_nobody() {
    let world = World::new();
    let [one, two, three] = ["one", "two", "three"].map(|text| world.disk(text));
    publish(&world.repository(), &one);
    let beside = |disk: &Disk, repository: &Repository, text: &str| {
        publish_with(repository, disk, |p| {
            p.companions = vec![Companion::bytes("provenance.json", text).signed()];
        })
    };
    let (root, copy) = (world.path("repo"), world.dir.path().to_owned());
    let repository = world.repository().on_step(move |step| {
        if let "move the blob in" | "write the manifest" = step {
            let copy = copy.join(step.replace(' ', "-"));
            Program::new("cp")
                .arg("-a")
                .arg(&root)
                .arg(copy)
                .run()
                .unwrap();
        }
    });
    beside(&two, &repository, "first").unwrap();
    for step in ["move the blob in", "write the manifest"] {
        let copy = world.path(&step.replace(' ', "-"));
        let audit = || {
            let ui = Ui::silent().stage("repository", "verify");
            let place = copy.to_str().unwrap();
            imgforge::repository::verify::audit(place, &Signers::default(), &ui).unwrap()
        };
        let repository = Repository::open(world.settings(&copy)).unwrap();
        assert_eq!(
            beside(&three, &repository, "x").unwrap().revision,
            3,
            "2 is bound"
        );
        let report = audit();
        assert_eq!((report.faults, report.revisions), (vec![], 2), "{step}");
        let late = beside(&two, &repository, "second").unwrap();
        assert_eq!(late.revision, 4, "{step}");
        assert_eq!(audit().faults, Vec::<String>::new(), "{step}");
        world.fetched_equals(&repository, "stable", "web-node", &two);
    }
}
