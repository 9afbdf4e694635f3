//! What is left of guests whose host, disk or program fails: nothing.

use super::*;

/// Processes that have `text` on their command line.
pub(super) fn processes(text: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap();
    all.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|cmdline| String::from_utf8_lossy(&cmdline).replace('\0', " "))
        .filter(|cmdline| cmdline.contains(text))
        .collect()
}

/// Only root needs one, and only root can have the namespaces.
#[test]
#[ignore = "root: src/hypervisor"]
fn root_without_a_daemon_gets_a_private_one_that_ends_with_it() {
    let state = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(state.path()).unwrap();
    let dirs = [0, 1].map(|_| tempfile::tempdir_in("/run").unwrap());
    let daemons = dirs
        .each_ref()
        .map(|dir| slots::daemon(dir.path(), &ledger).unwrap());
    let connections = daemons.each_ref().map(|daemon| {
        let uri = Some(daemon.uri());
        slots::connect(uri, &ledger).unwrap()
    });
    let spec = toy::spec(state.path(), "hang");
    let domain = connections[0].start(&spec, &ledger).unwrap();
    assert_eq!(connections[0].domain_names().unwrap(), [domain.name()]);
    assert_eq!(
        connections[1].domain_names().unwrap(),
        [""; 0],
        "each sees its own"
    );
    let uuid = domain.uuid();
    let names = dirs
        .each_ref()
        .map(|dir| dir.path().to_str().unwrap().to_owned());
    assert_eq!(processes(&names[0]).len(), 2, "unshare and its shell");
    // The daemon ends first, as if it had been killed: its guests end with it.
    drop(daemons);
    assert_eq!(sweep::qemu_processes(uuid), []);
    let said = listen(&domain, |_| true);
    assert_eq!(said.outcome, Some(Outcome::Failed), "{said:?}");
    drop((domain, connections));
    for name in names {
        assert_eq!(processes(&name), [""; 0]);
    }
    assert_eq!(items(state.path()), []);
}

/// Set for the process of [`a_full_host_disk_ends_the_guest_with_that_reason`] that has a small disk.
const SMALL: &str = "IMGFORGE_TEST_SMALL";

/// Only root can mount the small disk.
#[test]
#[ignore = "root: src/hypervisor"]
fn a_full_host_disk_ends_the_guest_with_that_reason() {
    if let Some(dir) = std::env::var_os(SMALL) {
        return fill(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let small = dir.path().to_str().unwrap();
    let text = Program::new("sh")
        .in_namespaces(&["--mount"])
        .arg("-c")
        .arg("mount -t tmpfs -o size=6m small \"$1\" && exec \"$0\" --ignored --exact \"$2\" --nocapture")
        .arg(std::env::current_exe().unwrap())
        .args([
            small,
            "hypervisor::left::a_full_host_disk_ends_the_guest_with_that_reason",
        ])
        .env(SMALL, small)
        .text()
        .unwrap();
    assert!(text.contains("the reason was given"), "{text}");
}

fn fill(small: &Path) {
    let bench = bench();
    let disk = small.join("disk.raw");
    std::fs::File::create(&disk)
        .unwrap()
        .set_len(80 << 20)
        .unwrap();
    let mut spec = toy::spec(bench.dir.path(), "fill");
    spec.disks = vec![Disk {
        path: disk,
        format: DiskFormat::Raw,
        serial: None,
        readonly: false,
    }];
    let domain = bench.connection.start(&spec, &bench.ledger).unwrap();
    let said = listen(&domain, |_| true);
    assert_eq!(said.outcome, Some(Outcome::Failed), "{said:?}");
    assert!(domain.failure().unwrap().contains("disk is full"));
    let mut out = std::io::stdout();
    writeln!(out, "the reason was given").unwrap();
}

/// Set for the process that [`sigkill_leaves_nothing_that_the_ledger_does_not_clear`] kills.
const VICTIM: &str = "IMGFORGE_TEST_VICTIM";

#[test]
#[ignore = "vm: src/hypervisor src/store/ledger.rs"]
fn sigkill_leaves_nothing_that_the_ledger_does_not_clear() {
    if let Some(state) = std::env::var_os(VICTIM) {
        return be_killed(Path::new(&state));
    }
    let state = tempfile::tempdir().unwrap();
    let name = "hypervisor::left::sigkill_leaves_nothing_that_the_ledger_does_not_clear";
    let mut victim = this_test(name).env(VICTIM, state.path()).spawn().unwrap();
    let mut lines = BufReader::new(victim.take_stdout()).lines();
    let uuid = lines
        .find_map(|line| line.unwrap().split_once("running ")?.1.parse::<Uuid>().ok())
        .expect("the victim starts a guest");
    let qemu = sweep::qemu_processes(uuid);
    assert_eq!(qemu.len(), 1);
    let of_guest = format!("--udp-ns none {} ", qemu[0].as_raw_pid());
    assert_eq!(processes(&of_guest).len(), 1, "pasta");
    let victim_id = Pid::from_raw(victim.id() as i32).unwrap();
    kill_process(victim_id, Signal::KILL).unwrap();
    assert!(victim.wait().is_err(), "killed");
    // The kernel has told pasta already.
    wait_for("the end of pasta", || processes(&of_guest).is_empty());
    let items = items(state.path());
    assert!(
        items.iter().any(|item| matches!(item, Item::Domain { .. })),
        "{items:?}"
    );
    for item in &items {
        sweep::sweep(item).unwrap();
    }
    assert_eq!(sweep::qemu_processes(uuid), []);
    for item in &items {
        if let Item::Scratch { path } = item {
            assert!(!path.exists(), "{}", path.display());
            assert_eq!(processes(path.to_str().unwrap()), [""; 0]);
        }
    }
}

fn be_killed(state: &Path) {
    let ledger = Ledger::open(state).unwrap();
    let connection = slots::connect(None, &ledger).unwrap();
    let mut spec = toy::spec(state, "hang");
    spec.nics = vec![Nic::default()];
    let domain = connection.start(&spec, &ledger).unwrap();
    listen(&domain, until("toy: hang"));
    let mut out = std::io::stdout();
    writeln!(out, "running {}", domain.uuid()).unwrap();
    listen(&domain, |_| true);
}

#[test]
fn the_program_measures_this_hosts_device_without_hanging() {
    let probe = crate::support::imgforge_by_the_door().arg(accel::PROBE_COMMAND);
    let choice = accel::probe_with(probe);
    let device = Path::new("/dev/kvm").exists();
    let told = [
        "loop turns a second",
        "hangs",
        "cannot run",
        "does not exist",
        "is not open",
    ];
    assert!(
        told.iter().any(|text| choice.reason.contains(text)),
        "{choice:?}"
    );
    assert!(device || choice.accel == Accel::Tcg, "{choice:?}");
}
