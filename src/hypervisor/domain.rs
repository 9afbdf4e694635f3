//! A running guest: its console, its ports and its end as one bounded stream of events.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use uuid::Uuid;

use super::connect::{Link, failed};
use super::libvirt::{self, Refused, Stream};
use super::machine::Machine;
use super::port::Port;
use super::raw::{Listener, Registration};
use super::reader;
use super::spec::{Counters, DomainEvent, Outcome, Spec};
use super::state::State;
use super::xml::{self, GuestPlace};
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::machine::Network;
use crate::store::ledger::Ledger;

/// Events that wait for [`Domain::next_event`]; each has at most 8 KiB.
const QUEUE: usize = 64;

/// How long libvirt may take to report the end of a guest whose console is closed.
const END_WITHIN: Duration = Duration::from_secs(60);

/// The most of a screenshot that is read, in bytes.
const LARGEST_SCREEN: u64 = 64 << 20;

/// How often a wait looks for signals.
const POLL: Duration = Duration::from_millis(100);

/// A running guest. Dropping it destroys it.
pub struct Domain {
    /// Dropped first: no event comes for a guest that is being taken down.
    registration: Option<Registration>,
    machine: Machine,
    disks: usize,
    /// Hardware addresses of the cards that libvirt counts.
    counted: Vec<String>,
    state: Arc<State>,
    events: Option<Receiver<DomainEvent>>,
    console: Port,
    ports: BTreeMap<String, Port>,
    readers: Vec<JoinHandle<()>>,
    reported: AtomicBool,
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Domain")
            .field("place", &self.machine.place)
            .finish_non_exhaustive()
    }
}

impl Domain {
    pub(super) fn start(link: Arc<Link>, spec: &Spec, ledger: &Ledger) -> Result<Domain> {
        interrupt::check()?;
        let machine = Machine::create(link, spec, ledger)?;
        let events = Events::register(&machine, spec)?;
        let domain = Domain::listen(machine, spec, events, Port::connect)?;
        domain.handle().resume().map_err(|cause| {
            failed(
                &format!("the guest {} does not start", domain.name()),
                &cause,
            )
        })?;
        Ok(domain)
    }

    /// Opens console and ports, each with a thread that reads it into the queue.
    pub(super) fn listen(
        mut machine: Machine,
        spec: &Spec,
        Events {
            state,
            registration,
        }: Events,
        mut open: impl FnMut(&Path, String) -> Result<Port>,
    ) -> Result<Domain> {
        machine.connect(spec)?;
        let (queue, events) = mpsc::sync_channel(QUEUE);
        let place = &machine.place;
        let of = |what: &str| format!("the {what} of the guest {}", place.name);
        let log = reader::Log::create(spec.console_log.as_deref())?;
        let console = open(&place.console, of("console"))?;
        let mut readers = vec![reader::console(console.reader()?, log, queue.clone())?];
        let mut ports = BTreeMap::new();
        for (name, socket) in spec.channels.iter().zip(&place.channels) {
            let port = open(socket, of(&format!("port {name}")))?;
            readers.push(reader::port(port.reader()?, name.clone(), queue.clone())?);
            ports.insert(name.clone(), port);
        }
        Ok(Domain {
            registration: Some(registration),
            disks: spec.disks.len(),
            counted: counted(spec, place),
            machine,
            state,
            events: Some(events),
            console,
            ports,
            readers,
            reported: AtomicBool::new(false),
        })
    }

    fn handle(&self) -> &libvirt::Domain {
        self.machine.handle()
    }

    /// The domain's full name.
    pub fn name(&self) -> &str {
        &self.machine.place.name
    }

    /// The domain's UUID, which is on QEMU's command line.
    pub fn uuid(&self) -> Uuid {
        self.machine.place.uuid
    }

