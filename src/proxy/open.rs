//! What a guest asks for beside the recipe's mirrors, where it may: repositories that a step adds, and tunnels
//! to servers of https, of which only the names are known. It gets nothing that it would not reach by itself.

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
    let refuse = |status: u16, why: &str| {
        shared.log.refused(status, &rules::shown(target), why);
        reply::status(stream, status, why, false, false)
    };
    let Some((host, port)) = target.rsplit_once(':') else {
        return refuse(400, "no HOST:PORT");
    };
    let host = host.trim_matches(['[', ']']);
    if let Some(locked) = shared.locked.as_ref().filter(|locked| !locked.passes(host)) {
        locked.refuse(&format!("https://{host}"), NOT_LOCKED);
        return refuse(403, NOT_LOCKED);
    }
    if shared
        .locked
        .as_ref()
        .is_some_and(|locked| locked.is_offline())
    {
        let why =
            "nobody can read what comes from it, so no lock has it, and --offline asks nobody";
        if let Some(locked) = &shared.locked {
            locked.refuse(&format!("https://{host}"), why);
        }
        return refuse(403, why);
    }
    let Ok(port) = port.parse::<u16>() else {
        return refuse(400, "no HOST:PORT");
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
        Err(error) => return refuse(502, &error.to_string()),
    };
    let connect = |address: &SocketAddr| TcpStream::connect_timeout(address, IDLE).ok();
    let Some(server) = found.iter().find_map(connect) else {
        return refuse(502, "no server of that name answers, but on this host");
    };
    (&*stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    // At once: a guest that is switched off does not end it.
    shared.log.tunnel(host);
    let bytes = join(stream, &server);
    shared.activity.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
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
