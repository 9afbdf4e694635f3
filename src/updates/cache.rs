//! Index files of mirrors, kept between calls: those that change are asked for by what they were
//! (`If-None-Match`, `If-Modified-Since`), those that do not have their digest for a name.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, Error, Result};
use crate::host::durable::write_atomic;
use crate::http::{Client, Limits, Method, Piece, Request, Url};

/// The largest signed index of a suite, in bytes: Debian's has 0.2 MB.
const LARGEST_INDEX: u64 = 32 << 20;

/// The largest list of packages, in bytes: Debian's has 10 MB, with xz.
const LARGEST_LIST: u64 = 1 << 30;

/// The largest file of advisories, in bytes.
const LARGEST_FILE: u64 = 4 << 30;

/// What nobody has asked for that long goes.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// A mirror that does not answer soon is left for the next one.
const LIMITS: Limits = Limits {
    stall: Duration::from_secs(20),
    connect: Duration::from_secs(20),
    retries: 1,
    pause: Duration::from_secs(1),
    redirects: 10,
};

/// A directory with index files.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    offline: bool,
    at: u64,
}

/// A file that may change, as it was when its server was asked last.
#[derive(Debug)]
pub(super) struct Current {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// When the server was asked, seconds since 1970.
    pub(super) fetched: u64,
    /// Its bytes when it was kept last, where they were others.
    pub(super) before: Option<Vec<u8>>,
    /// What is kept beside it.
    note: Option<Note>,
}

/// Whether an index that was made at `before` hides what one of `now` has; what does not say when it was made counts as
/// it comes.
pub(super) fn is_behind(now: Option<u64>, before: Option<u64>) -> bool {
    now.zip(before).is_some_and(|(now, before)| now < before)
}

/// How far the clock of an archive may be ahead, in seconds.
const AHEAD: u64 = 86_400;

/// Refuses an index of a day that is yet to come: it would hide all true ones until then.
///
/// # Errors
/// Then, as apt does.
pub(super) fn check_date(url: &Url, made: Option<u64>, at: Option<u64>) -> Result<()> {
    match made.zip(at) {
        Some((made, at)) if made > at.saturating_add(AHEAD) => {
            Err(Error::stage(format!("{url} is not valid yet"))
                .cause("it was made on a day that is yet to come: look at the clocks"))
        }
        _ => Ok(()),
    }
}

