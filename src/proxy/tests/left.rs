//! What a guest asks for in numbers, or asks for and does not take.

use super::super::flight::FLIGHTS;
use super::*;

/// A mirror whose connections `talk` answers, each in a thread of its own.
fn mirror(talk: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Mirror {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/debian", listener.local_addr().unwrap());
    let (talk, asked) = (Arc::new(talk), Arc::default());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (talk, mut stream) = (Arc::clone(&talk), stream.unwrap());
            std::thread::spawn(move || {
                read_head(&mut stream);
                talk(&mut stream);
            });
        }
    });
    Mirror { address, asked }
}

fn head(length: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nETag: \"x\"\r\n\r\n")
}

#[test]
fn what_nobody_reads_any_more_is_not_fetched_to_its_end() {
    const LENGTH: u64 = 1 << 30;
    let (done, sent) = channel();
    let mirror = mirror(move |stream| {
        let begun = stream.write_all(head(LENGTH).as_bytes());
        let piece = vec![0; 1 << 20];
        let all = LENGTH >> 20;
        let taken = (0..all).take_while(|_| stream.write_all(&piece).is_ok());
        done.send((begun.is_ok(), taken.count() as u64)).unwrap();
    });
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    for _ in 0..2 {
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        write!(client, "GET {DEB} HTTP/1.1\r\n\r\n").unwrap();
        client.read_exact(&mut [0; 500]).unwrap();
        drop(client);
        let (begun, taken) = sent.recv().unwrap();
        assert!(begun && taken < LENGTH >> 20, "{taken} MiB");
    }
}

#[test]
fn downloads_that_nobody_reads_are_bounded_in_number() {
    let held = Mutex::new(vec![]);
    let mirror = mirror(move |stream| {
        stream.write_all(head(10).as_bytes()).unwrap();
        stream.write_all(b"01234").unwrap();
        held.lock().unwrap().push(stream.try_clone().unwrap());
    });
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let first = |number: usize| {
        let request = format!("GET /debian/file-{number} HTTP/1.1\r\nRange: bytes=0-0");
        ask(&proxy, &request).status
    };
    for number in 0..FLIGHTS {
        assert_eq!(first(number), 206, "{number}");
    }
    assert_eq!(first(FLIGHTS), 503);
    assert_eq!(first(0), 206, "it is on its way");
}

#[test]
fn what_a_build_asks_for_is_bounded() {
    let mirror = Mirror::start(|_| answer("200 OK", "", b"index"));
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let path = |number: u32| format!("/debian/dists/x/Release?{number}");
    assert_eq!(get(&proxy, &path(0)).status, 200);
    assert_eq!(
        proxy.shared.asked.load(Ordering::SeqCst),
        EACH + path(0).len()
    );
    proxy.shared.asked.store(ASKED - 1, Ordering::SeqCst);
    assert_eq!(get(&proxy, &path(1)).status, 200);
    let logged = world.logged();
    assert!(logged.contains("too many requests"), "{logged}");
    assert_eq!(get(&proxy, &path(2)).status, 503);
    assert_eq!(ask(&proxy, "nonsense").status, 400);
    assert_eq!((mirror.requests(), world.logged()), (2, logged));
    assert_eq!(proxy.finish().fetched.len(), 2);
}
