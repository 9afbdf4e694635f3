//! Guests for real, under libvirt and TCG.

mod bench;
mod foreign;
mod left;

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use imgforge::host::accel::{self, Accel};
use imgforge::host::exec::Program;
use imgforge::host::qemu_img::DiskFormat;
use imgforge::hypervisor::{Boot, Disk, Nic, Outcome, sweep};
use imgforge::machine::{Firmware, Network};
use imgforge::store::ledger::{Item, Ledger};
use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

pub(crate) use bench::{bench, listen};
use bench::{read, until};

use crate::patience::wait_for;
use crate::server::{Answer, Server};
use crate::slots::{self, this_test};
use crate::toy;

#[test]
fn a_guest_talks_both_ways_and_powers_off() {
    let bench = bench();
    let domain = bench.start("good");
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
    assert_eq!(read(&bench.dir.path().join("console.log")), said.console);
    assert_eq!(domain.next_event(Duration::ZERO).unwrap(), None);
}

/// A QEMU of root is nobody: no user has its id, and it has no capability, no more than that of an
/// ordinary user. One more would do: with the right to search, a handle of any file of a disk's file
/// system opens it.
#[test]
#[ignore = "vm: src/hypervisor src/host/confine.rs src/host/confine.sh"]
fn qemu_cannot_change_the_host() {
    let bench = bench();
    let mut spec = toy::spec(bench.dir.path(), "good");
    let disk = bench.dir.path().join("disk.raw");
    std::fs::write(&disk, [0; 1 << 16]).unwrap();
    std::fs::set_permissions(&disk, Permissions::from_mode(0o600)).unwrap();
    let owner = ownership(&disk);
    spec.disks.push(Disk {
        path: disk.clone(),
        format: DiskFormat::Raw,
        serial: None,
        readonly: false,
    });
    let domain = bench.connection.start(&spec, &bench.ledger).unwrap();
    let pids = sweep::qemu_processes(domain.uuid());
    let [pid] = pids[..] else { panic!("{pids:?}") };
    crate::nobody::is_nobody(pid.as_raw_pid());
    let of_process = |name: &str| read(Path::new(&format!("/proc/{}/{name}", pid.as_raw_pid())));
    assert!(of_process("status").contains("Seccomp:\t2"));
    let user = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_ne!(user(&pid.as_raw_pid().to_string()), user("self"));
    let mounts = of_process("mountinfo");
    let options = |at: &str| {
        let words = mounts.lines().map(|line| line.split(' ').skip(4));
        let mut there =
            words.filter_map(|mut words| (words.next()? == at).then(|| words.next())?);
        // The last one lies above the others.
        there.next_back().unwrap_or_default().to_owned()
    };
    if bench.connection.is_private() {
        for at in ["/", "/sys"] {
            assert!(options(at).starts_with("ro"), "{at}: {mounts}");
        }
        let owner = std::fs::metadata(format!("/proc/{}", pid.as_raw_pid())).unwrap();
        assert!(owner.uid() >= 0x7000_0000, "{}", owner.uid());
        // The host's own, at its place, may be another one by now, or be installed only now.
        let xml = domain.description().unwrap();
        let emulator = xml.split("<emulator>").nth(1).unwrap();
        assert!(
            emulator.contains("/imgforge-") && emulator.contains("/libvirt/qemu-system-"),
            "{xml}"
        );
    }
    assert_eq!(ownership(&disk), owner);
    domain.destroy().unwrap();
}

/// Of what listens on this host's loopback a guest reaches the build's proxy, and nothing else.
#[test]
#[ignore = "vm: src/hypervisor src/host/confine.rs src/host/confine.sh"]
fn a_guest_reaches_the_relay_and_no_other_service_of_the_host() {
    let bench = bench();
    let servers = [b"the relay" as &[u8], b"a database"];
    let [relay, other] = servers.map(|text| Server::start(move |_, _| Answer::of(text)));
    let [here, there] = [&relay, &other].map(|server| server.address().port());
    let mut spec = toy::spec(bench.dir.path(), "reach");
    spec.nics = vec![Nic::default()];
    spec.relay = Some(here);
    let Boot::Kernel { cmdline, .. } = &mut spec.boot else {
        panic!("{spec:?}")
    };
    *cmdline += &format!(" port={here} port={there}");
    let domain = bench.connection.start(&spec, &bench.ledger).unwrap();
    let said = listen(&domain, |_| true);
    assert_eq!(said.outcome, Some(Outcome::ShutDown), "{said:?}");
    for (port, answer) in [(here, "the relay"), (there, "nothing")] {
        let line = format!("toy: port={port} says {answer}");
        assert!(said.console.contains(&line), "{line}: {}", said.console);
    }
    assert_eq!(other.requests().len(), 0);
    // It ends with the guest that it was for.
    let pasta = || {
        left::processes("pasta")
            .iter()
            .any(|line| line.contains(&here.to_string()))
    };
    assert!(pasta());
    drop(domain);
    assert!(!pasta());
}

