//! What others have in the registry, or put there meanwhile, and what was put in another place to pass for new.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use imgforge::digest::Sha256;
use imgforge::registry::{Descriptor, INDEX, MANIFEST, Manifest, Registry};

use super::consume::Shared;
use crate::pull::world::*;
use crate::support::registry::client_at;

/// A container under a tag.
pub(super) fn put_container(client: &Registry, tag: &str) -> Vec<u8> {
    let digest = client.push_bytes(b"{}").unwrap();
    let config = serde_json::json!({"mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": format!("sha256:{}", digest.as_str()), "size": 2});
    let container = serde_json::json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": config, "layers": []});
    let container = serde_json::to_vec(&container).unwrap();
    client.put_manifest(tag, container.clone()).unwrap();
    container
}

#[test]
fn numbers_that_others_have_as_tags_are_neither_written_over_nor_removed() {
    let shared = Shared::new();
    let client = shared.service.client("images/web");
    let container = put_container(&client, "1");
    let refuse = |words: &str| {
        let error = shared.try_copy().unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{}", error.render());
        assert!(error.message().contains(words), "{}", error.render());
    };
    refuse("something else under the tag `1`");
    assert_eq!(client.manifest("1").unwrap().as_ref(), Some(&container));
    // Nor where the number is that of a revision which has to go.
    let repository = shared.world.repository();
    repository
        .yank("web", 1, false, &Stamp::now(), &Ui::silent())
        .unwrap();
    refuse("something else under the tag `1`");
    assert_eq!(client.manifest("1").unwrap(), Some(container));
    assert_eq!(client.tags().unwrap(), ["1"]);

    // The revisions of another repository, whose channels are gone.
    let theirs = Shared::new();
    theirs.copy();
    let client = theirs.service.client("images/web");
    for tag in ["latest", "stable", "nightly"] {
        client.delete(tag).unwrap();
    }
    let before = client.manifest("1").unwrap();
    let error = shared.copy_to(&theirs.service.oci("images")).unwrap_err();
    assert!(
        error.message().ends_with("is of another repository"),
        "{}",
        error.render()
    );
    assert_eq!(client.manifest("1").unwrap(), before);
}

/// The manifest, with its index, which lay in `from`, in `to`.
fn moved(mut manifest: Manifest, from: &str, to: &str) -> Manifest {
    for layer in &mut manifest.layers {
        let title = layer.title().unwrap_or_default().to_owned();
        let place = match title.strip_prefix(from) {
            Some(rest) if !rest.contains('/') => format!("{to}{rest}"),
            _ if title.starts_with("images/") => format!("{to}{title}"),
            _ => continue,
        };
        *layer = layer.clone().titled(&place);
    }
    manifest
}

#[test]
fn an_older_state_is_refused_wherever_the_manifest_says_that_its_index_lies() {
    let shared = Shared::new();
    shared.copy();
    let [latest, nightly] = ["latest", "nightly"].map(|tag| shared.manifest(tag));
    let machine = Machine::new(&shared.world);
    let repository = shared.world.repository();
    for revision in [1, 2] {
        repository
            .yank("web", revision, false, &Stamp::now(), &Ui::silent())
            .unwrap();
    }
    shared.copy();
    for (tag, old) in [
        ("latest", moved(latest, "", "channels/latest/")),
        ("nightly", moved(nightly, "channels/nightly/", "")),
    ] {
        let web = shared.web(&format!(":{tag}"));
        let error = machine.find(&web, &machine.trusting()).unwrap_err();
        assert!(
            error.message().contains("has no image"),
            "{}",
            error.render()
        );
        shared.put(tag, &old);
        let error = machine.find(&web, &machine.trusting()).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate, "{}", error.render());
        assert!(
            error.render().contains("was seen before"),
            "{}",
            error.render()
        );
    }
}

