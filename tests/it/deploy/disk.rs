//! What goes well.

use super::world::*;

#[test]
fn a_disk_has_the_images_files_in_a_root_that_fills_it_and_is_written_once() {
    let (world, image) = one_root();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let size = 300 << 20;
    let disk = machine.disk_with(size, b"");
    let said = machine.deploy(&base, &disk, &[]).unwrap();
    let shown = disk.display();
    assert_eq!(
        said,
        format!("{shown}: web revision 1 on 300.0 MiB, verified")
    );
    let ((files, of_image), (expected, of_root)) = (tree(&disk), tree(&image.raw));
    assert!(files == expected);
    assert_eq!((of_root, of_image), (64 << 20, size - ROOT - (1 << 20)));
    let sgdisk = Program::new("sgdisk").arg("-v").arg(&disk).text().unwrap();
    assert!(sgdisk.contains("No problems found"), "{sgdisk}");
    let e2fsck = Program::new("e2fsck").args(["-f", "-n"]);
    e2fsck.arg(format!("{shown}?offset={ROOT}")).run().unwrap();
    // As sparse as it can be.
    let blocks = |path: &Path| std::fs::metadata(path).unwrap().blocks() * 512;
    assert!(blocks(&disk) < blocks(&image.raw) + (4 << 20));

    let before = std::fs::read(&disk).unwrap();
    let changed = std::fs::metadata(&disk).unwrap().modified().unwrap();
    let said = machine.deploy(&base, &disk, &[]).unwrap();
    assert_eq!(
        said,
        format!("{shown}: web revision 1 already, nothing written")
    );
    assert_eq!(
        std::fs::metadata(&disk).unwrap().modified().unwrap(),
        changed
    );
    assert!(std::fs::read(&disk).unwrap() == before);
}

#[test]
fn over_http_and_onto_what_was_there_the_same_disk_comes() {
    let (world, _) = one_root();
    let machine = Machine::new(&world);
    let server = Server::of(&world.path("repo"));
    let disk = machine.disk_with(200 << 20, b"");
    machine.deploy(&server.text(""), &disk, &[]).unwrap();
    let empty = std::fs::read(&disk).unwrap();
    let disk = machine.disk_with(200 << 20, &noise(3));
    let said = machine.deploy(&server.text(""), &disk, &["--replace", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said.unwrap()).unwrap();
    assert_eq!(said["deployed"]["written"], true);
    assert_eq!(said["deployed"]["size"], 200 << 20);
    let full = std::fs::read(&disk).unwrap();
    // What nobody has written behind the image is as it was; before it all is the image's.
    assert!(full[IMAGE as usize + 1000..] != empty[IMAGE as usize + 1000..]);
    let expected = tree(&world.path("one.raw")).0;
    assert!(tree(&disk).0 == expected);
}

#[test]
fn after_a_failure_the_disk_does_not_boot_and_the_same_command_finishes_it() {
    let (world, image) = one_root();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let disk = machine.disk_with(100 << 20, b"");
    let fake = machine.path("bin/resize2fs");
    std::fs::create_dir(machine.path("bin")).unwrap();
    imgforge::host::exec::write_program(&fake, "#!/bin/sh\nexit 1\n").unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", machine.path("bin").display());
    let failing = machine.deploying(&base, &disk).env("PATH", path);
    let error = failing.text().unwrap_err().render();
    assert!(error.contains("resize2fs"), "{error}");
    let mut first = [1; 512];
    let file = File::open(&disk).unwrap();
    file.read_exact_at(&mut first, 0).unwrap();
    assert_eq!(first, [0; 512]);
    let said = machine.deploy(&base, &disk, &[]).unwrap();
    assert!(
        said.ends_with("after an interrupted installation"),
        "{said}"
    );
    assert!(tree(&disk).0 == tree(&image.raw).0);
}

/// A rescue system is another machine each time that it starts: who is first is asked of real ones.
#[test]
fn a_revision_on_trial_is_not_for_machines_that_are_installed() {
    let (world, one) = one_root();
    let two = rooted(&world, "two", &crate::phony::Phony::ubuntu());
    let mut settings = world.settings(&world.path("repo"));
    settings.channels = [("stable".to_owned(), canary("99.99%"))].into();
    publish_to(&Repository::open(settings).unwrap(), &two, "web", "stable");
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let here = machine.find(&format!("{base}#web"), &machine.trusting());
    assert_eq!(here.unwrap().revision, 2);
    let disk = machine.disk_with(200 << 20, b"");
    let said = machine.deploy(&base, &disk, &[]).unwrap();
    assert!(said.contains("web revision 1 on"), "{said}");
    assert!(tree(&disk).0 == tree(&one.raw).0);
}
