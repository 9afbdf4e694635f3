//! Requests that do more than read a file: for services that speak HTTP, such as a registry.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use ureq::SendBody;

use super::exchange::{Fault, judge};
use super::stream::status_text;
use super::{Client, Url};
use crate::error::{Error, Result};
use crate::host::interrupt;

/// How a server finishes what it was sent may take so many times as long as it may be silent.
const FINISHING: u32 = 4;

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads what is known of it.
    Head,
    /// Begins something.
    Post,
    /// Adds to something.
    Patch,
    /// Puts it in place.
    Put,
    /// Removes it.
    Delete,
}

/// What is sent along.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(Arc<Vec<u8>>),
    /// A part of a file: from byte `start`, `len` bytes. It is read while it is sent.
    Part {
        /// The file.
        file: Arc<File>,
        /// Its first byte.
        start: u64,
        /// How many.
        len: u64,
    },
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Body::Nothing => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Part { len, .. } => *len,
        }
    }
}

/// A request. What its headers say is shown nowhere.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Whom it is for.
    pub url: Url,
    /// Names and values.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent along.
    pub body: Body,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.method, self.url)
    }
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, url: Url) -> Self {
        Request {
            method,
            url,
            headers: vec![],
            body: Body::Nothing,
        }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With what is sent along.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

/// What a server answered, whatever it means.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// What came along, up to the limit that the caller has set.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of a name, which is written in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).into_iter().next()
    }

    /// Every header of a name.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The status with its usual words.
    pub fn status_text(&self) -> String {
        status_text(self.status)
    }

    /// How long the server wants nobody to try again.
    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header("retry-after")?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// Whether the same request may be answered otherwise after a while.
    pub fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..=599)
    }
}

impl Client {
    /// Sends a request once; none comes back where the way to the server, or the server, failed in a
    /// manner that may pass, with why. The body of the answer may have `limit` bytes.
    ///
    /// # Errors
    /// When trying again would not help, or imgforge is interrupted.
    pub fn send_once(&self, request: Request, limit: u64) -> Result<Result<Reply, String>> {
        if let Some(error) = self.agents.problem(&request.url) {
            return Err(error);
        }
        match self.transfer(request, limit) {
            Ok(reply) => Ok(Ok(reply)),
            Err(Fault::Passing(why, _)) => Ok(Err(why)),
            Err(Fault::Final(error)) => Err(error),
        }
    }

    /// Sends a request that may be sent again as often as needed.
    ///
    /// # Errors
    /// As [`Client::send_once`], and when it has failed too often.
    pub fn send(&self, request: &Request, limit: u64) -> Result<Reply> {
        let mut failures = 0;
        loop {
            let (why, after) = match self.send_once(request.clone(), limit)? {
                Ok(reply) if !reply.is_passing() => return Ok(reply),
                Ok(reply) => {
                    let why = format!("the server answered {}", reply.status_text());
                    (why, reply.retry_after())
                }
                Err(why) => (why, None),
            };
            failures += 1;
            if failures > self.limits.retries {
                let url = &request.url;
                let times = format!("asking {url} failed {failures} times");
                return Err(Error::stage(times).cause(why));
            }
            self.pause(failures, after)?;
        }
    }

    /// Waits before another try, the `failures`th, as long as the server wants, within reason.
    ///
    /// # Errors
    /// When imgforge is interrupted.
    pub fn pause(&self, failures: u32, after: Option<Duration>) -> Result<()> {
        let pause = self.limits.pause * 2u32.saturating_pow(failures.saturating_sub(1));
        let until = Instant::now() + after.unwrap_or(pause).min(super::stream::LONGEST_PAUSE);
        while Instant::now() < until {
            interrupt::check()?;
            let rest = until.saturating_duration_since(Instant::now());
            std::thread::sleep(rest.min(Duration::from_millis(100)));
        }
        Ok(())
    }

