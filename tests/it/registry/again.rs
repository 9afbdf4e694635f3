//! A host with nothing in its store has all images again from the shared one.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::time::Instant;

use imgforge::machine::Arch;

use crate::support::registry::{Kind, Service};
use crate::support::{Run as _, World, tool};
use crate::{gate, slots, whole};

/// Two bases, guests of a few files, and what is built on them.
pub(super) fn world() -> World {
    let world = gate::world("bios");
    gate::small::disk(&world, "a", &gate::small::guest());
    let disk = world.path("a.raw").display().to_string();
    for base in ["a", "b"] {
        let shell = format!("configure: [{{shell: {{run: 'echo {base} >/etc/base'}}}}]\n");
        let import = format!("install: {{import: {{image: {disk}}}}}\n");
        world.image(base, &(import + &shell));
    }
    for (child, base) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        let shell = format!("configure: [{{shell: {{run: 'echo {child} >>/etc/base'}}}}]\n");
        world.image(child, &format!("from: {base}\n{shell}"));
    }
    world
}

/// In a tenth of the time at most, without a guest; then a build has nothing to do, and asks nobody.
#[test]
#[ignore = "e2e: src/store/remote src/registry src/pipeline"]
fn an_empty_host_has_all_again_in_a_tenth_of_the_time() {
    slots::take(1);
    comes_again(&world(), "", &["--all"]);
}

/// All that are made without an installer, each on Debian: bases, and what is built on them.
#[test]
#[ignore = "e2e: src/store/remote src/registry src/pipeline recipes"]
fn an_empty_host_has_the_examples_again_in_a_tenth_of_the_time() {
    slots::take(2);
    let images = [
        "debian-mini",
        "node-base",
        "compute-node",
        "network-node",
        "storage-node",
        "research-instance",
        "research-desktop",
    ];
    let world = whole::shipped(Arch::X86_64);
    comes_again(&world, "repositories: {main: {path: repo}}\n", &images);
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn comes_again(world: &World, config: &str, images: &[&str]) {
    let service = Service::start(&world.path("registry"), Kind::default());
    world.write("signers.gpg", world.signer().public_key().unwrap());
    world.configure(&format!(
        "{config}store: {{remote: '{}', push: true, allowed-signers: signers.gpg}}\n",
        service.oci("imgforge")
    ));
    let build = [&["build"], images, &["--until", "seal"]].concat();
    let began = Instant::now();
    world.ok(&build).says(&["put the seal stage of "]);
    let built = began.elapsed();

    let empty = world.path("empty");
    DirBuilder::new().mode(0o700).create(&empty).unwrap();
    let keys = world.path("state/gnupg");
    let [from, to] = [&keys, &empty].map(|path| path.to_str().unwrap());
    tool("cp", &["-a", from, to]);
    let again = [&["--state", to], &build[..]].concat();
    let began = Instant::now();
    let events = world.showing("json", &again).said().ok().events();
    let fetched = began.elapsed();
    let started = events.iter().filter(|event| event["event"] == "started");
    assert_eq!(started.count(), 0, "{events:?}");
    let asked = service.requests().len();
    let began = Instant::now();
    world.ok(&again);
    let idle = began.elapsed();
    assert_eq!(service.requests().len(), asked, "nothing to do asks nobody");
    let [built, fetched, idle] = [built, fetched, idle].map(|took| took.as_secs_f64());
    let ratio = fetched / built;
    println!(
        "built in {built:.0} s, had again in {fetched:.1} s: {ratio:.3}; then nothing to do in {idle:.2} s"
    );
    assert!(ratio <= 0.1, "{ratio}");
}
