//! The HTTP client against servers that stall, lie, break off, and send it round in circles.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgforge::error::{Kind, Result};
use imgforge::http::{Client, Fetched, Url};

use crate::patience::HANG;
use crate::server::{self, Answer, Nobody, Server, Then};

/// Gives a server up only where it fails.
fn client() -> Client {
    server::client(HANG)
}

/// For who waits until it is over.
const STALL: Duration = Duration::from_secs(2);

/// More than the sockets' buffers hold.
fn body() -> Vec<u8> {
    (0..2_000_000u32)
        .flat_map(|i| (i * 7).to_le_bytes())
        .collect()
}

struct Place {
    _dir: tempfile::TempDir,
    part: PathBuf,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join("file.part");
        Place { _dir: dir, part }
    }

    fn fetch(&self, client: &Client, url: &Url) -> Result<Fetched> {
        client.fetch(url, &self.part, 100 << 20, &mut |_, _| {})
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(&self.part).unwrap()
    }
}

/// A store that lists its files for nobody answers so about files that are not there.
#[test]
fn a_file_that_need_not_be_there_may_be_forbidden() {
    let server = Server::start(|_, _| Answer::status(403));
    let url = server.url("imgforge.gpg");
    assert_eq!(client().read_optional(&url, 10).unwrap(), None);
    for needed in [
        client().read(&url, 10).map(Some),
        client().read_known(&url, 10),
    ] {
        let text = needed.unwrap_err().render();
        assert!(
            text.contains("answered 403") && text.contains("S3"),
            "{text}"
        );
    }
    let server = Server::start(|_, _| Answer::status(401));
    assert!(client().read_optional(&server.url("x"), 10).is_err());
}

#[test]
fn a_file_is_read_from_http_and_from_this_host() {
    let place = Place::new();
    let dir = place.part.parent().unwrap();
    std::fs::write(dir.join("index"), "text").unwrap();
    let server = Server::of(dir);
    for url in [
        server.url("index"),
        Url::of_path(&dir.join("index")).unwrap(),
    ] {
        assert_eq!(client().read(&url, 10).unwrap(), b"text", "{url}");
        let error = client().read(&url, 3).unwrap_err();
        assert!(
            error.message().contains("is larger than the 3 B"),
            "{error}"
        );
        let missing = url.join("missing").unwrap();
        assert_eq!(client().read_optional(&missing, 10).unwrap(), None);
        let error = client().read(&missing, 10).unwrap_err();
        assert!(error.message().contains("does not exist"), "{error}");
    }
    let agent = server.requests()[0].header("user-agent").map(str::to_owned);
    assert!(agent.unwrap().starts_with("imgforge/"));
}

#[test]
fn a_broken_transfer_goes_on_where_it_stopped() {
    let place = Place::new();
    let whole = body();
    let served = whole.clone();
    let server = Server::start(move |request, number| {
        let answer = Answer::file(request, &served, "\"one\"");
        match number {
            0 => answer.cut(3_000_000, Then::Close),
            1 => answer.cut(1_000_000, Then::Hang),
            _ => answer,
        }
    });
    let notices = Arc::new(Mutex::new(vec![]));
    let heard = Arc::clone(&notices);
    let client =
        server::client(STALL).on_notice(move |text| heard.lock().unwrap().push(text.to_owned()));
    let fetched = place.fetch(&client, &server.url("x")).unwrap();
    assert_eq!((fetched.size, fetched.resumed), (whole.len() as u64, 0));
    assert!(place.content() == whole);
    let requests = server.requests();
    let ranges: Vec<_> = requests.iter().map(|r| r.header("range")).collect();
    assert_eq!(
        ranges,
        [None, Some("bytes=3000000-"), Some("bytes=4000000-")]
    );
    assert_eq!(requests[1].header("if-range"), Some("\"one\""));
    let notices = notices.lock().unwrap();
    assert!(
        notices[1].contains("sent almost nothing for 2.0 s; trying again, 1 of 2"),
        "{notices:?}"
    );
}

#[test]
fn a_later_call_goes_on_unless_the_file_has_changed() {
    let whole = body();
    for changed in [false, true] {
        let place = Place::new();
        let (served, tag) = (whole.clone(), if changed { "\"two\"" } else { "\"one\"" });
        let server = Server::start(move |request, number| match number {
            0 => Answer::file(request, &[1; 5_000_000], "\"one\"").cut(1_000_000, Then::Close),
            1 | 2 => Answer::status(503),
            _ => Answer::file(request, &served, tag),
        });
        let error = place.fetch(&client(), &server.url("x")).unwrap_err();
        assert!(
            error.render().contains("503 Service Unavailable"),
            "{}",
            error.render()
        );
        let fetched = place.fetch(&client(), &server.url("x")).unwrap();
        let again = server.requests()[3].header("range").map(str::to_owned);
        assert_eq!(again.as_deref(), Some("bytes=1000000-"));
        let expected = if changed {
            whole.clone()
        } else {
            [&[1; 1_000_000], &whole[1_000_000..]].concat()
        };
        assert_eq!(fetched.resumed, if changed { 0 } else { 1_000_000 });
        assert!(place.content() == expected, "changed: {changed}");
    }
}

