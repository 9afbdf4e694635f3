//! Files on their way: one download, however many clients want the file.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::Shared;
use super::cache::Known;
use super::download::Download;
use super::log::CacheResult;
use super::request::Request;
use super::rules::AllowedFile;
use super::upstream::{Ask, NOBODY, header, known};
use crate::mutex::Unpoisoned as _;

/// Downloads at a time, also those that nobody reads any more.
pub(super) const FLIGHTS: usize = 2 * super::CONNECTIONS;

/// What still arrives of a file that nobody reads any more, in bytes: who was cut off asks again,
/// and most packages are smaller.
const UNREAD: u64 = 16 << 20;

/// Where the answer to a request comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A file of the cache.
    Kept(Box<Known>, File, CacheResult),
    /// A file that arrives.
    Arriving(Reading, Box<Known>, CacheResult),
    /// Only what a mirror said about the file.
    Told(Box<Known>),
    /// No file.
    Nothing(u16, String),
}

/// The downloads that go on.
#[derive(Debug)]
pub(super) struct Flights {
    pub(super) scratch: PathBuf,
    pub(super) next: AtomicU64,
    flying: Mutex<HashMap<String, Arc<Flight>>>,
    /// What was asked for in this build.
    asked: Mutex<HashSet<String>>,
}

impl Flights {
    pub(super) fn new(scratch: PathBuf) -> Self {
        Flights {
            scratch,
            next: AtomicU64::new(0),
            flying: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// Whether a client did not take what it got in this build: it asks anew, and has nothing.
    fn is_doubted(&self, name: &str, request: &Request) -> bool {
        let mut asked = self.asked.lock().unpoisoned();
        let again = !asked.insert(name.to_owned());
        again && request.if_none_match.is_none() && request.if_modified_since.is_none()
    }

    fn flying(&self) -> MutexGuard<'_, HashMap<String, Arc<Flight>>> {
        self.flying.lock().unpoisoned()
    }
}

/// One download.
#[derive(Debug)]
pub(super) struct Flight {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) begun: Option<Begun>,
    pub(super) file: Option<Arc<File>>,
    pub(super) written: u64,
    readers: usize,
    /// What has arrived since the last one left, in bytes.
    unread: u64,
    end: Option<Result<(), String>>,
}

/// Somebody who reads a file that arrives.
#[derive(Debug)]
pub(super) struct Reading(Arc<Flight>);

impl std::ops::Deref for Reading {
    type Target = Flight;

    fn deref(&self) -> &Flight {
        &self.0
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.state().readers -= 1;
    }
}

/// How a download began.
#[derive(Debug, Clone)]
pub(super) enum Begun {
    /// It arrives, and may be kept; the size is known if the mirror told it.
    Body(Box<Known>, Option<u64>, CacheResult),
    /// What the cache has is current.
    Current(String),
    /// There is no file.
    Nothing(u16, String),
}

