//! Steps that fail in a real guest: each is named with what it last said, and the installation is
//! not repeated.

use super::world::{World, guest};

#[test]
#[ignore = "vm"]
fn e2e_steps_fail_with_their_names_and_last_lines() {
    let world = World::new();
    world.image(
        "missing",
        "from: mini\nconfigure: [{packages: [no-such-package-at-all]}]\n",
    );
    world.fails(
        "missing",
        &[
            "step 1/1 (packages no-such-package-at-all) failed",
            "Unable to locate package no-such-package-at-all",
            "`imgforge build missing` goes on at this stage",
        ],
    );
    world.image(
        "full",
        "from: mini\nconfigure:\n- {name: fill the disk, shell: {run: 'cat /dev/zero > /full'}}\n",
    );
    world.fails(
        "full",
        &[
            "step 1/1 (fill the disk) failed",
            "No space left on device",
            "`imgforge build full` goes on at this stage",
        ],
    );
    world.image(
        "lost",
        "from: mini\nconfigure:\n- packages: [puppet-agent]\n\
         - puppet: {agent: {server: 10.0.2.2, certname: node-a, wait: 5s}}\n",
    );
    world.fails(
        "lost",
        &[
            "step 2/2 (puppet",
            "10.0.2.2",
            "`imgforge build lost` goes on at this stage",
        ],
    );
}

#[test]
#[ignore = "vm"]
fn e2e_user_data_is_applied_once_and_forgotten() {
    let world = World::new();
    world.image(
        "cloudy",
        "from: mini\nconfigure: [{packages: [cloud-init]}]\n",
    );
    world.image(
        "good",
        "from: cloudy\nconfigure: [{cloud-init: cloud/good.yaml}]\n",
    );
    world.write(
        "cloud/good.yaml",
        "#cloud-config\nwrite_files: [{path: /etc/by-cloud-init, content: written}]\n\
         runcmd: [[touch, /etc/by-runcmd]]\n",
    );
    world.built("good");
    let good = world.disk("good");
    let good = good.to_str().unwrap();
    assert_eq!(
        guest("virt-cat", &["-a", good, "/etc/by-cloud-init"]),
        "written"
    );
    assert!(guest("virt-ls", &["-a", good, "/etc"]).contains("by-runcmd\n"));
    let left = guest("virt-ls", &["-a", good, "-R", "/var/lib/cloud"]);
    assert!(!left.contains("/sem") && !left.contains("/seed"), "{left}");

    world.image(
        "bad",
        "from: cloudy\nconfigure: [{cloud-init: cloud/bad.yaml}]\n",
    );
    world.write("cloud/bad.yaml", "#cloud-config\nruncmd: 5\n");
    world.fails(
        "bad",
        &[
            "step 1/1 (cloud-init cloud/bad.yaml) failed",
            "cloud-init does not accept the user data",
            "`imgforge build bad` goes on at this stage",
        ],
    );
}
