//! The gate for machines of another architecture than the host's, and what it asks before one starts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use imgforge::machine::Arch;

use super::small::{guest_on, plain_disk, uefi_disk};
use super::{import, world};
use crate::patience::wait_for;
use crate::phony::Phony;
use crate::slots;
use crate::support::{Run as _, World, stages_to, under};
use crate::toy;

fn foreign() -> impl Iterator<Item = Arch> {
    Arch::ALL.iter().copied().filter(|arch| arch.is_foreign())
}

#[test]
#[ignore = "e2e: src/stage/check src/machine src/hypervisor src/runner src/pipeline/shell.rs"]
fn clones_of_64_bit_arm_boot_by_uefi_and_one_is_talked_to() {
    slots::take(2);
    booted_and_talked_to(Arch::Aarch64);
}

/// U-Boot has as much of UEFI as GRUB needs.
#[test]
#[ignore = "e2e: src/stage/check src/machine src/hypervisor src/runner src/pipeline/shell.rs"]
fn clones_of_64_bit_risc_v_boot_by_uefi_and_one_is_talked_to() {
    slots::take(2);
    booted_and_talked_to(Arch::Riscv64);
}

/// Two clones boot from their disk, and say what runs them; a third is somebody's who types.
fn booted_and_talked_to(arch: Arch) {
    let name = arch.as_str();
    let world = world(&format!("uefi, arch: {name}"));
    uefi_disk(&world, arch, "small", &guest_on(arch));
    let check = format!(
        "check: {{commands: ['test \"$(uname -m)\" = {name}', 'test -d /sys/firmware/efi']}}\n"
    );
    world.image("small", &(import(&world, "small") + &check));
    let build = ["build", "small", "--until", "check"];
    let events = world.showing("json", &build).said().ok().events();
    let finished = events.iter().filter(|event| event["event"] == "finished");
    let finished: Vec<&str> = finished
        .filter_map(|event| event["stage"].as_str())
        .collect();
    let mut all = stages_to("check");
    all.retain(|stage| *stage != "configure");
    assert_eq!(finished, all);
    slots::instead(1);
    let said = talked(&world);
    assert!(said.contains("small: heard hello"), "{said}");
    assert_eq!(world.left_over(), [""; 0]);
}

/// What `imgforge shell` shows of a guest that is greeted when it is up.
fn talked(world: &World) -> String {
    let mut shell = world.command(&["shell", "small"]);
    shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).split(b'\n');
    let mut typed = shell.stdin.take().unwrap();
    let mut seen = String::new();
    wait_for("the guest's last word", || {
        let Some(line) = lines.next() else {
            return true;
        };
        let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
        if line.contains("small: started") {
            typed.write_all(b"hello\nbye\n").unwrap();
        }
        seen += &format!("{line}\n");
        false
    });
    assert!(shell.wait().unwrap().success(), "{seen}");
    seen
}

/// A boot loader would list it, and firmware pass over it without a word.
#[test]
#[ignore = "e2e: src/stage/check src/guest/runs.rs src/machine/arch/kernel.rs"]
fn a_kernel_or_a_system_of_another_architecture_is_refused_before_a_clone_boots() {
    let world = world("bios");
    for arch in foreign() {
        let kernel = std::fs::read(toy::System::of(arch).kernel).unwrap();
        let phony = Phony::debian();
        let name = format!("boot/{}-6.12-other", arch.kernel);
        phony.file(&name, &kernel[..1 << 16]);
        phony.file("usr/lib/modules/6.12-other/modules.dep", "");
        plain_disk(&world, "kernel", &phony);
        let refused = world.run(&["build", "kernel", "--until", "check"]).exits(2);
        let name = arch.as_str();
        refused.says(&[&format!(
            "-6.12-other is for {name}, and the recipe's machine is x86_64"
        )]);

        plain_disk(&world, "system", &Phony::debian().on(arch));
        let refused = world.run(&["build", "system", "--until", "check"]).exits(2);
        refused.says(&[&format!(
            "the disk has a system of {name}, and the recipe's machine is x86_64"
        )]);
        for image in ["kernel", "system"] {
            let logs = crate::support::names(&world.path(&format!("state/logs/{image}")));
            assert!(
                !logs.iter().any(|name| name.contains("console")),
                "{logs:?}"
            );
        }
        assert_eq!(world.left_over(), [""; 0]);
    }
}

/// Told before the first stage works, with what to install.
#[test]
fn an_emulator_without_the_machine_and_missing_firmware_are_told_at_once() {
    let world = World::new();
    world.disk_file("files/disk.raw");
    let recipe =
        "install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB, arch: aarch64}\n";
    world.image("small", recipe);
    let qemu = "case $1 in\n--version) echo QEMU emulator version 9.2.0 ;;\n\
                -machine) echo Supported machines are: && echo none empty machine ;;\nesac";
    let with = world.script("qemu-system-aarch64", qemu);
    let refused = world.command(&["build", "small"]).env("PATH", with).said();
    refused.exits(3).says(&[
        "`qemu-system-aarch64` has no machine `virt`, which guests of aarch64 are",
        "apt-get install qemu-system-arm",
    ]);
    let hidden = "mount -t tmpfs none /usr/share/AAVMF && exec \"$@\"";
    let apart = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        hidden,
        "sh",
    ];
    let refused = under(&apart, &world.command(&["build", "small"])).said();
    refused.exits(3).says(&[
        "UEFI for aarch64 guests is not installed",
        "apt-get install qemu-efi-aarch64",
    ]);
    assert_eq!(world.stored(), [""; 0]);
}
