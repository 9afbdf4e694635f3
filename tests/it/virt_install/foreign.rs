//! Installations of another architecture: the real virt-install and QEMU, and the toy for 64-bit ARM.

use std::io::BufRead as _;

use imgforge::host::exec::Program;
use imgforge::machine::Arch;

use super::{ANSWERS, Installation, failed};
use crate::patience::wait_for;

impl Installation {
    /// Puts kernel and RAM disk on an ISO image, `media/cd.iso`, by these names, and boots that.
    fn boots_an_iso(&self, kernel: &str, initrd: &str, about: &str) {
        let tree = self.path("cd");
        self.write("cd/.disk/info", about);
        for (from, to) in [("linux", kernel), ("installer.img", initrd)] {
            let bytes = std::fs::read(self.path("media").join(from)).unwrap();
            self.write(&format!("cd/{to}"), bytes);
        }
        Program::new("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-R", "-J", "-V", "TOY", "-o"])
            .arg(self.path("media/cd.iso"))
            .arg(&tree)
            .run()
            .unwrap();
        std::fs::remove_dir_all(tree).unwrap();
        let boot = "{boot: {kernel: media/linux, initrd: media/installer.img}}";
        self.replace("recipes/toy.yaml", boot, "{iso: {path: media/cd.iso}}");
    }
}

/// virt-install finds Debian's kernel for the architecture, UEFI starts it, the card brings nothing, and
/// the console is the one that the architecture has.
#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor src/machine src/pipeline/shell.rs"]
fn debians_cd_for_64_bit_arm_installs_while_somebody_looks_on() {
    let world = Installation::on(Arch::Aarch64, "good", "");
    let about = "Debian GNU/Linux 13.1.0 \"Trixie\" - Toy arm64 NETINST\n";
    world.boots_an_iso("install.a64/vmlinuz", "install.a64/initrd.gz", about);
    let build = ["build", "toy", "--until", "install"];
    let mut child = world.command(&build).spawn().unwrap();
    let said = || world.log("install-console.log");
    wait_for("the guest's start", || said().contains("toy: token"));
    let mut attached = world.command(&["attach", "toy"]).spawn().unwrap();
    let mut seen = std::io::BufReader::new(attached.stdout.take().unwrap()).lines();
    wait_for("the console", || {
        seen.next().unwrap().unwrap().contains("toy: token ***")
    });
    assert!(child.wait().unwrap().success(), "{}", said());
    assert!(attached.wait().unwrap().success());
    assert!(
        said().contains("toy: the late command worked"),
        "{}",
        said()
    );
    assert_eq!(world.facts()["expand"], "/dev/sda1");
    world.is_clean();
}

/// Its answers lie on a second CD-ROM, whose drive is one that machines of the architecture have.
#[test]
#[ignore = "e2e: src/stage/install/virt_install src/hypervisor src/machine"]
fn ubuntus_cd_for_64_bit_arm_installs_by_answers_on_another_cd() {
    let world = Installation::on(Arch::Aarch64, "good", "");
    let about = "Ubuntu-Server 24.04 LTS - Toy arm64\n";
    world.boots_an_iso("casper/vmlinuz", "casper/initrd", about);
    world.replace("recipes/toy.yaml", "os: debian13", "os: ubuntu24.04");
    world.replace("recipes/toy.yaml", "memory: 512MiB", "memory: 1536MiB");
    world.replace(
        "recipes/toy.yaml",
        "preseed/toy.cfg",
        "autoinstall/toy.yaml",
    );
    let cloud = "#cloud-config\nautoinstall:\n  version: 1\n  late-commands:\n    - |\n      {{ imgforge_sentinel }}\n";
    let lines = ANSWERS.lines().map(|line| format!("# {line}\n"));
    let answers = cloud.to_owned() + &lines.collect::<String>();
    world.write("autoinstall/toy.yaml", answers);
    world.install().ok();
    let console = world.log("install-console.log");
    assert!(
        console.contains("toy: the late command worked"),
        "{console}"
    );
    world.is_clean();
}

/// No device tells of a panic there: the console does, and the screen can still be looked at.
#[test]
#[ignore = "vm: src/stage/install/virt_install src/hypervisor src/console"]
fn a_panic_on_64_bit_arm_is_read_on_its_console_and_pictured() {
    let world = Installation::on(Arch::Aarch64, "panic", "");
    failed(
        world.install(),
        &[
            "the installer's kernel panicked",
            "Kernel panic - not syncing: sysrq triggered crash",
            "install-screen.png",
        ],
    );
    let screen = world.path("state/logs/toy/install-screen.png");
    assert!(std::fs::read(screen).unwrap().starts_with(b"\x89PNG"));
    world.is_clean();
}

/// UEFI passes over a kernel that it cannot start, and nothing would ever be said.
#[test]
#[ignore = "vm: src/stage/install/virt_install src/machine/arch/kernel.rs"]
fn an_installer_for_another_machine_is_refused_before_it_is_started() {
    let world = Installation::on(Arch::Aarch64, "good", "");
    world.replace("recipes/toy.yaml", "arch: aarch64", "arch: x86_64");
    world.install().exits(2).says(&[
        "kernel linux is for aarch64, and the recipe's machine is x86_64",
        "machine: {arch: aarch64}",
    ]);
    world.is_clean();
}
