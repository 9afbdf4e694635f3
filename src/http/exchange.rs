//! One request and its answer, in a thread: a read from a silent server can be neither limited
//! nor interrupted otherwise. The thread ends with its receiver, or with the transport's own limit.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::proxy::Builder;
use super::{Client, Url, tls};
use crate::error::{Error, Result};
use crate::host::interrupt;

/// Bytes of one piece.
const PIECE: usize = 128 << 10;

/// The largest page whose words are looked for, in bytes.
const LARGEST_PAGE: u64 = 64 << 10;

/// Fewer bytes in the time of a stall are as good as none.
const TRICKLE: usize = 1 << 10;

/// Why an exchange did not work.
#[derive(Debug)]
pub(super) enum Fault {
    /// Trying again may help, after a while that the server may have named.
    Passing(String, Option<Duration>),
    /// Trying again does not help.
    Final(Error),
}

/// What the answer says before its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    /// A strong entity tag, else the date of the last change.
    pub(crate) validator: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// First byte and total of `Content-Range`.
    pub(crate) range: Option<(Option<u64>, Option<u64>)>,
    /// The first words of a short page that says no.
    pub(crate) words: Option<String>,
}

enum Message {
    Head(Head),
    Bytes(Vec<u8>),
    End,
    Failed(ureq::Error),
    Broken(String),
}

/// An answer that arrives.
#[derive(Debug)]
pub(super) struct Exchange {
    messages: Receiver<Message>,
    stall: Duration,
    waited: Duration,
    bytes: usize,
}

impl Exchange {
    /// Sends a request for the bytes from `start` on, and waits for the head of the answer.
    pub(super) fn start(
        client: &Client,
        url: &Url,
        range: Option<(u64, Option<u64>)>,
        validator: Option<&str>,
    ) -> Result<(Exchange, Head), Fault> {
        if super::is_silent() {
            return Err(Fault::Final(
                Error::host(format!("{url} is not fetched"))
                    .cause("the build is --offline and --locked: no request leaves this host")
                    .hint("build once with --locked and without --offline"),
            ));
        }
        if let Some(error) = client.agents.problem(url) {
            return Err(Fault::Final(error));
        }
        let mut request = client.request(false, url);
        if let Some((start, end)) = range {
            let last = end.map(|end| (end - 1).to_string()).unwrap_or_default();
            request = request.header("Range", format!("bytes={start}-{last}"));
            if let Some(validator) = validator {
                request = request.header("If-Range", validator);
            }
        }
        let (send, messages) = sync_channel(8);
        std::thread::spawn(move || answer(request, &send));
        let mut exchange = Exchange {
            messages,
            stall: client.limits.stall,
            waited: Duration::ZERO,
            bytes: 0,
        };
        // Looking the host up and connecting have limits of their own, which come on top.
        let patience = client.limits.stall + client.limits.connect * 2;
        match exchange.receive(patience)? {
            Message::Head(head) => Ok((exchange, head)),
            _ => Err(Fault::Passing("the answer has no head".into(), None)),
        }
    }

