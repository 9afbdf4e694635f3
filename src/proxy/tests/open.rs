//! A proxy for whatever a guest reaches by itself.

use super::*;
use crate::lock::{Locked, NOT_LOCKED};

const PATH: &str = "/debian/pool/main/h/hello/hello_1_all.deb";

/// An open proxy to a guest's host with these ports, bound to `locked`.
fn open(world: &World, ports: &[u16], locked: Option<&Arc<Locked>>) -> Proxy {
    let settings = Settings {
        routes: vec![],
        cache: Cache::new(world.dir.path(), None),
        scratch: world.dir.path().join("scratch"),
        log: world.log(),
        vouched_only: false,
        locked: locked.cloned(),
        open: Some(ports.to_vec()),
    };
    Proxy::start(settings).unwrap()
}

fn port(mirror: &Mirror) -> u16 {
    let rest = mirror.address.trim_end_matches("/debian");
    rest.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn a_guest_gets_what_it_reaches_and_nothing_of_its_host() {
    let mirror = Mirror::start(|_| answer("200 OK", "", b"package"));
    let (world, port) = (World::new(), port(&mirror));
    let there = format!("http://10.0.2.2:{port}{PATH}");
    let proxy = open(&world, &[port], None);
    assert_eq!(get(&proxy, &there).body, b"package");
    for refused in [
        format!("{}/x", mirror.address),
        format!("http://localhost:{port}/x"),
        "http://10.0.2.2:1/x".to_owned(),
        format!("http://10.0.2.2:{port}/../x"),
        format!("http://me@10.0.2.2:{port}/x"),
        "/debian/x".to_owned(),
    ] {
        assert!(get(&proxy, &refused).status >= 400, "{refused}");
    }
    assert_eq!(mirror.requests(), 1);
    let record = proxy.finish();
    let urls: Vec<&str> = record.fetched.iter().map(|one| one.url.as_str()).collect();
    assert_eq!(urls, [there.as_str()]);
    // A locked build gets it again, and no other.
    let locked = Arc::new(Locked::new("web.lock", "web", record));
    let proxy = open(&world, &[port], Some(&locked));
    assert_eq!(get(&proxy, &there).body, b"package");
    let other = there.replace("hello", "htop");
    assert_eq!(get(&proxy, &other).status, 403);
    assert_eq!(locked.refused(), [format!("{other}: {NOT_LOCKED}")]);
    assert_eq!(mirror.requests(), 1);
}

#[test]
fn a_password_goes_to_the_server_that_was_asked_and_what_it_opens_is_nobody_elses() {
    let mirror = Mirror::start(|head| match head.contains("uthorization: Basic bWU6eA==") {
        true => answer("200 OK", "ETag: \"x\"\r\n", b"for me"),
        false => answer("401 Unauthorized", "", b""),
    });
    let (world, port) = (World::new(), port(&mirror));
    let proxy = open(&world, &[port], None);
    let there = format!("http://10.0.2.2:{port}/debian/dists/x/InRelease");
    let mine = format!("GET {there} HTTP/1.1\r\nAuthorization: Basic bWU6eA==");
    assert_eq!(ask(&proxy, &mine).body, b"for me");
    assert_eq!(get(&proxy, &there).status, 401);
    assert_eq!(world.addresses(), 0);
}

/// A form, and a request whose answer its headers decide: other clients get another answer, or none.
#[test]
fn what_asks_for_no_file_is_handed_over_and_known_by_the_name_of_its_server_only() {
    let mirror = Mirror::start(|head| answer("201 Created", "", head.as_bytes()));
    let (world, port) = (World::new(), port(&mirror));
    let there = format!("http://10.0.2.2:{port}/debian/hosts");
    let form = format!(
        "POST {there} HTTP/1.1\r\nHost: x\r\nProxy-Connection: keep-alive\r\nContent-Length: 0"
    );
    let token = format!("GET {there} HTTP/1.1\r\nHost: x\r\nX-Token: mine");
    let proxy = open(&world, &[port], None);
    let said = ask(&proxy, &form);
    assert_eq!(said.status, 201);
    let head = String::from_utf8(said.body).unwrap();
    assert!(
        head.starts_with("POST /debian/hosts HTTP/1.1\r\n"),
        "{head}"
    );
    // Else a server that a lock names would answer for another site.
    assert!(
        !head.contains("Proxy-Connection") && !head.contains("Host: x"),
        "{head}"
    );
    let site = format!("Host: 10.0.2.2:{port}\r\n");
    assert!(head.contains(&site), "{head}");
    let head = String::from_utf8(ask(&proxy, &token).body).unwrap();
    assert!(head.contains("X-Token: mine"), "{head}");
    let record = proxy.finish();
    assert!(record.not_locked.contains("10.0.2.2"), "{record:?}");
    assert!(record.fetched.is_empty(), "{record:?}");
    for (record, offline, status) in [
        (record.clone(), false, 201),
        (record, true, 403),
        (Record::default(), false, 403),
    ] {
        let locked = Locked::new("web.lock", "web", record).offline(offline);
        let locked = Arc::new(locked);
        let proxy = open(&world, &[port], Some(&locked));
        assert_eq!(ask(&proxy, &form).status, status);
        let named = locked.refused().concat().contains("http://10.0.2.2");
        assert_eq!(named, status == 403, "{:?}", locked.refused());
    }
    assert_eq!(mirror.requests(), 3);
}

#[test]
fn a_tunnel_is_known_by_the_name_of_its_server_only() {
    let mirror = Mirror::start(|_| answer("200 OK", "", b"secret"));
    let (world, port) = (World::new(), port(&mirror));
    let through = |proxy: &Proxy, target: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut begun = [0; 12];
        stream.read_exact(&mut begun).unwrap();
        if begun != *b"HTTP/1.1 200" {
            return String::from_utf8_lossy(&begun).into_owned();
        }
        stream.write_all(b"GET /debian/x HTTP/1.1\r\n\r\n").unwrap();
        let mut all = vec![];
        stream.read_to_end(&mut all).unwrap();
        String::from_utf8(all).unwrap()
    };
    let proxy = open(&world, &[port], None);
    let there = format!("10.0.2.2:{port}");
    assert!(through(&proxy, &there).ends_with("secret"));
    for refused in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "10.0.2.2:1".into(),
    ] {
        let said = through(&proxy, &refused);
        assert!(
            ["HTTP/1.1 403", "HTTP/1.1 502"].contains(&&*said),
            "{refused}: {said}"
        );
    }
    assert_eq!(mirror.requests(), 1);
    let record = proxy.finish();
    assert!(record.not_locked.contains("10.0.2.2") && record.not_locked.len() == 1);
    assert!(record.fetched.is_empty());
    // Nobody can tell what comes, so offline nothing does.
    for (record, offline, passes) in [
        (record.clone(), false, true),
        (record, true, false),
        (Record::default(), false, false),
    ] {
        let locked = Locked::new("web.lock", "web", record).offline(offline);
        let locked = Arc::new(locked);
        let proxy = open(&world, &[port], Some(&locked));
        assert_eq!(through(&proxy, &there).ends_with("secret"), passes);
        assert_eq!(locked.refused().is_empty(), passes);
    }
    let proxy = world.proxy(&[&mirror]);
    assert_eq!(through(&proxy, &there), "HTTP/1.1 403");
}
