//! A bound on guests, over all that test on this host: processes, work trees and users.
//!
//! A test that starts a guest or an appliance takes a slot, and has it until its thread ends. What
//! can start one is to be had from here only (`scripts/proofs.py check` looks), so no test forgets.
//! A slot is a lock of the kernel on a file below [`PLACE`]: who dies gives it back. Unit tests and
//! programs that start no guest need none.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use imgforge::error::Result;
use imgforge::guest::{Drive, Guestfs, Launch};
use imgforge::host::accel::Accel;
use imgforge::host::exec::Program;
use imgforge::hypervisor::private::Daemon;
use imgforge::hypervisor::{Connection, Options};
use imgforge::machine::Arch;
use imgforge::store::ledger::Ledger;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use super::IMGFORGE;
use super::patience::pause;

/// Not `TMPDIR`, which every user may have elsewhere.
const PLACE: &str = "/tmp";

/// Set for a process of a test that has slots already.
const HELD: &str = "IMGFORGE_TEST_SLOTS_HELD";

/// What a guest of a test and its QEMU need at most, in KiB.
const MEMORY: u64 = 1536 << 10;

thread_local! {
    static MINE: RefCell<Vec<File>> = const { RefCell::new(vec![]) };
}

/// This thread's test has its slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held(());

/// Takes as many slots as the test runs guests at once, until the end of its thread. It asks for
/// all of them at once, with the first: who waits has none, so nobody waits for each other.
#[track_caller]
pub(crate) fn take(guests: usize) -> Held {
    if std::env::var_os(HELD).is_some() {
        return Held(());
    }
    let guests = guests.min(all());
    MINE.with_borrow_mut(|mine| {
        if mine.is_empty() {
            *mine = locked(Path::new(PLACE), guests, all());
        }
        assert!(
            mine.len() >= guests,
            "take {guests} slots at the test's start"
        );
    });
    Held(())
}

/// Takes this many in place of those that the test has: it gives them back first, so nobody waits
/// for each other.
#[track_caller]
pub(crate) fn instead(guests: usize) -> Held {
    MINE.with_borrow_mut(Vec::clear);
    take(guests)
}

/// Keeps others that do `what` waiting, on this host. Before the slots, or two wait for each other.
pub(crate) fn alone(what: &str) -> File {
    alone_in(Path::new(PLACE), what)
}

fn alone_in(place: &Path, what: &str) -> File {
    let path = slot_file(place, what);
    loop {
        if let Some(file) = lock(&path, FlockOperation::LockExclusive) {
            return file;
        }
    }
}

/// How many guests this host bears at once.
fn all() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let total: u64 = total
        .unwrap()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap();
    // One more than processors: a guest waits for its disk, or for imgforge, for a part of its time.
    (processors + 1).min((total / MEMORY) as usize).max(1)
}

/// Locks `wanted` of the `all` slots of `place`, however long others have them.
fn locked(place: &Path, wanted: usize, all: usize) -> Vec<File> {
    // Only the head of the queue gathers slots.
    let _head = alone_in(place, "queue");
    let mut mine: Vec<Option<File>> = (0..all).map(|_| None).collect();
    loop {
        for number in 0..all {
            if mine[number].is_none() && mine.iter().flatten().count() < wanted {
                let path = slot_file(place, &number.to_string());
                mine[number] = lock(&path, FlockOperation::NonBlockingLockExclusive);
            }
        }
        if mine.iter().flatten().count() == wanted {
            return mine.into_iter().flatten().collect();
        }
        pause();
    }
}

fn slot_file(place: &Path, name: &str) -> PathBuf {
    place.join(format!("imgforge-test-guest-{name}"))
}

/// Locks the file that has this name now, if nobody else has it locked; others may own it.
fn lock(path: &Path, operation: FlockOperation) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            let new = open(path, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR);
            let new = File::from(new.ok()?);
            new.set_permissions(PermissionsExt::from_mode(0o444))
                .unwrap();
            new
        }
        found => File::from(found.unwrap_or_else(|error| panic!("{}: {error}", path.display()))),
    };
    match flock(&file, operation) {
        Err(Errno::WOULDBLOCK | Errno::INTR) => return None,
        done => done.unwrap(),
    }
    // Somebody may have tidied up meanwhile.
    let now = std::fs::metadata(path).ok()?;
    let same = file.metadata().unwrap().ino() == now.ino();
    same.then_some(file)
}

