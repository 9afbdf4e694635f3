//! The caching proxy on loopback that guests reach as their package mirror.
//!
//! `http://10.0.2.2:PORT/NAME/PATH` is a file of the mirrors that the recipe allows under NAME; so
//! is a request for their own address when a client takes the proxy for one. Everything else is
//! refused, where the proxy is not open for what the guest reaches by itself ([`Settings::open`]), and so is every user of this host but root, this one and what runs for a guest. What is kept for ever is what a name (`by-hash/`) or an index file that passed in this
//! build (`Packages`, rpm's primary list) promises the digest of; index files are asked for again
//! each time, with what is known about the kept one; everything else passes, and is kept by its digest, so
//! that a lock can name it. The host's own
//! `http_proxy` is the proxy's business and never the guest's.
//!
//! A mirror's redirect is followed within its own host, to another mirror of the routes, over https,
//! and for files whose digest is known; never to this host or into a private network by address.
//!
//! ```text
//! STATE/cache/urls/…     what is known about an address: validators, and the digest of its file
//! STATE/cache/blobs/…    files, by SHA-256
//! STATE/cache/locks/…    where the locks of recipes are, whose files stay
//! ```

mod archive;
mod cache;
mod download;
mod flight;
mod locked;
mod log;
mod open;
mod peer;
pub(crate) mod promises;
mod reply;
pub(crate) mod request;
pub(crate) mod rules;
mod upstream;
mod vouch;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::{Context as _, Result};
use crate::lock::{Locked, Record};
use crate::mutex::Unpoisoned as _;
use crate::units::Size;
pub use archive::ArchiveRelay;
pub use cache::Cache;
pub(crate) use open::join;
pub use rules::Route;

/// QEMU's user network gives the host this address.
pub const HOST_OF_GUEST: &str = "10.0.2.2";

/// Connections at a time: an installer has a few.
const CONNECTIONS: usize = 64;

/// What the requests of a build may have together, in bytes of their targets, of what the clients
/// call themselves, and [`EACH`]: ten times what a desktop's packages need. All that is remembered
/// and logged of requests is bounded by it.
const ASKED: usize = 64 << 20;

/// What a request counts besides, in bytes.
const EACH: usize = 200;

/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(120);

/// What a proxy works with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it relays to.
    pub routes: Vec<Route>,
    /// Where files are kept.
    pub cache: Cache,
    /// Private directory for unfinished files, on the cache's file system.
    pub scratch: PathBuf,
    /// The log: one line a request.
    pub log: PathBuf,
    /// Over plain http only what a digest is known of is relayed: the clients verify nothing.
    pub vouched_only: bool,
    /// Only what this has is relayed.
    pub locked: Option<Arc<Locked>>,
    /// Clients may ask for whatever the guest reaches by itself; with the ports of this host's loopback that
    /// it reaches.
    pub open: Option<Vec<u16>>,
}

/// A running proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    accepting: Option<std::thread::JoinHandle<()>>,
}

/// What every connection's thread uses.
#[derive(Debug)]
struct Shared {
    routes: Vec<Route>,
    cache: Cache,
    locked: Option<Arc<Locked>>,
    log: log::Log,
    upstream: upstream::Upstream,
    flights: flight::Flights,
    promises: promises::Promises,
    activity: AtomicU64,
    asked: AtomicUsize,
    ended: AtomicBool,
    connections: Mutex<Vec<(u64, TcpStream)>>,
}