/// What is kept beside such a file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    url: String,
    fetched: u64,
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Cache {
    /// Opens a directory, which is made; `at` is now, in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn open(dir: &Path, offline: bool, at: u64) -> Result<Self> {
        crate::host::durable::create_dir(dir, 0o700)
            .doing(|| format!("making {}", dir.display()))?;
        Ok(Cache {
            dir: dir.to_owned(),
            offline,
            at,
        })
    }

    /// A file that may change. Offline it is as the server had it when it was asked last.
    ///
    /// # Errors
    /// When it cannot be had, or is larger than an index is.
    pub(super) fn current(&self, url: &Url) -> Result<Current> {
        if let Some(path) = url.local() {
            let bytes = std::fs::read(&path).doing(|| format!("reading {}", path.display()))?;
            return Ok(Current {
                bytes,
                fetched: self.at,
                before: None,
                note: None,
            });
        }
        let (path, beside) = self.paths(url);
        let kept = std::fs::read(&beside).ok();
        let note = kept.and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        let kept = note.zip(std::fs::read(&path).ok());
        if self.offline {
            let (note, bytes) = kept.ok_or_else(|| {
                Error::stage(format!("{url} was never read on this host"))
                    .hint("without --offline it is")
            })?;
            return Ok(Current {
                bytes,
                fetched: note.fetched,
                before: None,
                note: None,
            });
        }
        let mut request = Request::new(Method::Get, url.clone());
        if let Some((note, _)) = &kept {
            for (header, value) in [
                ("If-None-Match", &note.etag),
                ("If-Modified-Since", &note.last_modified),
            ] {
                if let Some(value) = value {
                    request = request.header(header, value);
                }
            }
        }
        let client = Client::to(url, LIMITS)?;
        let reply = client.send(&request, LARGEST_INDEX)?;
        let header = |name: &str| reply.header(name).map(str::to_owned);
        let mut note = Note {
            url: url.to_string(),
            fetched: self.at,
            etag: header("etag"),
            last_modified: header("last-modified"),
        };
        let (bytes, before) = match (reply.status, kept) {
            (304, Some((old, bytes))) => {
                note.etag = note.etag.or(old.etag);
                note.last_modified = note.last_modified.or(old.last_modified);
                (bytes, None)
            }
            (200, kept) => (reply.body, kept.map(|(_, bytes)| bytes)),
            (300..400, kept) => {
                let bytes = client.read(url, LARGEST_INDEX)?;
                (bytes, kept.map(|(_, bytes)| bytes))
            }
            _ => {
                let said = format!("{url} cannot be read");
                let answer = format!("the server answered {}", reply.status_text());
                return Err(Error::stage(said).cause(answer));
            }
        };
        Ok(Current {
            before: before.filter(|before| *before != bytes),
            bytes,
            fetched: note.fetched,
            note: Some(note),
        })
    }

    /// Keeps what [`Cache::current`] gave, which counts: until then what was kept before stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn keep(&self, url: &Url, current: &Current) -> Result<()> {
        let Some(note) = &current.note else {
            return Ok(());
        };
        let (path, beside) = self.paths(url);
        write_atomic(&path, &current.bytes)?;
        write_atomic(&beside, &serde_json::to_vec(note).unwrap_or_default())
    }

    /// Where a file that may change lies, and what is kept beside it.
    fn paths(&self, url: &Url) -> (PathBuf, PathBuf) {
        let name = hex::encode(Sha256::digest(url.to_string()));
        (self.dir.join(&name), self.dir.join(format!("{name}.json")))
    }

    /// A large file that may change, and when its server was asked last or the file of this host was written, in seconds
    /// since 1970. It is fetched again where the server cannot say that it is the same.
    ///
    /// # Errors
    /// When it cannot be had, or is larger than such a file is.
    pub(super) fn large(&self, url: &Url) -> Result<(PathBuf, u64)> {
        if let Some(path) = url.local() {
            // One that is not there is told by who reads it.
            let written = newest(&path).unwrap_or_default();
            return Ok((path, written));
        }
        let (path, beside) = self.paths(url);
        let kept = std::fs::read(&beside).ok().filter(|_| path.is_file());
        let note = kept.and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        if self.offline {
            return match note {
                Some(note) => Ok((path, note.fetched)),
                None => Err(Error::stage(format!("{url} was never read on this host"))
                    .hint("without --offline it is")),
            };
        }
        let client = Client::to(url, LIMITS)?;
        let mut stream = client.open(url)?;
        let known = note.filter(|note| note.etag.is_some());
        if let Some(mut note) = known
            && stream.validator() == note.etag.as_deref()
        {
            // What is used stays.
            let file = File::options().append(true).open(&path);
            drop(file.and_then(|file| file.set_modified(SystemTime::now())));
            note.fetched = self.at;
            write_atomic(&beside, &serde_json::to_vec(&note).unwrap_or_default())?;
            return Ok((path, self.at));
        }
        let doing = || format!("writing to {}", self.dir.display());
        let mut part = tempfile::NamedTempFile::new_in(&self.dir).doing(doing)?;
        let mut size = 0;
        while let Some(piece) = stream.next_piece()? {
            match piece {
                Piece::Restart => {
                    part.as_file_mut().set_len(0).doing(doing)?;
                    part.as_file_mut().rewind().doing(doing)?;
                    size = 0;
                }
                Piece::Bytes(bytes) => {
                    part.write_all(&bytes).doing(doing)?;
                    size += bytes.len() as u64;
                }
            }
            if size > LARGEST_FILE {
                let limit = crate::units::Size::bytes(LARGEST_FILE).human();
                return Err(Error::stage(format!("{url} has more than {limit}")));
            }
        }
        let note = Note {
            url: url.to_string(),
            fetched: self.at,
            etag: stream.validator().map(str::to_owned),
            last_modified: None,
        };
        part.persist(&path)
            .map_err(|refused| refused.error)
            .doing(doing)?;
        write_atomic(&beside, &serde_json::to_vec(&note).unwrap_or_default())?;
        Ok((path, self.at))
    }

    /// A file that is known by its digest and size, from the first of `urls` that has it. What comes is not
    /// compared with the digest yet: [`Verified`] does while it is read.
    ///
    /// # Errors
    /// When none has it.
    pub(super) fn listed(&self, urls: &[Url], sha256: &str, size: u64) -> Result<File> {
        let open = |path: &Path| File::open(path).doing(|| format!("reading {}", path.display()));
        if let Some(path) = urls.iter().find_map(Url::local) {
            return open(&path);
        }
        if size > LARGEST_LIST {
            let limit = crate::units::Size::bytes(LARGEST_LIST).human();
            return Err(Error::stage(format!(
                "a list of packages has more than {limit}"
            )));
        }
        let path = self.dir.join(sha256);
        if let Ok(file) = File::open(&path) {
            // What is used stays.
            drop(file.set_modified(SystemTime::now()));
            return Ok(file);
        }
        if self.offline {
            let name = urls.first().map(ToString::to_string).unwrap_or_default();
            return Err(Error::stage(format!("{name} was never read on this host"))
                .hint("without --offline it is"));
        }
        let mut failed = Error::internal("no address of a list of packages");
        for url in urls {
            let part = tempfile::NamedTempFile::new_in(&self.dir)
                .doing(|| format!("writing to {}", self.dir.display()))?;
            let client = Client::to(url, LIMITS)?;
            match client.fetch(url, part.path(), size, &mut |_, _| {}) {
                Ok(_) => {
                    part.persist(&path)
                        .map_err(|refused| refused.error)
                        .doing(|| format!("writing {}", path.display()))?;
                    return open(&path);
                }
                Err(error) if matches!(error.kind(), crate::error::Kind::Interrupted(_)) => {
                    return Err(error);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Forgets a file that was not what its digest says.
    pub(super) fn forget(&self, sha256: &str) {
        drop(std::fs::remove_file(self.dir.join(sha256)));
    }

    /// Removes what nobody has asked for long.
    pub(super) fn tidy(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let age = modified.ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age > KEPT) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }
}

/// When a file was written, or the newest one of a directory, in seconds since 1970.
fn newest(path: &Path) -> io::Result<u64> {
    let seconds = |modified: SystemTime| {
        let since = modified.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    };
    if !path.is_dir() {
        return path.metadata()?.modified().map(seconds);
    }
    let mut times = path.read_dir()?.map(|entry| {
        let modified = entry?.metadata()?.modified()?;
        Ok(seconds(modified))
    });
    times.try_fold(0, |newest, time: io::Result<u64>| Ok(newest.max(time?)))
}

/// Reads a file and its digest together.
#[derive(Debug)]
pub(super) struct Verified<R> {
    from: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> Verified<R> {
    /// Reads `from`.
    pub(super) fn new(from: R) -> Self {
        Verified {
            from,
            hash: Sha256::new(),
            size: 0,
        }
    }

    /// Reads the rest; whether all of it has this digest and size.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn is(mut self, sha256: &str, size: u64) -> io::Result<bool> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.size == size && hex::encode(self.hash.finalize()) == sha256)
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}
