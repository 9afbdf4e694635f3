//! The proxy against mirrors on loopback that do as they are told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
mod doubt;
mod kept;
mod left;
mod locked;
mod open;
mod others;
mod vouched;

use sha2::{Digest as _, Sha256};

use super::*;

/// What a mirror answers to a request (its head); the connection ends after it.
type Script = dyn Fn(&str) -> Vec<u8> + Send + Sync;

/// A mirror on loopback; it counts and remembers what it was asked.
struct Mirror {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    fn start(script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Mirror {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/debian", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (script, seen): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let head = read_head(&mut stream);
                    seen.lock().unwrap().push(head.clone());
                    // Who asked may have gone.
                    drop(stream.write_all(&script(&head)));
                });
            }
        });
        Mirror { address, asked }
    }

    fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    head
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        World { dir }
    }

    fn proxy(&self, mirrors: &[&Mirror]) -> Proxy {
        self.proxy_of(mirrors, false)
    }

    fn proxy_of(&self, mirrors: &[&Mirror], vouched_only: bool) -> Proxy {
        let addresses = mirrors.iter().map(|mirror| &mirror.address);
        Proxy::start(Settings {
            routes: vec![Route::new("debian", addresses)],
            cache: Cache::new(self.dir.path(), None),
            scratch: self.dir.path().join("scratch"),
            log: self.log(),
            vouched_only,
            locked: None,
            open: None,
        })
        .unwrap()
    }

    fn addresses(&self) -> usize {
        crate::host::lru::files(&self.dir.path().join("cache/urls")).count()
    }
    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("proxy.log")
    }

    fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap()
    }
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

fn ask(proxy: &Proxy, request: &str) -> Reply {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    let request = format!("{}\r\nConnection: close\r\n\r\n", request.trim_end());
    stream.write_all(request.as_bytes()).unwrap();
    let mut all = vec![];
    // A broken answer ends early: then what came counts.
    drop(stream.read_to_end(&mut all));
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    Reply {
        status: head[9..12].parse().unwrap(),
        head,
        body: all[end + 4..].to_vec(),
    }
}

fn get(proxy: &Proxy, path: &str) -> Reply {
    ask(proxy, &format!("GET {path} HTTP/1.1\r\nHost: x"))
}

const DEB: &str = "/debian/pool/main/h/hello/hello_1_all.deb";

/// A file whose name tells its digest.
fn named(content: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(content));
    format!("/debian/dists/x/main/by-hash/SHA256/{digest}")
}

#[test]
fn index_files_are_asked_for_again_with_what_is_known() {
    let mirror = Mirror::start(|head| {
        match head.contains("If-None-Match: \"one\"") || head.contains("if-none-match: \"one\"") {
            true => answer("304 Not Modified", "", b""),
            false => answer(
                "200 OK",
                "ETag: \"one\"\r\nLast-Modified: today\r\n",
                b"index",
            ),
        }
    });
    let world = World::new();
    let path = "/debian/dists/trixie/InRelease";
    assert_eq!(get(&world.proxy(&[&mirror]), path).body, b"index");
    let proxy = world.proxy(&[&mirror]);
    assert_eq!(get(&proxy, path).body, b"index");
    let own = ask(
        &proxy,
        &format!("GET {path} HTTP/1.1\r\nIf-Modified-Since: today"),
    );
    assert_eq!((own.status, own.body.as_slice()), (304, &b""[..]));
    drop(proxy);
    assert_eq!(mirror.requests(), 3);
    let log = world.logged();
    let words: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(words[words.len() - 2..], ["revalidated", "revalidated"]);
}