impl Proxy {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free, or the log or the directories cannot be written.
    pub fn start(settings: Settings) -> Result<Proxy> {
        let doing = || "starting the proxy".to_owned();
        settings.cache.prepare()?;
        std::fs::create_dir_all(&settings.scratch).doing(doing)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(doing)?;
        let port = listener.local_addr().doing(doing)?.port();
        let shared = Arc::new(Shared {
            upstream: upstream::Upstream::new(
                &settings.routes,
                settings.vouched_only,
                settings.open.as_deref(),
            )?,
            routes: settings.routes,
            cache: settings.cache,
            locked: settings.locked,
            log: log::Log::create(&settings.log)?,
            flights: flight::Flights::new(settings.scratch),
            promises: promises::Promises::default(),
            activity: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accept(&listener, &of_thread));
        Ok(Proxy {
            shared,
            port,
            accepting: Some(accepting),
        })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the route NAME as a guest on QEMU's user network sees it.
    pub fn for_guest(&self, name: &str) -> String {
        format!("http://{HOST_OF_GUEST}:{}/{name}", self.port)
    }

    /// Bytes that went to clients so far: a sign of life.
    pub fn activity(&self) -> u64 {
        self.shared.activity.load(Ordering::Relaxed)
    }

    /// Ends; returns what clients got.
    pub fn finish(mut self) -> Record {
        self.end();
        self.shared.log.recorded()
    }

    /// Its own address, for a guest's clients that take it for their proxy.
    pub fn for_clients(&self) -> String {
        format!("http://{HOST_OF_GUEST}:{}", self.port)
    }

    /// The address of the route NAME on this host.
    pub fn for_host(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    fn end(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        for (_, stream) in self.shared.connections().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
        if let Some(thread) = self.accepting.take() {
            drop(thread.join());
        }
        // What is too much now goes with the next proxy or `gc` if it cannot go here.
        drop(self.shared.cache.shrink());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.end();
        }
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<(u64, TcpStream)>> {
        self.connections.lock().unpoisoned()
    }

    /// A file did not arrive: a locked build has no other one.
    fn broke(&self, url: &str, why: &str) {
        if let Some(locked) = &self.locked {
            locked.refuse(&rules::shown(url), why);
        }
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Counts a request of so many bytes; false where the build has asked for too much before.
    fn counts(&self, bytes: usize) -> bool {
        let bytes = bytes + EACH;
        let before = self.asked.fetch_add(bytes, Ordering::SeqCst);
        if before < ASKED && before + bytes >= ASKED {
            self.log
                .refused(503, "-", "everything from here: too many requests");
        }
        before < ASKED
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut warned = false;
    for (id, stream) in (0u64..).zip(listener.incoming()) {
        if shared.ended() {
            return;
        }
        let Ok(stream) = stream else { continue };
        if !peer::is_the_guests(&stream) {
            if !std::mem::replace(&mut warned, true) {
                let why = "a connection of another user of this host, as are all such";
                shared.log.refused(403, "-", why);
            }
            continue;
        }
        if shared.connections().len() >= CONNECTIONS {
            reply::busy(stream);
            continue;
        }
        let Ok(twin) = stream.try_clone() else {
            continue;
        };
        shared.connections().push((id, twin));
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A client that goes away, or says nothing, is no failure of ours.
            drop(serve(&stream, &shared));
            drop(stream.shutdown(Shutdown::Both));
            shared.connections().retain(|(other, _)| *other != id);
        });
    }
}

/// Answers the requests of one connection, one after the other.
fn serve(stream: &TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut reader = request::Reader::new(stream);
    loop {
        let request = match reader.next() {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                if shared.counts(0) {
                    shared.log.refused(400, "-", "no HTTP request");
                }
                return reply::status(stream, 400, "no HTTP request", false, false);
            }
            Err(error) => return Err(error),
        };
        let agent = request.user_agent.as_ref().map_or(0, String::len);
        if !shared.counts(request.target.len() + agent) {
            return reply::status(stream, 503, "too many requests", false, false);
        }
        if request.method == "CONNECT" && shared.upstream.is_open() {
            return open::tunnel(stream, shared, &request.target);
        }
        if shared.upstream.is_open() && !request.is_plain && request.target.starts_with("http://") {
            return open::pass(stream, shared, &request, &reader.behind());
        }
        let keep = request.keep_alive;
        answer(stream, shared, &request)?;
        if !keep || shared.ended() {
            return Ok(());
        }
    }
}

fn answer(
    stream: &TcpStream,
    shared: &Arc<Shared>,
    request: &request::Request,
) -> std::io::Result<()> {
    let head = request.method == "HEAD";
    let judged = rules::judge(&shared.routes, &request.method, &request.target);
    match judged.or_else(|refusal| open::judge(shared, request, refusal)) {
        Ok(mut wanted) => {
            wanted.promise = shared.promises.of(wanted.route, &wanted.path);
            let source = match &shared.locked {
                Some(locked) => locked::source(shared, locked, wanted.clone(), request),
                None => flight::source(shared, &wanted, request),
            };
            reply::send(stream, shared, &wanted, request, source)
        }
        Err(refusal) => {
            let shown = rules::shown(&request.target);
            shared.log.refused(refusal.status, &shown, refusal.why);
            reply::status(
                stream,
                refusal.status,
                refusal.why,
                request.keep_alive,
                head,
            )
        }
    }
}

/// The bound of the cache when imgforge.yaml sets none.
pub const DEFAULT_SIZE: Size = Size::gib(8);

#[cfg(test)]
mod tests;
