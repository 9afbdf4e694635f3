//! A file as it arrives, over as many connections as it takes.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::time::Duration;

use rustix::fs::OFlags;

use super::exchange::{Exchange, Fault, Head};
use super::{Client, Url};
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;
use crate::units::Size;

/// So much progress forgives the failures before it, in bytes.
const PROGRESS: u64 = 64 << 10;

/// The longest that a server may make us wait before a retry.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What [`Stream::next_piece`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The bytes that follow the ones before.
    Bytes(Vec<u8>),
    /// What came before does not count: the file begins anew, from its first byte.
    Restart,
}

/// A file as it arrives. A broken connection is made again, and goes on where it stopped.
#[derive(Debug)]
pub struct Stream<'a> {
    client: &'a Client,
    /// Whether to forbid it is to say that it is not there.
    optional: bool,
    url: Url,
    source: Source,
    /// The next byte.
    at: u64,
    /// Where to stop, if before the end.
    end: Option<u64>,
    total: Option<u64>,
    validator: Option<String>,
    restarted: bool,
    failures: u32,
    /// The furthest byte at which failures were forgiven. A file that begins anew has to get beyond
    /// it: a server that sends the same bytes again makes no progress.
    forgiven_at: u64,
}

#[derive(Debug)]
enum Source {
    Local(File),
    Remote(Option<Exchange>),
    Done,
}

impl<'a> Stream<'a> {
    pub(super) fn open(
        client: &'a Client,
        url: &Url,
        start: u64,
        end: Option<u64>,
        validator: Option<&str>,
    ) -> Result<Option<Self>> {
        Self::new(client, url, start, end, validator, false)
    }

    /// A file that need not be there.
    pub(super) fn open_optional(client: &'a Client, url: &Url) -> Result<Option<Self>> {
        Self::new(client, url, 0, None, None, true)
    }

    fn new(
        client: &'a Client,
        url: &Url,
        start: u64,
        end: Option<u64>,
        validator: Option<&str>,
        optional: bool,
    ) -> Result<Option<Self>> {
        let mut stream = Stream {
            client,
            optional,
            url: url.clone(),
            source: Source::Remote(None),
            at: start,
            end,
            total: None,
            validator: validator.map(str::to_owned),
            restarted: false,
            failures: 0,
            forgiven_at: 0,
        };
        if url.is_oci() {
            return Err(Error::usage(format!("{url} is in a registry"))
                .cause("only published images are read from there")
                .hint("name a file or a web server's address"));
        }
        let found = match url.local() {
            Some(path) => stream.open_file(&path)?,
            None => stream.connect()?,
        };
        Ok(found.then_some(stream))
    }

