//! Guests of other architectures: whatever this host is, one of them is not its own.

use imgforge::host::accel::Accel;
use imgforge::host::qemu_img::DiskFormat;
use imgforge::host::tools;
use imgforge::hypervisor::{Disk, Nic, Outcome};
use imgforge::machine::{Arch, Firmware};

use super::bench::{bench, listen, read};
use crate::toy;

/// The firmware, the disks, the cards and the port of a machine that the recipe names; started as what
/// hardware would run, it is translated.
#[test]
#[ignore = "vm: src/hypervisor src/machine src/host/accel src/host/confine.sh"]
fn a_guest_of_another_architecture_boots_by_uefi_talks_and_writes() {
    for arch in Arch::ALL.iter().filter(|arch| arch.is_foreign()) {
        let bench = bench();
        let disk = bench.dir.path().join("disk.raw");
        std::fs::write(&disk, [0; 1 << 16]).unwrap();
        // A card that the kernel of the toy has.
        let card = match arch {
            Arch::Riscv64 => "e1000",
            _ => "vmxnet3",
        };
        let mut spec = toy::spec_on(*arch, bench.dir.path(), "disk");
        spec.accel = Accel::Kvm.on(*arch);
        spec.firmware = Firmware::Uefi;
        spec.disks = vec![Disk {
            path: disk.clone(),
            format: DiskFormat::Raw,
            serial: Some("system".into()),
            readonly: false,
        }];
        spec.nics = vec![
            Nic {
                mac: Some("52:54:00:12:34:56".into()),
                ..Nic::default()
            },
            Nic {
                model: card.into(),
                slot: Some(9),
                ..Nic::default()
            },
        ];
        let domain = bench.connection.start(&spec, &bench.ledger).unwrap();
        let said = listen(&domain, |_| true);
        assert_eq!(said.outcome, Some(Outcome::ShutDown), "{said:?}");
        // U-Boot, which has no variables, starts no kernel that QEMU has loaded.
        let uefi = tools::uefi(*arch).unwrap().variables.is_some();
        assert_eq!(
            said.console.contains("toy: booted by UEFI"),
            uefi,
            "{said:?}"
        );
        for text in [
            "toy: vda serial=system",
            "52:54:00:12:34:56",
            &format!("toy: nic {card} slot=0000:00:09.0"),
        ] {
            assert!(said.console.contains(text), "{text}: {}", said.console);
        }
        assert!(read(&disk).starts_with("written by the toy"));
    }
}

#[test]
#[ignore = "vm: src/hypervisor src/machine"]
fn a_guest_of_another_architecture_answers_on_its_port_and_has_a_screen() {
    for arch in Arch::ALL.iter().filter(|arch| arch.is_foreign()) {
        let bench = bench();
        let spec = toy::spec_on(*arch, bench.dir.path(), "good");
        let domain = bench.connection.start(&spec, &bench.ledger).unwrap();
        let screen = bench.dir.path().join("screen.png");
        let mut answered = false;
        let said = listen(&domain, |said| {
            if !answered && said.port.contains("hello from the port\n") {
                domain.screenshot(&screen).unwrap();
                domain.send("org.imgforge.0", b"the word\n").unwrap();
                answered = true;
            }
            true
        });
        assert_eq!(said.outcome, Some(Outcome::ShutDown), "{said:?}");
        assert!(said.console.contains("toy: heard the word"), "{said:?}");
        assert!(said.port.ends_with("heard the word\n"), "{said:?}");
        assert!(std::fs::read(&screen).unwrap().starts_with(b"\x89PNG"));
    }
}