    /// The next bytes; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let began = Instant::now();
        let Message::Bytes(bytes) = self.receive(self.stall)? else {
            return Ok(None);
        };
        // Only the time spent waiting counts: a slow reader is not the server's fault.
        self.waited += began.elapsed();
        self.bytes += bytes.len();
        if self.bytes >= TRICKLE {
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        } else if self.waited > self.stall {
            return Err(self.stalled());
        }
        Ok(Some(bytes))
    }

    fn receive(&mut self, patience: Duration) -> Result<Message, Fault> {
        let began = Instant::now();
        loop {
            interrupt::check().map_err(Fault::Final)?;
            match self.messages.recv_timeout(Duration::from_millis(100)) {
                Ok(Message::Failed(error)) => return Err(judge(error)),
                Ok(Message::Broken(why)) => return Err(Fault::Passing(why, None)),
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::Passing("the transfer ended".into(), None));
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() > patience => {
                    return Err(self.stalled());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn stalled(&self) -> Fault {
        let limit = crate::units::elapsed(self.stall);
        Fault::Passing(format!("the server sent almost nothing for {limit}"), None)
    }
}

fn answer(request: Builder, send: &SyncSender<Message>) {
    // Who does not listen any more needs to know nothing.
    let tell = |message| send.send(message).is_ok();
    let mut response = match request.call() {
        Ok(response) => response,
        Err(error) => {
            tell(Message::Failed(error));
            return;
        }
    };
    let mut head = head(&response);
    if head.status >= 400 && head.length.is_some_and(|length| length <= LARGEST_PAGE) {
        let mut page = vec![];
        // Without them the status says enough.
        drop(response.body_mut().as_reader().read_to_end(&mut page));
        head.words = words(&String::from_utf8_lossy(&page));
    }
    let (wanted, counted) = (matches!(head.status, 200 | 206), head.length.is_some());
    if !tell(Message::Head(head)) || !wanted {
        return;
    }
    let mut body = response.body_mut().as_reader();
    loop {
        let mut bytes = vec![0u8; PIECE];
        match body.read(&mut bytes) {
            Ok(0) => {
                tell(Message::End);
                return;
            }
            Ok(read) => {
                bytes.truncate(read);
                if !tell(Message::Bytes(bytes)) {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // The reader of the stream counts, and says how much is missing.
            Err(error) if counted && error.kind() == std::io::ErrorKind::UnexpectedEof => {
                tell(Message::End);
                return;
            }
            Err(error) => {
                tell(Message::Broken(plain(&error.to_string())));
                return;
            }
        }
    }
}

pub(crate) fn head<T>(response: &ureq::http::Response<T>) -> Head {
    let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::trim);
    let strong = header("etag").filter(|tag| !tag.starts_with("W/"));
    Head {
        status: response.status().as_u16(),
        length: header("content-length").and_then(|text| text.parse().ok()),
        validator: strong
            .or_else(|| header("last-modified"))
            .map(str::to_owned),
        location: header("location").map(str::to_owned),
        retry_after: header("retry-after")
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs),
        range: header("content-range").and_then(content_range),
        words: None,
    }
}

/// The title of a page, else the first line of a text.
pub(crate) fn words(page: &str) -> Option<String> {
    let title = page
        .split_once("<title>")
        .map(|(_, rest)| rest.split('<').next());
    let line = match title {
        Some(title) => title,
        None if page.trim_start().starts_with('<') => None,
        None => page.lines().find(|line| !line.trim().is_empty()),
    };
    let plain = crate::ui::printable(line?.trim());
    (!plain.is_empty()).then(|| plain.chars().take(200).collect())
}

/// `bytes 5-9/10`, `bytes 5-9/*`, `bytes */10`.
fn content_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes")?.trim().split_once('/')?;
    let start = range.split('-').next().and_then(|start| start.parse().ok());
    Some((start, total.parse().ok()))
}

/// What is worth another try.
pub(super) fn judge(error: ureq::Error) -> Fault {
    if let Some(error) = tls::refusal(&error) {
        return Fault::Final(error);
    }
    if let ureq::Error::ConnectProxyFailed(why) = &error
        && let Some(error) = no_tunnel(why)
    {
        return Fault::Final(error);
    }
    let text = match &error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            "the server cannot be reached in time".into()
        }
        ureq::Error::Timeout(_) => "the server does not answer".into(),
        error => plain(&error.to_string()),
    };
    match error {
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::ConnectionFailed
        | ureq::Error::HostNotFound
        | ureq::Error::Protocol(_)
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::BodyStalled => Fault::Passing(text, None),
        ureq::Error::LargeResponseHeader(_, most) => Fault::Final(Error::stage(format!(
            "the server's answer begins with more than {most} bytes of headers"
        ))),
        _ => Fault::Final(Error::stage(text)),
    }
}

/// A proxy that will make no tunnel however often it is asked; the library tells its status only
/// in a sentence.
fn no_tunnel(why: &str) -> Option<Error> {
    let digits = why.split(|c: char| !c.is_ascii_digit());
    let status = digits.filter_map(|digits| digits.parse::<u16>().ok());
    let status = status
        .into_iter()
        .find(|status| (400..500).contains(status))?;
    let hint = match status {
        407 => "name user and password: https_proxy=http://USER:PASSWORD@HOST:PORT",
        408 | 425 | 429 => return None,
        _ => "ask the proxy's administrator, or name the host in no_proxy if it is reached without",
    };
    let status = super::stream::status_text(status);
    Some(Error::stage(format!("the proxy answered {status}")).hint(hint))
}

/// Without the library's prefixes.
fn plain(text: &str) -> String {
    text.strip_prefix("io: ").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_page_are_its_title_or_first_line() {
        for (page, expected) in [
            (
                "<html><title>403 Forbidden file type</title><h1>x",
                Some("403 Forbidden file type"),
            ),
            (
                "\n imgforge: no such file\nx",
                Some("imgforge: no such file"),
            ),
            ("<html><body>x", None),
            ("<title>a\u{1b}[2Jb</title>", Some("ab")),
            ("", None),
        ] {
            assert_eq!(words(page).as_deref(), expected, "{page}");
        }
    }

    #[test]
    fn content_ranges_are_understood() {
        for (text, expected) in [
            ("bytes 5-9/10", Some((Some(5), Some(10)))),
            ("bytes 5-9/*", Some((Some(5), None))),
            ("bytes */10", Some((None, Some(10)))),
            ("lines 1-2/3", None),
            ("bytes", None),
        ] {
            assert_eq!(content_range(text), expected, "{text}");
        }
    }
}
