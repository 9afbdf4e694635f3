//! Waits for a program that will listen on a socket.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::{Context as _, Result};

/// How often somebody is looked for.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until somebody listens on `socket`. Its file is there before, from the moment when it is
/// bound; connections are refused until then. `go_on` is asked before each pause.
///
/// # Errors
/// Those of `go_on`, and when the socket cannot be used at all.
pub fn wait(socket: &Path, mut go_on: impl FnMut() -> Result<()>) -> Result<()> {
    let later = [
        ErrorKind::NotFound,
        ErrorKind::ConnectionRefused,
        ErrorKind::Interrupted,
    ];
    loop {
        match UnixStream::connect(socket) {
            Ok(_) => return Ok(()),
            Err(cause) if later.contains(&cause.kind()) => go_on()?,
            other => {
                return other
                    .map(drop)
                    .doing(|| format!("connecting to {}", socket.display()));
            }
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

    use super::*;
    use crate::error::Error;

    /// A socket whose file is there, and on which nobody listens: bound only. One that was listened on
    /// and dropped is listened on for as long as a program that another thread starts has a copy of it.
    fn silent() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let (unix, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let bound = socket_with(unix, SocketType::STREAM, flags, None).unwrap();
        bind(&bound, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        assert_eq!(
            UnixStream::connect(&path).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        (dir, path)
    }

    #[test]
    fn a_file_without_a_listener_is_waited_for() {
        let (_dir, path) = silent();
        let mut listener = None;
        let mut asked = 0;
        wait(&path, || {
            asked += 1;
            if asked == 3 {
                std::fs::remove_file(&path).unwrap();
            }
            if asked == 5 {
                listener = Some(UnixListener::bind(&path).unwrap());
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(asked, 5);
    }

    #[test]
    fn whoever_waits_may_stop() {
        let (_dir, path) = silent();
        let error = wait(&path, || Err(Error::host("too late"))).unwrap_err();
        assert_eq!(error.message(), "too late");
    }
}
