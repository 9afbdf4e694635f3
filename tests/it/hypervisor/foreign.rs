//! Guests of other architectures: whatever this host is, one of them is not its own.

use imgforge::host::accel::Accel;
use imgforge::host::qemu_img::DiskFormat;
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
                model: "vmxnet3".into(),
                slot: Some(9),
                ..Nic::default()
            },
        ];
        let domain = bench.connection.start(&spec, &bench.ledger).unwrap();
        let screen = bench.dir.path().join("screen.png");
        let mut seen = false;
        let said = listen(&domain, |said| {
            if !seen && said.console.contains("toy: ") {
                seen = domain.screenshot(&screen).is_ok();
            }
            true
        });
        assert_eq!(said.outcome, Some(Outcome::ShutDown), "{said:?}");
        for text in [
            "toy: vda serial=system",
            "52:54:00:12:34:56",
            "toy: nic vmxnet3 slot=0000:00:09.0",
            "toy: booted by UEFI",
        ] {
            assert!(said.console.contains(text), "{text}: {}", said.console);
        }
        assert!(read(&disk).starts_with("written by the toy"));
        assert!(seen && std::fs::read(&screen).unwrap().starts_with(b"\x89PNG"));
    }
}

#[test]
#[ignore = "vm: src/hypervisor src/machine"]
fn a_guest_of_another_architecture_answers_on_its_port() {
    for arch in Arch::ALL.iter().filter(|arch| arch.is_foreign()) {
        let bench = bench();
        let spec = toy::spec_on(*arch, bench.dir.path(), "good");
        let domain = bench.connection.start(&spec, &bench.ledger).unwrap();
        let mut answered = false;
        let said = listen(&domain, |said| {
            if !answered && said.port.contains("hello from the port\n") {
                domain.send("org.imgforge.0", b"the word\n").unwrap();
                answered = true;
            }
            true
        });
        assert_eq!(said.outcome, Some(Outcome::ShutDown), "{said:?}");
        assert!(said.console.contains("toy: heard the word"), "{said:?}");
        assert!(said.port.ends_with("heard the word\n"), "{said:?}");
    }
}
