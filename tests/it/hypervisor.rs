//! Guests for real, under libvirt and TCG.

use std::path::Path;
use std::time::{Duration, Instant};

use imgforge::hypervisor::{Connection, Domain, DomainEvent, Options, Outcome, sweep};
use imgforge::store::ledger::Ledger;

use crate::toy;

/// A ledger, a connection and a directory for one test's files.
struct Bench {
    connection: Connection,
    ledger: Ledger,
    dir: tempfile::TempDir,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let connection = Connection::open(&Options {
        uri: None,
        ledger: &ledger,
    })
    .unwrap();
    Bench {
        connection,
        ledger,
        dir,
    }
}

impl Bench {
    fn start(&self, mode: &str) -> Domain {
        self.connection
            .start(&toy::spec(self.dir.path(), mode), &self.ledger)
            .unwrap()
    }
}

/// All that a guest says until it ends.
#[derive(Debug, Default)]
struct Said {
    console: String,
    port: String,
    outcome: Option<Outcome>,
}

fn listen(domain: &Domain, mut each: impl FnMut(&Said) -> bool) -> Said {
    let mut said = Said::default();
    let deadline = Instant::now() + Duration::from_secs(90);
    while Instant::now() < deadline {
        match domain.next_event(Duration::from_secs(1)).unwrap() {
            Some(DomainEvent::Console(data)) => said.console += &String::from_utf8_lossy(&data),
            Some(DomainEvent::Channel { name, data }) => {
                assert_eq!(name, "org.imgforge.0");
                said.port += &String::from_utf8_lossy(&data);
            }
            Some(DomainEvent::Ended(outcome)) => {
                said.outcome = Some(outcome);
                return said;
            }
            None => continue,
        }
        if !each(&said) {
            return said;
        }
    }
    panic!("the guest did not end: {said:?}");
}

fn until(text: &str) -> impl FnMut(&Said) -> bool {
    move |said| !said.console.contains(text)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

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

#[test]
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

#[test]
fn a_hanging_guest_is_watched_shown_and_destroyed() {
    let bench = bench();
    let domain = bench.start("hang");
    listen(&domain, until("toy: hang"));
    assert!(domain.counters().unwrap().cpu_time > 0);
    let picture = bench.dir.path().join("screen.png");
    domain.screenshot(&picture).unwrap();
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG\r\n"));
    let uuid = domain.uuid();
    assert_eq!(sweep::qemu_processes(uuid).len(), 1);
    domain.destroy().unwrap();
    assert_eq!(sweep::qemu_processes(uuid), []);
}