/// An appliance.
#[track_caller]
pub(crate) fn launch(launch: &Launch<'_>) -> Result<Guestfs> {
    take(1);
    Guestfs::launch(launch)
}

/// An appliance with these disks, by TCG.
#[track_caller]
pub(crate) fn launch_on(disks: &[&Path], format: &str) -> Result<Guestfs> {
    let drives = disks.iter().map(|path| Drive {
        path,
        format,
        readonly: false,
    });
    launch(&Launch {
        drives: &drives.collect::<Vec<_>>(),
        accel: Accel::Tcg,
        ui: None,
    })
}

/// An appliance with this much memory.
#[track_caller]
pub(crate) fn launch_with(launch: &Launch<'_>, memory: i32) -> Result<Guestfs> {
    take(1);
    Guestfs::launch_with(launch, memory)
}

/// libvirt.
#[track_caller]
pub(crate) fn connect(uri: Option<&str>, ledger: &Ledger) -> Result<Connection> {
    take(1);
    Connection::open(&Options {
        uri,
        host_ports: &[],
        isolated: false,
        program: Path::new(IMGFORGE),
        ledger,
    })
}

/// libvirt, whose guests reach nothing but a proxy, not even these ports of this host.
#[track_caller]
pub(crate) fn isolated(host_ports: &[u16], ledger: &Ledger) -> Result<Connection> {
    take(1);
    Connection::open(&Options {
        uri: None,
        host_ports,
        isolated: true,
        program: Path::new(IMGFORGE),
        ledger,
    })
}

/// A private libvirt daemon.
#[track_caller]
pub(crate) fn daemon(dir: &Path, ledger: &Ledger) -> Result<Daemon> {
    take(1);
    Daemon::start(dir, ledger)
}

/// What runs a machine, also on another thread than the one that has the slots.
pub(crate) fn qemu(held: Held) -> &'static str {
    qemu_on(held, Arch::X86_64)
}

/// As [`qemu`], a machine of this architecture.
pub(crate) fn qemu_on(_: Held, arch: Arch) -> &'static str {
    arch.qemu[0]
}

/// Starts QEMU without an HPET, in place of it.
const WITHOUT_HPET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/qemu.sh");

/// A program of others that starts an appliance, by TCG.
#[track_caller]
pub(crate) fn appliance(program: &'static str) -> Program {
    take(1);
    Program::new(program)
        .env("LIBGUESTFS_BACKEND", "direct")
        .env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
        .env("LIBGUESTFS_HV", WITHOUT_HPET)
}

/// A process that runs one test of this binary alone, with the slots of the one that starts it;
/// without any it takes its own.
pub(crate) fn this_test(name: &str) -> Program {
    let program = Program::at(std::env::current_exe().unwrap()).args([
        "--include-ignored",
        "--exact",
        name,
        "--nocapture",
    ]);
    let has = MINE.with_borrow(|mine| !mine.is_empty()) || std::env::var_os(HELD).is_some();
    match has {
        true => program.env(HELD, "1"),
        false => program,
    }
}

#[test]
fn no_more_guests_than_slots_whoever_starts_them() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let dir = tempfile::tempdir().unwrap();
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for test in 0..12 {
            let (dir, now, most) = (dir.path(), &now, &most);
            scope.spawn(move || {
                let wanted = 1 + test % 3;
                let mine = locked(dir, wanted, 3);
                most.fetch_max(now.fetch_add(wanted, SeqCst) + wanted, SeqCst);
                std::thread::yield_now();
                now.fetch_sub(wanted, SeqCst);
                drop(mine);
            });
        }
    });
    assert!((1..=3).contains(&most.into_inner()));
}

#[test]
fn a_slot_of_a_killed_process_is_free_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(locked(dir.path(), 1, 1));
    let slot = slot_file(dir.path(), "0");
    let holder = Program::new("flock").arg(&slot);
    let holder = holder.args(["sh", "-c", "echo held; exec sleep infinity"]);
    let mut holder = holder.spawn().unwrap();
    let mut said = BufReader::new(holder.take_stdout()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "held");
    assert!(lock(&slot, FlockOperation::NonBlockingLockExclusive).is_none());
    // Dropping it sends SIGKILL.
    drop(holder);
    assert_eq!(locked(dir.path(), 1, 1).len(), 1);
}
