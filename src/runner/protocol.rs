//! What the runner says on its first port, and what it is told: one line each way at a time.
//!
//! Events are words of `[A-Za-z0-9._-]`. They only inform: the journal decides. A guest that
//! breaks the rules is noted, and never believed, slowed down or obeyed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Longest line of an event, in bytes.
const LONGEST: usize = 256;

/// How many breaches of the rules are noted.
const NOTED: usize = 20;

/// An event of the runner. Unknown words are no error: they belong to a newer runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A runner started and knows this nonce.
    Hello(String),
    /// It is the guest's boot number so-and-so.
    Boot(u32),
    /// The runner waits for the secrets.
    Secrets,
    /// A step begins.
    Begin(u32),
    /// Another try of a step, after this exit code.
    Try(u32, u32, i32),
    /// A step ended with this exit code.
    End(u32, i32),
    /// A step does not apply here.
    Skip(u32),
    /// A step restarts the guest.
    Reboot(u32),
    /// The runner gives up, and why.
    Fail(String),
    /// Something that the gate asked for.
    Fact(String, String),
    /// The guest's clock, in nanoseconds since 1970; whether it tells less than a second.
    Time(i64, bool),
    /// The job ended with this exit code.
    Done(i32),
}

/// The words of one event, or `None` for what is no event.
pub fn parse(line: &str) -> Option<Event> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._- ".contains(c);
    if line.len() > LONGEST || !line.chars().all(plain) {
        return None;
    }
    let words: Vec<&str> = line.split(' ').collect();
    let number = |text: &str| text.parse::<u32>().ok();
    let code = |text: &str| text.parse::<i32>().ok().filter(|c| (0..=255).contains(c));
    Some(match words.as_slice() {
        ["hello", nonce] => Event::Hello((*nonce).to_owned()),
        ["boot", n] => Event::Boot(number(n)?),
        ["secrets"] => Event::Secrets,
        ["step", n, "begin"] => Event::Begin(number(n)?),
        ["step", n, "try", k, c] => Event::Try(number(n)?, number(k)?, code(c)?),
        ["step", n, "end", c] => Event::End(number(n)?, code(c)?),
        ["step", n, "skip"] => Event::Skip(number(n)?),
        ["step", n, "reboot"] => Event::Reboot(number(n)?),
        ["fail", reason] => Event::Fail((*reason).to_owned()),
        ["fact", name, value] => Event::Fact((*name).to_owned(), (*value).to_owned()),
        ["time", t] => time(t)?,
        ["done", c] => Event::Done(code(c)?),
        _ => return None,
    })
}

/// `SECONDS.NANOSECONDS`, or `SECONDS` of a clock that tells no more.
fn time(text: &str) -> Option<Event> {
    let (seconds, rest) = text.split_once('.').unwrap_or((text, ""));
    let seconds = seconds.parse::<u32>().ok()?;
    let nanoseconds = match rest.len() {
        0 => 0,
        9 => rest.parse::<u32>().ok()?,
        _ => return None,
    };
    let at = i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds);
    Some(Event::Time(at, !rest.is_empty()))
}

/// Cuts the port's bytes into events.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    overlong: bool,
    breaches: Vec<String>,
    seen: u64,
}

impl Parser {
    /// Takes bytes and returns the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = vec![];
        for byte in bytes {
            match byte {
                b'\n' => events.extend(self.line()),
                _ if self.buffer.len() >= LONGEST => self.overlong = true,
                _ => self.buffer.push(*byte),
            }
        }
        events
    }

    /// Notes a breach of the rules.
    pub fn breach(&mut self, what: impl Into<String>) {
        self.seen += 1;
        if self.breaches.len() < NOTED {
            self.breaches.push(what.into());
        }
    }

    /// The first breaches of the rules, and how many there were.
    pub fn breaches(&self) -> (&[String], u64) {
        (&self.breaches, self.seen)
    }

    fn line(&mut self) -> Option<Event> {
        let raw = std::mem::take(&mut self.buffer);
        if std::mem::take(&mut self.overlong) {
            self.breach("a line that is too long");
            return None;
        }
        let Ok(text) = String::from_utf8(raw) else {
            self.breach("a line that is not UTF-8");
            return None;
        };
        let event = parse(text.trim_end_matches('\r'));
        if event.is_none() && !text.trim().is_empty() {
            self.breach("a line that is no event");
        }
        event
    }
}

/// What the host answers to [`Event::Secrets`].
pub fn secrets(values: &BTreeMap<String, Vec<u8>>) -> String {
    let mut lines = String::new();
    for (name, value) in values {
        let _ = writeln!(lines, "secret {name} {}", BASE64_STANDARD.encode(value));
    }
    lines + "secrets-end\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_words_with_numbers_in_range() {
        for (line, event) in [
            ("hello a1b2", Some(Event::Hello("a1b2".into()))),
            ("boot 2", Some(Event::Boot(2))),
            ("step 3 begin", Some(Event::Begin(3))),
            ("step 3 try 2 100", Some(Event::Try(3, 2, 100))),
            ("step 3 end 0", Some(Event::End(3, 0))),
            ("step 3 skip", Some(Event::Skip(3))),
            ("step 3 reboot", Some(Event::Reboot(3))),
            ("fail secrets", Some(Event::Fail("secrets".into()))),
            (
                "fact state running",
                Some(Event::Fact("state".into(), "running".into())),
            ),
            ("time 7.000000009", Some(Event::Time(7_000_000_009, true))),
            ("time 7", Some(Event::Time(7_000_000_000, false))),
            ("time 7.9", None),
            ("time -7", None),
            ("time 99999999999.000000000", None),
            ("done 0", Some(Event::Done(0))),
            ("done 256", None),
            ("done -1", None),
            ("step 99999999999 begin", None),
            ("step 3 end 0 and more", None),
            ("step  3 begin", None),
            ("fact state ../../etc", None),
            ("hello \u{1b}[2J", None),
            ("", None),
        ] {
            assert_eq!(parse(line), event, "{line:?}");
        }
    }

    #[test]
    fn hostile_bytes_are_noted_and_cost_a_bounded_amount_of_memory() {
        let mut parser = Parser::default();
        for _ in 0..10_000 {
            assert!(parser.push(&[b'a'; 1024]).is_empty());
        }
        assert_eq!(parser.buffer.len(), LONGEST);
        assert_eq!(parser.push(b"\nstep 1 be"), []);
        assert_eq!(parser.push(b"gin\r\n"), [Event::Begin(1)]);
        for _ in 0..100 {
            assert!(parser.push(b"\xff\xfe\n").is_empty());
        }
        let (noted, all) = parser.breaches();
        assert_eq!((noted.len(), all), (NOTED, 101));
        assert_eq!(
            noted[..2],
            ["a line that is too long", "a line that is not UTF-8"]
        );
    }

    #[test]
    fn secrets_are_lines_of_base64() {
        let values = BTreeMap::from([
            ("a".to_owned(), b"f".to_vec()),
            ("b".to_owned(), b"fo\n\xff".to_vec()),
            ("c".to_owned(), vec![]),
        ]);
        assert_eq!(
            secrets(&values),
            "secret a Zg==\nsecret b Zm8K/w==\nsecret c \nsecrets-end\n"
        );
    }
}
