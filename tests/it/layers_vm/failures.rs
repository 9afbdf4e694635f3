//! Steps that fail in a real guest: each is named with what it last said, and the installation is
//! not repeated.

use std::net::TcpListener;

use super::world::{guest, world};

#[test]
#[ignore = "e2e: src/steps src/runner"]
fn e2e_steps_fail_with_their_names_and_last_lines() {
    let world = world();
    world.image(
        "missing",
        "from: mini\nconfigure: [{packages: [no-such-package-at-all]}]\n",
    );
    world.fails_to_configure(
        "missing",
        &[
            "step 1/1 (packages no-such-package-at-all) failed",
            "Unable to locate package no-such-package-at-all",
            &world.goes_on("build missing --until configure"),
        ],
    );
    world.image(
        "full",
        "from: mini\nconfigure:\n- shell: {name: fill the disk, run: 'cat /dev/zero > /full'}\n",
    );
    world.fails_to_configure(
        "full",
        &[
            "step 1/1 (fill the disk) failed",
            "No space left on device",
            &world.goes_on("build full --until configure"),
        ],
    );
}

#[test]
#[ignore = "e2e: src/steps src/runner"]
fn e2e_a_server_that_does_not_answer_is_named() {
    let world = world();
    // Connections are made, and nobody ever takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    world.opens(port);
    let server = format!("10.0.2.2:{port}");
    world.image(
        "lost",
        &format!(
            "from: mini\nconfigure:\n\
             - puppet: {{agent: {{server: '{server}', certname: node-a, wait: 5s}}}}\n"
        ),
    );
    world.fails_to_configure(
        "lost",
        &[
            &format!("step 1/1 (puppet agent of {server}) failed with exit code 1"),
            &format!("https://{server}/puppet-ca/v1"),
            &world.goes_on("build lost --until configure"),
        ],
    );
}

#[test]
#[ignore = "e2e: src/steps src/runner"]
fn e2e_a_step_that_ends_the_guest_or_never_ends_is_named() {
    let world = world();
    for (image, step, limit, complaint) in [
        (
            "killed",
            "kill -KILL $PPID",
            "",
            "the guest switched itself off in step 1/1 (a bad step) without the runner's final report",
        ),
        (
            "restarted",
            "systemctl reboot",
            "",
            "the guest restarted itself in step 1/1 (a bad step)",
        ),
        (
            "hungry",
            "tail /dev/zero",
            "",
            "step 1/1 (a bad step) failed with exit code 137",
        ),
        (
            "endless",
            "true",
            "timeout: 10s, ",
            "step 1/1 (a bad step) did not end within its time limit of ",
        ),
    ] {
        let recipe = format!(
            "from: mini\nconfigure:\n\
             - shell: {{name: a bad step, {limit}run: 'echo the last words; sleep 1; {step}; sleep 3600'}}\n"
        );
        world.image(image, &recipe);
        let resume = world.goes_on(&format!("build {image} --until configure"));
        world.fails_to_configure(
            image,
            &[complaint, "\n  | the last words", "-console.log", &resume],
        );
    }
}

#[test]
#[ignore = "e2e: src/steps src/runner"]
fn e2e_user_data_is_applied_once_and_forgotten() {
    let world = world();
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
    let good = world.sealed_disk("good");
    let good = good.to_str().unwrap();
    assert_eq!(
        guest("virt-cat", &["-a", good, "/etc/by-cloud-init"]),
        "written"
    );
    assert!(guest("virt-ls", &["-a", good, "/etc"]).contains("by-runcmd\n"));
    let left = guest("virt-ls", &["-a", good, "-R", "/var/lib"]);
    for gone in ["/cloud/sem", "/cloud/seed/nocloud", "/cloud/instances/"] {
        assert!(!left.contains(gone), "{left}");
    }

    world.image(
        "bad",
        "from: cloudy\nconfigure: [{cloud-init: cloud/bad.yaml}]\n",
    );
    world.write("cloud/bad.yaml", "#cloud-config\nruncmd: 5\n");
    world.fails_to_configure(
        "bad",
        &[
            "step 1/1 (cloud-init cloud/bad.yaml) failed",
            "cloud-init does not accept the user data",
            &world.goes_on("build bad --until configure"),
        ],
    );
}
