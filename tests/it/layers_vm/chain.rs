//! A chain of three images: what a change builds again, and what it leaves as it is.

use super::world::{World, guest, tail, world};

/// The images of the stages that a build would run.
fn runs(world: &World) -> Vec<String> {
    let stages = world.stages("leaf").into_iter();
    let mut images: Vec<String> = stages
        .filter(|(_, _, cached, _)| !cached)
        .map(|(image, ..)| image)
        .collect();
    images.dedup();
    images
}

#[test]
#[ignore = "e2e: src/pipeline src/store src/stage/install"]
fn e2e_a_change_in_the_middle_of_a_chain_builds_the_middle_and_the_leaf() {
    let world = world();
    world.image(
        "middle",
        "from: mini\nconfigure: [{shell: firstboot/middle.sh}]\n",
    );
    world.image(
        "leaf",
        "from: middle\nconfigure: [{shell: firstboot/leaf.sh}]\n",
    );
    let middle = |word: &str| format!("#!/bin/sh -e\necho {word} >/etc/middle\n");
    world.write("firstboot/middle.sh", middle("first"));
    world.write(
        "firstboot/leaf.sh",
        "#!/bin/sh -e\nsed s/^/above-/ /etc/middle >/etc/leaf\n",
    );
    world.write("firstboot/unused.sh", "#!/bin/sh\n");
    world.built("leaf");
    let base = world.sealed_disk("mini");
    let content = |path: &str| {
        guest(
            "virt-cat",
            &["-a", world.sealed_disk("leaf").to_str().unwrap(), path],
        )
    };
    assert_eq!(content("/etc/leaf"), "above-first\n");

    world.write("firstboot/unused.sh", "#!/bin/sh\n# a comment\n");
    assert_eq!(runs(&world), Vec::<String>::new());

    world.write("firstboot/middle.sh", middle("second"));
    assert_eq!(runs(&world), ["middle", "leaf"]);
    let why = |image: &str| {
        let stages = world.stages("leaf").into_iter();
        let mut configure = stages.filter(|stage| stage.0 == image && stage.1 == "configure");
        configure.next().unwrap().3
    };
    assert!(
        why("middle").contains("firstboot/middle.sh changed"),
        "{}",
        why("middle")
    );
    assert!(
        why("leaf").contains("the disk below changed"),
        "{}",
        why("leaf")
    );

    let said = world.built("leaf");
    for cached in ["mini install: cached", "mini seal: cached"] {
        assert!(said.contains(cached), "{cached}: {}", tail(&said));
    }
    assert_eq!(world.sealed_disk("mini"), base);
    assert_eq!(content("/etc/leaf"), "above-second\n");
    assert_eq!(runs(&world), Vec::<String>::new());
}

/// The step fails if the root is smaller than the larger disk's.
#[test]
#[ignore = "e2e: src/stage src/runner src/steps"]
fn e2e_a_larger_disk_of_a_child_is_its_roots() {
    let world = world();
    world.image(
        "large",
        "from: mini\nmachine: {disk: 5GiB}\nconfigure:\n\
         - shell: {run: 'test \"$(df --output=size / | tail -n 1)\" -gt 4600000'}\n",
    );
    let said = world.built("large");
    assert!(
        said.contains("the root's partition has 5053MiB now"),
        "{}",
        tail(&said)
    );
    // It has no work but to grow.
    world.image("larger", "from: large\nmachine: {disk: 6GiB}\n");
    let said = world.built("larger");
    assert!(
        said.contains("the root's partition has 6077MiB now"),
        "{}",
        tail(&said)
    );
}
