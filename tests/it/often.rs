//! What once failed now and then, fifty times each beside busy processors.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use imgforge::guest::{Guestfs, Os};
use imgforge::host::exec::{Program, Running, write_program};
use imgforge::hypervisor::Outcome;
use memchr::memmem;

use crate::phony::Phony;
use crate::{guest, hypervisor, layouts, slots};

const TIMES: usize = 50;

/// Keeps so many processors busy until they are dropped.
fn busy(loops: usize) -> Vec<Running> {
    let one = || Program::new("sh").args(["-c", "while :; do :; done"]);
    (0..loops).map(|_| one().spawn().unwrap()).collect()
}

/// The blocks of removed files are free once ext4 has called back, and that is after the journal's
/// transaction has its number: a sync does not wait for it, and an fstrim right after a sync passes
/// over these blocks. Sealing unmounts before, which waits.
#[test]
#[ignore = "e2e: src/sysprep/seal.rs src/sysprep/trim"]
fn what_is_removed_right_before_free_space_is_given_back_leaves_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Phony::debian().disk(dir.path(), "disk.raw");
    let guest = guest::session(&[&disk]);
    let os = guest.mount_root().unwrap();
    let _busy = busy(2);
    let left: Vec<usize> = (0..TIMES)
        .filter(|round| is_left(&guest, &os, &disk, &format!("removed in round {round}\n")))
        .collect();
    assert_eq!(left, [0; 0], "rounds that left something");
}

/// Whether `text`, of files that are removed right before it, is on the disk once it was sealed.
fn is_left(guest: &Guestfs, os: &Os, disk: &Path, text: &str) -> bool {
    let on_disk = || memmem::find(&std::fs::read(disk).unwrap(), text.as_bytes()).is_some();
    guest.mkdir_p("/removed").unwrap();
    for name in 0..8 {
        let path = format!("/removed/{name}");
        guest.write(&path, text.repeat(1000)).unwrap();
    }
    guest.sync().unwrap();
    assert!(on_disk(), "it was never written");
    guest.rm_rf("/removed").unwrap();
    layouts::seal_with(guest, os, &[]);
    on_disk()
}

/// QEMU's translator gives a guest its timer interrupts late where the host is busy. A kernel with
/// QEMU's HPET for a clock then waited for ever ("rcu_preempt kthread timer wakeup didn't happen"),
/// and one that tests its timer at the start took it for broken ("IO-APIC + timer doesn't work").
/// Machines have no HPET and one package of CPUs, whose TSC kernels since 6.9 trust, and the kernels of
/// toys and trials do not test (`no_timer_check`).
#[test]
#[ignore = "e2e: src/hypervisor"]
fn guests_get_their_timer_interrupts_on_a_busy_host() {
    let bench = hypervisor::bench();
    let _busy = busy(4);
    let lost: Vec<_> = (0..TIMES)
        .map(|_| hypervisor::listen(&bench.start("sleep"), |_| true))
        .filter(|said| said.outcome != Some(Outcome::ShutDown))
        .collect();
    assert!(lost.is_empty(), "{} of {TIMES}: {lost:?}", lost.len());
}

/// See `aborted` in `src/guest/mod.rs`: an appliance that QEMU aborts starts again.
#[test]
#[ignore = "e2e: src/guest"]
fn every_appliance_starts_on_a_busy_host() {
    slots::take(1);
    let dir = tempfile::tempdir().unwrap();
    let hypervisor = dir.path().join("qemu");
    // For root nobody runs it, who may write into nothing but what is open to all.
    let starts = dir.path().join("starts");
    let mkfifo = Program::new("mkfifo").args(["-m", "0622"]);
    mkfifo.arg(&starts).run().unwrap();
    let script = "#!/bin/sh\ncase \" $* \" in *\" -append \"*) echo >STARTS;; esac\n\
                  exec qemu-system-x86_64 \"$@\"\n";
    let script = script.replace("STARTS", starts.to_str().unwrap());
    write_program(&hypervisor, &script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    let both = std::fs::File::options().read(true).write(true).open(starts);
    let both = both.unwrap();
    let _busy = busy(4);
    for _ in 0..TIMES {
        let child = guest::child("starts_an_appliance", dir.path());
        child.env("LIBGUESTFS_HV", &hypervisor).run().unwrap();
        let said = std::fs::read_to_string(dir.path().join("disk.said")).unwrap();
        assert_eq!(said, "");
    }
    (&both).write_all(b"end\n").unwrap();
    let lines = BufReader::new(&both).lines().map_while(Result::ok);
    let starts = lines.take_while(|line| line != "end").count();
    assert!(starts >= TIMES);
    let mut out = std::io::stdout();
    writeln!(out, "{} aborts in {starts} starts", starts - TIMES).unwrap();
}
