//! What a new user gets wrong, and what the errors say to do.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use imgforge::host::exec::Program;

use super::{Said, TOKEN, World};
use crate::server::Server;

/// What a new user gets wrong, and what the error says to do.
#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn mistakes_are_told_with_the_next_step() {
    let world = World::new("good", "");
    let recipe = fs::read_to_string(world.path("recipes/toy.yaml")).unwrap();
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
                "is not the file that was promised",
                "expected sha256 0000",
                "write its new digest",
            ],
        ),
        (
            &of_url,
            1,
            &[
                "is not the file that was promised",
                "expected sha256 0000",
                "write its new digest",
            ],
        ),
        (&gone, 1, &["gone.iso", "check the address"]),
    ] {
        world.write("recipes/toy.yaml", &recipe.replace(boot, media));
        let said = world.install();
        assert_eq!(said.code, Some(code), "{media}: {}", said.all);
        for words in words {
            assert!(
                said.all.contains(words),
                "{media}: `{words}` is not in {}",
                said.all
            );
        }
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
        world.write(
            "recipes/toy.yaml",
            &recipe.replace("memory: 512MiB", memory),
        );
        let said = world.install();
        assert_eq!(said.code, Some(code), "{memory}: {}", said.all);
        for words in words {
            assert!(
                said.all.contains(words),
                "{memory}: `{words}` is not in {}",
                said.all
            );
        }
        world.is_clean();
    }
    let missing = recipe.replace(boot, "{iso: {path: media/debian.iso}}");
    world.write("recipes/toy.yaml", &missing);
    let validated = world.showing("plain", &["validate"]).output().unwrap();
    let said = Said::of(&validated);
    assert_eq!(said.code, Some(2), "{}", said.all);
    for words in ["recipes/toy.yaml:", "media/debian.iso", "^"] {
        assert!(said.all.contains(words), "`{words}` is not in {}", said.all);
    }
    world.write("recipes/toy.yaml", &recipe);
    let secretless = world
        .command(&["build", "toy"])
        .env_remove("TOY_TOKEN")
        .output()
        .unwrap();
    let said = Said::of(&secretless);
    assert_eq!(said.code, Some(2), "{}", said.all);
    assert!(said.all.contains("TOY_TOKEN"), "{}", said.all);
}

/// libvirt's socket lets only its owner in, as a system daemon's does with its group.
#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn a_user_whom_libvirt_does_not_let_in_is_told_what_to_do() {
    let world = World::new("good", "");
    // Root may do everything, so that nobody tries, in a repository of its own.
    let own = Program::new("chown").args(["-R", "65534:65534"]);
    own.arg(world.dir.path()).run().unwrap();
    let socket = world.path("libvirt-sock");
    let _daemon = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).unwrap();
    let binary = world.path("imgforge");
    fs::copy(crate::slots::IMGFORGE_WITHOUT_GUESTS, &binary).unwrap();
    let uri = format!("qemu:///system?socket={}", socket.display());
    let nobody = "exec setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$0\" \"$@\"";
    let error = Program::new("sh")
        .args(["-c", nobody])
        .arg(&binary)
        .arg("-C")
        .arg(world.dir.path())
        .args([
            "--accel",
            "tcg",
            "--connect",
            &uri,
            "build",
            "toy",
            "--until",
            "install",
        ])
        .env("TOY_TOKEN", TOKEN)
        .env("HOME", world.dir.path())
        .run()
        .unwrap_err()
        .render();
    for words in [
        "libvirt does not let this user in at qemu:///system",
        "Permission denied",
        "usermod -aG libvirt",
        "ended with exit code 3",
    ] {
        assert!(error.contains(words), "`{words}` is not in {error}");
    }
}
