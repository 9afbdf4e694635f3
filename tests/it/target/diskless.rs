//! A small system with this host's kernel, or another architecture's, and machines without a disk that boot one.

use std::path::Path;

use imgforge::host::exec::Program;
use imgforge::machine::Arch;

use super::text;
use crate::phony::Phony;
use crate::toy;

const INIT: &str = r#"#!/bin/sh
exec >/dev/@SERIAL@ 2>&1
busybox=/usr/bin/busybox
say() { echo "<2>toy: $1" >/dev/kmsg; } # one line whatever else the kernel has to say
files=$($busybox cat /srv/part-* | $busybox wc -l)
root=$($busybox sed -n 's/^[^ ]* \/ \([^ ]*\) .*/\1/p' /proc/mounts | $busybox tail -n 1)
echo changed >/etc/hostname && [ "$($busybox cat /etc/hostname)" = changed ] || root=none
say "up on $root with $files of 7 in fstab: $($busybox head -n 1 /etc/fstab)"
[ -z "$($busybox ls /sys/block | $busybox grep -v loop)" ] && say "no disk"
echo o >/proc/sysrq-trigger
$busybox sleep 60
"#;

/// A Debian of a few files that boots; its kernel has only these modules beside the root's.
pub(crate) fn machine(cards: &[&str]) -> Phony {
    machine_on(Arch::default(), cards)
}

/// As [`machine`], for this architecture.
pub(super) fn machine_on(arch: Arch, cards: &[&str]) -> Phony {
    let phony = Phony::debian().on(arch);
    let system = toy::System::of(arch);
    let modules = &system.modules;
    let release = modules.file_name().unwrap().to_str().unwrap();
    let wanted: Vec<&str> = ["loop", "squashfs", "overlay", "af_packet", "virtio_pci"]
        .into_iter()
        .chain(cards.iter().copied())
        .collect();
    let files = toy::files_below(modules, &wanted);
    let dir = format!("usr/lib/modules/{release}");
    let list = std::fs::read_to_string(modules.join("modules.dep")).unwrap();
    let mut dep = String::new();
    for line in list.lines() {
        let path = line.split(':').next().unwrap();
        if files.contains(&modules.join(path)) {
            dep += &format!("{line}\n");
            phony.file(
                &format!("{dir}/{path}"),
                std::fs::read(modules.join(path)).unwrap(),
            );
        }
    }
    for name in ["modules.builtin", "modules.alias"] {
        phony.file(
            &format!("{dir}/{name}"),
            std::fs::read(modules.join(name)).unwrap(),
        );
    }
    let config = system.kernel.with_file_name(format!("config-{release}"));
    if let Ok(config) = std::fs::read(&config) {
        phony.file(&format!("boot/config-{release}"), config);
    }
    phony
        .file(&format!("{dir}/modules.dep"), dep)
        .file(
            &format!("boot/vmlinuz-{release}"),
            std::fs::read(&system.kernel).unwrap(),
        )
        .file("usr/lib/modules/1.0-other/modules.order", "old")
        .file("usr/sbin/init", INIT.replace("@SERIAL@", arch.serial))
        .mode("usr/sbin/init", 0o755);
    for part in 1..=7 {
        phony.file(&format!("srv/part-{part}"), format!("{part}\n"));
    }
    phony
}

/// Boots without a disk; what the console says.
pub(crate) fn boot(dir: &Path, memory: u64, more: &[&str]) -> String {
    let console = dir.join("console.log");
    let serial = format!("file:{}", text(&console));
    std::fs::write(&console, "").unwrap();
    Program::new(crate::slots::qemu(crate::slots::take(1)))
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args([
            "-machine",
            "q35,hpet=off",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "1",
        ])
        .args(["-m", &format!("{memory}M"), "-serial", &serial])
        .args(more)
        .timeout(crate::patience::HANG)
        .run()
        .unwrap();
    let bytes = std::fs::read(&console).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
