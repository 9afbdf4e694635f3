//! The client of the distribution API.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use imgforge::digest::Sha256;
use imgforge::registry::Fetched;
use serde_json::json;
use tempfile::TempDir;

use crate::patience::wait_for;
use crate::support::registry::{Kind, Service, client_at};
use crate::support::relay::Relay;
use crate::support::server::{Answer, Request, Server, Then};

/// A file of `size` bytes, no two pieces of it alike.
fn file(dir: &Path, size: usize) -> (PathBuf, Sha256, Vec<u8>) {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let path = dir.join(format!("file-{size}"));
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    (path, Sha256::of(&bytes), bytes)
}

fn started(kind: Kind) -> (TempDir, Service) {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(&dir.path().join("registry"), kind);
    (dir, service)
}

#[test]
fn blobs_and_manifests_come_back_as_they_were_sent() {
    let (dir, service) = started(Kind::default());
    let client = service.client("a/b");
    // None, one request, several chunks.
    for size in [0, 1, 5000, (64 << 20) + 1] {
        let (path, digest, bytes) = file(dir.path(), size);
        let open = Arc::new(File::open(&path).unwrap());
        assert!(!client.has_blob(&digest).unwrap());
        assert!(client.push_blob(&digest, &open, size as u64).unwrap());
        assert!(client.has_blob(&digest).unwrap());
        // What is there is not sent again.
        assert!(!client.push_blob(&digest, &open, size as u64).unwrap());
        let part = dir.path().join("part");
        let fetched = client.fetch_blob(&digest, size as u64, &part, &mut |_| {});
        assert_eq!(fetched.unwrap(), Fetched::Whole);
        assert!(std::fs::read(&part).unwrap() == bytes);
        std::fs::remove_file(&part).unwrap();
    }
    let (_, config, _) = file(dir.path(), 5000);
    let descriptor = |digest: &Sha256, size: u64| {
        let digest = format!("sha256:{}", digest.as_str());
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": size})
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": imgforge::registry::MANIFEST,
        "artifactType": "application/vnd.example",
        "config": descriptor(&config, 5000),
        "layers": [],
    });
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let tag = "ab".repeat(32);
    assert!(!client.has_manifest(&tag).unwrap());
    assert_eq!(client.manifest(&tag).unwrap(), None);
    client.put_manifest(&tag, bytes.clone()).unwrap();
    let by_digest = format!("sha256:{}", Sha256::of(&bytes).as_str());
    for reference in [&tag, &by_digest] {
        assert!(client.has_manifest(reference).unwrap());
        assert_eq!(client.manifest(reference).unwrap().as_ref(), Some(&bytes));
    }
    // One whose blobs are not there is refused, with the registry's words.
    let lost = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": imgforge::registry::MANIFEST,
        "config": descriptor(&Sha256::of(b"lost"), 4),
        "layers": [],
    }));
    let error = client
        .put_manifest("lost", lost.unwrap())
        .unwrap_err()
        .render();
    assert!(error.contains("MANIFEST_BLOB_UNKNOWN"), "{error}");
}

