//! How installations end, well and badly, and what is left.

use std::fs;
use std::io::BufRead as _;
use std::process::Child;

use imgforge::host::exec::Program;

use super::{World, processes};
use crate::patience::wait_for;

#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn an_installation_that_proves_itself_succeeds() {
    let world = World::new("good", "");
    let said = world.install();
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert!(
        said.steps().contains(&"Installing the toy"),
        "{:?}",
        said.steps()
    );
    // The appliance that looks at the disk has a progress of its own, after this one.
    let named = |name: &str| {
        said.events
            .iter()
            .position(|event| event["name"] == name)
            .unwrap()
    };
    let during = &said.events[named("Installing the toy")..named("checking the new disk")];
    let shares = during.iter().filter(|event| event["event"] == "progress");
    assert!(
        shares
            .filter_map(|event| event["done"].as_u64())
            .any(|share| share >= 50),
        "{}",
        said.all
    );
    let console = world.log("install-console.log");
    assert!(console.contains("toy: token *** for ops"), "{console}");
    assert!(
        console.contains("toy: the late command worked"),
        "{console}"
    );
    assert!(said.all.contains("does not know debian13"), "{}", said.all);
    world.is_clean();
    let facts = world.facts();
    assert_eq!(facts["expand"], "/dev/sda1");
    assert_eq!(facts["product"], "Debian GNU/Linux 13 (trixie)");
    // Not again, and not with another time limit either.
    let again = world.install();
    assert!(again.code == Some(0) && again.events.iter().any(|event| event["event"] == "cached"));
}

#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn a_guest_that_switches_off_without_proof_has_failed() {
    let world = World::new("half", "");
    let said = world.install();
    said.failed(&[
        "the installer switched the guest off without reporting success",
        "it was at: Installing the toy",
        "{{ imgforge_sentinel }}",
        "toy: token *** for ops",
    ]);
    world.is_clean();
}

/// The other ways to fail, one after the other.
#[test]
#[ignore = "e2e: src/stage/install/virt_install src/hypervisor"]
fn each_bad_end_is_told_with_its_evidence_and_leaves_nothing() {
    for (mode, words) in [
        (
            "reboot",
            &["the installer restarted the guest without reporting success"][..],
        ),
        (
            "panic",
            &[
                "the installer's kernel panicked",
                "Kernel panic - not syncing: sysrq triggered crash",
                // Of a trace whose length is the stack's; only its end is sure to be shown.
                "do_syscall_64",
                "install-screen.png",
            ],
        ),
        (
            "hang",
            &[
                "the installer hangs: no disk, network or console activity for 30.0 s",
                "6 times",
                "raise `stall:`",
                "install-screen.png",
            ],
        ),
        ("clock", &["the installer hangs", "install-screen.png"]),
        (
            "prompt",
            &[
                "waits for a human",
                "[!!] Partition disks",
                "default=1>",
                "install-screen.png",
                "answer it in the answer file",
            ],
        ),
        ("lie", &["another installation's key", "deadbeef"]),
        ("claim", &["its sentinel is not on the disk"]),
    ] {
        // Only what hangs may end by a time limit, which a slow host can meet before it starts.
        let hangs = ["hang", "clock"].contains(&mode);
        let world = World::new(mode, if hangs { "    stall: 5s\n" } else { "" });
        let said = world.install();
        said.failed(words);
        let pictured = words.contains(&"install-screen.png");
        let screen = world.path("state/logs/toy/install-screen.png");
        assert!(screen.exists() || !pictured, "{mode}");
        world.is_clean();
    }
}

#[test]
#[ignore = "e2e: src/stage/install/virt_install src/hypervisor"]
fn a_flooding_installer_fills_neither_disk_nor_memory_and_ends() {
    let world = World::new("flood", "    stall: 5s\n    timeout: 8s\n");
    let said = world.install();
    // What repeats itself is no sign of life, however much there is of it.
    assert_eq!(
        said.code,
        Some(1),
        "{}",
        &said.all[said.all.len().saturating_sub(4000)..]
    );
    let last = said.events.last().unwrap().to_string();
    assert!(
        last.contains("hangs") || last.contains("did not end within 48.0 s"),
        "{last}"
    );
    let log = fs::metadata(world.path("state/logs/toy/install-console.log")).unwrap();
    assert!(log.len() <= 65 << 20, "{}", log.len());
    world.is_clean();
}

#[test]
#[ignore = "e2e: src/stage/install/virt_install src/hypervisor"]
fn a_restart_after_the_proof_is_an_end_as_well_also_under_uefi() {
    let world = World::new("good-reboot", "");
    let recipe = fs::read_to_string(world.path("recipes/toy.yaml")).unwrap();
    world.write(
        "recipes/toy.yaml",
        &recipe.replace("disk: 1GiB", "disk: 1GiB, firmware: uefi"),
    );
    let said = world.install();
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert!(!world.path("state/logs/toy/install-screen.png").exists());
    world.is_clean();
}

fn signal(name: &str, child: &Child) {
    let pid = child.id().to_string();
    Program::new("kill").args(["-s", name, &pid]).run().unwrap();
}

#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn an_interrupted_installation_leaves_neither_domain_nor_virt_install() {
    let world = World::new("hang", "");
    let build = ["build", "toy", "--until", "install"];
    let console = world.path("state/logs/toy/install-console.log");
    let runs = || world.log("install-console.log").contains("toy: token");

    let mut child = world.command(&build).spawn().unwrap();
    wait_for("the guest's start", runs);
    let mut attached = world.command(&["attach", "toy"]).spawn().unwrap();
    let mut seen = std::io::BufReader::new(attached.stdout.take().unwrap()).lines();
    wait_for("the console", || {
        seen.next().unwrap().unwrap().contains("toy: token ***")
    });
    signal("INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(attached.wait().unwrap().success());
    world.is_clean();

    fs::remove_file(&console).unwrap();
    let mut child = world.command(&build).spawn().unwrap();
    wait_for("the guest's start", runs);
    signal("KILL", &child);
    child.wait().unwrap();
    let gc = world.command(&["gc"]).output().unwrap();
    assert!(
        gc.status.success(),
        "{}",
        String::from_utf8_lossy(&gc.stderr)
    );
    world.is_clean();

    let here = world.dir.path().to_str().unwrap().to_owned();
    let starts = || {
        processes(&here)
            .iter()
            .any(|line| line.contains("virt-install --connect"))
    };
    for (name, code) in [("INT", Some(130)), ("KILL", None)] {
        let mut child = world.command(&build).spawn().unwrap();
        wait_for("virt-install", starts);
        signal(name, &child);
        assert_eq!(child.wait().unwrap().code(), code);
        // It gets an interrupt when its parent dies, and removes its own files.
        wait_for("the end of virt-install", || !starts());
        let gc = world.command(&["gc"]).output().unwrap();
        assert!(
            gc.status.success(),
            "{}",
            String::from_utf8_lossy(&gc.stderr)
        );
        world.is_clean();
    }
}
