//! What a new user gets wrong, and what the errors say to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::Installation;
use crate::server::Server;
use crate::support::Run as _;

/// What a new user gets wrong, and what the error says to do.
#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn mistakes_are_told_with_the_next_step() {
    let world = Installation::new("good", "");
    let recipe = world.read("recipes/toy.yaml");
    let boot = "{boot: {kernel: media/linux, initrd: media/installer.img}}";
    fs::create_dir(world.path("empty")).unwrap();
    world.write("media/real.iso", "no ISO image at all\n");
    let wrong = format!("sha256: {}}}}}", "0".repeat(64));
    let of_path = format!("{{iso: {{path: media/real.iso, {wrong}");
    let server = Server::of(&world.path("media"));
    let of_url = format!("{{iso: {{url: '{}', {wrong}", server.text("real.iso"));
    let gone = format!("{{iso: {{url: '{}', {wrong}", server.text("gone.iso"));
    for (media, code, words) in [
        (
            "{location: empty}",
            1,
            &["there is no install tree", "media: {iso: …}"][..],
        ),
        (
            "{location: 'http://127.0.0.1:9/debian'}",
            1,
            &["install tree"],
        ),
        (
            &of_path,
            1,
            &[
                "is not the expected file",
                "expected sha256 0000",
                "write its new digest",
            ],
        ),
        (
            &of_url,
            1,
            &[
                "is not the expected file",
                "expected sha256 0000",
                "write its new digest",
            ],
        ),
        (&gone, 1, &["gone.iso", "check the address"]),
    ] {
        world.write("recipes/toy.yaml", recipe.replace(boot, media));
        world.install().exits(code).says(words);
        world.is_clean();
    }
    world.write("recipes/toy.yaml", &recipe);
    for (memory, code, words) in [
        (
            "memory: 300MiB",
            2,
            [
                "Debian's installer needs at least 512MiB",
                "machine: {memory: 512MiB}",
            ],
        ),
        (
            "memory: 65536GiB",
            3,
            [
                "not enough free memory for the installer's guest",
                "lower `machine: {memory: …}`",
            ],
        ),
    ] {
        world.write("recipes/toy.yaml", recipe.replace("memory: 512MiB", memory));
        world.install().exits(code).says(&words);
        world.is_clean();
    }
    let missing = recipe.replace(boot, "{iso: {path: media/debian.iso}}");
    world.write("recipes/toy.yaml", &missing);
    let refused = world.run(&["validate"]).exits(2);
    refused.says(&["recipes/toy.yaml:", "media/debian.iso", "^"]);
    world.write("recipes/toy.yaml", &recipe);
    let mut secretless = world.command(&["build", "toy"]);
    let refused = secretless.env_remove("TOY_TOKEN").said().exits(2);
    refused.says(&["TOY_TOKEN"]);
}

/// libvirt's socket lets only its owner in, as a system daemon's does with its group.
#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn a_user_whom_libvirt_does_not_let_in_is_told_what_to_do() {
    let world = Installation::new("good", "");
    let socket = world.path("libvirt-sock");
    let uri = format!("qemu:///system?socket={}", socket.display());
    let build = ["--connect", &uri, "build", "toy", "--until", "install"];
    // Root may do everything, so that nobody tries, in a repository of its own.
    let mut build = world.as_nobody(&build);
    let _daemon = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).unwrap();
    let refused = build.said().exits(3);
    refused.says(&[
        "libvirt does not let this user in at qemu:///system",
        "Permission denied",
        "usermod -aG libvirt",
    ]);
}
