//! A running guest: its console, its ports and its end as one bounded stream of events.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use uuid::Uuid;
use virt::{stream::Stream, sys};

use super::connect::{Link, failed};
use super::raw::{self, Held, Listener, Registration};
use super::spec::{Counters, DomainEvent, Firmware, OnReboot, Outcome, Spec};
use super::xml::{self, Place};
use super::{firmware, reader, sweep};
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::store::ledger::{Item, Ledger, Record};

/// Events that wait for [`Domain::next_event`]; each has at most 8 KiB.
const QUEUE: usize = 64;

/// How long [`Domain::send`] waits for a guest that does not read.
const SEND_WITHIN: Duration = Duration::from_secs(20);

/// How long libvirt may take to report the end of a guest whose console is closed.
const END_WITHIN: Duration = Duration::from_secs(15);

/// How often a wait looks for signals.
const POLL: Duration = Duration::from_millis(100);

/// A running guest. Dropping it destroys it.
pub struct Domain {
    name: String,
    uuid: Uuid,
    disks: usize,
    nics: Vec<String>,
    domain: Held<virt::domain::Domain>,
    link: Arc<Link>,
    state: Arc<State>,
    events: Option<Receiver<DomainEvent>>,
    console: UnixStream,
    ports: BTreeMap<String, UnixStream>,
    readers: Vec<JoinHandle<()>>,
    registration: Option<Registration>,
    sockets: PathBuf,
    reported: Mutex<bool>,
    _record: Record,
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Domain")
            .field("name", &self.name)
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}

impl Domain {
    pub(super) fn start(link: Arc<Link>, spec: &Spec, ledger: &Ledger) -> Result<Domain> {
        interrupt::check()?;
        let uuid = Uuid::new_v4();
        let id = uuid.simple().to_string()[..8].to_owned();
        let name = format!("{}-{id}", spec.name);
        let doing = || format!("starting the guest {name}");
        let record = ledger.record(&Item::Domain {
            name: name.clone(),
            uuid,
        })?;
        let sockets = link.runtime.path().join(&id);
        std::fs::create_dir(&sockets).doing(doing)?;
        let guard = SocketDir(&sockets);
        let place = place(spec, &name, uuid, &sockets, link.label.clone()).doing(doing)?;
        let state = Arc::new(State::new(spec.on_reboot));
        let domain = create(&link, &xml::render(spec, &place), &name)?;
        let mut starting = Starting {
            domain: Some(domain),
            uuid,
        };
        let handle = starting.domain.as_ref().expect("set above");
        let listener: Arc<dyn Listener> = Arc::clone(&state) as _;
        let registration = raw::register(&link.connect, handle, &listener)
            .map_err(|cause| failed("libvirt reports no events", &cause))?;
        let (sender, events) = mpsc::sync_channel(QUEUE);
        let (console, ports, readers) = listen(spec, &place, &sender).doing(doing)?;
        drop(sender);
        handle
            .resume()
            .map_err(|cause| failed(&format!("the guest {name} does not start"), &cause))?;
        let domain = starting.domain.take().expect("set above");
        std::mem::forget(guard);
        Ok(Domain {
            name,
            uuid,
            disks: spec.disks.len(),
            nics: vec![],
            domain,
            link,
            state,
            events: Some(events),
            console,
            ports,
            readers,
            registration: Some(registration),
            sockets,
            reported: Mutex::new(false),
            _record: record,
        })
    }

    /// The domain's full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The domain's UUID, which is on QEMU's command line.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The next event, or `None` after `timeout` or once [`DomainEvent::Ended`] was given.
    ///
    /// # Errors
    /// When imgforge is interrupted.
    pub fn next_event(&self, timeout: Duration) -> Result<Option<DomainEvent>> {
        let deadline = Instant::now() + timeout;
        let events = self.events.as_ref().expect("present until dropped");
        loop {
            interrupt::check()?;
            if self.state.must_destroy() {
                drop(self.domain.destroy());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match events.recv_timeout(left.min(POLL)) {
                Ok(event) => return Ok(Some(event)),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
        }
    }

    /// Console and ports are closed, so QEMU is gone; libvirt says how.
    fn end(&self) -> Result<Option<DomainEvent>> {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *reported, true) {
            return Ok(None);
        }
        let outcome = self
            .state
            .outcome_within(END_WITHIN)
            .unwrap_or(Outcome::Failed);
        Ok(Some(DomainEvent::Ended(outcome)))
    }

    /// Why the guest ended with [`Outcome::Failed`], if imgforge knows.
    pub fn failure(&self) -> Option<&'static str> {
        self.state.lock().failure
    }

