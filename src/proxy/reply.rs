//! Answers to clients.

use std::fmt::Write as _;
use std::io::{Error, Result, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

use super::Shared;
use super::cache::Known;
use super::flight::Source;
use super::log::CacheResult;
use super::request::{ByteRange, Request, part};
use super::rules::AllowedFile;

/// The reason phrases of the answers that occur.
const fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        507 => "Insufficient Storage",
        _ => "Answer",
    }
}

/// An answer without a file: a line that says why.
pub(super) fn status(
    mut to: &TcpStream,
    status: u16,
    why: &str,
    keep_alive: bool,
    head: bool,
) -> Result<()> {
    let body = format!("imgforge: {why}\n");
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let mut text = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        phrase(status),
        body.len()
    );
    if !head {
        text.push_str(&body);
    }
    to.write_all(text.as_bytes())
}

/// The answer to one connection too many.
pub(super) fn busy(to: TcpStream) {
    drop(status(&to, 503, "too many connections", false, false));
}

/// Sends what a request asked for, and logs it.
pub(super) fn send(
    to: &TcpStream,
    shared: &Shared,
    wanted: &AllowedFile,
    request: &Request,
    source: Source,
) -> Result<()> {
    match source {
        Source::Nothing(code, why) => {
            let addresses = shared.upstream.addresses(wanted);
            let address = addresses.first().map_or("-", String::as_str);
            shared.log.failed(code, address, &why);
            status(to, code, &why, request.keep_alive, request.method == "HEAD")
        }
        Source::Told(known) => {
            shared.log.served(CacheResult::Passed, 200, 0, &known.url);
            head(to, &known, known.size, ByteRange::All, request).map(drop)
        }
        Source::Kept(known, file, how) => {
            let size = known.size;
            let read = |buffer: &mut [u8], offset: u64| file.read_at(buffer, offset);
            body(to, shared, &known, size, how, request, read)
        }
        Source::Arriving(flight, known, how) => {
            let size = match flight.size(shared) {
                Ok(size) => size,
                Err(why) => {
                    shared.broke(&known.url, &why);
                    shared.log.failed(502, &known.url, &why);
                    return status(to, 502, &why, request.keep_alive, false);
                }
            };
            let read = |buffer: &mut [u8], offset: u64| {
                let read = flight.read_at(shared, buffer, offset);
                read.map_err(Error::other)
            };
            let sent = body(to, shared, &known, size, how, request, read);
            if let Err(error) = &sent {
                shared.broke(&known.url, &error.to_string());
                shared.log.failed(0, &known.url, &error.to_string());
            }
            sent
        }
    }
}

/// Sends a file of `size` bytes, or a part of it.
fn body(
    mut to: &TcpStream,
    shared: &Shared,
    known: &Known,
    size: u64,
    how: CacheResult,
    request: &Request,
    read: impl Fn(&mut [u8], u64) -> Result<usize>,
) -> Result<()> {
    if has_it(known, request) {
        shared.log.served(how, 304, 0, &known.url);
        return not_modified(to, known, request);
    }
    let asked = match &request.if_range {
        Some(condition) if !same(condition, known) => ByteRange::All,
        _ => part(request.range.as_deref(), size),
    };
    let code = head(to, known, size, asked, request)?;
    let (mut at, end) = match asked {
        ByteRange::All => (0, size),
        ByteRange::Some(first, end) => (first, end),
        ByteRange::None => (0, 0),
    };
    if request.method == "HEAD" {
        end_of(shared, how, code, 0, known);
        return Ok(());
    }
    let total = end - at;
    let mut buffer = vec![0u8; 64 << 10];
    while at < end {
        let most = buffer
            .len()
            .min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let read = read(&mut buffer[..most], at)?;
        if read == 0 {
            return Err(Error::other("the file is shorter than it was said to be"));
        }
        to.write_all(&buffer[..read])?;
        at += read as u64;
        shared.activity.fetch_add(read as u64, Ordering::Relaxed);
    }
    end_of(shared, how, code, total, known);
    Ok(())
}

fn end_of(shared: &Shared, how: CacheResult, code: u16, bytes: u64, known: &Known) {
    shared.log.served(how, code, bytes, &known.url);
}

/// Whether the client has the file already, by what it says of its copy.
fn has_it(known: &Known, request: &Request) -> bool {
    match (&request.if_none_match, &request.if_modified_since) {
        (Some(tags), _) => known
            .etag
            .as_ref()
            .is_some_and(|etag| tags.split(',').any(|tag| tag.trim() == etag)),
        (None, Some(date)) => known.last_modified.as_ref() == Some(date),
        (None, None) => false,
    }
}

/// Whether `If-Range` names this very file.
fn same(condition: &str, known: &Known) -> bool {
    let strong = known.etag.as_ref().filter(|etag| !etag.starts_with("W/"));
    strong.is_some_and(|etag| etag == condition)
        || known.last_modified.as_deref() == Some(condition)
}

fn not_modified(mut to: &TcpStream, known: &Known, request: &Request) -> Result<()> {
    let mut text = "HTTP/1.1 304 Not Modified\r\n".to_owned();
    fields(&mut text, known, request);
    to.write_all(format!("{text}\r\n").as_bytes())
}

/// Writes the head of an answer with a file; returns its status.
fn head(
    mut to: &TcpStream,
    known: &Known,
    size: u64,
    asked: ByteRange,
    request: &Request,
) -> Result<u16> {
    let (code, length, range) = match asked {
        ByteRange::All => (200, size, None),
        ByteRange::Some(first, end) => (
            206,
            end - first,
            Some(format!("bytes {first}-{}/{size}", end - 1)),
        ),
        ByteRange::None => (416, 0, Some(format!("bytes */{size}"))),
    };
    let mut text = format!("HTTP/1.1 {code} {}\r\n", phrase(code));
    let _ = write!(text, "Content-Length: {length}\r\nAccept-Ranges: bytes\r\n");
    if let Some(range) = range {
        let _ = write!(text, "Content-Range: {range}\r\n");
    }
    let kind = known.content_type.as_deref();
    let kind = kind.unwrap_or("application/octet-stream");
    let _ = write!(text, "Content-Type: {kind}\r\n");
    fields(&mut text, known, request);
    to.write_all(format!("{text}\r\n").as_bytes())?;
    Ok(code)
}

fn fields(text: &mut String, known: &Known, request: &Request) {
    if let Some(etag) = &known.etag {
        let _ = write!(text, "ETag: {etag}\r\n");
    }
    if let Some(date) = &known.last_modified {
        let _ = write!(text, "Last-Modified: {date}\r\n");
    }
    let connection = if request.keep_alive {
        "keep-alive"
    } else {
        "close"
    };
    let _ = write!(text, "Connection: {connection}\r\n");
}
