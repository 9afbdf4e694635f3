//! A blob on its way to a registry: asked for first, then sent in chunks, of which a broken connection
//! costs one at most.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{LARGEST_ANSWER, Registry};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::http::{Body, Method, Reply, Request, Url};

/// Bytes of one chunk: fewer than what proxies before registries let through (100 MB).
const CHUNK: u64 = 64 << 20;

/// Bytes of one chunk where a registry takes no larger ones (4 MiB at ghcr.io).
const SMALL_CHUNK: u64 = 4 << 20;

/// An upload that has begun.
struct Upload {
    /// Where its next bytes go.
    location: Url,
    /// How many the registry has.
    at: u64,
    chunk: u64,
    /// Whether the bytes of a small blob go with the request that ends the upload; some registries take none there.
    whole: bool,
}

impl Registry {
    /// Sends a file of `size` bytes, unless the registry has it; whether it was sent.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses, or has understood something else.
    pub fn push_blob(&self, digest: &Sha256, file: &Arc<File>, size: u64) -> Result<bool> {
        self.push_part(digest, file, (0, size))
    }

    /// As [`Registry::push_blob`], of a part of a file: its first byte, and its size.
    ///
    /// # Errors
    /// As there.
    pub fn push_part(&self, digest: &Sha256, file: &Arc<File>, part: (u64, u64)) -> Result<bool> {
        let (_, size) = part;
        if self.has_blob(digest)? {
            return Ok(false);
        }
        let (mut upload, mut failures, mut furthest) = (self.begin_upload()?, 0, 0);
        loop {
            let before = upload.at;
            let why = match self.send_chunk(&mut upload, digest, file, part)? {
                Sent::All => return Ok(true),
                // A registry that takes the same bytes again and again gets no further.
                Sent::Some => {
                    if upload.at > furthest {
                        (furthest, failures) = (upload.at, 0);
                    }
                    continue;
                }
                Sent::Nothing(why) => why,
            };
            failures += 1;
            if failures > self.limits.retries {
                let what = format!("sending a blob to {} failed {failures} times", self.address);
                return Err(Error::stage(what).cause(why).hint(
                    "the registry's log says why, a full disk perhaps; the same command resumes \
                     where this one stopped",
                ));
            }
            self.client.pause(failures, None)?;
            // It may have come to its end, and only the answer got lost.
            if before + upload.chunk >= size && self.has_blob(digest)? {
                return Ok(true);
            }
            upload = match self.state(&upload, size)? {
                Some(upload) => upload,
                None => Upload {
                    chunk: upload.chunk,
                    whole: upload.whole,
                    ..self.begin_upload()?
                },
            };
        }
    }

    fn begin_upload(&self) -> Result<Upload> {
        let request = Request::new(
            Method::Post,
            self.base.below("blobs/uploads")?.as_directory(),
        );
        let reply = self.ask(&request, LARGEST_ANSWER)?;
        match (reply.status, self.location(&self.base, &reply)?) {
            (201 | 202, Some(location)) => Ok(Upload {
                location,
                at: 0,
                chunk: CHUNK,
                whole: self.takes_whole.load(Ordering::Relaxed),
            }),
            _ => Err(self.refused("taking a blob", &reply)),
        }
    }

    /// Sends the next bytes; with the last ones goes the digest.
    fn send_chunk(
        &self,
        upload: &mut Upload,
        digest: &Sha256,
        file: &Arc<File>,
        (first, size): (u64, u64),
    ) -> Result<Sent> {
        let (start, rest) = (upload.at, size - upload.at);
        let len = rest.min(upload.chunk);
        let whole = upload.whole && start == 0 && len == rest;
        let last = rest == 0;
        let part = Body::Part {
            file: Arc::clone(file),
            start: first + start,
            len,
        };
        let request = match whole || last {
            true => Request::new(
                Method::Put,
                upload
                    .location
                    .with_query(&format!("digest=sha256:{}", digest.as_str()))?,
            ),
            false => Request::new(Method::Patch, upload.location.clone())
                .header("Content-Range", format!("{start}-{}", start + len - 1)),
        };
        let request = request.header("Content-Type", "application/octet-stream");
        let reply = match self.ask_once(&request.body(part))? {
            Ok(reply) => reply,
            Err(why) => {
                // One that takes no bytes there may close the connection before it has read them.
                if whole && len > 0 {
                    self.takes_whole.store(false, Ordering::Relaxed);
                    upload.whole = false;
                }
                return Ok(Sent::Nothing(why));
            }
        };
        match reply.status {
            201 | 204 if whole || last => {
                self.agrees(&reply, digest)?;
                return Ok(Sent::All);
            }
            202 | 204 if !whole => {
                upload.at = end_of(&reply).unwrap_or(start + len).min(size);
                let next = self.location(&upload.location, &reply)?;
                upload.location = next.unwrap_or_else(|| upload.location.clone());
                return Ok(match upload.at > start {
                    true => Sent::Some,
                    false => Sent::Nothing("the registry lost what it was sent".into()),
                });
            }
            413 if upload.chunk > SMALL_CHUNK && size > SMALL_CHUNK => {
                upload.chunk = SMALL_CHUNK;
            }
            401 if self.is_own(&upload.location)
                && self.access.gain(&self.client, &self.base, &reply)? => {}
            400 | 405 | 411 | 415 | 500 | 501 if whole && len > 0 => {
                self.takes_whole.store(false, Ordering::Relaxed);
                upload.whole = false;
            }
            // The registry forgot the upload, or has other bytes of it than we think.
            404 | 416 => {}
            _ if reply.is_passing() => {}
            _ => return Err(self.refused("taking a blob", &reply)),
        }
        Ok(Sent::Nothing(format!(
            "the registry answered {}",
            reply.status_text()
        )))
    }

    /// How far an upload has come; nothing where the registry does not know it any more.
    fn state(&self, upload: &Upload, size: u64) -> Result<Option<Upload>> {
        let reply = self.ask(
            &Request::new(Method::Get, upload.location.clone()),
            LARGEST_ANSWER,
        )?;
        if !matches!(reply.status, 200 | 202 | 204) {
            return Ok(None);
        }
        let next = self.location(&upload.location, &reply)?;
        Ok(Some(Upload {
            location: next.unwrap_or_else(|| upload.location.clone()),
            at: end_of(&reply).unwrap_or_default().min(size),
            chunk: upload.chunk,
            whole: upload.whole,
        }))
    }

    fn location(&self, from: &Url, reply: &Reply) -> Result<Option<Url>> {
        let to = reply.header("location");
        to.map(|to| from.join(to)).transpose()
    }
}

enum Sent {
    All,
    Some,
    Nothing(String),
}

/// How many bytes an upload has, by `Range: 0-N`. A registry says `0-0` of none, too.
fn end_of(reply: &Reply) -> Option<u64> {
    let range = reply.header("range")?;
    let (_, last) = range.trim_start_matches("bytes=").split_once('-')?;
    match last.trim().parse::<u64>().ok()? {
        0 => Some(0),
        last => last.checked_add(1),
    }
}