/// A guest of `--locked --offline`: nothing connects its network with this host's but the proxy.
#[test]
#[ignore = "vm: src/hypervisor src/host/confine.rs src/host/confine.sh"]
fn an_isolated_guest_reaches_the_relay_alone_by_many_connections_and_no_network() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let servers = [b"the relay" as &[u8], b"a licence"];
    let [relay, other] = servers.map(|text| Server::start(move |_, _| Answer::of(text)));
    let [here, there] = [&relay, &other].map(|server| server.address().port());
    let connection = slots::isolated(&[there], &ledger).unwrap();
    let mut spec = toy::spec(dir.path(), "reach");
    spec.nics = vec![Nic::default()];
    spec.relay = Some(here);
    let Boot::Kernel { cmdline, .. } = &mut spec.boot else {
        panic!("{spec:?}")
    };
    *cmdline += &format!(" port={here} port={there}").repeat(3);
    let domain = connection.start(&spec, &ledger).unwrap();
    let said = listen(&domain, |_| true);
    assert_eq!(said.outcome, Some(Outcome::ShutDown), "{said:?}");
    for (port, answer) in [(here, "the relay"), (there, "nothing")] {
        let line = format!("toy: port={port} says {answer}");
        assert_eq!(
            said.console.matches(&line).count(),
            3,
            "{line}: {}",
            said.console
        );
    }
    assert_eq!(other.requests().len(), 0);
    let ports = [here, there].map(|port| port.to_string());
    let is_ours = |line: &String| ports.iter().any(|port| line.contains(port));
    assert!(!left::processes("pasta").iter().any(is_ours));
    let mut bridged = toy::spec(dir.path(), "poweroff");
    bridged.nics = vec![Nic::on(&Network::Named("default".into()))];
    let error = connection.start(&bridged, &ledger).map(drop).unwrap_err();
    assert!(error.render().contains("`default`"), "{}", error.render());
}

#[test]
#[ignore = "vm: src/hypervisor"]
fn the_kind_of_the_end_is_told() {
    let bench = bench();
    for (mode, outcome) in [
        ("poweroff", Outcome::ShutDown),
        ("panic", Outcome::Crashed),
        ("reboot", Outcome::Rebooted),
    ] {
        let domain = bench.start(mode);
        let said = listen(&domain, |_| true);
        assert_eq!(said.outcome, Some(outcome), "{said:?}");
        assert!(said.console.contains(&format!("toy: {mode}")), "{said:?}");
    }
}

/// One ends while the other goes on: each hears of its own end only.
#[test]
#[ignore = "vm: src/hypervisor"]
fn two_guests_of_one_connection_are_told_apart() {
    let bench = bench();
    let other = tempfile::tempdir().unwrap();
    let hanging = bench.start("hang");
    let good = bench
        .connection
        .start(&toy::spec(other.path(), "panic"), &bench.ledger)
        .unwrap();
    let said = listen(&good, |_| true);
    assert_eq!(said.outcome, Some(Outcome::Crashed), "{said:?}");
    hanging.destroy().unwrap();
}

#[test]
#[ignore = "vm: src/hypervisor"]
fn a_hanging_guest_is_watched_shown_and_destroyed() {
    let bench = bench();
    let domain = bench.start("hang");
    listen(&domain, until("toy: hang"));
    assert!(domain.counters().unwrap().cpu_time > 0);
    let picture = bench.dir.path().join("screen.png");
    domain.screenshot(&picture).unwrap();
    let picture = std::fs::read(&picture).unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n"), "{}", picture.len());
    let uuid = domain.uuid();
    assert_eq!(sweep::qemu_processes(uuid).len(), 1);
    domain.destroy().unwrap();
    assert_eq!(sweep::qemu_processes(uuid), []);
    assert_eq!(bench.connection.domain_names().unwrap(), [""; 0]);
}

#[test]
#[ignore = "vm: src/hypervisor"]
fn what_is_typed_reaches_the_console_from_another_thread() {
    let bench = bench();
    let domain = bench.start("type");
    listen(&domain, until("toy: type"));
    let console = domain.console().unwrap();
    let typist = std::thread::spawn(move || console.send(b"one\nbye\n"));
    let said = listen(&domain, |_| true);
    typist.join().unwrap().unwrap();
    assert_eq!(said.outcome, Some(Outcome::ShutDown));
    assert!(said.console.contains("toy: typed one"), "{said:?}");
}