    /// Writes `data` to the port `channel`.
    ///
    /// # Errors
    /// When there is no such port, the guest is gone, or it does not read for 20 seconds.
    pub fn send(&self, channel: &str, data: &[u8]) -> Result<()> {
        let port = self.ports.get(channel).ok_or_else(|| {
            Error::internal(format!("the guest {} has no port {channel}", self.name))
        })?;
        write_within(port, data, SEND_WITHIN).map_err(|error| {
            error.within(format!(
                "writing to the port {channel} of the guest {} failed",
                self.name
            ))
        })
    }

    /// Types `data` on the serial console.
    ///
    /// # Errors
    /// As [`Domain::send`].
    pub fn console_send(&self, data: &[u8]) -> Result<()> {
        write_within(&self.console, data, SEND_WITHIN).map_err(|error| {
            error.within(format!(
                "writing to the console of the guest {} failed",
                self.name
            ))
        })
    }

    /// What the guest has done so far.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn counters(&self) -> Result<Counters> {
        let fail = |cause| {
            failed(
                &format!("libvirt has no numbers of the guest {}", self.name),
                &cause,
            )
        };
        let mut counters = Counters {
            cpu_time: self.domain.info().map_err(fail)?.cpu_time,
            ..Counters::default()
        };
        for index in 0..self.disks {
            let stats = self
                .domain
                .block_stats(&xml::disk_target(index))
                .map_err(fail)?;
            counters.disk_read += stats.rd_bytes.max(0) as u64;
            counters.disk_written += stats.wr_bytes.max(0) as u64;
        }
        for nic in &self.nics {
            let stats = self.domain.interface_stats(nic).map_err(fail)?;
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
        let fail = |cause| {
            failed(
                &format!("libvirt has no screenshot of the guest {}", self.name),
                &cause,
            )
        };
        let stream = Stream::new(&self.link.connect, 0).map_err(fail)?;
        self.domain.screenshot(&stream, 0, 0).map_err(fail)?;
        let mut image = vec![];
        let mut buffer = vec![0; 64 * 1024];
        while let n @ 1.. = stream.recv(&mut buffer).map_err(fail)? {
            image.extend_from_slice(&buffer[..n as usize]);
        }
        stream.finish().map_err(fail)?;
        std::fs::write(to, image).doing(|| format!("writing the screenshot {}", to.display()))
    }

    /// Ends the guest at once, as a power cut does.
    ///
    /// # Errors
    /// When its QEMU process does not end.
    pub fn destroy(mut self) -> Result<()> {
        self.clear()
    }

    /// Runs once: afterwards there is no registration any more.
    fn clear(&mut self) -> Result<()> {
        if self.registration.is_none() {
            return Ok(());
        }
        let result = end(&self.domain, self.uuid);
        self.registration = None;
        // Readers may wait for room in the queue or for bytes.
        self.events = None;
        for socket in self.ports.values().chain([&self.console]) {
            drop(socket.shutdown(std::net::Shutdown::Both));
        }
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        drop(std::fs::remove_dir_all(&self.sockets));
        sweep::remove_logs(&self.name);
        result
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        drop(self.clear());
    }
}

/// Destroys a domain, through its daemon if that answers, else by hand.
fn end(domain: &virt::domain::Domain, uuid: Uuid) -> Result<()> {
    if domain.destroy().is_err() {
        sweep::end_qemu(uuid)?;
    }
    Ok(())
}

/// A created domain that no [`Domain`] owns yet.
struct Starting {
    domain: Option<Held<virt::domain::Domain>>,
    uuid: Uuid,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(domain) = &self.domain {
            drop(end(domain, self.uuid));
        }
    }
}

struct SocketDir<'a>(&'a Path);

impl Drop for SocketDir<'_> {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(self.0));
    }
}

fn place(spec: &Spec, name: &str, uuid: Uuid, dir: &Path, label: Option<String>) -> Result<Place> {
    let uefi = match spec.firmware {
        Firmware::Bios => None,
        Firmware::Uefi => Some(firmware::prepare(&dir.join("vars.fd"))?),
    };
    Ok(Place {
        name: name.to_owned(),
        uuid,
        console: dir.join("console"),
        channels: (0..spec.channels.len())
            .map(|index| dir.join(format!("port{index}")))
            .collect(),
        uefi,
        label,
    })
}

