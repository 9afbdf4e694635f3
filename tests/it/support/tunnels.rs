//! A proxy on loopback that opens tunnels.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::server::{Request, read_request};

/// A proxy whose tunnels all lead to one server, whatever host they are asked for.
pub(crate) struct Tunnels {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Tunnels {
    /// With `password`, only who sends this as `Proxy-Authorization` gets one.
    pub(crate) fn to(server: SocketAddr, password: Option<&'static str>) -> Tunnels {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tunnels = Tunnels {
            address: listener.local_addr().unwrap(),
            log: Arc::default(),
            stop: Arc::default(),
        };
        let (log, stop) = (Arc::clone(&tunnels.log), Arc::clone(&tunnels.stop));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let log = Arc::clone(&log);
                std::thread::spawn(move || drop(tunnel(&connection, server, password, &log)));
            }
        });
        tunnels
    }

    pub(crate) fn text(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The hosts that tunnels were asked to.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let asked = log.iter().filter(|request| request.method == "CONNECT");
        asked.map(|request| request.path.clone()).collect()
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn tunnel(
    client: &TcpStream,
    server: SocketAddr,
    password: Option<&str>,
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let Some(request) = read_request(&mut BufReader::new(client))? else {
        return Ok(());
    };
    let allowed = password.is_none() || request.header("proxy-authorization") == password;
    log.lock().unwrap().push(request);
    let mut answer = client;
    if !allowed {
        return answer.write_all(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    }
    let upstream = TcpStream::connect(server)?;
    answer.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    std::thread::scope(|scope| {
        scope.spawn(|| pump(client, &upstream));
        pump(&upstream, client);
    });
    Ok(())
}

fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    // However it ends, the other side is to know.
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}
