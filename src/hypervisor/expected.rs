//! A guest that another program creates: owned before it exists, taken over when it runs.
//!
//! Its console and ports are sockets on which imgforge listens, and to which QEMU connects before
//! the guest's first instruction: nothing that the guest says is lost, whoever started it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::connect::Link;
use super::domain::{Domain, Events};
use super::machine::Machine;
use super::port::Port;
use super::spec::Spec;
use super::xml::GuestPlace;
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::store::ledger::Ledger;

/// A guest that is written down and awaited. Dropping it ends the guest, should there be one.
pub struct Expected {
    events: Events,
    machine: Machine,
    spec: Spec,
    listeners: BTreeMap<PathBuf, UnixListener>,
    connected: BTreeMap<PathBuf, UnixStream>,
}

impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expected")
            .field("place", &self.machine.place)
            .finish_non_exhaustive()
    }
}

impl Expected {
    pub(super) fn new(link: Arc<Link>, spec: &Spec, ledger: &Ledger) -> Result<Expected> {
        interrupt::check()?;
        let machine = Machine::reserve(link, spec, ledger)?;
        let place = &machine.place;
        let sockets = std::iter::once(&place.console).chain(&place.channels);
        let listeners = sockets
            .map(|path| Ok((path.clone(), listen(path)?)))
            .collect::<Result<_>>()?;
        Ok(Expected {
            events: Events::register(&machine, spec)?,
            machine,
            spec: spec.clone(),
            listeners,
            connected: BTreeMap::new(),
        })
    }

    /// The name, UUID, sockets, addresses and firmware that the guest must be created with.
    pub fn place(&self) -> &GuestPlace {
        &self.machine.place
    }

    /// Whether the guest is there with its console and its ports.
    ///
    /// # Errors
    /// When a socket does not work, or imgforge is interrupted.
    pub fn has_come(&mut self) -> Result<bool> {
        interrupt::check()?;
        for (path, listener) in &self.listeners {
            if self.connected.contains_key(path) {
                continue;
            }
            match listener.accept() {
                Ok((socket, _)) => drop(self.connected.insert(path.clone(), socket)),
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(cause) => {
                    return Err(cause).doing(|| format!("listening on {}", path.display()));
                }
            }
        }
        Ok(self.machine.find())
    }

    /// Takes the guest over, once it [has come](Self::has_come).
    ///
    /// # Errors
    /// When it has not come, or no thread can be started.
    pub fn adopt(mut self) -> Result<Domain> {
        let name = self.machine.place.name.clone();
        Domain::listen(self.machine, &self.spec, self.events, |path, what| {
            let socket = self
                .connected
                .remove(path)
                .ok_or_else(|| Error::internal(format!("the guest {name} has not come")))?;
            socket
                .set_nonblocking(false)
                .doing(|| format!("opening {what}"))?;
            Port::accepted(socket, what)
        })
    }
}

fn listen(path: &Path) -> Result<UnixListener> {
    let listener = UnixListener::bind(path).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.doing(|| format!("listening on {}", path.display()))
}