fn create(link: &Link, xml: &str, name: &str) -> Result<Held<virt::domain::Domain>> {
    let flags = sys::VIR_DOMAIN_START_PAUSED | sys::VIR_DOMAIN_START_AUTODESTROY;
    match link.connect.create_domain_xml(xml, flags) {
        Ok(domain) => Ok(Held::new(domain)),
        Err(cause) => {
            sweep::remove_logs(name);
            Err(failed(&format!("the guest {name} does not start"), &cause)
                .hint("`imgforge doctor` checks QEMU and libvirt"))
        }
    }
}

type Listening = (
    UnixStream,
    BTreeMap<String, UnixStream>,
    Vec<JoinHandle<()>>,
);

/// Connects console and ports, each with a thread that reads it into the queue.
fn listen(spec: &Spec, place: &Place, sender: &SyncSender<DomainEvent>) -> Result<Listening> {
    let mut readers = vec![];
    let console = connect(&place.console)?;
    let log = reader::Log::create(&spec.console_log)?;
    readers.push(reader::console(clone(&console)?, log, sender.clone())?);
    let mut ports = BTreeMap::new();
    for (name, socket) in spec.channels.iter().zip(&place.channels) {
        let port = connect(socket)?;
        readers.push(reader::port(clone(&port)?, name.clone(), sender.clone())?);
        ports.insert(name.clone(), port);
    }
    Ok((console, ports, readers))
}

fn connect(path: &Path) -> Result<UnixStream> {
    UnixStream::connect(path).map_err(|cause| {
        Error::host(format!("the guest's socket {} is not ours", path.display()))
            .cause(cause)
            .hint("an ordinary user's guests run under qemu:///session")
    })
}

fn clone(socket: &UnixStream) -> Result<UnixStream> {
    socket.try_clone().doing(|| "sharing a socket".into())
}

fn write_within(mut socket: &UnixStream, mut data: &[u8], limit: Duration) -> Result<()> {
    let doing = || "writing to the guest".to_owned();
    let deadline = Instant::now() + limit;
    socket.set_write_timeout(Some(POLL)).doing(doing)?;
    while !data.is_empty() {
        interrupt::check()?;
        match socket.write(data) {
            Ok(written) => data = &data[written..],
            Err(cause)
                if matches!(
                    cause.kind(),
                    std::io::ErrorKind::WouldBlock
                        | std::io::ErrorKind::TimedOut
                        | std::io::ErrorKind::Interrupted
                ) =>
            {
                if Instant::now() > deadline {
                    return Err(Error::stage("the guest does not read"));
                }
            }
            Err(cause) => return Err(Error::stage("the guest is gone").cause(cause)),
        }
    }
    Ok(())
}

/// What libvirt has reported, filled by the event thread.
struct State {
    on_reboot: OnReboot,
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    rebooted: bool,
    crashed: bool,
    failure: Option<&'static str>,
    outcome: Option<Outcome>,
    destroy: bool,
}

impl State {
    fn new(on_reboot: OnReboot) -> Self {
        State {
            on_reboot,
            seen: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has to destroy the domain now; true once.
    fn must_destroy(&self) -> bool {
        std::mem::take(&mut self.lock().destroy)
    }

    fn outcome_within(&self, limit: Duration) -> Option<Outcome> {
        let (seen, _) = self
            .changed
            .wait_timeout_while(self.lock(), limit, |seen| seen.outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        seen.outcome
    }
}

impl Listener for State {
    fn lifecycle(&self, event: u32, detail: u32) {
        let mut seen = self.lock();
        match event {
            sys::VIR_DOMAIN_EVENT_CRASHED => seen.crashed = true,
            sys::VIR_DOMAIN_EVENT_SUSPENDED
                if detail == sys::VIR_DOMAIN_EVENT_SUSPENDED_IOERROR =>
            {
                seen.failure =
                    Some("QEMU cannot write the guest's disk: the host's disk is full, or broken");
                seen.destroy = true;
            }
            sys::VIR_DOMAIN_EVENT_STOPPED => {
                seen.outcome = Some(outcome(&seen, detail));
                self.changed.notify_all();
            }
            _ => {}
        }
    }

    fn rebooted(&self) {
        let mut seen = self.lock();
        if self.on_reboot == OnReboot::Destroy {
            seen.rebooted = true;
            seen.destroy = true;
        }
    }
}

fn outcome(seen: &Seen, detail: u32) -> Outcome {
    match detail {
        _ if seen.failure.is_some() => Outcome::Failed,
        _ if seen.crashed => Outcome::Crashed,
        _ if seen.rebooted => Outcome::Rebooted,
        sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => Outcome::ShutDown,
        sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED => Outcome::Destroyed,
        sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => Outcome::Crashed,
        _ => Outcome::Failed,
    }
}
