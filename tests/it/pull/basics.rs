//! What goes well.

use super::world::*;

#[test]
fn an_image_comes_over_http_once_and_out_of_the_store_again() {
    let (world, disk) = one_image();
    let server = Server::of(&world.path("repo"));
    let machine = Machine::new(&world);
    let reference = format!("{}#web", server.text(""));
    let pulled = machine.pull(&reference).unwrap();
    machine.has(&disk);
    let size = disk.size.as_bytes();
    assert_eq!(
        (pulled.revision, pulled.blob_size, pulled.size),
        (1, size, 8 << 20)
    );
    assert_eq!((pulled.fetched, pulled.reused), (size, 0));
    assert_eq!(pulled.sha512, disk.sha512);
    assert!(machine.parts().is_empty());

    std::fs::remove_file(machine.path("disk.raw")).unwrap();
    server.forget();
    let again = machine.pull(&reference).unwrap();
    machine.has(&disk);
    assert_eq!((again.fetched, again.reused), (0, size));
    assert!(blob_requests(&server).is_empty());
}

#[test]
fn a_file_address_and_a_directory_need_no_copy_in_the_store() {
    let (world, disk) = one_image();
    let machine = Machine::new(&world);
    let repo = world.path("repo").display().to_string();
    for reference in [
        format!("{repo}#web@1"),
        format!("file://{repo}/index.asc#web"),
    ] {
        machine.pull(&reference).unwrap();
        machine.has(&disk);
    }
    assert_eq!(machine.session().store.all().len(), 0);
}

#[test]
fn the_disk_has_the_format_and_size_that_were_asked_for() {
    let (world, disk) = one_image();
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let (path, grown) = (machine.path("disk.qcow2"), Some(Size::mib(20)));
    let to = |format: DiskFormat, size: Option<Size>| {
        machine.pull_as(&reference, &machine.trusting(), "disk.qcow2", format, size)
    };
    assert_eq!(to(DiskFormat::Qcow2, grown).unwrap().size, 20 << 20);
    let info = Program::new("qemu-img")
        .args(["info", "--output=json"])
        .arg(&path);
    let info: serde_json::Value = info.json().unwrap();
    assert_eq!(
        (info["format"].as_str(), info["virtual-size"].as_u64()),
        (Some("qcow2"), Some(20 << 20))
    );
    let compare = Program::new("qemu-img").args(["compare", "-f", "qcow2", "-F", "raw"]);
    compare.args([&path, &disk.raw]).run().unwrap();

    to(DiskFormat::Raw, grown).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 20 << 20);
    let error = to(DiskFormat::Raw, Some(Size::mib(7))).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(
        error.render().contains("a disk never shrinks"),
        "{}",
        error.render()
    );
    assert_eq!(
        std::fs::metadata(&path).unwrap().len(),
        20 << 20,
        "the old file stays"
    );
}

#[test]
fn channels_and_earlier_revisions_are_found_by_name() {
    let (world, one) = one_image();
    let two = disk(&world, "two", &[7, 8]);
    assert_eq!(publish(&world, &two, "web", "nightly"), 2);
    let three = disk(&world, "three", &[9]);
    assert_eq!(publish(&world, &three, "web", "stable"), 3);
    let server = Server::of(&world.path("repo"));
    let machine = Machine::new(&world);
    let base = server.text("");
    let channel = |channel| Options {
        channel,
        ..machine.trusting()
    };
    for (reference, options, disk, revision) in [
        (format!("{base}#web"), channel(None), &three, 3),
        (format!("{base}#web"), channel(Some("nightly")), &two, 2),
        (
            format!("{base}channels/nightly/index.asc#web"),
            channel(None),
            &two,
            2,
        ),
        (format!("{base}#web@1"), channel(None), &one, 1),
        (format!("{base}#web@2"), channel(None), &two, 2),
        (format!("{base}#web@1"), channel(Some("nightly")), &one, 1),
    ] {
        let pulled = machine.pull_to(&reference, &options).unwrap();
        assert_eq!(pulled.revision, revision, "{reference}");
        machine.has(disk);
    }
    for (reference, options, expected) in [
        ("#web@9", channel(None), "it has 1, 2, 3"),
        ("#other", channel(None), "the index has no image `other`"),
        ("#web", channel(Some("stable")), "leave --channel out"),
        (
            "#web",
            channel(Some("beta")),
            "the channels nightly, stable",
        ),
    ] {
        let error = machine
            .find(&format!("{base}{reference}"), &options)
            .unwrap_err();
        assert!(error.render().contains(expected), "{}", error.render());
    }
}

#[test]
fn a_revision_on_trial_is_for_its_share_of_the_machines() {
    let (world, one) = one_image();
    let two = disk(&world, "two", &[7, 8]);
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let mut settings = world.settings(&world.path("repo"));
    settings.channels = [("stable".to_owned(), canary("0%"))].into();
    let repository = Repository::open(settings).unwrap();
    publish_to(&repository, &two, "web", "stable");
    // Going back to what the others have is no going back of the repository.
    for (share, revision, disk) in [("0%", 1, &one), ("99.99%", 2, &two), ("0%", 1, &one)] {
        let share = Some(share.parse().unwrap());
        let stamp = Stamp::now();
        repository
            .complete("web", "stable", share, &stamp, &Ui::silent())
            .unwrap();
        assert_eq!(
            machine.pull(&reference).unwrap().revision,
            revision,
            "{share:?}"
        );
        machine.has(disk);
    }
}

