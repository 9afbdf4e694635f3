//! Who connects: all users of this host reach its loopback, and the proxy is one guest's.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};

use crate::host::{confine, ours};

/// Where the kernel lists its sockets; those of IPv6 connect to addresses of IPv4, too.
const LISTS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// A list can miss a line while others come and go.
const LOOKS: usize = 3;

/// Whether root, this user, or what runs for a guest has the other end of a connection on loopback.
pub(super) fn is_the_guests(stream: &TcpStream) -> bool {
    let (Ok(SocketAddr::V4(from)), Ok(SocketAddr::V4(to))) =
        (stream.peer_addr(), stream.local_addr())
    else {
        return false;
    };
    let listed = (0..LOOKS).flat_map(|_| LISTS).find_map(|list| {
        let list = fs::read_to_string(list).ok()?;
        owner(&list, from, to)
    });
    listed.is_some_and(|user| [0, ours::me()].contains(&user) || confine::is_nobodys(user))
}

/// Who has the socket that is connected `from` here `to` there, of proc_net_tcp(5).
fn owner(list: &str, from: SocketAddrV4, to: SocketAddrV4) -> Option<u32> {
    let [from, to] = [from, to].map(|end| {
        let address = u32::from_ne_bytes(end.ip().octets());
        format!("{address:08X}:{:04X}", end.port())
    });
    list.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().take(10).collect();
        let [_, local, remote, _, _, _, _, user, _, inode] = words[..] else {
            return None;
        };
        // One that was closed has no inode, and is said to be root's.
        let is_it = local.ends_with(&from) && remote.ends_with(&to) && inode != "0";
        is_it.then(|| user.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_was_closed_is_nobodys() {
        let (from, to) = ("127.0.0.1:40000", "127.0.0.1:3142");
        let [from, to] = [from, to].map(|end| end.parse::<SocketAddrV4>().unwrap());
        let ends = |from: &SocketAddrV4, to: &SocketAddrV4| {
            let hex = |end: &SocketAddrV4| {
                format!(
                    "{:08X}:{:04X}",
                    u32::from_ne_bytes(end.ip().octets()),
                    end.port()
                )
            };
            format!("{} {}", hex(from), hex(to))
        };
        let rest = |user, inode| format!("01 0:0 00:00000000 00000000 {user} 0 {inode} 1 0 20");
        // The proxy's own end has the same addresses, the other way round.
        let mut list = format!("   0: {} {}\n", ends(&to, &from), rest(7, 5));
        assert_eq!(owner(&list, from, to), None);
        list += &format!("   1: {} {}\n", ends(&from, &to), rest(0, 0));
        assert_eq!(owner(&list, from, to), None);
        list += &format!(
            "   2: {}{} {}\n",
            "0000000000000000FFFF0000",
            ends(&from, &to).replace(' ', " 0000000000000000FFFF0000"),
            rest(8, 6)
        );
        assert_eq!(owner(&list, from, to), Some(8));
    }
}
