//! What a guest asks for beside the recipe's mirrors, where it may: repositories that a step adds, and servers
//! of which only the names are known: tunnels of https, and requests that are not for a file. It gets nothing
//! that it would not reach by itself.

use std::io::{Result, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::Ordering;

use super::request::Request;
use super::rules::{self, AllowedFile, Refusal};
use super::{HOST_OF_GUEST, IDLE, Shared, reply};
use crate::http::{is_here, own_addresses};
use crate::lock::NOT_LOCKED;

/// What a request is for that names no mirror of the recipe.
pub(super) fn judge(
    shared: &Shared,
    request: &Request,
    refusal: Refusal,
) -> std::result::Result<AllowedFile, Refusal> {
    if !shared.upstream.is_open() || !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Err(refusal);
    }
    let Some(rest) = request.target.strip_prefix("http://") else {
        return Err(refusal);
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let route = shared.upstream.route_to(&format!("http://{host}"));
    match route.filter(|_| !host.is_empty() && !host.contains('@') && rules::is_clean(path)) {
        Some(route) => Ok(AllowedFile {
            route,
            path: path.to_owned(),
            immutable: rules::is_immutable(path),
            promise: None,
        }),
        None => Err(refusal),
    }
}

/// Connects a client to `target`, `HOST:PORT`, until either ends. Nobody reads what is said.
pub(super) fn tunnel(stream: &TcpStream, shared: &Shared, target: &str) -> Result<()> {
    let connected = match target.rsplit_once(':') {
        Some((host, port)) => connect(shared, "https", host, port).map(|server| (host, server)),
        None => refuse(400, NO_PORT),
    };
    let (host, server) = match connected {
        Ok(connected) => connected,
        Err(refusal) => return refused(stream, shared, target, &refusal),
    };
    (&*stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    // At once: a guest that is switched off does not end it.
    shared.log.tunnel(host.trim_matches(['[', ']']));
    let bytes = join(stream, &server);
    shared.activity.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
}

/// Hands over a request that is not for a file, such as a form, to the server that it names, with what of its
/// body has come, and the answer back. No lock can have that: another client gets another answer.
pub(super) fn pass(
    stream: &TcpStream,
    shared: &Shared,
    request: &Request,
    body: &[u8],
) -> Result<()> {
    let target = request.target.strip_prefix("http://").unwrap_or_default();
    let (site, path) = target.split_at(target.find(['/', '?']).unwrap_or(target.len()));
    let port = site
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'));
    let (host, port) = port.unwrap_or((site, "80"));
    let server = match connect(shared, "http", host, port) {
        Ok(server) => server,
        Err(refusal) => return refused(stream, shared, &request.target, &refusal),
    };
    shared.log.tunnel(host.trim_matches(['[', ']']));
    let slash = if path.starts_with('/') { "" } else { "/" };
    // One request a connection: the next one may be for another server.
    // The name of the site is that of the request, which was judged.
    let line = format!(
        "{} {slash}{path} HTTP/1.1\r\nHost: {site}\r\nConnection: close\r\n",
        request.method
    );
    let head = request.rest.split_inclusive(|byte| *byte == b'\n');
    let own = |line: &&[u8]| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let of_proxies = [
            "host",
            "connection",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
        ];
        !of_proxies
            .iter()
            .any(|one| name.eq_ignore_ascii_case(one.as_bytes()))
    };
    let head: Vec<u8> = head.filter(own).flatten().copied().collect();
    (&server).write_all(&[line.as_bytes(), &head, body].concat())?;
    let bytes = join(stream, &server);
    shared.activity.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
}

fn refused(stream: &TcpStream, shared: &Shared, target: &str, refusal: &Refusal) -> Result<()> {
    let Refusal { status, why } = refusal;
    shared.log.refused(*status, &rules::shown(target), why);
    reply::status(stream, *status, why, false, false)
}

/// Why a tunnel leads nowhere.
const NO_PORT: &str = "no HOST:PORT";

fn refuse<T>(status: u16, why: &'static str) -> std::result::Result<T, Refusal> {
    Err(Refusal { status, why })
}

/// Connects to a server whose answers nobody can lock: one that a lock names as such, where one binds the
/// build; none offline, and none of this host that the guest does not reach.
fn connect(
    shared: &Shared,
    scheme: &str,
    host: &str,
    port: &str,
) -> std::result::Result<TcpStream, Refusal> {
    let host = host.trim_matches(['[', ']']);
    if let Some(locked) = &shared.locked {
        let why = match locked.passes(host) {
            true if !locked.is_offline() => "",
            true => {
                "nobody can read what comes from it, so no lock has it, and --offline asks nobody"
            }
            false => NOT_LOCKED,
        };
        if !why.is_empty() {
            locked.refuse(&rules::shown(&format!("{scheme}://{host}")), why);
            return refuse(403, why);
        }
    }
    let Ok(port) = port.parse::<u16>() else {
        return refuse(400, NO_PORT);
    };
    let found = match host {
        HOST_OF_GUEST if shared.upstream.has_port(port) => {
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        }
        HOST_OF_GUEST => return refuse(403, "the guest does not reach this port of its host"),
        _ => (host, port).to_socket_addrs().map(|all| {
            let own = own_addresses();
            all.filter(|one| !is_here(one.ip(), &own)).collect()
        }),
    };
    let found: Vec<SocketAddr> = match found {
        Ok(found) => found,
        Err(_) => return refuse(502, "this host knows no server of that name"),
    };
    let connect = |address: &SocketAddr| TcpStream::connect_timeout(address, IDLE).ok();
    match found.iter().find_map(connect) {
        Some(server) => Ok(server),
        None => refuse(502, "no server of that name answers, but on this host"),
    }
}

/// Copies both ways until the server has said all; returns how many bytes that was.
pub(crate) fn join(client: &TcpStream, server: &TcpStream) -> u64 {
    // A tunnel may be silent for longer than a request: the kernel ends it with the proxy.
    for one in [client, server] {
        drop(one.set_read_timeout(None));
    }
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        let copied = std::io::copy(&mut from, &mut to).unwrap_or_default();
        drop(to.shutdown(Shutdown::Write));
        copied
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(client, server));
        let bytes = copy(server, client);
        // Who has got all there is says nothing more that counts.
        drop(client.shutdown(Shutdown::Both));
        drop(server.shutdown(Shutdown::Both));
        bytes
    })
}
