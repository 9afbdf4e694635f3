//! Threads that read a guest's console and ports into the bounded queue.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::spec::DomainEvent;
use crate::error::{Context as _, Result};

/// Most bytes of one event.
const CHUNK: usize = 8 * 1024;

/// Most bytes that are read ahead of a queue without room. QEMU's serial port of 64-bit ARM stops the whole
/// machine, and with it what libvirt asks, until a byte is taken: who empties the queue may wait for that.
const AHEAD: usize = 1 << 20;

/// How long a byte more is awaited before the queue is asked again.
const AGAIN: Duration = Duration::from_millis(10);

/// Errors of a read after which the next one may do.
const PASSING: [ErrorKind; 3] = [
    ErrorKind::Interrupted,
    ErrorKind::WouldBlock,
    ErrorKind::TimedOut,
];

/// Most bytes of a console log.
const LOG_LIMIT: u64 = 64 << 20;

/// The file of the console, bounded: a guest can print for hours.
#[derive(Debug)]
pub(super) struct Log {
    file: Option<File>,
    limit: u64,
    left: u64,
}

impl Log {
    /// Without a path nothing is written.
    pub(super) fn create(path: Option<&Path>) -> Result<Log> {
        let nowhere = Log {
            file: None,
            limit: 0,
            left: 0,
        };
        path.map_or(Ok(nowhere), |path| Log::with_limit(path, LOG_LIMIT))
    }

    fn with_limit(path: &Path, limit: u64) -> Result<Log> {
        let file =
            File::create(path).doing(|| format!("writing the console log {}", path.display()))?;
        Ok(Log {
            file: Some(file),
            limit,
            left: limit,
        })
    }

    /// A full host disk ends the log, not the guest.
    fn write(&mut self, data: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let fits = data.len().min(self.left as usize);
        self.left -= fits as u64;
        let full = fits < data.len();
        let mut written = file.write_all(&data[..fits]);
        if full {
            let note = format!(
                "\n[imgforge: the log ends here, after {} bytes]\n",
                self.limit
            );
            written = written.and_then(|()| file.write_all(note.as_bytes()));
        }
        if full || written.is_err() {
            self.file = None;
        }
    }
}

pub(super) fn console(
    socket: UnixStream,
    mut log: Log,
    queue: SyncSender<DomainEvent>,
) -> Result<JoinHandle<()>> {
    let seen = move |data: &[u8]| log.write(data);
    spawn("console", socket, queue, seen, DomainEvent::Console)
}

pub(super) fn port(
    socket: UnixStream,
    name: String,
    queue: SyncSender<DomainEvent>,
) -> Result<JoinHandle<()>> {
    let event = move |data| DomainEvent::Channel {
        name: name.clone(),
        data,
    };
    spawn("port", socket, queue, |_| (), event)
}

/// Reads until the end of the stream, or until nobody wants more. Where the queue has no room, it reads
/// ahead.
fn spawn(
    what: &str,
    mut socket: UnixStream,
    queue: SyncSender<DomainEvent>,
    mut seen: impl FnMut(&[u8]) + Send + 'static,
    event: impl Fn(Vec<u8>) -> DomainEvent + Send + 'static,
) -> Result<JoinHandle<()>> {
    let work = move || {
        let (mut buffer, mut ahead) = ([0; CHUNK], vec![]);
        let mut open = true;
        while open {
            let again = (!ahead.is_empty()).then_some(AGAIN);
            open = socket.set_read_timeout(again).is_ok();
            match socket.read(&mut buffer) {
                Ok(n @ 1..) => {
                    seen(&buffer[..n]);
                    ahead.extend_from_slice(&buffer[..n]);
                }
                Err(cause) if PASSING.contains(&cause.kind()) => {}
                _ => open = false,
            }
            let wait = !open || ahead.len() >= AHEAD;
            if !enqueue(&mut ahead, &queue, &event, wait) {
                break;
            }
        }
    };
    std::thread::Builder::new()
        .name(format!("guest {what}"))
        .spawn(work)
        .doing(|| "starting a thread".into())
}

/// Gives the queue what was read, as far as it has room, or all of it if that is worth a `wait`; false when
/// nobody wants it.
fn enqueue(
    ahead: &mut Vec<u8>,
    queue: &SyncSender<DomainEvent>,
    event: impl Fn(Vec<u8>) -> DomainEvent,
    wait: bool,
) -> bool {
    while !ahead.is_empty() {
        let size = ahead.len().min(CHUNK);
        let next = event(ahead[..size].to_vec());
        let gone = match (wait, queue.try_send(next)) {
            (_, Ok(())) => false,
            (false, Err(TrySendError::Full(_))) => return true,
            (true, Err(TrySendError::Full(next))) => queue.send(next).is_err(),
            (_, Err(TrySendError::Disconnected(_))) => true,
        };
        if gone {
            return false;
        }
        ahead.drain(..size);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_ends_at_its_limit_and_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut log = Log::with_limit(file.path(), 10).unwrap();
        for _ in 0..3 {
            log.write(b"12345678");
        }
        assert_eq!(
            std::fs::read_to_string(file.path()).unwrap(),
            "1234567812\n[imgforge: the log ends here, after 10 bytes]\n"
        );
    }

    /// A guest never waits for who empties the queue, however small the pieces are in which it writes.
    #[test]
    fn a_queue_without_room_stops_no_guest() {
        let (mut guest, host) = UnixStream::pair().unwrap();
        let (queue, events) = std::sync::mpsc::sync_channel(1);
        let reader = port(host, "org.imgforge.0".into(), queue).unwrap();
        let written: Vec<u8> = (0..AHEAD / 2).map(|n| (n / 7) as u8).collect();
        for piece in written.chunks(501) {
            guest.write_all(piece).unwrap();
        }
        drop(guest);
        let mut read = vec![];
        for event in events {
            let DomainEvent::Channel { data, .. } = event else {
                panic!("{event:?}")
            };
            assert!(data.len() <= CHUNK);
            read.extend(data);
        }
        assert!(read == written);
        reader.join().unwrap();
    }
}