#[test]
fn what_a_mirror_cannot_vouch_for_is_not_kept() {
    let mirror = Mirror::start(|head| {
        let apt = head.to_ascii_lowercase().contains("user-agent: apt");
        answer("200 OK", "", if apt { b"for apt" } else { b"for all" })
    });
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let path = "/debian/dists/trixie/Release";
    assert_eq!(get(&proxy, path).body, b"for all");
    let apt = ask(&proxy, &format!("GET {path} HTTP/1.1\r\nUser-Agent: apt"));
    assert_eq!(apt.body, b"for apt");
    assert_eq!(mirror.requests(), 2);
    assert_eq!(world.addresses(), 0);
    let left = std::fs::read_dir(world.dir.path().join("scratch"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}

#[test]
fn ranges_are_served_from_what_is_kept_and_from_what_arrives() {
    let mirror = Mirror::start(|_| answer("200 OK", "ETag: \"x\"\r\n", b"0123456789"));
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let path = named(b"0123456789");
    for _ in 0..2 {
        let part = ask(&proxy, &format!("GET {path} HTTP/1.1\r\nRange: bytes=2-4"));
        assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
        assert!(part.head.contains("Content-Range: bytes 2-4/10"));
    }
    let none = ask(&proxy, &format!("GET {path} HTTP/1.1\r\nRange: bytes=10-"));
    assert_eq!(none.status, 416);
    let other = "Range: bytes=2-\r\nIf-Range: \"y\"";
    assert_eq!(
        ask(&proxy, &format!("GET {path} HTTP/1.1\r\n{other}")).status,
        200
    );
    let head = ask(&proxy, &format!("HEAD {path} HTTP/1.1"));
    assert!(head.head.contains("Content-Length: 10") && head.body.is_empty());
    assert_eq!(mirror.requests(), 1);
}

#[test]
fn a_truncated_transfer_goes_on_where_it_broke() {
    let tries = AtomicUsize::new(0);
    let mirror = Mirror::start(move |head| {
        let lower = head.to_ascii_lowercase();
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"x\"\r\n\r\n01234".to_vec(),
            _ => {
                assert!(lower.contains("range: bytes=5-"), "{head}");
                assert!(lower.contains("if-range: \"x\""), "{head}");
                let range = "Content-Range: bytes 5-9/10\r\n";
                answer("206 Partial Content", range, b"56789")
            }
        }
    });
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    assert_eq!(get(&proxy, &named(b"0123456789")).body, b"0123456789");
    assert_eq!(get(&proxy, &named(b"0123456789")).body, b"0123456789");
    assert_eq!(mirror.requests(), 2);
}

#[test]
fn a_transfer_that_stays_truncated_is_never_kept() {
    let mirror = Mirror::start(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234".to_vec());
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let reply = get(&proxy, DEB);
    assert!(reply.head.contains("Content-Length: 10"));
    assert_eq!(reply.body, b"01234", "the client can tell");
    assert!(proxy.finish().fetched.is_empty());
    assert_eq!(world.addresses(), 0);
    assert!(world.logged().contains("failed 0"));
}

#[test]
fn the_next_mirror_stands_in_for_one_that_is_down() {
    let down = Mirror::start(|_| answer("503 Busy", "", b""));
    let up = Mirror::start(|_| answer("200 OK", "", b"package"));
    let gone = Mirror {
        address: "http://127.0.0.1:9/debian".into(),
        asked: Arc::default(),
    };
    let world = World::new();
    let proxy = world.proxy(&[&gone, &down, &up]);
    assert_eq!(get(&proxy, DEB).body, b"package");
    assert_eq!(get(&proxy, "/debian/dists/x/Release").status, 200);
    assert_eq!(
        (down.requests(), up.requests()),
        (1, 2),
        "what is down comes last"
    );
    let log = world.logged();
    assert!(log.contains("down 0 0 http://127.0.0.1:9/"), "{log}");
    let alone = world.proxy(&[&down]);
    let reply = get(&alone, "/debian/dists/x/Release");
    assert_eq!(reply.status, 502);
    assert!(String::from_utf8_lossy(&reply.body).contains("503"));
}

#[test]
fn a_package_that_one_mirror_lacks_comes_from_the_next_but_no_index_does() {
    let lacks = Mirror::start(|_| answer("404 No", "", b""));
    let has = Mirror::start(|_| answer("200 OK", "", b"package"));
    let world = World::new();
    let proxy = world.proxy(&[&lacks, &has]);
    assert_eq!(get(&proxy, DEB).body, b"package");
    assert_eq!(get(&proxy, "/debian/dists/x/Release").status, 404);
}

#[test]
fn nothing_else_is_relayed() {
    let mirror = Mirror::start(|_| answer("200 OK", "", b"secret"));
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let other = mirror.address.replace("/debian", "/private");
    for (request, status) in [
        ("CONNECT 127.0.0.1:22 HTTP/1.1".to_owned(), 403),
        ("GET http://me:pw@127.0.0.1:22/ HTTP/1.1".to_owned(), 403),
        (format!("GET {other}/x HTTP/1.1"), 403),
        ("GET /other/x HTTP/1.1".to_owned(), 403),
        ("GET /debian/../private/x HTTP/1.1".to_owned(), 400),
        (
            "POST /debian/x HTTP/1.1\r\nContent-Length: 1".to_owned(),
            405,
        ),
        ("nonsense".to_owned(), 400),
    ] {
        assert_eq!(ask(&proxy, &request).status, status, "{request}");
    }
    assert_eq!(mirror.requests(), 0);
    drop(proxy);
    let log = world.logged();
    assert_eq!(
        log.lines()
            .filter(|line| line.starts_with("refused"))
            .count(),
        7
    );
    assert!(!log.contains("pw"), "{log}");
}

#[test]
fn a_file_that_lies_about_its_digest_is_not_kept() {
    let mirror = Mirror::start(|_| answer("200 OK", "", b"other bytes"));
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let path = format!("/debian/dists/x/by-hash/SHA256/{}", "0".repeat(64));
    assert_eq!(get(&proxy, &path).body, b"other byte", "never all of it");
    assert!(proxy.finish().fetched.is_empty());
    assert_eq!(world.addresses(), 0);
}

/// A body that arrives in two halves; the second when it is told.
fn halves() -> (Mirror, Sender<()>) {
    let (go, wait): (_, Receiver<()>) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/debian", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(vec![]));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            seen.lock().unwrap().push(read_head(&mut stream));
            let first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";
            stream.write_all(first).unwrap();
            wait.recv().unwrap();
            stream.write_all(b"56789").unwrap();
        }
    });
    (Mirror { address, asked }, go)
}

#[test]
fn several_clients_share_one_transfer_and_see_it_arrive() {
    let (mirror, go) = halves();
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let port = proxy.port();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            write!(stream, "GET {DEB} HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let mut half = [0u8; 5];
            reader.read_exact(&mut half).unwrap();
            assert_eq!(&half, b"01234", "before the rest has come");
            reader
        })
        .collect();
    // One who loses patience ends nothing for the others.
    let mut clients = clients.into_iter();
    drop(clients.next());
    go.send(()).unwrap();
    for mut client in clients {
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "56789");
    }
    assert_eq!(mirror.requests(), 1);
}

#[test]
fn a_proxy_ends_in_the_middle_of_a_transfer() {
    let (mirror, _go) = halves();
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    write!(stream, "GET {DEB} HTTP/1.1\r\n\r\n").unwrap();
    let mut begin = [0u8; 16];
    stream.read_exact(&mut begin).unwrap();
    assert!(proxy.finish().fetched.is_empty());
    let mut rest = vec![];
    drop(stream.read_to_end(&mut rest));
    assert!(!rest.ends_with(b"56789"));
    assert!(!Path::new(&world.dir.path().join("cache/blobs/00")).exists());
}
