//! A way from a guest to ports of this host's loopback that needs no network of the host's, and leads nowhere else.
//!
//! QEMU is in a network namespace of its own, see [`apart`](super::apart). This program, started once more,
//! goes there, has the loopback come up, listens, and hands over what it listens on: a socket stays in the
//! namespace in which it was made, whoever has it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketType, netlink, recvmsg, sendmsg, shutdown,
};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::proxy;

/// The hidden command whose process runs [`listen_child`]: the process in whose network it listens, and ports.
pub const COMMAND: &str = "__listen-apart";

/// How long that may take; 10 ms is usual.
const WITHIN: Duration = Duration::from_secs(120);

/// Ports of one guest.
const PORTS: usize = 64;

/// How long a guest waits where this process has no more files to open for a while.
const FULL: Duration = Duration::from_millis(100);

/// Connections of one guest at a time.
const CONNECTIONS: usize = 256;

/// The way. Dropping it closes it; what was connected ends with the guest.
#[derive(Debug)]
pub(super) struct Door {
    listeners: Vec<Arc<TcpListener>>,
}

impl Door {
    /// Leads from the loopback of the process `qemu` to the same `ports` of this host's. `program` is
    /// imgforge.
    ///
    /// # Errors
    /// When that process' network cannot be entered.
    pub(super) fn open(program: &Path, qemu: Pid, ports: &[u16]) -> Result<Door> {
        let mut door = Door { listeners: vec![] };
        if ports.is_empty() {
            return Ok(door);
        }
        let doing = || "connecting the guest with the proxy".to_owned();
        let (ours, theirs) = UnixStream::pair().doing(doing)?;
        let numbers = ports.iter().map(u16::to_string);
        let child = Program::at(program)
            .arg(COMMAND)
            .arg(qemu.as_raw_nonzero().to_string())
            .args(numbers)
            .stdin(OwnedFd::from(theirs));
        child.timeout(WITHIN).run()?;
        let listeners = receive(&ours).doing(doing)?;
        if listeners.len() != ports.len() {
            return Err(Error::host("the guest gets no way to the proxy")
                .cause("nothing listens in its network")
                .hint("it needs the right to enter the name spaces of its own processes"));
        }
        let open = Arc::new(AtomicUsize::new(0));
        for (listener, port) in listeners.into_iter().zip(ports.iter().copied()) {
            let listener = Arc::new(listener);
            door.listeners.push(Arc::clone(&listener));
            let open = Arc::clone(&open);
            std::thread::spawn(move || {
                let next = || listener.accept().map(|(guest, _)| guest);
                accept(next, |guest| relay(guest, port, &open));
            });
        }
        Ok(door)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        for listener in &self.listeners {
            // Ends the thread that accepts.
            shutdown(listener, Shutdown::Both).unwrap_or_default();
        }
    }
}

/// Takes whoever comes, until the listener is closed.
fn accept<T>(mut next: impl FnMut() -> io::Result<T>, mut come: impl FnMut(T)) {
    loop {
        match next() {
            Ok(guest) => come(guest),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // EMFILE, ENFILE, ENOMEM: others of this process or host have them, and give them back.
            Err(_) => std::thread::sleep(FULL),
        }
    }
}

/// Connects a guest with the same port of this host's loopback.
fn relay(guest: TcpStream, port: u16, open: &Arc<AtomicUsize>) {
    if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
        open.fetch_sub(1, Ordering::SeqCst);
        return;
    }
    let open = Arc::clone(open);
    std::thread::spawn(move || {
        if let Ok(host) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            proxy::join(&guest, &host);
        }
        open.fetch_sub(1, Ordering::SeqCst);
    });
}

/// The sockets that the child has sent.
fn receive(from: &UnixStream) -> io::Result<Vec<TcpListener>> {
    from.set_nonblocking(true)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PORTS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    recvmsg(from, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut listeners = vec![];
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sockets) = message {
            listeners.extend(sockets.map(TcpListener::from));
        }
    }
    Ok(listeners)
}

/// The child's side, with the arguments behind [`COMMAND`]. It has no other thread, so that it may change its
/// namespaces.
pub fn listen_child(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match listen(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            drop(writeln!(io::stderr(), "{cause}"));
            ExitCode::FAILURE
        }
    }
}

fn listen(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let word = |word: Option<OsString>| word.and_then(|word| word.into_string().ok());
    let pid = word(arguments.next()).unwrap_or_default();
    let ports = arguments.map(|port| word(Some(port))?.parse::<u16>().ok());
    let ports: Option<Vec<u16>> = ports.collect();
    let ports = ports.filter(|ports| ports.len() <= PORTS);
    let ports = ports.ok_or(io::ErrorKind::InvalidInput)?;
    let space = |name: &str| File::open(format!("/proc/{pid}/ns/{name}"));
    let (user, network) = (space("user")?, space("net")?);
    if !rustix::process::geteuid().is_root() {
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))?;
    }
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    loopback_up()?;
    let listeners = ports
        .iter()
        .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)));
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    let sockets: Vec<BorrowedFd<'_>> = listeners.iter().map(|one| one.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PORTS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(
        io::stdin(),
        &[IoSlice::new(b"!")],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Has the first card of a network, which is its loopback, come up: RTM_NEWLINK of rtnetlink(7).
fn loopback_up() -> io::Result<()> {
    const NEWLINK: u16 = 16;
    const REQUEST_ACK: u16 = 1 | 4;
    const UP: u32 = 1;
    let mut message = vec![];
    message.extend(32u32.to_ne_bytes());
    message.extend(NEWLINK.to_ne_bytes());
    message.extend(REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg: family and type; index, flags, and which of these count.
    message.extend([0; 4]);
    message.extend(1i32.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    let mut answer = [0u8; 512];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    // struct nlmsgerr behind the header: 0, or an error of errno(3) below it.
    let code = answer[..length].get(16..20);
    let code = code.and_then(|bytes| bytes.try_into().ok());
    match i32::from_ne_bytes(code.unwrap_or([0xff; 4])) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_full_for_a_while_closes_no_door() {
        use rustix::io::Errno;
        let errors = [Errno::MFILE, Errno::NFILE, Errno::CONNABORTED];
        let mut events = errors.map(Err).into_iter().chain([Ok(1)]);
        let mut come = vec![];
        let closed = Err(Errno::INVAL);
        let next = || events.next().unwrap_or(closed).map_err(io::Error::from);
        accept(next, |guest| come.push(guest));
        assert_eq!(come, [1]);
    }

    #[test]
    fn a_listener_that_is_closed_ends_its_thread() {
        let listener = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let door = Door {
            listeners: vec![Arc::clone(&listener)],
        };
        drop(door);
        accept(|| listener.accept(), |_| panic!("nobody has come"));
    }
}
