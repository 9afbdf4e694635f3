//! The host's end of a guest's console or virtio-serial port.

use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;

/// How long [`Port::send`] waits for a guest that does not read.
const SEND_WITHIN: Duration = Duration::from_secs(20);

/// How often a wait looks for signals.
const POLL: Duration = Duration::from_millis(100);

/// Writes to a guest, from any thread.
#[derive(Debug)]
pub struct Port {
    socket: UnixStream,
    what: String,
}

impl Port {
    pub(super) fn connect(path: &Path, what: String) -> Result<Port> {
        let socket = UnixStream::connect(path).map_err(|cause| {
            Error::host(format!("{what} cannot be opened"))
                .cause(cause)
                .hint("an ordinary user's guests run under qemu:///session")
        })?;
        Port::accepted(socket, what)
    }

    /// The host's end of a connection that QEMU made.
    pub(super) fn accepted(socket: UnixStream, what: String) -> Result<Port> {
        socket
            .set_write_timeout(Some(POLL))
            .doing(|| format!("opening {what}"))?;
        Ok(Port { socket, what })
    }

    /// Another handle of the same port.
    ///
    /// # Errors
    /// When the process has too many open files.
    pub fn another(&self) -> Result<Port> {
        Ok(Port {
            socket: self.reader()?,
            what: self.what.clone(),
        })
    }

    pub(super) fn reader(&self) -> Result<UnixStream> {
        self.socket
            .try_clone()
            .doing(|| format!("sharing {}", self.what))
    }

    /// Ends reading and writing, in all handles.
    pub(super) fn close(&self) {
        drop(self.socket.shutdown(std::net::Shutdown::Both));
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// When the guest is gone, does not read for 20 seconds, or imgforge is interrupted.
    pub fn send(&self, data: &[u8]) -> Result<()> {
        self.send_within(data, SEND_WITHIN)
    }

    fn send_within(&self, mut data: &[u8], limit: Duration) -> Result<()> {
        let failed = || Error::stage(format!("writing to {} failed", self.what));
        let deadline = Instant::now() + limit;
        while !data.is_empty() {
            interrupt::check()?;
            match (&self.socket).write(data) {
                Ok(written) => data = &data[written..],
                Err(cause) if is_timeout(cause.kind()) && Instant::now() < deadline => {}
                Err(cause) if is_timeout(cause.kind()) => {
                    return Err(failed().cause("the guest does not read"));
                }
                Err(cause) => return Err(failed().cause("the guest is gone").cause(cause)),
            }
        }
        Ok(())
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> (Port, UnixStream) {
        let (socket, guest) = UnixStream::pair().unwrap();
        socket.set_write_timeout(Some(POLL)).unwrap();
        let what = "the port p of the guest g".to_owned();
        (Port { socket, what }, guest)
    }

    #[test]
    fn a_guest_that_does_not_read_ends_the_wait() {
        let (port, _guest) = port();
        let flood = vec![0; 4 << 20];
        let error = port
            .send_within(&flood, Duration::from_millis(300))
            .unwrap_err();
        assert!(error.render().contains("does not read"), "{error}");
    }

    #[test]
    fn a_guest_that_is_gone_is_an_error_and_no_signal() {
        let (port, guest) = port();
        drop(guest);
        let error = port.send(b"hello").unwrap_err();
        assert!(error.render().contains("the guest is gone"), "{error}");
    }
}
