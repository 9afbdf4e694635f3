//! What nothing vouches for, and what a client does not believe.

use super::*;

const INDEX: &str = "/debian/dists/trixie/InRelease";

/// Whether a request asks for what has changed only.
fn conditional(head: &str) -> bool {
    let head = head.to_ascii_lowercase();
    head.contains("if-none-match") || head.contains("if-modified-since")
}

#[test]
fn a_page_or_a_file_by_its_time_alone_is_not_kept() {
    for headers in [
        "Last-Modified: today\r\n",
        "ETag: W/\"one\"\r\nLast-Modified: today\r\n",
        "ETag: \"one\"\r\nContent-Type: text/html; charset=utf-8\r\n",
    ] {
        let mirror = Mirror::start(move |head| match conditional(head) {
            true => answer("304 Not Modified", "", b""),
            false => answer("200 OK", headers, b"sign in"),
        });
        let world = World::new();
        for _ in 0..2 {
            assert_eq!(get(&world.proxy(&[&mirror]), INDEX).body, b"sign in");
        }
        let asked = mirror.asked.lock().unwrap();
        assert!(!asked.iter().any(|head| conditional(head)), "{asked:?}");
        assert_eq!(world.addresses(), 0, "{headers}");
    }
}

/// A forged index with the right one's tag is confirmed whenever the right server is asked.
#[test]
fn what_a_client_asks_for_again_is_fetched_anew() {
    let mirror = Mirror::start(|head| match conditional(head) {
        true => answer("304 Not Modified", "", b""),
        false => answer("200 OK", "ETag: \"one\"\r\n", b"right"),
    });
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    assert_eq!(get(&proxy, INDEX).body, b"right");
    // Who has the file asks for what has changed, and the mirror is asked so, too.
    let client = format!("GET {INDEX} HTTP/1.1\r\nIf-None-Match: \"one\"");
    assert_eq!(ask(&proxy, &client).status, 304);
    assert_eq!(get(&proxy, INDEX).body, b"right");
    let asked = mirror.asked.lock().unwrap();
    let how: Vec<bool> = asked.iter().map(|head| conditional(head)).collect();
    assert_eq!(how, [false, true, false]);
}

#[test]
fn a_mirror_with_other_bytes_than_promised_is_asked_last_for_that_file() {
    let wrong = Mirror::start(|_| answer("200 OK", "", b"wrong"));
    let right = Mirror::start(|_| answer("200 OK", "", b"right"));
    let world = World::new();
    let proxy = world.proxy(&[&wrong, &right]);
    let path = named(b"right");
    assert_eq!(get(&proxy, &path).body, b"wron", "never all of it");
    assert_eq!(get(&proxy, &path).body, b"right");
    assert_eq!((wrong.requests(), right.requests()), (1, 1));
    // For others it comes first, as the recipe has it.
    assert_eq!(get(&proxy, "/debian/dists/x/Release").body, b"wrong");
}