/// What an earlier call left is gone on with, and what is wrong in it does no harm.
#[test]
fn a_blob_is_gone_on_with_and_never_taken_for_another() {
    let (dir, service) = started(Kind::default());
    let client = service.client("x");
    let (path, digest, bytes) = file(dir.path(), 300_000);
    let open = Arc::new(File::open(&path).unwrap());
    client.push_blob(&digest, &open, 300_000).unwrap();
    let part = dir.path().join("part");
    let fetch = |size: u64| {
        let mut least = u64::MAX;
        let fetched = client.fetch_blob(&digest, size, &part, &mut |at| least = least.min(at));
        (fetched.unwrap(), least)
    };
    std::fs::write(&part, &bytes[..200_000]).unwrap();
    let (fetched, least) = fetch(300_000);
    assert_eq!(fetched, Fetched::Whole);
    assert!(least > 200_000, "{least}");
    for left in [vec![7; 200_000], vec![7; 300_000], vec![7; 400_000]] {
        std::fs::write(&part, &left).unwrap();
        assert_eq!(fetch(300_000).0, Fetched::Whole);
        assert!(std::fs::read(&part).unwrap() == bytes);
        std::fs::remove_file(&part).unwrap();
    }
    // A size that is not its own.
    for size in [299_999, 300_001] {
        assert_eq!(fetch(size).0, Fetched::Other);
        assert!(!part.exists());
    }
    let stored = service.blob(digest.as_str());
    let damaged = [&bytes[..100], &[bytes[100] ^ 1], &bytes[101..]].concat();
    for other in [&damaged[..], &bytes[..1000]] {
        std::fs::write(&stored, other).unwrap();
        assert_eq!(fetch(300_000).0, Fetched::Other);
        assert!(!part.exists());
    }
    let lost = Sha256::of(b"lost");
    let fetched = client.fetch_blob(&lost, 4, &part, &mut |_| {}).unwrap();
    assert_eq!(fetched, Fetched::Missing);
}

/// A registry that was killed is asked again; what it had got stays sent.
#[test]
fn a_killed_registry_costs_one_call() {
    let (dir, mut service) = started(Kind::default());
    let client = service.client("x");
    let files: Vec<_> = [100_000, 200_000].map(|size| file(dir.path(), size)).into();
    let push = |(path, digest, bytes): &(PathBuf, Sha256, Vec<u8>)| {
        let open = Arc::new(File::open(path).unwrap());
        client.push_blob(digest, &open, bytes.len() as u64)
    };
    assert!(push(&files[0]).unwrap());
    service.kill();
    let error = push(&files[1]).unwrap_err().render();
    assert!(error.contains("failed 3 times"), "{error}");
    service.restart(Kind::default());
    assert!(!push(&files[0]).unwrap());
    assert!(push(&files[1]).unwrap());
}

#[test]
fn a_registry_that_takes_nothing_or_knows_nobody_says_so() {
    let (dir, mut service) = started(Kind::default());
    let (path, digest, _) = file(dir.path(), 1000);
    let open = Arc::new(File::open(&path).unwrap());
    service.client("x").push_blob(&digest, &open, 1000).unwrap();
    let (_, other, _) = file(dir.path(), 1001);
    for (kind, words) in [
        (
            Kind {
                readonly: true,
                ..Kind::default()
            },
            "405 Method Not Allowed",
        ),
        (
            Kind {
                locked: true,
                ..Kind::default()
            },
            "podman login 127.0.0.1:",
        ),
    ] {
        service.restart(kind);
        let client = service.client("x");
        assert_eq!(client.has_blob(&digest).is_ok(), kind.readonly);
        let error = client.push_blob(&other, &open, 1001).unwrap_err().render();
        assert!(error.contains(words), "{error}");
    }
}

/// A connection that breaks in the middle of a blob of several chunks costs what was on its way.
#[test]
fn an_upload_goes_on_where_the_registry_is() {
    let (dir, service) = started(Kind::default());
    let relay = Relay::to(service.address());
    let client = client_at(relay.address);
    let size = (64 << 20) + (20 << 20);
    let (path, digest, bytes) = file(dir.path(), size);
    let open = Arc::new(File::open(&path).unwrap());
    // Before the second chunk: the registry knows what it has.
    relay.break_once_after((64 << 20) + (8 << 10));
    assert!(client.push_blob(&digest, &open, size as u64).unwrap());
    assert!(std::fs::read(service.blob(digest.as_str())).unwrap() == bytes);
    assert!(relay.went() < 30 << 20, "{}", relay.went());
    // In its middle: docker-registry gives up the upload, and gets the blob anew.
    std::fs::remove_file(service.blob(digest.as_str())).unwrap();
    relay.break_once_after((64 << 20) + (10 << 20));
    client.push_blob(&digest, &open, size as u64).unwrap();
    assert!(std::fs::read(service.blob(digest.as_str())).unwrap() == bytes);
    let asked = || {
        let all = service.requests();
        let state = |asked: &&String| asked.starts_with("GET /v2/x/blobs/uploads/");
        all.iter().filter(state).count()
    };
    // It logs what it has answered.
    wait_for("two questions", || asked() >= 2);
    assert_eq!(asked(), 2);
}

