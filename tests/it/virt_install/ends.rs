//! How installations end, well and badly, and what is left.

use std::fs;
use std::io::BufRead as _;
use std::process::Child;

use imgforge::host::exec::Program;
use serde_json::Value;

use super::{Installation, events, failed};
use crate::patience::wait_for;
use crate::support::processes;

#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn an_installation_that_proves_itself_succeeds() {
    let world = Installation::new("good", "");
    let said = world.install().ok();
    let events_of = events(&said);
    let is_step = |event: &&Value| event["event"] == "step";
    let mut steps = events_of.iter().filter(is_step);
    assert!(steps.any(|step| step["name"] == "Installing the toy"));
    // The appliance that looks at the disk has a progress of its own, after this one.
    let named = |name: &str| {
        events_of
            .iter()
            .position(|event| event["name"] == name)
            .unwrap()
    };
    let during = &events_of[named("Installing the toy")..named("checking the new disk")];
    let shares = during.iter().filter(|event| event["event"] == "progress");
    assert!(
        shares
            .filter_map(|event| event["done"].as_u64())
            .any(|share| share >= 50),
        "{}",
        said.err
    );
    let console = world.log("install-console.log");
    assert!(console.contains("toy: token *** for ops"), "{console}");
    assert!(
        console.contains("toy: the late command worked"),
        "{console}"
    );
    assert!(said.err.contains("does not know debian13"), "{}", said.err);
    world.is_clean();
    let facts = world.facts();
    assert_eq!(facts["expand"], "/dev/sda1");
    assert_eq!(facts["product"], "Debian GNU/Linux 13 (trixie)");
    // Not again, and not with another time limit either.
    let again = world.install().ok();
    assert!(
        events(&again)
            .iter()
            .any(|event| event["event"] == "cached")
    );
}

#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor"]
fn a_guest_that_switches_off_without_proof_has_failed() {
    let world = Installation::new("half", "");
    let said = world.install();
    failed(
        said,
        &[
            "the installer switched the guest off without reporting success",
            "it was at: Installing the toy",
            "{{ imgforge_sentinel }}",
            "toy: token *** for ops",
        ],
    );
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
        let world = Installation::new(mode, if hangs { "    stall: 5s\n" } else { "" });
        let said = world.install();
        failed(said, words);
        let pictured = words.contains(&"install-screen.png");
        let screen = world.path("state/logs/toy/install-screen.png");
        assert!(screen.exists() || !pictured, "{mode}");
        world.is_clean();
    }
}

#[test]
#[ignore = "e2e: src/stage/install/virt_install src/hypervisor"]
fn a_flooding_installer_fills_neither_disk_nor_memory_and_ends() {
    let world = Installation::new("flood", "    stall: 5s\n    timeout: 8s\n");
    let said = world.install();
    // What repeats itself is no sign of life, however much there is of it.
    assert_eq!(
        said.code,
        Some(1),
        "{}",
        &said.err[said.err.len().saturating_sub(4000)..]
    );
    let last = events(&said).pop().unwrap().to_string();
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
    let world = Installation::new("good-reboot", "");
    world.replace(
        "recipes/toy.yaml",
        "disk: 1GiB",
        "disk: 1GiB, firmware: uefi",
    );
    world.install().ok();
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
    let world = Installation::new("hang", "");
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

    // The kernel ends what belongs to a killed process, in its own time.
    let is_soon_clean = || {
        wait_for("the end of all processes", || world.left_over().is_empty());
        world.is_clean();
    };
    fs::remove_file(&console).unwrap();
    let mut child = world.command(&build).spawn().unwrap();
    wait_for("the guest's start", runs);
    signal("KILL", &child);
    child.wait().unwrap();
    world.ok(&["gc"]);
    is_soon_clean();

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
        world.ok(&["gc"]);
        is_soon_clean();
    }
}