    /// The next event, or `None` after `timeout` or once [`DomainEvent::Ended`] was given.
    ///
    /// # Errors
    /// When imgforge is interrupted, or the guest's QEMU changed which files its disks refer to.
    pub fn next_event(&self, timeout: Duration) -> Result<Option<DomainEvent>> {
        let deadline = Instant::now() + timeout;
        let Some(events) = &self.events else {
            return Ok(None);
        };
        loop {
            interrupt::check()?;
            if self.state.must_destroy() {
                drop(self.handle().destroy());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match events.recv_timeout(left.min(POLL)) {
                Ok(event) => return Ok(Some(event)),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let Some(ended) = self.ended() else {
                        return Ok(None);
                    };
                    return Ok(Some(ended));
                }
            }
        }
    }

    /// Console and ports are closed, so QEMU is gone; libvirt says how.
    fn ended(&self) -> Option<DomainEvent> {
        if self.reported.swap(true, Ordering::SeqCst) {
            return None;
        }
        let deadline = Instant::now() + END_WITHIN;
        loop {
            if let Some(outcome) = self.state.outcome_within(POLL) {
                return Some(DomainEvent::Ended(outcome));
            }
            let alive = self.machine.link.connect.is_alive();
            if !alive || Instant::now() > deadline {
                self.state.lost();
                return Some(DomainEvent::Ended(Outcome::Failed));
            }
        }
    }

    /// Why the guest ended with [`Outcome::Failed`], if imgforge knows.
    pub fn failure(&self) -> Option<&'static str> {
        self.state.failure()
    }

    /// Whether the guest's kernel told QEMU that it panicked.
    pub fn crashed(&self) -> bool {
        self.state.crashed()
    }

    /// The port `name`, to write to from another thread.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn port(&self, name: &str) -> Result<Port> {
        self.find(name)?.another()
    }

    /// The serial console, to type on from another thread.
    ///
    /// # Errors
    /// When the process has too many open files.
    pub fn console(&self) -> Result<Port> {
        self.console.another()
    }

    fn find(&self, name: &str) -> Result<&Port> {
        self.ports
            .get(name)
            .ok_or_else(|| Error::internal(format!("the guest {} has no port {name}", self.name())))
    }

    /// Writes `data` to the port `channel`.
    ///
    /// # Errors
    /// When there is no such port, the guest is gone, or it does not read for 20 seconds.
    pub fn send(&self, channel: &str, data: &[u8]) -> Result<()> {
        self.find(channel)?.send(data)
    }

    /// Types `data` on the serial console.
    ///
    /// # Errors
    /// As [`Domain::send`].
    pub fn console_send(&self, data: &[u8]) -> Result<()> {
        self.console.send(data)
    }

    /// The domain's description as libvirt has it, in XML.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn description(&self) -> Result<String> {
        let fail = |cause: Refused| failed("libvirt does not describe a guest", &cause);
        self.handle().xml().map_err(fail)
    }

    /// What the guest has done so far.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn counters(&self) -> Result<Counters> {
        let fail = |cause: Refused| {
            let what = format!("libvirt has no numbers of the guest {}", self.name());
            failed(&what, &cause)
        };
        let mut counters = Counters {
            cpu_time: self.handle().cpu_time().map_err(fail)?,
            ..Counters::default()
        };
        for index in 0..self.disks {
            let disk = xml::disk_target(index);
            let stats = self.handle().block_stats(&disk).map_err(fail)?;
            counters.disk_read += stats.rd_bytes.max(0) as u64;
            counters.disk_written += stats.wr_bytes.max(0) as u64;
        }
        for mac in &self.counted {
            let stats = self.handle().interface_stats(mac).map_err(fail)?;
            counters.net_received += stats.rx_bytes.max(0) as u64;
            counters.net_sent += stats.tx_bytes.max(0) as u64;
        }
        Ok(counters)
    }

    /// Writes the VGA screen to the file `to`, as PNG.
    ///
    /// # Errors
    /// When the guest is gone or `to` cannot be written.
    pub fn screenshot(&self, to: &Path) -> Result<()> {
        let fail = |cause: Refused| {
            let what = format!("libvirt has no screenshot of the guest {}", self.name());
            failed(&what, &cause)
        };
        let image = match self.machine.link.private {
            None => self.streamed_screen().map_err(fail)?,
            Some(_) => self.own_screen()?,
        };
        std::fs::write(to, image).doing(|| format!("writing the screenshot {}", to.display()))
    }

    fn streamed_screen(&self) -> std::result::Result<Vec<u8>, Refused> {
        let stream = Stream::new(&self.machine.link.connect)?;
        self.handle().screenshot(&stream)?;
        let image = bounded(|buffer| stream.receive(buffer))?;
        match image.len() < LARGEST_SCREEN as usize {
            true => stream.finish()?,
            false => stream.abort()?,
        };
        Ok(image)
    }

    /// libvirt names QEMU a file of its own, which a QEMU that is nobody cannot write to.
    fn own_screen(&self) -> Result<Vec<u8>> {
        let file = self.machine.sockets.join("screen.png");
        let command = serde_json::json!({
            "execute": "screendump",
            "arguments": {"filename": file, "format": "png"},
        });
        let what = || format!("the guest {} shows no screen", self.name());
        let said = self
            .handle()
            .qemu_monitor_command(&command.to_string())
            .map_err(|cause| failed(&what(), &cause))?;
        // The directory is QEMU's, which is not trusted.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let image = rustix::fs::open(&file, flags, Mode::empty())
            .map_err(|cause| Error::stage(what()).cause(said).cause(cause))?;
        let mut bytes = vec![];
        std::fs::File::from(image)
            .take(LARGEST_SCREEN)
            .read_to_end(&mut bytes)
            .doing(what)?;
        Ok(bytes)
    }

    /// Ends the guest at once, as a power cut does.
    ///
    /// # Errors
    /// When its QEMU process does not end; the ledger keeps it for `imgforge gc` then.
    pub fn destroy(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.registration = None;
        let result = self.machine.end();
        // A reader may wait for room in the queue, or for bytes.
        self.events = None;
        self.ports.values().for_each(Port::close);
        self.console.close();
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        result
    }
}