/// Sends a blob of three chunks of the smallest size, to a registry that takes no larger ones; what
/// went wrong.
fn refusal(
    patch: impl Fn(&Answer, usize) -> Answer + Send + Sync + 'static,
    state: Answer,
) -> String {
    let server = Server::start(move |request, number| match request.method.as_str() {
        // A client that would go on for ever is told apart.
        _ if number > 60 => Answer::status(400),
        "HEAD" => Answer::status(404),
        "POST" => Answer::status(202).header("Location", "/v2/x/blobs/uploads/1"),
        "PUT" if request.header("content-length") == Some("0") => Answer::status(500),
        "PUT" => Answer::status(413),
        "PATCH" => {
            let range = request.header("content-range").unwrap();
            let (start, last) = range.split_once('-').unwrap();
            let taken = Answer::status(202).header("Range", &format!("0-{last}"));
            patch(&taken, start.parse().unwrap())
        }
        _ => state.clone(),
    });
    let (size, dir) = (12 << 20, tempfile::tempdir().unwrap());
    let (path, digest, _) = file(dir.path(), size);
    let open = Arc::new(File::open(path).unwrap());
    let error = client_at(server.address()).push_blob(&digest, &open, size as u64);
    error.unwrap_err().render()
}

#[test]
fn a_registry_that_counts_wrong_is_given_up() {
    let said = |range: &str| Answer::status(204).header("Range", range);
    let begun = "0-0";
    for error in [
        // It never has anything.
        refusal(
            |_, _| Answer::status(202).header("Range", begun),
            said(begun),
        ),
        // It has more than there is.
        refusal(|_, _| Answer::status(500), said("0-99999999999")),
        refusal(|_, _| Answer::status(500), said("0-18446744073709551615")),
        // Its disk is full after the first chunk, each time.
        refusal(
            |taken, start| match start {
                0 => taken.clone(),
                _ => Answer::status(500),
            },
            Answer::status(404),
        ),
    ] {
        assert!(error.contains("failed 3 times"), "{error}");
    }
}

/// As `container-registry` 0.3 is.
#[test]
fn a_registry_that_takes_bytes_by_patch_only_is_tried_once() {
    let is_empty = |request: &Request| request.header("content-length") == Some("0");
    let server = Server::start(move |request, _| match request.method.as_str() {
        "HEAD" => Answer::status(404),
        "POST" => Answer::status(202).header("Location", "/v2/x/uploads/1"),
        "PUT" if is_empty(request) => Answer::status(201),
        "PATCH" => Answer::status(202).header("Range", "0-999"),
        "PUT" => Answer::status(500),
        _ => Answer::status(405),
    });
    let dir = tempfile::tempdir().unwrap();
    let (path, digest, _) = file(dir.path(), 1000);
    let open = Arc::new(File::open(path).unwrap());
    let client = client_at(server.address());
    for _ in 0..2 {
        assert!(client.push_blob(&digest, &open, 1000).unwrap());
    }
    let asked = server.requests();
    let puts = asked.iter().filter(|asked| asked.method == "PUT");
    assert_eq!(puts.map(is_empty).collect::<Vec<_>>(), [false, true, true]);
}