    /// How many bytes the whole file has, if that is known.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// What tells this state of the file from others, if the server says.
    pub fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// When the transfer has failed too often, or imgforge is interrupted.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        loop {
            if std::mem::take(&mut self.restarted) {
                return Ok(Some(Piece::Restart));
            }
            if self.end.is_some_and(|end| self.at >= end) {
                self.source = Source::Done;
            }
            let received = match &mut self.source {
                Source::Done => return Ok(None),
                Source::Local(file) => {
                    interrupt::check()?;
                    let mut bytes = vec![0; 256 << 10];
                    let read = file.read(&mut bytes);
                    bytes.truncate(read.doing(|| format!("reading {}", self.url))?);
                    Ok((!bytes.is_empty()).then_some(bytes))
                }
                Source::Remote(Some(exchange)) => exchange.next(),
                Source::Remote(None) => {
                    if !self.connect()? {
                        return Err(super::missing(&self.url));
                    }
                    continue;
                }
            };
            match received {
                Ok(Some(bytes)) => return Ok(Some(Piece::Bytes(self.take(bytes)))),
                Ok(None) if self.total.is_none_or(|total| self.at >= total) => {
                    self.source = Source::Done;
                }
                Ok(None) => self.failed(&self.cut_short(), None)?,
                Err(Fault::Passing(why, after)) => self.failed(&why, after)?,
                Err(Fault::Final(error)) => return Err(error),
            }
        }
    }

    fn open_file(&mut self, path: &std::path::Path) -> Result<bool> {
        let doing = || format!("reading {}", path.display());
        // A pipe must not keep us waiting, nor a device go on for ever.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let opened = File::options().read(true).custom_flags(flags).open(path);
        let mut file = match opened {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            opened => opened.doing(doing)?,
        };
        let metadata = file.metadata().doing(doing)?;
        if metadata.is_dir() {
            return Ok(false);
        }
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Error::usage(format!("{} is not a file", path.display()))
                .hint("name a file, not a pipe or a device"));
        }
        file.seek(SeekFrom::Start(self.at)).doing(doing)?;
        self.total = metadata.is_file().then_some(metadata.len());
        self.source = Source::Local(file);
        Ok(true)
    }

    /// Cuts what goes beyond the part that was asked for.
    fn take(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some(end) = self.end {
            let rest = end.saturating_sub(self.at);
            bytes.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
        }
        self.at += bytes.len() as u64;
        if self.at.saturating_sub(self.forgiven_at) >= PROGRESS {
            (self.failures, self.forgiven_at) = (0, self.at);
        }
        bytes
    }

    fn cut_short(&self) -> String {
        let total = Size::bytes(self.total.unwrap_or_default()).human();
        let at = Size::bytes(self.at).human();
        format!("the connection ended after {at} of {total}")
    }

    /// Counts a failure and waits; gives up when there were too many.
    fn failed(&mut self, why: &str, after: Option<Duration>) -> Result<()> {
        if matches!(self.source, Source::Local(_)) {
            let sentence = format!("reading {} failed", self.url);
            return Err(Error::stage(sentence).cause(why));
        }
        self.source = Source::Remote(None);
        let limits = &self.client.limits;
        self.failures += 1;
        if self.failures > limits.retries {
            return Err(given_up(&self.url, why, self.failures));
        }
        let (failures, retries) = (self.failures, limits.retries);
        let url = &self.url;
        (self.client.notice)(&format!(
            "{url}: {why}; trying again, {failures} of {retries}"
        ));
        self.client.pause(failures, after)?;
        Ok(())
    }

    /// Asks for the rest until there is an answer; false when there is no such file.
    fn connect(&mut self) -> Result<bool> {
        loop {
            let answer = self.ask();
            let (exchange, head) = match answer {
                Ok(answer) => answer,
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Passing(why, after)) => {
                    self.failed(&why, after)?;
                    continue;
                }
            };
            match self.begin(&head) {
                Begin::Body => {
                    self.source = Source::Remote(Some(exchange));
                    return Ok(true);
                }
                Begin::Complete => {
                    self.source = Source::Done;
                    return Ok(true);
                }
                Begin::Missing => return Ok(false),
                Begin::Again(why) => self.failed(&why, head.retry_after)?,
                Begin::AskForAll => self.restart(),
                Begin::Refused => return Err(refused(self.client, &self.url, &head)),
            }
        }
    }

    fn restart(&mut self) {
        self.restarted = true;
        (self.at, self.end) = (0, None);
        (self.total, self.validator) = (None, None);
    }

    /// What the answer means for the part that was asked for.
    fn begin(&mut self, head: &Head) -> Begin {
        let ranged = self.at > 0 || self.end.is_some();
        match (head.status, head.range) {
            (206, Some((Some(start), total))) if ranged && start == self.at => {
                let other = |new: &Option<String>| {
                    self.validator.is_some() && new.is_some() && *new != self.validator
                };
                if other(&head.validator) {
                    return Begin::AskForAll;
                }
                self.total = total.or(self.total);
                self.validator = self.validator.take().or_else(|| head.validator.clone());
                Begin::Body
            }
            (206, _) if ranged => Begin::AskForAll,
            (200, _) => {
                if ranged {
                    self.restart();
                }
                (self.total, self.validator) = (head.length, head.validator.clone());
                Begin::Body
            }
            (416, Some((_, Some(total)))) if total == self.at => {
                self.total = Some(total);
                Begin::Complete
            }
            (416, _) if ranged => Begin::AskForAll,
            (404 | 410, _) => Begin::Missing,
            // A proxy's word is none about the file.
            (403, _) if self.optional && self.client.reader(&self.url).is_none() => Begin::Missing,
            (408 | 425 | 429 | 500..=599, _) => {
                Begin::Again(format!("the server answered {}", status_text(head.status)))
            }
            _ => Begin::Refused,
        }
    }

    /// One request, redirects followed.
    fn ask(&self) -> Result<(Exchange, Head), Fault> {
        let range = (self.at > 0 || self.end.is_some()).then_some((self.at, self.end));
        let mut seen = vec![self.url.clone()];
        loop {
            let url = seen.last().unwrap_or(&self.url);
            let answer = Exchange::start(self.client, url, range, self.validator.as_deref());
            let (exchange, head) = answer.map_err(|fault| self.about(fault))?;
            let (301 | 302 | 303 | 307 | 308, Some(to)) = (head.status, &head.location) else {
                return Ok((exchange, head));
            };
            let next = url.join(to).map_err(Fault::Final)?;
            let wrong = if seen.contains(&next) {
                format!("{} redirects in a circle, back to {next}", self.url)
            } else if seen.len() > self.client.limits.redirects {
                let most = self.client.limits.redirects;
                format!("{} redirects more than {most} times", self.url)
            } else {
                seen.push(next);
                continue;
            };
            let error = Error::stage(wrong).hint("tell the server's administrator");
            return Err(Fault::Final(error));
        }
    }

    fn about(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Final(error) if error.kind() == crate::error::Kind::Stage => {
                let sentence = format!("reading {} failed", self.url);
                Fault::Final(error.within(sentence).hint(CHECK))
            }
            other => other,
        }
    }
}