/// What `receive` gives until it gives nothing, but no more than the largest screen has.
fn bounded<E>(
    mut receive: impl FnMut(&mut [u8]) -> std::result::Result<usize, E>,
) -> std::result::Result<Vec<u8>, E> {
    let mut image = vec![];
    let mut buffer = vec![0; 64 * 1024];
    while image.len() < LARGEST_SCREEN as usize
        && let more @ 1.. = receive(&mut buffer)?
    {
        image.extend_from_slice(&buffer[..more]);
    }
    Ok(image)
}

impl Drop for Domain {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// libvirt does not count what QEMU's own networks move.
fn counted(spec: &Spec, place: &GuestPlace) -> Vec<String> {
    let cards = spec.nics.iter().zip(&place.macs);
    cards
        .filter(|(nic, _)| !matches!(nic.network, Some(Network::User) | None))
        .map(|(nic, mac)| nic.mac.clone().unwrap_or_else(|| mac.clone()))
        .collect()
}

/// libvirt's reports about one domain.
pub(super) struct Events {
    state: Arc<State>,
    registration: Registration,
}

impl Events {
    /// Asks for them; the domain need not exist yet.
    pub(super) fn register(machine: &Machine, spec: &Spec) -> Result<Events> {
        let state = Arc::new(State::new(spec.on_reboot));
        let listener: Arc<dyn Listener> = Arc::clone(&state) as _;
        let events = &machine.link.events;
        let registration = events
            .register(machine.place.uuid, &listener)
            .map_err(|cause| failed("libvirt reports no events", &cause))?;
        Ok(Events {
            state,
            registration,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_without_end_ends() {
        let endless = bounded(|buffer| Ok::<_, ()>(buffer.len())).unwrap();
        assert_eq!(endless.len(), LARGEST_SCREEN as usize);
        let mut pieces = [3, 2].into_iter();
        let screen = bounded(|_| Ok::<_, ()>(pieces.next().unwrap_or_default()));
        assert_eq!(screen.unwrap().len(), 5);
    }
}
