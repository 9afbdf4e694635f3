//! Files on their way: one download, however many clients want the file, and as many times begun
//! again as it takes.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Shared;
use super::cache::Known;
use super::log::How;
use super::request::Request;
use super::rules::{Wanted, by_hash};
use super::upstream::{Ask, Response, header};

/// How often a broken transfer is begun again.
const ATTEMPTS: usize = 4;

/// Where the answer to a request comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A file of the cache.
    Kept(Box<Known>, File, How),
    /// A file that arrives.
    Arriving(Arc<Flight>, Box<Known>, How),
    /// Only what a mirror said about the file.
    Told(Box<Known>),
    /// No file.
    Nothing(u16, String),
}

/// The downloads that go on.
#[derive(Debug)]
pub(super) struct Flights {
    scratch: PathBuf,
    next: AtomicU64,
    flying: Mutex<HashMap<String, Arc<Flight>>>,
}

impl Flights {
    pub(super) fn new(scratch: PathBuf) -> Self {
        Flights {
            scratch,
            next: AtomicU64::new(0),
            flying: Mutex::default(),
        }
    }

    fn flying(&self) -> MutexGuard<'_, HashMap<String, Arc<Flight>>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One download.
#[derive(Debug)]
pub(super) struct Flight {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    begun: Option<Begun>,
    file: Option<Arc<File>>,
    written: u64,
    end: Option<Result<(), String>>,
}

/// How a download began.
#[derive(Debug, Clone)]
enum Begun {
    /// It arrives; the size is known if the mirror told it.
    Body(Box<Known>, Option<u64>),
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

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits for `ready`; nothing when the proxy ends.
    fn wait<T>(&self, shared: &Shared, ready: impl Fn(&State) -> Option<T>) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(done) = ready(&state) {
                return Some(done);
            }
            if shared.ended() {
                return None;
            }
            let tick = Duration::from_millis(200);
            let waited = self.changed.wait_timeout(state, tick);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The size, as soon as it is known.
    pub(super) fn size(&self, shared: &Shared) -> Result<u64, String> {
        let size = self.wait(shared, |state| match (&state.end, &state.begun) {
            (_, Some(Begun::Body(_, Some(size)))) => Some(Ok(*size)),
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
                (None | Some(Err(_)), Some(Begun::Body(_, Some(size)))) => {
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
pub(super) fn source(shared: &Arc<Shared>, wanted: &Wanted, request: &Request) -> Source {
    let addresses = shared.upstream.addresses(wanted);
    if wanted.immutable {
        let kept = addresses.iter().find_map(|url| shared.cache.get(url));
        if let Some((known, file)) = kept {
            shared.log.note(&known.url, &known.sha256, known.size);
            return Source::Kept(Box::new(known), file, How::Hit);
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
    let name = format!("{first} {}", agent.unwrap_or_default());
    let (flight, joined) = begin(shared, &name, wanted, request);
    let begun = flight.wait(shared, |state| state.begun.clone());
    match begun {
        Some(Begun::Body(known, _)) => {
            let how = match (joined, wanted.immutable || known.has_validator()) {
                (true, _) => How::Hit,
                (false, true) => How::Miss,
                (false, false) => How::Passed,
            };
            Source::Arriving(flight, known, how)
        }
        Some(Begun::Current(url)) => match shared.cache.get(&url) {
            Some((known, file)) => {
                shared.log.note(&known.url, &known.sha256, known.size);
                Source::Kept(Box::new(known), file, How::Revalidated)
            }
            None => Source::Nothing(502, "the cache lost the file".into()),
        },
        Some(Begun::Nothing(status, why)) => Source::Nothing(status, why),
        None => Source::Nothing(502, "the proxy ends".into()),
    }
}

/// The download of a file, new or already on its way.
fn begin(
    shared: &Arc<Shared>,
    name: &str,
    wanted: &Wanted,
    request: &Request,
) -> (Arc<Flight>, bool) {
    let mut flying = shared.flights.flying();
    if let Some(flight) = flying.get(name) {
        return (Arc::clone(flight), true);
    }
    let flight = Arc::new(Flight::new());
    flying.insert(name.to_owned(), Arc::clone(&flight));
    drop(flying);
    let (shared, name) = (Arc::clone(shared), name.to_owned());
    let (wanted, agent) = (wanted.clone(), request.user_agent.clone());
    let of_thread = Arc::clone(&flight);
    std::thread::spawn(move || {
        let download = Download {
            shared: &shared,
            wanted: &wanted,
            agent: agent.as_deref(),
            flight: &of_thread,
        };
        let end = download.run();
        shared.flights.flying().remove(&name);
        of_thread.update(|state| state.end = Some(end));
    });
    (flight, false)
}

fn ask_head(shared: &Shared, wanted: &Wanted, request: &Request) -> Source {
    let ask = Ask {
        user_agent: request.user_agent.as_deref(),
        ..Ask::default()
    };
    let mut last = (502, "no mirror answers".to_owned());
    for mirror in shared.upstream.mirrors(wanted) {
        let url = format!("{mirror}{}", wanted.path);
        match shared.upstream.ask(true, &url, &ask) {
            Ok(response) if response.status() == 200 => {
                let size = header(&response, "content-length");
                let size = size.and_then(|size| size.parse().ok()).unwrap_or_default();
                return Source::Told(Box::new(known(&url, &response, size)));
            }
            Ok(response) => last = (response.status().as_u16(), "the mirror says so".into()),
            Err(why) => {
                shared.log.fell_back(&url, &why);
                shared.upstream.failed(&mirror);
                last = (502, why);
            }
        }
    }
    Source::Nothing(last.0, last.1)
}

fn known(url: &str, response: &Response, size: u64) -> Known {
    Known {
        url: url.to_owned(),
        sha256: String::new(),
        size,
        etag: header(response, "etag"),
        last_modified: header(response, "last-modified"),
        content_type: header(response, "content-type"),
    }
}

struct Download<'a> {
    shared: &'a Shared,
    wanted: &'a Wanted,
    agent: Option<&'a str>,
    flight: &'a Flight,
}

impl Download<'_> {
    /// Asks one mirror after the other until one has something to say.
    fn run(&self) -> Result<(), String> {
        let mut last = (502, "no mirror answers".to_owned());
        for mirror in self.shared.upstream.mirrors(self.wanted) {
            let url = format!("{mirror}{}", self.wanted.path);
            let kept = match self.wanted.immutable {
                true => None,
                false => self.shared.cache.get(&url).map(|(known, _)| known),
            };
            let ask = Ask {
                user_agent: self.agent,
                if_none_match: kept.as_ref().and_then(|known| known.etag.as_deref()),
                if_modified_since: kept.as_ref().and_then(|k| k.last_modified.as_deref()),
                from: None,
            };
            let response = match self.shared.upstream.ask(false, &url, &ask) {
                Ok(response) => response,
                Err(why) => {
                    self.down(&mirror, &url, &why);
                    last = (502, why);
                    continue;
                }
            };
            match response.status().as_u16() {
                304 if kept.is_some() => {
                    self.begin(Begun::Current(url));
                    return Ok(());
                }
                200 => return self.receive(&url, response),
                status @ (429 | 500..) => {
                    let why = format!("the mirror answers with {status}");
                    self.down(&mirror, &url, &why);
                    last = (502, why);
                }
                // Another mirror may be ahead of this one; an index must fit the first.
                404 if self.wanted.immutable => last = (404, "no mirror has it".into()),
                status => {
                    self.begin(Begun::Nothing(status, "the mirror says so".into()));
                    return Ok(());
                }
            }
        }
        self.begin(Begun::Nothing(last.0, last.1));
        Ok(())
    }

    fn down(&self, mirror: &str, url: &str, why: &str) {
        self.shared.log.fell_back(url, why);
        self.shared.upstream.failed(mirror);
    }

    fn begin(&self, begun: Begun) {
        self.flight.update(|state| state.begun = Some(begun));
    }

    fn receive(&self, url: &str, response: Response) -> Result<(), String> {
        let text = |error: std::io::Error| error.to_string();
        let number = self.shared.flights.next.fetch_add(1, Ordering::Relaxed);
        let path = self.shared.flights.scratch.join(format!("file-{number}"));
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        let file = match opened {
            Ok(file) => Arc::new(file),
            Err(error) => {
                self.begin(Begun::Nothing(507, error.to_string()));
                return Err(error.to_string());
            }
        };
        let total = header(&response, "content-length").and_then(|size| size.parse().ok());
        let mut known = known(url, &response, total.unwrap_or_default());
        self.flight.update(|state| {
            state.file = Some(Arc::clone(&file));
            state.begun = Some(Begun::Body(Box::new(known.clone()), total));
        });
        let arrived = self.arrive(&known, response, &file, total);
        let (sha256, size) = match arrived {
            Ok(arrived) => arrived,
            Err(why) => {
                drop(std::fs::remove_file(&path));
                return Err(why);
            }
        };
        (known.sha256, known.size) = (sha256, size);
        self.shared.log.note(url, &known.sha256, known.size);
        if self.wanted.immutable || known.has_validator() {
            self.shared
                .cache
                .put(&known, &path)
                .map_err(|error| error.to_string())
        } else {
            std::fs::remove_file(&path).map_err(text)
        }
    }

    /// Writes what arrives, from as many answers as it takes; returns digest and size.
    fn arrive(
        &self,
        known: &Known,
        response: Response,
        file: &File,
        total: Option<u64>,
    ) -> Result<(String, u64), String> {
        let mut hasher = Sha256::new();
        let mut written = 0u64;
        let mut response = Some(response);
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let answer = match response.take() {
                Some(response) => Ok(response),
                None => self.go_on(known, written),
            };
            match answer
                .and_then(|mut answer| self.copy(&mut answer, file, &mut written, &mut hasher))
            {
                Ok(()) if total.is_none_or(|total| total == written) => {
                    let sha256 = hex::encode(hasher.finalize());
                    return match by_hash(&self.wanted.path) {
                        Some(promised) if !promised.eq_ignore_ascii_case(&sha256) => {
                            Err("the file is not what its name says".into())
                        }
                        _ => Ok((sha256, written)),
                    };
                }
                Ok(()) => why = format!("the mirror ended after {written} bytes"),
                Err(cause) => why = cause,
            }
            self.shared.log.fell_back(&known.url, &why);
            if self.shared.ended() || total.is_none() {
                break;
            }
        }
        Err(why)
    }

    /// The rest of a file of which `written` bytes are there.
    fn go_on(&self, known: &Known, written: u64) -> Result<Response, String> {
        let strong = known.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        let validator = strong.or(known.last_modified.as_deref());
        if validator.is_none() && !self.wanted.immutable {
            return Err("the transfer broke, and cannot go on".into());
        }
        let ask = Ask {
            user_agent: self.agent,
            from: Some((written, validator)),
            ..Ask::default()
        };
        let response = self.shared.upstream.ask(false, &known.url, &ask)?;
        let first = header(&response, "content-range").and_then(|range| {
            let range = range.strip_prefix("bytes ")?.split('-').next()?.to_owned();
            range.parse::<u64>().ok()
        });
        if response.status() == 206 && first == Some(written) {
            return Ok(response);
        }
        Err("the transfer broke, and the mirror cannot go on".into())
    }

    fn copy(
        &self,
        response: &mut Response,
        file: &File,
        written: &mut u64,
        hasher: &mut Sha256,
    ) -> Result<(), String> {
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
            if self.shared.ended() {
                return Err("the proxy ends".into());
            }
            file.write_all_at(&buffer[..read], *written)
                .map_err(|error| error.to_string())?;
            hasher.update(&buffer[..read]);
            *written += read as u64;
            self.flight.update(|state| state.written = *written);
        }
    }
}
