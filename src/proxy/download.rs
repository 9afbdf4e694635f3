//! One download: from the first mirror that has the file, begun again where a transfer breaks.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sha2::{Digest as _, Sha256};

use super::Shared;
use super::cache::Known;
use super::flight::{Begun, Flight};
use super::log::CacheResult;
use super::rules::AllowedFile;
use super::upstream::{Ask, NOBODY, Response, header, known};
use crate::host::space;

/// How often a broken transfer is begun again.
const ATTEMPTS: usize = 4;

/// The largest file of which no size is known before, in bytes.
const LARGEST: u64 = 16 << 30;

/// What a download needs to know.
pub(super) struct Download<'a> {
    pub(super) shared: &'a Shared,
    pub(super) wanted: &'a AllowedFile,
    pub(super) agent: Option<&'a str>,
    /// What the client says who it is.
    pub(super) authorization: Option<&'a str>,
    /// Nothing that was kept will do.
    pub(super) fresh: bool,
    pub(super) flight: &'a Flight,
}

impl Download<'_> {
    /// Asks one mirror after the other until one has something to say; returns what there is to
    /// tell where nothing arrived.
    pub(super) fn run(&self) -> Result<Option<Begun>, String> {
        let mut last = (502, "no mirror answers".to_owned());
        for mirror in self.shared.upstream.mirrors(self.wanted) {
            let url = format!("{mirror}{}", self.wanted.path);
            let promised = self.wanted.promise.is_some();
            if self.shared.upstream.refuses(&url, promised) {
                last = (403, NOBODY.into());
                continue;
            }
            let immutable = self.wanted.immutable || promised;
            let kept = match immutable || self.fresh {
                true => None,
                false => self.shared.cache.get(&url).map(|(known, _)| known),
            };
            let ask = Ask {
                user_agent: self.agent,
                // Two files can have one time: only what the mirror calls the same bytes is.
                if_none_match: kept.as_ref().and_then(Known::strong),
                from: None,
                promised: self.wanted.promise.is_some(),
                authorization: self.authorization,
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
                304 if kept.is_some() => return Ok(Some(Begun::Current(url))),
                200 if self.has_other_size(&response) => {
                    let why = "the file has another size there than the index says";
                    self.down(&mirror, &url, why);
                    last = (502, why.into());
                }
                200 => {
                    let received = self.receive(&url, response);
                    return received.inspect_err(|_| {
                        // It is not the mirror's doing that there is no room.
                        if !self.flight.is_left() && self.room().is_ok() {
                            self.shared.upstream.failed_for(&url);
                        }
                    });
                }
                status @ (429 | 500..) => {
                    let why = format!("the mirror answers with {status}");
                    self.down(&mirror, &url, &why);
                    last = (502, why);
                }
                // Another mirror may be ahead of this one; an index must fit the first.
                404 if self.wanted.immutable => last = (404, "no mirror has it".into()),
                status => {
                    let who = self.shared.upstream.who(&url);
                    return Ok(Some(Begun::Nothing(status, format!("{who} says so"))));
                }
            }
        }
        Ok(Some(Begun::Nothing(last.0, last.1)))
    }

    fn down(&self, mirror: &str, url: &str, why: &str) {
        self.shared.log.fell_back(url, why);
        self.shared.upstream.failed(mirror);
    }

    fn has_other_size(&self, response: &Response) -> bool {
        let promised = self
            .wanted
            .promise
            .as_ref()
            .and_then(|promise| promise.size);
        length(response).is_some_and(|size| promised.is_some_and(|promised| promised != size))
    }

    /// Whether a file can be kept: verified, or one that the mirror vouches for when it is asked
    /// again. Who reads to the end of a connection does not know whether it is the file's end.
    fn keeps(&self, known: &Known, response: &Response) -> CacheResult {
        let framed = length(response).is_some() || header(response, "transfer-encoding").is_some();
        let page = known.content_type.as_deref().unwrap_or_default();
        let page = page.trim().to_ascii_lowercase().starts_with("text/html");
        let asked_again = !self.wanted.immutable && known.strong().is_some() && framed && !page;
        // Another client may not be allowed to have it.
        let anybodys = self.authorization.is_none();
        match anybodys && (self.wanted.promise.is_some() || asked_again) {
            true => CacheResult::Miss,
            false => CacheResult::Passed,
        }
    }

    fn receive(&self, url: &str, response: Response) -> Result<Option<Begun>, String> {
        if let Err(why) = self.room() {
            return Ok(Some(Begun::Nothing(507, why)));
        }
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
            Err(error) => return Ok(Some(Begun::Nothing(507, error.to_string()))),
        };
        let total = length(&response);
        let mut known = known(url, &response, total.unwrap_or_default());
        let how = self.keeps(&known, &response);
        self.flight.update(|state| {
            state.file = Some(Arc::clone(&file));
            state.begun = Some(Begun::Body(Box::new(known.clone()), total, how));
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
        self.shared
            .promises
            .learn(self.wanted, &known.sha256, &file);
        // Whoever waits for the file has it, kept or not. What must be asked for again is kept without its
        // address: a lock can name it.
        let kept = match how {
            CacheResult::Miss => self.shared.cache.put(&known, &path),
            _ => self.shared.cache.keep(&known, &path),
        };
        if let Err(error) = kept {
            self.shared.log.fell_back(url, &error.to_string());
        }
        drop(std::fs::remove_file(&path));
        Ok(None)
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
                    return match &self.wanted.promise {
                        Some(promise) if promise.sha256 != sha256 => {
                            Err("the file is not what its name or the index says".into())
                        }
                        _ => Ok((sha256, written)),
                    };
                }
                Ok(()) => why = format!("the mirror ended after {written} bytes"),
                Err(cause) => why = cause,
            }
            self.shared.log.fell_back(&known.url, &why);
            let lost = self.shared.ended() || self.flight.is_left() || self.room().is_err();
            if lost || total.is_none() {
                break;
            }
        }
        Err(why)
    }

    /// The rest of a file of which `written` bytes are there.
    fn go_on(&self, known: &Known, written: u64) -> Result<Response, String> {
        let validator = known.strong().or(known.last_modified.as_deref());
        if validator.is_none() && !self.wanted.immutable {
            return Err("the transfer broke, and cannot go on".into());
        }
        let ask = Ask {
            user_agent: self.agent,
            from: Some((written, validator)),
            promised: self.wanted.promise.is_some(),
            authorization: self.authorization,
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

    /// Whether the host has room for more of a file, which may be of any size.
    fn room(&self) -> Result<(), String> {
        space::check(&self.shared.flights.scratch).map_err(|full| full.to_string())
    }

    fn copy(
        &self,
        response: &mut Response,
        file: &File,
        written: &mut u64,
        hasher: &mut Sha256,
    ) -> Result<(), String> {
        let promise = self.wanted.promise.as_ref();
        let most = promise.and_then(|promise| promise.size).unwrap_or(LARGEST);
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
            if *written + read as u64 > most {
                return Err("the file is larger than it can be".into());
            }
            self.room()?;
            file.write_all_at(&buffer[..read], *written)
                .map_err(|error| error.to_string())?;
            hasher.update(&buffer[..read]);
            *written += read as u64;
            self.flight.arrived(read as u64)?;
        }
    }
}

fn length(response: &Response) -> Option<u64> {
    header(response, "content-length")?.parse().ok()
}