enum Begin {
    Body,
    Complete,
    Missing,
    Again(String),
    AskForAll,
    Refused,
}

const CHECK: &str = "check the address, and http_proxy, https_proxy and no_proxy";

fn given_up(url: &Url, why: &str, times: u32) -> Error {
    let times = match times {
        1 => String::new(),
        times => format!(" {times} times"),
    };
    Error::stage(format!("reading {url} failed{times}"))
        .cause(why)
        .hint(format!(
            "{CHECK}; the same command resumes where this one stopped"
        ))
}

fn refused(client: &Client, url: &Url, head: &Head) -> Error {
    let status = head.status;
    if let Some(proxy) = client.reader(url).filter(|_| status != 407) {
        let words = head.words.as_ref().map(|words| format!(": {words}"));
        let words = words.unwrap_or_default();
        return Error::stage(format!("reading {url} failed"))
            .cause(format!(
                "the proxy {proxy}, or the server behind it, answered {}{words}",
                status_text(status)
            ))
            .hint(format!(
                "no_proxy={} reaches the server without the proxy; a cache for packages, such as \
                 apt-cacher-ng, has only files and ports that its configuration allows",
                url.host()
            ));
    }
    let hint = match status {
        401 => "the server wants another user or password: https://USER:PASSWORD@HOST/…",
        403 => {
            "check the address: stores such as S3 answer 403 where there is no such file, too; \
             or the server wants another user or password: https://USER:PASSWORD@HOST/…"
        }
        407 => "the proxy wants a password: http_proxy=http://USER:PASSWORD@HOST:PORT",
        _ => "check the address; this server does not serve the file",
    };
    let error = Error::stage(format!("reading {url} failed"));
    error
        .cause(format!("the server answered {}", status_text(status)))
        .hint(hint)
}

/// A status with its usual words.
pub(super) fn status_text(status: u16) -> String {
    let known = ureq::http::StatusCode::from_u16(status).ok();
    match known.and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("{status} {reason}"),
        None => status.to_string(),
    }
}
