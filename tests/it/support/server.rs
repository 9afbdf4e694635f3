//! A web server on loopback that does what a test tells it to, also what no server should do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use imgforge::http::{Client, Limits, Url};

use crate::patience::HANG;

/// A client that gives up a server which sends nothing for `stall`.
pub(crate) fn client(stall: Duration) -> Client {
    let limits = Limits {
        stall,
        connect: HANG,
        retries: 2,
        pause: Duration::from_millis(10),
        redirects: 5,
    };
    Client::with(limits).unwrap()
}

/// A port where nobody listens: bound only. One that was listened on and dropped is listened on for as
/// long as a program that another thread starts has a copy of it.
pub(crate) struct Nobody {
    pub(crate) address: SocketAddr,
    _bound: OwnedFd,
}

impl Nobody {
    pub(crate) fn new() -> Self {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
        let (inet, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC);
        let bound = socket_with(inet, SocketType::STREAM, flags, None).unwrap();
        bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = getsockname(&bound).unwrap().try_into().unwrap();
        Nobody {
            address,
            _bound: bound,
        }
    }
}

/// What a client asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The part that a `Range` header asks for, of a file of `size` bytes.
    fn range(&self, size: u64) -> Option<(u64, u64)> {
        let (start, last) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let start = start.parse().ok()?;
        let end = last
            .parse::<u64>()
            .map_or(size, |last| (last + 1).min(size));
        Some((start, end))
    }
}

/// What happens to the connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
    /// Nothing more, until the server ends.
    Hang,
}

/// What the server answers.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) then: Then,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Answer {
        Answer {
            status,
            headers: vec![],
            body: vec![],
            then: Then::Keep,
        }
        .header("Content-Length", "0")
    }

    pub(crate) fn redirect(to: &str) -> Answer {
        Answer::status(302).header("Location", to)
    }

    /// The whole of `body`.
    pub(crate) fn of(body: &[u8]) -> Answer {
        let length = body.len().to_string();
        let mut answer = Answer::status(200).header("Content-Length", &length);
        answer.body = body.to_vec();
        answer
    }

    /// What a good server answers about a file that has the entity tag `tag`.
    pub(crate) fn file(request: &Request, body: &[u8], tag: &str) -> Answer {
        let size = body.len() as u64;
        let same = request.header("if-range").is_none_or(|asked| asked == tag);
        let mut answer = match request.range(size).filter(|_| same) {
            Some((start, _)) if start >= size => {
                Answer::status(416).header("Content-Range", &format!("bytes */{size}"))
            }
            Some((start, end)) => {
                let mut answer = Answer::of(&body[start as usize..end as usize]);
                answer.status = 206;
                answer.header(
                    "Content-Range",
                    &format!("bytes {start}-{}/{size}", end - 1),
                )
            }
            None => Answer::of(body),
        };
        if request.method == "HEAD" {
            answer.body.clear();
        }
        answer.header("ETag", tag)
    }

    /// What a good server answers about a directory.
    pub(crate) fn directory(request: &Request, dir: &Path) -> Answer {
        let path = request.path.trim_start_matches('/');
        match std::fs::read(dir.join(path)) {
            Ok(body) => {
                let answer = Answer::file(request, &body, &format!("\"{}-{}\"", path, body.len()));
                match path.ends_with(".json") {
                    true => answer.header("Content-Type", "application/json"),
                    false => answer,
                }
            }
            Err(_) => Answer::status(404),
        }
    }

    /// Replaces a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends only the first bytes of the body, and then does something else.
    pub(crate) fn cut(mut self, bytes: usize, then: Then) -> Answer {
        self.body.truncate(bytes);
        self.then = then;
        self
    }
}

/// A server; dropped, it ends.
pub(crate) struct Server {
    address: SocketAddr,
    secure: bool,
    log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Server {
    /// Starts a server that answers the request with a number, from 0, as `answer` says.
    pub(crate) fn start(
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Server {
        Self::listen(None, answer)
    }

    /// As [`Server::start`], with a certificate.
    pub(crate) fn secure(
        certificate: Arc<rustls::ServerConfig>,
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Server {
        Self::listen(Some(certificate), answer)
    }

    fn listen(
        certificate: Option<Arc<rustls::ServerConfig>>,
        answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            secure: certificate.is_some(),
            log: Arc::default(),
            stop: Arc::default(),
        };
        let (log, stop) = (Arc::clone(&server.log), Arc::clone(&server.stop));
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if *stop.0.lock().unwrap() {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let (log, stop, answer) =
                    (Arc::clone(&log), Arc::clone(&stop), Arc::clone(&answer));
                let tls = certificate.clone().map(rustls::ServerConnection::new);
                std::thread::spawn(move || {
                    // A client that goes away is one of the things that are tested.
                    drop(match tls {
                        Some(tls) => {
                            let stream = rustls::StreamOwned::new(tls.unwrap(), connection);
                            talk(stream, &log, &*answer, &stop)
                        }
                        None => talk(&connection, &log, &*answer, &stop),
                    });
                });
            }
        });
        server
    }

    /// A server of a directory that behaves.
    pub(crate) fn of(dir: &Path) -> Server {
        let dir = dir.to_owned();
        Server::start(move |request, _| Answer::directory(request, &dir))
    }

    pub(crate) fn text(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}/{path}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&self.text(path)).unwrap()
    }

    /// What clients have asked for.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// Forgets what clients have asked for.
    pub(crate) fn forget(&self) {
        self.log.lock().unwrap().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap() = true;
        self.stop.1.notify_all();
        drop(TcpStream::connect(self.address));
    }
}

type Handler = dyn Fn(&Request, usize) -> Answer + Send + Sync;

fn talk(
    connection: impl Read + Write,
    log: &Mutex<Vec<Request>>,
    answer: &Handler,
    stop: &(Mutex<bool>, Condvar),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    while let Some(request) = read_request(&mut reader)? {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        let answer = answer(&request, number);
        let out = reader.get_mut();
        let mut head = format!("HTTP/1.1 {} Status\r\n", answer.status);
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        out.write_all(format!("{head}\r\n").as_bytes())?;
        out.write_all(&answer.body)?;
        out.flush()?;
        match answer.then {
            Then::Keep => {}
            Then::Close => return Ok(()),
            Then::Hang => {
                let mut stopped = stop.0.lock().unwrap();
                while !*stopped {
                    stopped = stop.1.wait(stopped).unwrap();
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

pub(crate) fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: BTreeMap::new(),
        body: vec![],
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            let length = request.header("content-length");
            let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            reader
                .by_ref()
                .take(length)
                .read_to_end(&mut request.body)?;
            return Ok(Some(request));
        };
        request
            .headers
            .insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}