impl Flight {
    fn new() -> Self {
        Flight {
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }

    /// One more reader, unless the download ends for want of one.
    fn join(self: &Arc<Self>) -> Option<Reading> {
        let mut state = self.state();
        if state.unread > UNREAD {
            return None;
        }
        (state.readers, state.unread) = (state.readers + 1, 0);
        Some(Reading(Arc::clone(self)))
    }

    /// Whether it has no reader, and had none for long.
    pub(super) fn is_left(&self) -> bool {
        self.state().unread > UNREAD
    }

    /// Changes the state, and tells everybody who waits.
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// So many bytes more have been written.
    ///
    /// # Errors
    /// When nobody reads them.
    pub(super) fn arrived(&self, bytes: u64) -> Result<(), String> {
        self.update(|state| {
            state.written += bytes;
            if state.readers == 0 {
                state.unread += bytes;
            }
        });
        match self.is_left() {
            true => Err("nobody reads it any more".into()),
            false => Ok(()),
        }
    }

    /// Waits for `ready`; nothing when the proxy ends.
    fn wait<T>(&self, shared: &Shared, ready: impl Fn(&State) -> Option<T>) -> Option<T> {
        let mut state = self.state();
        loop {
            if let Some(done) = ready(&state) {
                return Some(done);
            }
            if shared.ended() {
                return None;
            }
            let tick = Duration::from_millis(200);
            let waited = self.changed.wait_timeout(state, tick);
            state = waited.unpoisoned().0;
        }
    }

    /// The size, as soon as it is known.
    pub(super) fn size(&self, shared: &Shared) -> Result<u64, String> {
        let size = self.wait(shared, |state| match (&state.end, &state.begun) {
            (_, Some(Begun::Body(_, Some(size), _))) => Some(Ok(*size)),
            (Some(Ok(())), _) => Some(Ok(state.written)),
            (Some(Err(why)), _) => Some(Err(why.clone())),
            _ => None,
        });
        size.unwrap_or_else(|| Err("the proxy ends".into()))
    }

    /// Reads at `offset` what has arrived, waiting for it. The last byte waits until the file is
    /// verified and kept: who has all of it can rely on it.
    pub(super) fn read_at(
        &self,
        shared: &Shared,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<usize, String> {
        let there = self.wait(shared, |state| {
            let released = match (&state.end, &state.begun) {
                (None | Some(Err(_)), Some(Begun::Body(_, Some(size), _))) => {
                    state.written.min(size.saturating_sub(1))
                }
                _ => state.written,
            };
            match &state.end {
                _ if released > offset => Some(Ok((state.file.clone(), released))),
                Some(Ok(())) => Some(Ok((None, 0))),
                Some(Err(why)) => Some(Err(why.clone())),
                None => None,
            }
        });
        let (file, written) = there.unwrap_or_else(|| Err("the proxy ends".into()))?;
        let Some(file) = file else { return Ok(0) };
        let most = buffer
            .len()
            .min(usize::try_from(written - offset).unwrap_or(usize::MAX));
        file.read_at(&mut buffer[..most], offset)
            .map_err(|error| error.to_string())
    }
}

/// Finds or begins what answers a request.
pub(super) fn source(shared: &Arc<Shared>, wanted: &AllowedFile, request: &Request) -> Source {
    let addresses = shared.upstream.addresses(wanted);
    if let Some(promise) = wanted.promise.as_ref().filter(|_| !request.no_cache) {
        let promised = |(known, _): &(Known, File)| known.sha256 == promise.sha256;
        let kept = addresses
            .iter()
            .find_map(|url| shared.cache.get(url).filter(promised));
        if let Some((known, file)) = kept {
            return found(shared, wanted, known, file, CacheResult::Hit);
        }
    }
    if request.method == "HEAD" {
        return ask_head(shared, wanted, request);
    }
    let Some(first) = addresses.first() else {
        return Source::Nothing(502, "the route has no mirror".into());
    };
    // Some mirrors give different clients different index files.
    let agent = request.user_agent.as_deref().filter(|_| !wanted.immutable);
    let authorization = authorization(shared, wanted, request).unwrap_or_default();
    let name = format!("{first} {} {authorization}", agent.unwrap_or_default());
    let Some((flight, joined)) = begin(shared, &name, wanted, request) else {
        return Source::Nothing(503, "too many downloads".into());
    };
    let begun = flight.wait(shared, |state| state.begun.clone());
    match begun {
        Some(Begun::Body(known, _, how)) => {
            Source::Arriving(flight, known, if joined { CacheResult::Hit } else { how })
        }
        Some(Begun::Current(url)) => match shared.cache.get(&url) {
            Some((known, file)) => found(shared, wanted, known, file, CacheResult::Revalidated),
            None => Source::Nothing(502, "the cache lost the file".into()),
        },
        Some(Begun::Nothing(status, why)) => {
            // Also what a mirror gives to nobody was not there for this build.
            if (400..500).contains(&status) {
                shared.log.absent(first);
            }
            Source::Nothing(status, why)
        }
        None => Source::Nothing(502, "the proxy ends".into()),
    }
}

/// What a client says who it is, to a server that it asked by itself: a recipe's mirrors have theirs.
fn authorization<'r>(
    shared: &Shared,
    wanted: &AllowedFile,
    request: &'r Request,
) -> Option<&'r str> {
    let said = request.authorization.as_deref();
    said.filter(|_| shared.upstream.is_opened(wanted.route))
}