#[test]
fn without_ranges_the_file_begins_anew() {
    let place = Place::new();
    let whole = body();
    let served = whole.clone();
    let server = Server::start(move |_, number| match number {
        0 => Answer::of(&served).cut(1_000_000, Then::Close),
        _ => Answer::of(&served),
    });
    place.fetch(&client(), &server.url("x")).unwrap();
    assert!(place.content() == whole);
}

/// The same bytes again are no progress.
#[test]
fn a_server_that_begins_anew_each_time_is_given_up() {
    let (place, served) = (Place::new(), body());
    let server = Server::start(move |_, number| match number {
        0..20 => Answer::of(&served).cut(1_000_000, Then::Close),
        _ => Answer::of(&served),
    });
    let error = place.fetch(&client(), &server.url("x")).unwrap_err();
    assert!(
        error.render().contains("failed 3 times"),
        "{}",
        error.render()
    );
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_complete_part_needs_no_more_bytes() {
    let place = Place::new();
    let server = Server::start(|request, _| {
        let answer = Answer::file(request, b"0123456789", "\"t\"");
        if request.header("range").is_none() {
            return answer.header("Content-Length", "20").cut(10, Then::Close);
        }
        answer
    });
    let fetched = place.fetch(&client(), &server.url("x")).unwrap();
    assert_eq!(
        (fetched.size, place.content().as_slice()),
        (10, &b"0123456789"[..])
    );
}

#[test]
fn what_a_server_must_not_do_is_said_clearly() {
    type Case = (&'static str, fn(usize) -> Answer);
    let cases: [Case; 9] = [
        ("redirects in a circle, back to", |_| Answer::redirect("/x")),
        ("redirects more than 5 times", |n| {
            Answer::redirect(&format!("/{n}"))
        }),
        ("leads to a file of this host", |_| {
            Answer::redirect("file:///etc/hostname")
        }),
        ("the connection ended after 10 B of 20 B", |_| {
            Answer::of(&[0; 10])
                .header("Content-Length", "20")
                .cut(10, Then::Close)
        }),
        ("sent almost nothing for 2.0 s", |_| {
            Answer::of(&[0; 10])
                .header("Content-Length", "20")
                .cut(5, Then::Hang)
        }),
        ("500 Internal Server Error", |_| Answer::status(500)),
        ("403 Forbidden", |_| Answer::status(403)),
        ("bytes of headers", |_| {
            Answer::of(b"x").header("X-Long", &"x".repeat(200_000))
        }),
        ("does not exist", |_| Answer::status(404)),
    ];
    for (expected, answer) in cases {
        let server = Server::start(move |_, number| answer(number));
        let error = server::client(STALL)
            .read(&server.url("x"), 1000)
            .unwrap_err();
        let text = error.render();
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(text.contains("hint: "), "{text}");
        assert_eq!(error.kind(), Kind::Stage);
        let tries = server.requests().len();
        assert!(tries <= 6, "{expected}: {tries}");
    }
}

#[test]
fn a_server_that_is_not_there_or_speaks_otherwise_is_an_error() {
    let nobody = Nobody::new();
    let url = Url::parse(&format!("http://{}/", nobody.address)).unwrap();
    let text = client().read(&url, 10).unwrap_err().render();
    assert!(
        text.contains("failed 3 times") && text.contains("refused"),
        "{text}"
    );
    assert!(text.contains("http_proxy"), "{text}");
}

#[test]
fn a_part_of_a_file_is_read_over_one_connection() {
    let whole = body();
    let served = whole.clone();
    let server = Server::start(move |request, _| Answer::file(request, &served, "\"one\""));
    let client = client();
    for (start, end) in [(5u64, 1000u64), (4_000_000, 4_500_000)] {
        let mut stream = client
            .open_at(&server.url("x"), start, Some(end), None)
            .unwrap();
        let mut read = vec![];
        while let Some(imgforge::http::Piece::Bytes(bytes)) = stream.next_piece().unwrap() {
            read.extend(bytes);
        }
        assert!(read == whole[start as usize..end as usize]);
        assert_eq!(stream.total(), Some(whole.len() as u64));
    }
}

/// What apt-cacher-ng 3.7.4 says of a file that is none of its kinds.
const FORBIDDEN: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>403 Forbidden file type or \
                         location</title>\n</head>\n<body><h1>403 Forbidden file type or location</h1></body></html>";

#[test]
fn a_proxy_that_refuses_is_named_with_its_own_words() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (vec![], [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            let length = FORBIDDEN.len();
            let head =
                "HTTP/1.1 403 Forbidden file type or location\r\nContent-Type: text/html\r\n";
            write!(stream, "{head}Content-Length: {length}\r\n\r\n{FORBIDDEN}").unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let pull = crate::support::imgforge_by_the_door()
        .args(["--state", dir.path().join("state").to_str().unwrap()])
        .args(["pull", "http://images.example/repo#web", "-o", "web.img"])
        .args(["--fingerprint", &"A".repeat(40)])
        .env("http_proxy", format!("http://me:hunter2@{proxy}"))
        .dir(dir.path());
    let said = pull.run().unwrap_err().render();
    for expected in [
        format!("the proxy {proxy}"),
        "403 Forbidden: 403 Forbidden file type or location".into(),
        "no_proxy=images.example".into(),
    ] {
        assert!(said.contains(&expected), "{expected}: {said}");
    }
    assert!(
        !said.contains("hunter2") && !said.contains("USER:PASSWORD"),
        "{said}"
    );
}