/// A way to a server; `once` is done before the first manifest that is put goes through.
fn way(server: SocketAddr, once: impl FnOnce() + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let once = Arc::new(Mutex::new(Some(once)));
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut server = TcpStream::connect(server).unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let once = Arc::clone(&once);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..read]);
                    if text.starts_with("PUT ") && text.contains("/manifests/") {
                        let once = once.lock().unwrap().take();
                        if let Some(once) = once {
                            once();
                        }
                    }
                    if server.write_all(&buffer[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn a_later_state_that_came_while_disks_were_sent_is_not_written_over() {
    let shared = Shared::new();
    let old = shared.world.path("old");
    let cp = Program::new("cp").arg("-a").arg(shared.world.path("repo"));
    cp.arg(&old).run().unwrap();
    let third = disk(&shared.world, "three", &[9]);
    publish(&shared.world, &third, "web", "stable");
    let (repo, to) = (shared.world.path("repo"), shared.service.oci("images"));
    let copy = |from: PathBuf, to: String| {
        let ui = Ui::silent().stage("repository", "copy");
        imgforge::repository::copy_to_registry(&from, &to, &Default::default(), None, &ui)
    };
    let newer = move || assert!(copy(repo, to).unwrap().files > 0);
    let address = way(shared.service.address(), newer);
    let error = copy(old, format!("oci://{address}/images")).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate, "{}", error.render());
    assert!(
        error.message().contains("is older than its copy"),
        "{}",
        error.render()
    );
    let machine = Machine::new(&shared.world);
    assert_eq!(machine.pull(&shared.web("")).unwrap().revision, 3);
}

#[test]
fn a_channel_and_the_name_of_another_image_are_not_mistaken() {
    let shared = Shared::new();
    let other = disk(&shared.world, "other", &[6]);
    publish(&shared.world, &other, "web-stable", "stable");
    shared.copy();
    let machine = Machine::new(&shared.world);
    machine.pull(&shared.web(":stable")).unwrap();
    machine.has(&shared.disks[0]);
    for more in [":stable", ":stable@1", ""] {
        let own = shared.service.oci(&format!("images/web-stable{more}"));
        machine.pull(&own).unwrap();
        machine.has(&other);
    }
}

/// Another repository below the same prefix, which a copy cannot know, is refused, and changes nothing.
#[test]
fn whose_key_counts_below_a_prefix_does_not_change_by_the_way() {
    let shared = Shared::new();
    shared.copy();
    let other = World::new();
    let db = disk(&other, "db", &[4]);
    publish(&other, &db, "db", "stable");
    let ui = Ui::silent().stage("repository", "copy");
    let to = shared.service.oci("images");
    let from = other.path("repo");
    imgforge::repository::copy_to_registry(&from, &to, &Default::default(), None, &ui).unwrap();
    let machine = Machine::new(&shared.world);
    machine.pull(&shared.web("")).unwrap();
    let key = from.join("imgforge.gpg");
    let theirs = Options {
        key: Some(&key),
        ..machine.trusting()
    };
    let error = machine
        .find(&shared.service.oci("images/db"), &theirs)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    assert!(
        error.message().contains("was there before"),
        "{}",
        error.render()
    );
    let remembered = Options {
        key: None,
        ..machine.trusting()
    };
    assert_eq!(
        machine.find(&shared.web(""), &remembered).unwrap().revision,
        1
    );
    // Nor is a tag that has the number of a revision a channel.
    let error = machine.find(&shared.web(":1"), &remembered).unwrap_err();
    let hint = format!("{}@1", shared.web(""));
    assert!(error.render().contains(&hint), "{}", error.render());
}

#[test]
fn what_refers_to_a_yanked_revision_goes_with_it() {
    let shared = Shared::new();
    shared.copy();
    let client = shared.service.client("images/web");
    let subject = Sha256::of(&client.manifest("1").unwrap().unwrap());
    let own = |about: &Descriptor| format!("sha256:{}", about.digest().unwrap().as_str());
    let about: Vec<String> = client
        .referrers(&subject)
        .unwrap()
        .iter()
        .map(own)
        .collect();
    assert_eq!(about.len(), 3);
    let repository = shared.world.repository();
    repository
        .yank("web", 1, false, &Stamp::now(), &Ui::silent())
        .unwrap();
    assert_eq!(shared.copy().removed, 1);
    for one in &about {
        assert!(!client.has_manifest(one).unwrap(), "{one}");
    }
    assert!(client.referrers(&subject).unwrap().is_empty());
    let left = client.tags().unwrap();
    assert!(
        !left.contains(&format!("sha256-{}", subject.as_str())),
        "{left:?}"
    );
    // What belongs to others stays.
    let second = Sha256::of(&client.manifest("2").unwrap().unwrap());
    assert_eq!(client.referrers(&second).unwrap().len(), 3);
}

/// A token that ends in the middle of a disk costs another one.
#[test]
fn a_disk_comes_with_as_many_tokens_as_it_takes() {
    let shared = Shared::new();
    shared.copy();
    let manifest = shared.manifest("latest").bytes();
    let blob = std::fs::read(shared.blob("latest")).unwrap();
    let (used, issued) = (Mutex::new(HashSet::new()), AtomicUsize::new(0));
    let server = Server::start(move |request, _| {
        if request.path.starts_with("/token") {
            let number = issued.fetch_add(1, Ordering::SeqCst);
            let answer = format!("{{\"token\":\"t{number}\",\"expires_in\":1}}");
            return Answer::of(answer.as_bytes());
        }
        let token = request.header("authorization");
        if !token.is_some_and(|token| used.lock().unwrap().insert(token.to_owned())) {
            let wants = format!(
                "Bearer realm=\"http://{}/token\"",
                request.header("host").unwrap()
            );
            return Answer::status(401).header("WWW-Authenticate", &wants);
        }
        if request.path.ends_with("/manifests/latest") {
            return Answer::of(&manifest);
        }
        let answer = Answer::file(request, &blob, "\"x\"");
        let half = answer.body.len() / 2 + 1;
        answer.cut(half, Then::Close)
    });
    let machine = Machine::new(&shared.world);
    let web = format!("oci://{}/images/web", server.address());
    machine.pull(&web).unwrap();
    machine.has(&shared.disks[0]);
}

/// Two write the list of what is about a manifest: who comes second has not read what the first has added.
#[test]
fn a_list_that_somebody_else_has_written_over_is_written_again() {
    let subject = Descriptor::new(MANIFEST, &Sha256::of(b"subject"), 7);
    let mut own = Manifest::artifact("application/vnd.example.own", vec![]);
    own.subject = Some(subject.clone());
    let other = Manifest::artifact("application/vnd.example.other", vec![]);
    let list = |about: &[&Manifest]| {
        let about: Vec<Descriptor> = about.iter().map(|one| one.descriptor()).collect();
        serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": about}).to_string()
    };
    let (theirs, both) = (list(&[&other]), list(&[&other, &own]));
    // How often somebody else comes in between.
    for (rounds, written) in [(1, 2), (2, 3), (100, 5)] {
        let (theirs, both) = (theirs.clone(), both.clone());
        let reads = AtomicUsize::new(0);
        let server = Server::start(move |request, _| match request.method.as_str() {
            "PUT" => Answer::status(201),
            _ => match reads.fetch_add(1, Ordering::SeqCst) {
                0 => Answer::status(404),
                read if read <= rounds => Answer::of(theirs.as_bytes()),
                _ => Answer::of(both.as_bytes()),
            },
        });
        let put = client_at(server.address()).put_referrers(&subject, vec![own.clone()]);
        let is_list = |path: &str| path.contains("/manifests/sha256-");
        let asked = server.requests().into_iter();
        let puts = asked.filter(|asked| asked.method == "PUT" && is_list(&asked.path));
        assert_eq!(puts.count(), written);
        match rounds {
            100 => assert!(put.unwrap_err().message().contains("at the same time")),
            _ => assert!(put.unwrap()),
        }
    }
}
