//! Requests of a connection, parsed by `httparse`.

use std::io::{Error, ErrorKind, Read, Result};

/// The longest head of a request, in bytes.
const LONGEST: usize = 16 << 10;

/// Headers of requests that ask for a file, and for the same one whoever sends them.
const USUAL: [&str; 19] = [
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "user-agent",
];

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) keep_alive: bool,
    /// It asks for a file as any client does: nothing in it tells an answer for one client from another's.
    pub(crate) is_plain: bool,
    /// Its head as it came, from behind the target on.
    pub(crate) rest: Vec<u8>,
    /// Nothing that was kept will do.
    pub(crate) no_cache: bool,
    pub(crate) user_agent: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) authorization: Option<String>,
}

/// Reads requests, also several that arrive at once.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Reader {
            from,
            buffer: vec![],
        }
    }

    /// What has arrived behind the requests that were read: the beginning of the last one's body.
    pub(crate) fn behind(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// The next request; `None` when the client has closed.
    ///
    /// # Errors
    /// Of kind `InvalidData` when it is none.
    pub(crate) fn next(&mut self) -> Result<Option<Request>> {
        loop {
            if let Some((request, length)) = parse(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(Some(request));
            }
            if self.buffer.len() >= LONGEST {
                return Err(invalid());
            }
            let mut more = [0u8; 4096];
            match self.from.read(&mut more) {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(invalid()),
                Ok(read) => self.buffer.extend_from_slice(&more[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn invalid() -> Error {
    Error::from(ErrorKind::InvalidData)
}

/// The request at the beginning of `bytes` and its length; `None` when more is needed.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes).map_err(|_| invalid())? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let text = |name: &str| {
        let header = parsed
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        let value = std::str::from_utf8(header.value).ok()?;
        Some(value.trim().to_owned())
    };
    // Whatever has a body is nothing that is relayed, and its body is no request.
    let body = text("transfer-encoding").is_some()
        || text("content-length").is_some_and(|length| length != "0");
    let connection = text("connection")
        .or_else(|| text("proxy-connection"))
        .unwrap_or_default()
        .to_ascii_lowercase();
    let newer = parsed.version == Some(1);
    let keep_alive = if newer {
        connection != "close"
    } else {
        connection == "keep-alive"
    };
    let told = |header: &httparse::Header<'_>| {
        let name = header.name.to_ascii_lowercase();
        let value = String::from_utf8_lossy(header.value).to_ascii_lowercase();
        match name.as_str() {
            "accept" => ["*/*", "text/*"].iter().any(|any| value.contains(any)),
            name => USUAL.contains(&name) || name.starts_with("x-zypp-"),
        }
    };
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let rest = &bytes[line.map_or(length, |at| at + 1)..length];
    let request = Request {
        is_plain: matches!(parsed.method, Some("GET" | "HEAD"))
            && !body
            && parsed.headers.iter().all(told),
        rest: rest.to_vec(),
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        keep_alive: keep_alive && !body,
        no_cache: ["cache-control", "pragma"]
            .into_iter()
            .filter_map(text)
            .any(|value| value.to_ascii_lowercase().contains("no-cache")),
        user_agent: text("user-agent"),
        range: text("range"),
        if_range: text("if-range"),
        if_none_match: text("if-none-match"),
        if_modified_since: text("if-modified-since"),
        authorization: text("authorization"),
    };
    Ok(Some((request, length)))
}

/// What a `Range` header asks of a file of `total` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// Everything: no range, several ranges, or none that is understood.
    All,
    /// From the first byte to before the second.
    Some(u64, u64),
    /// Nothing that the file has.
    None,
}

/// Understands `bytes=A-B`, `bytes=A-` and `bytes=-N`.
pub(crate) fn part(range: Option<&str>, total: u64) -> ByteRange {
    let Some(spec) = range.and_then(|range| range.strip_prefix("bytes=")) else {
        return ByteRange::All;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return ByteRange::All;
    };
    let number = |text: &str| text.trim().parse::<u64>();
    match (number(first), number(last)) {
        (Ok(first), Ok(last)) if first > last => ByteRange::All,
        (Ok(first), _) if first >= total => ByteRange::None,
        (Ok(first), Ok(last)) => ByteRange::Some(first, total.min(last.saturating_add(1))),
        (Ok(first), Err(_)) if last.is_empty() => ByteRange::Some(first, total),
        (Err(_), Ok(0)) if first.is_empty() => ByteRange::None,
        (Err(_), Ok(length)) if first.is_empty() => {
            ByteRange::Some(total.saturating_sub(length), total)
        }
        _ => ByteRange::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_arrive_together_are_told_apart() {
        let text = "GET /a HTTP/1.1\r\nHost: x\r\nUser-Agent: apt\r\nRange: bytes=1-\r\n\r\n\
                    HEAD http://x/b HTTP/1.0\r\n\r\n";
        let mut reader = Reader::new(text.as_bytes());
        let first = reader.next().unwrap().unwrap();
        assert_eq!(
            (first.method.as_str(), first.target.as_str()),
            ("GET", "/a")
        );
        assert!(first.keep_alive);
        assert_eq!(first.user_agent.as_deref(), Some("apt"));
        assert_eq!(first.range.as_deref(), Some("bytes=1-"));
        let second = reader.next().unwrap().unwrap();
        assert_eq!(second.target, "http://x/b");
        assert!(!second.keep_alive);
        assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(LONGEST));
        for text in ["\u{16}\u{3}\u{1}hello", "GET /a", "GET\r\n\r\n", &long] {
            let error = Reader::new(text.as_bytes()).next().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{text:.20}");
        }
    }

    #[test]
    fn ranges_are_understood() {
        for (range, expected) in [
            (None, ByteRange::All),
            (Some("bytes=2-4"), ByteRange::Some(2, 5)),
            (Some("bytes=2-"), ByteRange::Some(2, 10)),
            (Some("bytes=-3"), ByteRange::Some(7, 10)),
            (Some("bytes=-30"), ByteRange::Some(0, 10)),
            (Some("bytes=2-40"), ByteRange::Some(2, 10)),
            (Some("bytes=10-"), ByteRange::None),
            (Some("bytes=-0"), ByteRange::None),
            (Some("bytes=4-2"), ByteRange::All),
            (Some("bytes=1-2,4-5"), ByteRange::All),
            (Some("lines=1-2"), ByteRange::All),
            (Some("bytes=x-"), ByteRange::All),
        ] {
            assert_eq!(part(range, 10), expected, "{range:?}");
        }
    }
}