/// Where a registry lets blobs be sent is no registry: it asks for no password.
#[test]
fn only_the_registry_names_who_gets_passwords() {
    let elsewhere = Server::start(|request, _| match request.path.starts_with("/token") {
        true => Answer::of(b"{\"token\":\"t\"}"),
        false => {
            let at = request.header("host").unwrap();
            let wants = format!("Bearer realm=\"http://{at}/token\",service=\"s\"");
            Answer::status(401).header("WWW-Authenticate", &wants)
        }
    });
    let to = elsewhere.text("upload");
    let server = Server::start(move |request, _| match request.method.as_str() {
        "HEAD" => Answer::status(404),
        _ => Answer::status(202).header("Location", &to),
    });
    let dir = tempfile::tempdir().unwrap();
    let (path, digest, _) = file(dir.path(), 1000);
    let open = Arc::new(File::open(path).unwrap());
    let error = client_at(server.address()).push_blob(&digest, &open, 1000);
    let error = error.unwrap_err().render();
    assert!(error.contains("401"), "{error}");
    let asked = elsewhere.requests();
    let for_token = asked
        .iter()
        .filter(|asked| asked.path.starts_with("/token"));
    assert_eq!(for_token.count(), 0, "{asked:?}");
}

#[test]
fn a_manifest_has_the_digest_that_was_asked_for() {
    let server = Server::start(|_, _| Answer::of(b"{}"));
    let client = client_at(server.address());
    let (right, wrong) = (Sha256::of(b"{}"), Sha256::of(b"{"));
    let manifest = |digest: &Sha256| client.manifest(&format!("sha256:{}", digest.as_str()));
    assert_eq!(manifest(&right).unwrap().as_deref(), Some(&b"{}"[..]));
    let error = manifest(&wrong).unwrap_err().render();
    assert!(error.contains("has another manifest"), "{error}");
}

/// A token that ends in the middle of a blob costs another one.
#[test]
fn a_blob_comes_with_as_many_tokens_as_it_takes() {
    let (used, issued) = (Mutex::new(HashSet::new()), AtomicUsize::new(0));
    let bytes = vec![7; 300_000];
    let digest = Sha256::of(&bytes);
    let body = bytes.clone();
    let server = Server::start(move |request, _| {
        if request.path.starts_with("/token") {
            let number = issued.fetch_add(1, Ordering::SeqCst);
            let answer = format!("{{\"token\":\"t{number}\",\"expires_in\":1}}");
            return Answer::of(answer.as_bytes());
        }
        let is_new = request.header("authorization").is_some_and(|token| {
            let mut used = used.lock().unwrap();
            used.insert(token.to_owned())
        });
        match (is_new, request.method.as_str()) {
            (false, _) => {
                let at = request.header("host").unwrap();
                let wants = format!("Bearer realm=\"http://{at}/token\"");
                Answer::status(401).header("WWW-Authenticate", &wants)
            }
            (true, "HEAD") => Answer::status(200),
            (true, _) => {
                let answer = Answer::file(request, &body, "\"x\"");
                let half = answer.body.len() / 2 + 1;
                answer.cut(half, Then::Close)
            }
        }
    });
    let client = client_at(server.address());
    assert!(client.has_blob(&digest).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("part");
    let fetched = client.fetch_blob(&digest, 300_000, &part, &mut |_| {});
    assert_eq!(fetched.unwrap(), Fetched::Whole);
    assert!(std::fs::read(&part).unwrap() == bytes);
}

#[test]
fn tags_have_an_end_and_are_tags() {
    let pages = AtomicUsize::new(0);
    let server = Server::start(move |_, _| {
        let page = pages.fetch_add(1, Ordering::SeqCst);
        let tags: Vec<String> = (0..30_000).map(|tag| format!("{page}-{tag}")).collect();
        let answer = Answer::of(json!({"tags": tags}).to_string().as_bytes());
        match page < 10 {
            true => answer.header(
                "Link",
                &format!("</v2/x/tags/list?last={page}>; rel=\"next\""),
            ),
            false => answer,
        }
    });
    let tags = client_at(server.address()).tags();
    let error = tags.map(|tags| tags.len()).unwrap_err();
    assert!(
        error.message().contains("never ends its list of tags"),
        "{}",
        error.render()
    );
    let odd = r#"{"tags":["1.0","\u001b[2Jstable","","a/b",".x"]}"#;
    let server = Server::start(move |_, _| Answer::of(odd.as_bytes()));
    assert_eq!(client_at(server.address()).tags().unwrap(), ["1.0"]);
}