/// Every byte of it is here already.
#[test]
fn a_directory_is_a_repository_of_which_nothing_is_fetched() {
    let (world, disk) = one_image();
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let pulled = machine.pull(&reference).unwrap();
    machine.has(&disk);
    assert_eq!((pulled.fetched, pulled.reused), (0, disk.size.as_bytes()));
}

#[test]
fn the_repositories_of_imgforge_yaml_have_names() {
    let (world, disk) = one_image();
    let machine = Machine::new(&world);
    let server = Server::of(&world.path("repo"));
    let key = world.path("repo/imgforge.gpg");
    let text = format!(
        "repositories:\n  main: {{url: {}, key: {}}}\n",
        server.text(""),
        key.display()
    );
    std::fs::write(machine.path("imgforge.yaml"), text).unwrap();
    let printed = machine
        .program()
        .args(["pull", "web", "-o", "disk.raw", "-q"])
        .text()
        .unwrap();
    assert_eq!(
        printed,
        "disk.raw: web revision 1, a disk of 8.0 MiB, verified"
    );
    machine.has(&disk);
    let error = machine
        .program()
        .env("VIRT_BUILDER_DIRS", "/nonexistent")
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .args(["pull", "none#web", "-o", "x"])
        .run()
        .unwrap_err();
    assert!(
        error.render().contains("known are main;"),
        "{}",
        error.render()
    );
}

#[test]
fn a_recipe_imports_a_published_image() {
    let (world, _) = one_image();
    let raw = world.path("boot.raw");
    let file = File::create(&raw).unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    let boot = packed(raw);
    publish(&world, &boot, "boot", "stable");
    let server = Server::of(&world.path("repo"));
    let machine = Machine::new(&world);
    let key = world.path("repo/imgforge.gpg");
    let config = format!(
        "repositories:\n  main: {{url: {}, key: {}}}\n",
        server.text(""),
        key.display()
    );
    std::fs::write(machine.path("imgforge.yaml"), config).unwrap();
    std::fs::create_dir(machine.path("recipes")).unwrap();
    let recipe = "name: small\ninstall: {import: {image: 'main#boot@1'}}\nmachine: {disk: 1GiB}\n";
    std::fs::write(machine.path("recipes/small.yaml"), recipe).unwrap();
    let build = machine
        .program()
        .args(["build", "small", "--until", "install", "-q"]);
    build.run().unwrap();
    let entries = machine.session().store.all();
    let install = entries
        .iter()
        .find(|entry| entry.meta().stage == "install")
        .unwrap();
    let compare = Program::new("qemu-img").args(["compare", "-f", "qcow2", "-F", "raw"]);
    compare.args([&install.disk(), &boot.raw]).run().unwrap();
}

#[test]
fn the_proxy_of_the_environment_is_used() {
    let (world, disk) = one_image();
    let machine = Machine::new(&world);
    let root = world.path("repo");
    let proxy = Server::start(move |request, _| {
        let mut request = request.clone();
        let path = request.path.strip_prefix("http://images.invalid/");
        let Some(path) = path.map(str::to_owned) else {
            return Answer::status(400);
        };
        request.path = path;
        Answer::directory(&request, &root)
    });
    machine
        .program()
        .env("http_proxy", proxy.text(""))
        .args([
            "pull",
            "http://images.invalid/#web",
            "-o",
            "disk.raw",
            "--key",
        ])
        .arg(world.path("repo/imgforge.gpg"))
        .run()
        .unwrap();
    machine.has(&disk);
}

#[test]
fn many_at_once_fetch_the_blob_once() {
    let (world, _) = one_image();
    let server = Server::of(&world.path("repo"));
    let machine = Machine::new(&world);
    let reference = format!("{}#web", server.text(""));
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (machine, reference) = (&machine, &reference);
            scope.spawn(move || {
                let file = format!("disk{number}.raw");
                let options = machine.trusting();
                let pulled = machine.pull_as(reference, &options, &file, DiskFormat::Raw, None);
                let metadata = std::fs::metadata(pulled.unwrap().path).unwrap();
                assert_eq!(metadata.len(), 8 << 20);
            });
        }
    });
    let whole = blob_requests(&server)
        .iter()
        .filter(|range| range.is_none())
        .count();
    assert_eq!(whole, 1, "{:?}", blob_requests(&server));
}

#[test]
fn a_store_with_a_limit_gives_blobs_up() {
    let (world, _) = one_image();
    let server = Server::of(&world.path("repo"));
    let mut machine = Machine::new(&world);
    machine.config.store.max_size = Some(Size::mib(1));
    machine.pull(&format!("{}#web", server.text(""))).unwrap();
    let two = disk(&world, "two", &[21, 22, 23, 24, 25]);
    publish(&world, &two, "web", "stable");
    machine.pull(&format!("{}#web", server.text(""))).unwrap();
    machine.has(&two);
    let entries = machine.session().store.all();
    assert_eq!(entries.len(), 1, "{entries:?}");
}
