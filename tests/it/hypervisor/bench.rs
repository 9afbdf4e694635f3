//! A connection to libvirt, and toys on it that say something.

use std::path::Path;

use imgforge::hypervisor::{Connection, Domain, DomainEvent, Outcome};
use imgforge::store::ledger::Ledger;

use crate::patience::HANG;
use crate::{slots, toy};

/// A ledger, a connection and a directory for one test's files.
pub(crate) struct Bench {
    pub(super) connection: Connection,
    pub(super) ledger: Ledger,
    pub(super) dir: tempfile::TempDir,
}

pub(crate) fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path()).unwrap();
    let connection = slots::connect(None, &ledger).unwrap();
    Bench {
        connection,
        ledger,
        dir,
    }
}

impl Bench {
    pub(crate) fn start(&self, mode: &str) -> Domain {
        self.connection
            .start(&toy::spec(self.dir.path(), mode), &self.ledger)
            .unwrap()
    }
}

/// All that a guest says until it ends.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(super) console: String,
    pub(super) port: String,
    pub(crate) outcome: Option<Outcome>,
}

pub(crate) fn listen(domain: &Domain, mut each: impl FnMut(&Said) -> bool) -> Said {
    let mut said = Said::default();
    loop {
        match domain.next_event(HANG).unwrap() {
            Some(DomainEvent::Console(data)) => said.console += &String::from_utf8_lossy(&data),
            Some(DomainEvent::Channel { name, data }) => {
                assert_eq!(name, "org.imgforge.0");
                said.port += &String::from_utf8_lossy(&data);
            }
            Some(DomainEvent::Ended(outcome)) => {
                said.outcome = Some(outcome);
                return said;
            }
            None => panic!("the guest hangs: {said:?}"),
        }
        if !each(&said) {
            return said;
        }
    }
}

pub(super) fn until(text: &str) -> impl FnMut(&Said) -> bool {
    move |said| !said.console.contains(text)
}

pub(super) fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}
