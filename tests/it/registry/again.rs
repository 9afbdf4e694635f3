//! A host with nothing in its store has all images again from the shared one.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::time::Instant;

use crate::gate;
use crate::slots;
use crate::support::registry::{Kind, Service};
use crate::support::{Run as _, World, tool};

const BUILD: [&str; 4] = ["build", "--all", "--until", "seal"];

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
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn an_empty_host_has_all_again_in_a_tenth_of_the_time() {
    slots::take(1);
    let world = world();
    let service = Service::start(&world.path("registry"), Kind::default());
    world.write("signers.gpg", world.signer().public_key().unwrap());
    world.configure(&format!(
        "store: {{remote: '{}', push: true, allowed-signers: signers.gpg}}\n",
        service.oci("imgforge")
    ));
    let began = Instant::now();
    world.ok(&BUILD).says(&["put the seal stage of b1 into"]);
    let built = began.elapsed();

    let empty = world.path("empty");
    DirBuilder::new().mode(0o700).create(&empty).unwrap();
    let keys = world.path("state/gnupg");
    let [from, to] = [&keys, &empty].map(|path| path.to_str().unwrap());
    tool("cp", &["-a", from, to]);
    let again = [&["--state", to], &BUILD[..]].concat();
    let began = Instant::now();
    let events = world.showing("json", &again).said().ok().events();
    let fetched = began.elapsed();
    let started = events.iter().filter(|event| event["event"] == "started");
    assert_eq!(started.count(), 0, "{events:?}");
    let asked = service.requests().len();
    world.ok(&again);
    assert_eq!(service.requests().len(), asked, "nothing to do asks nobody");
    let ratio = fetched.as_secs_f64() / built.as_secs_f64();
    println!(
        "built in {:.0} s, had again in {:.1} s: {ratio:.3}",
        built.as_secs_f64(),
        fetched.as_secs_f64()
    );
    assert!(ratio <= 0.1, "{ratio}");
}