pub(super) fn found(
    shared: &Shared,
    wanted: &AllowedFile,
    known: Known,
    file: File,
    how: CacheResult,
) -> Source {
    shared.log.note(&known.url, &known.sha256, known.size);
    shared.promises.learn(wanted, &known.sha256, &file);
    Source::Kept(Box::new(known), file, how)
}

/// The download of a file, new or already on its way; none where there are too many.
fn begin(
    shared: &Arc<Shared>,
    name: &str,
    wanted: &AllowedFile,
    request: &Request,
) -> Option<(Reading, bool)> {
    let mut flying = shared.flights.flying();
    if let Some(reading) = flying.get(name).and_then(Flight::join) {
        return Some((reading, true));
    }
    if flying.len() >= FLIGHTS {
        return None;
    }
    let flight = Arc::new(Flight::new());
    let reading = flight.join()?;
    flying.insert(name.to_owned(), Arc::clone(&flight));
    drop(flying);
    let (shared, name) = (Arc::clone(shared), name.to_owned());
    let authorization = authorization(&shared, wanted, request).map(str::to_owned);
    let (wanted, agent) = (wanted.clone(), request.user_agent.clone());
    let fresh = request.no_cache || shared.flights.is_doubted(&name, request);
    std::thread::spawn(move || {
        let download = Download {
            shared: &shared,
            wanted: &wanted,
            agent: agent.as_deref(),
            authorization: authorization.as_deref(),
            fresh,
            flight: &flight,
        };
        let run = download.run();
        // Who asks once this answer is out asks the mirror again.
        let mut flying = shared.flights.flying();
        // Where nobody had read this one, there may be another one by now.
        if flying
            .get(&name)
            .is_some_and(|one| Arc::ptr_eq(one, &flight))
        {
            flying.remove(&name);
        }
        drop(flying);
        flight.update(|state| match run {
            Ok(begun) => {
                state.begun = begun.or(state.begun.take());
                state.end = Some(Ok(()));
            }
            Err(why) => state.end = Some(Err(why)),
        });
    });
    Some((reading, false))
}

fn ask_head(shared: &Shared, wanted: &AllowedFile, request: &Request) -> Source {
    let ask = Ask {
        user_agent: request.user_agent.as_deref(),
        promised: wanted.promise.is_some(),
        authorization: authorization(shared, wanted, request),
        ..Ask::default()
    };
    let mut last = (502, "no mirror answers".to_owned());
    for mirror in shared.upstream.mirrors(wanted) {
        let url = format!("{mirror}{}", wanted.path);
        if shared.upstream.refuses(&url, wanted.promise.is_some()) {
            last = (403, NOBODY.to_owned());
            continue;
        }
        match shared.upstream.ask(true, &url, &ask) {
            Ok(response) if response.status() == 200 => {
                let size = header(&response, "content-length");
                let size = size.and_then(|size| size.parse().ok()).unwrap_or_default();
                return Source::Told(Box::new(known(&url, &response, size)));
            }
            Ok(response) => {
                let who = shared.upstream.who(&url);
                last = (response.status().as_u16(), format!("{who} says so"));
            }
            Err(why) => {
                shared.log.fell_back(&url, &why);
                shared.upstream.failed(&mirror);
                last = (502, why);
            }
        }
    }
    Source::Nothing(last.0, last.1)
}