#[test]
#[ignore = "vm: src/hypervisor"]
fn a_flooding_guest_is_slowed_down_and_takes_no_memory() {
    let bench = bench();
    let domain = bench.start("flood");
    let started = listen(&domain, |said| {
        !(said.console.contains("console console") && said.port.len() > 1 << 20)
    });
    assert_eq!(started.outcome, None);
    // Nobody reads now: what has come in meanwhile is bounded, and the guest's processes wait.
    let log = bench.dir.path().join("console.log");
    let written = || std::fs::metadata(&log).unwrap().len();
    let start = written();
    let (mut before, mut quiet) = (start, 0);
    wait_for("the guest's rest", || {
        let now = written();
        assert!(
            now - start < 16 << 20,
            "{} bytes that nobody reads",
            now - start
        );
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
        quiet == 200
    });
    // The readers wait for room in the queue: that must not keep the end from coming.
    let uuid = domain.uuid();
    drop(domain);
    assert_eq!(sweep::qemu_processes(uuid), []);
}

/// Owner, group and mode.
fn ownership(path: &Path) -> (u32, u32, u32) {
    let found = std::fs::metadata(path).unwrap();
    (found.uid(), found.gid(), found.mode())
}

#[test]
#[ignore = "vm: src/hypervisor"]
fn disks_and_cards_are_as_specified_and_no_layer_changes_its_owner() {
    let bench = bench();
    let store = bench.dir.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let (layer, overlay, seed) = (
        store.join("layer.raw"),
        store.join("overlay.qcow2"),
        store.join("seed.raw"),
    );
    for file in [&layer, &seed] {
        std::fs::File::create(file)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
    }
    Program::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([&layer, &overlay])
        .run()
        .unwrap();
    for (path, mode) in [(&layer, 0o400), (&overlay, 0o600), (&store, 0o700)] {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let owners = [&store, &layer, &overlay, &seed].map(|path| ownership(path));
    let disk = |path: &Path, format, serial: &str, readonly| Disk {
        path: path.to_owned(),
        format,
        serial: Some(serial.into()),
        readonly,
    };
    let mut spec = toy::spec(bench.dir.path(), "disk");
    spec.firmware = Firmware::Uefi;
    spec.disks = vec![
        disk(&overlay, DiskFormat::Qcow2, "system", false),
        disk(&seed, DiskFormat::Raw, "seed", true),
    ];
    spec.nics = vec![
        Nic {
            mac: Some("52:54:00:12:34:56".into()),
            ..Nic::default()
        },
        Nic {
            model: "e1000".into(),
            slot: Some(9),
            ..Nic::default()
        },
        Nic {
            mac: Some("52:54:00:12:34:57".into()),
            network: None,
            ..Nic::default()
        },
    ];
    let domain = bench.connection.start(&spec, &bench.ledger).unwrap();
    let mut written = 0;
    let said = listen(&domain, |_| {
        written = domain
            .counters()
            .map_or(written, |counters| counters.disk_written);
        true
    });
    assert_eq!(said.outcome, Some(Outcome::ShutDown), "{said:?}");
    for text in [
        "toy: vda serial=system",
        "toy: vdb serial=seed",
        "52:54:00:12:34:56",
        "52:54:00:12:34:57",
        "toy: nic e1000 slot=0000:00:09.0",
        "toy: booted by UEFI",
    ] {
        assert!(said.console.contains(text), "{text}: {}", said.console);
    }
    drop(domain);
    assert_eq!(
        [&store, &layer, &overlay, &seed].map(|path| ownership(path)),
        owners
    );
    let out = store.join("out");
    Program::new("qemu-img")
        .args(["dd", "-f", "qcow2", "-O", "raw", "bs=512", "count=1"])
        .arg(format!("if={}", overlay.display()))
        .arg(format!("of={}", out.display()))
        .run()
        .unwrap();
    let bytes = read(&out);
    assert!(bytes.starts_with("written by the toy"), "{bytes:?}");
    assert!(std::fs::read(&layer).unwrap().iter().all(|byte| *byte == 0));
}

#[test]
#[ignore = "vm: src/hypervisor"]
fn a_guest_that_cannot_start_leaves_nothing() {
    let bench = bench();
    let mut spec = toy::spec(bench.dir.path(), "good");
    spec.disks = vec![Disk {
        path: "/nonexistent.raw".into(),
        format: DiskFormat::Raw,
        serial: None,
        readonly: false,
    }];
    let error = bench.connection.start(&spec, &bench.ledger).unwrap_err();
    assert!(error.render().contains("/nonexistent.raw"), "{error}");
    assert_eq!(bench.connection.domain_names().unwrap(), [""; 0]);
    assert_eq!(
        items(bench.dir.path())
            .iter()
            .filter(|item| matches!(item, Item::Domain { .. }))
            .count(),
        0
    );
}

/// What the ledgers below `state` have written down.
fn items(state: &Path) -> Vec<Item> {
    let pages = std::fs::read_dir(state.join("ledger")).unwrap();
    let files = pages.flat_map(|page| std::fs::read_dir(page.unwrap().path()).unwrap());
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect()
}
