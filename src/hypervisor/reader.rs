//! Threads that read a guest's console and ports into the bounded queue.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use super::spec::DomainEvent;
use crate::error::{Context as _, Result};

/// Most bytes of one event.
const CHUNK: usize = 8 * 1024;

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
    spawn("console", socket, move |data| {
        log.write(&data);
        queue.send(DomainEvent::Console(data)).is_ok()
    })
}

pub(super) fn port(
    socket: UnixStream,
    name: String,
    queue: SyncSender<DomainEvent>,
) -> Result<JoinHandle<()>> {
    spawn("port", socket, move |data| {
        let name = name.clone();
        queue.send(DomainEvent::Channel { name, data }).is_ok()
    })
}

/// Reads until the end of the stream, or until `take` wants no more.
fn spawn(
    what: &str,
    mut socket: UnixStream,
    mut take: impl FnMut(Vec<u8>) -> bool + Send + 'static,
) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("guest {what}"))
        .spawn(move || {
            let mut buffer = [0; CHUNK];
            loop {
                match socket.read(&mut buffer) {
                    Ok(n @ 1..) => {
                        if !take(buffer[..n].to_vec()) {
                            break;
                        }
                    }
                    Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                    _ => break,
                }
            }
        })
        .doing(|| "starting a thread".into())
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
}