    fn transfer(&self, request: Request, limit: u64) -> Result<Reply, Fault> {
        let sent = Arc::new(AtomicU64::new(0));
        let (send, receive) = sync_channel(1);
        let (total, counter) = (request.body.len(), Arc::clone(&sent));
        let builder = self.agents.sending(request.method, &request.url);
        std::thread::spawn(move || {
            let answer = answer(builder, &request, limit, &counter);
            // Who does not listen any more needs to know nothing.
            drop(send.send(answer));
        });
        self.wait(&receive, &sent, total)
    }

    /// Waits for the answer as long as something moves.
    fn wait(
        &self,
        answer: &Receiver<Result<Reply, Fault>>,
        sent: &AtomicU64,
        total: u64,
    ) -> Result<Reply, Fault> {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            interrupt::check().map_err(Fault::Final)?;
            match answer.recv_timeout(Duration::from_millis(100)) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::Passing("the transfer ended".into(), None));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = sent.load(Ordering::Relaxed);
            if now != before {
                (before, since) = (now, Instant::now());
            }
            let patience = match now < total {
                true => self.limits.stall,
                false => self.limits.stall * FINISHING + self.limits.connect,
            };
            if since.elapsed() > patience {
                let limit = crate::units::elapsed(patience);
                let why = format!("nothing moved for {limit}");
                return Err(Fault::Passing(why, None));
            }
        }
    }
}

/// A request on its way, with or without a body.
pub(super) enum Builder {
    Bare(ureq::RequestBuilder<ureq::typestate::WithoutBody>),
    Full(ureq::RequestBuilder<ureq::typestate::WithBody>),
}

fn answer(
    builder: Builder,
    request: &Request,
    limit: u64,
    sent: &Arc<AtomicU64>,
) -> Result<Reply, Fault> {
    let headers = &request.headers;
    let answer = match builder {
        Builder::Bare(builder) => {
            let with = headers.iter();
            let builder = with.fold(builder, |builder, (name, value)| {
                builder.header(*name, value)
            });
            builder.call()
        }
        Builder::Full(builder) => {
            let with = headers.iter();
            let builder = with.fold(builder, |builder, (name, value)| {
                builder.header(*name, value)
            });
            let builder = builder.header("Content-Length", request.body.len().to_string());
            let mut counted = Counted {
                body: request.body.clone(),
                at: 0,
                sent: Arc::clone(sent),
            };
            builder.send(SendBody::from_reader(&mut counted))
        }
    };
    let mut answer = answer.map_err(judge)?;
    let named = answer.headers().iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?.trim().to_owned();
        Some((name.as_str().to_ascii_lowercase(), value))
    });
    let mut reply = Reply {
        status: answer.status().as_u16(),
        headers: named.collect(),
        body: vec![],
    };
    if request.method != Method::Head {
        let mut body = answer.body_mut().as_reader().take(limit + 1);
        let read = body.read_to_end(&mut reply.body);
        read.map_err(|cause| Fault::Passing(cause.to_string(), None))?;
        if reply.body.len() as u64 > limit {
            return Err(Fault::Final(super::too_large(&request.url, limit)));
        }
    }
    Ok(reply)
}

/// A body, whose bytes are counted while they go.
struct Counted {
    body: Body,
    at: u64,
    sent: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.body.len() - self.at;
        let most = buffer
            .len()
            .min(usize::try_from(rest).unwrap_or(usize::MAX));
        let read = match &self.body {
            Body::Nothing => 0,
            Body::Bytes(bytes) => {
                let at = usize::try_from(self.at).unwrap_or(usize::MAX);
                buffer[..most].copy_from_slice(&bytes[at..at + most]);
                most
            }
            Body::Part { file, start, .. } => {
                match file.read_at(&mut buffer[..most], start + self.at)? {
                    0 if most > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => read,
                }
            }
        };
        self.at += read as u64;
        self.sent.store(self.at, Ordering::Relaxed);
        Ok(read)
    }
}
