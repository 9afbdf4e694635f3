//! What was signed once has a good signature for ever, and must not count for ever.

use imgforge::repository::Settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::world::*;
use crate::repository::world::verify;

fn settings(world: &World, valid_for: u64) -> Settings {
    Settings {
        valid_for: imgforge::units::Span::seconds(valid_for),
        ..world.settings(&world.path("repo"))
    }
}

/// Signs what is at `path` again with the repository's own key, `later` seconds from now.
pub(crate) fn sign_again(world: &World, path: &str, later: i64, change: impl Fn(String) -> String) {
    let path = world.path("repo").join(path);
    let keyring = world.path("repo/imgforge.gpg");
    let verified = verify(&std::fs::read(&path).unwrap(), &keyring).unwrap();
    // Its agent ends with it.
    let home = Home(world.path("state/gnupg"));
    let when = jiff::Timestamp::now().as_second() + later;
    let signed = home
        .program()
        .arg("--faked-system-time")
        .arg(format!("{when}!"))
        .args(["--local-user", &verified.fingerprint])
        .args(["--digest-algo", "SHA512", "--clearsign"])
        .input(change(verified.text))
        .output()
        .unwrap();
    std::fs::write(path, signed).unwrap();
}

#[test]
fn the_index_of_another_channel_is_refused() {
    let world = World::new();
    let disks = ["one", "two"].map(|name| disk(&world, name, &[name.len() as u64]));
    publish(&world, &disks[0], "web", "stable");
    publish(&world, &disks[1], "web", "nightly");
    let root = world.path("repo");
    // Machines that have seen nothing of it yet.
    let find = |name: &str, channel| {
        let machine = Machine::new(&world);
        let options = Options {
            channel,
            ..machine.trusting()
        };
        machine.find(&format!("{}#{name}", root.display()), &options)
    };
    let nightly = Some("nightly");
    let top = root.join("index.asc");
    let other = root.join("channels/nightly/index.asc");
    let stable_index = std::fs::read(&top).unwrap();
    let nightly_index = std::fs::read(&other).unwrap();
    find("web", nightly).unwrap();
    std::fs::write(&other, &stable_index).unwrap();
    let error = find("web", nightly).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let words = "is the index of the channel `stable`, not of `nightly`";
    assert!(error.message().ends_with(words), "{error}");
    std::fs::write(&top, nightly_index).unwrap();
    let error = find("web-nightly", None).unwrap_err();
    assert!(
        error
            .message()
            .contains("the index of the channel `nightly`"),
        "{error}"
    );
    // The publisher does not sign it either.
    let error = world.repository().entries("nightly").unwrap_err();
    assert!(
        error.message().contains("is the index of `stable`"),
        "{error}"
    );
    let ui = Ui::silent().stage("repository", "verify");
    let signers = imgforge::gpg::Signers::default();
    let report = imgforge::repository::verify::audit(root.to_str().unwrap(), &signers, &ui);
    let faults = report.unwrap().faults.join("\n");
    assert!(
        faults.contains("channels/nightly/index.asc: it is the index of `stable`"),
        "{faults}"
    );

    // Nor does one of an imgforge that did not say so yet.
    let bare = |text: String| {
        text.lines()
            .filter(|l| !l.starts_with('#'))
            .map(|l| format!("{l}\n"))
            .collect()
    };
    std::fs::write(&top, &stable_index).unwrap();
    sign_again(&world, "index.asc", 60, bare);
    std::fs::copy(&top, &other).unwrap();
    let error = find("web", nightly).unwrap_err();
    assert!(error.message().contains("no image `web`"), "{error}");
}

#[test]
fn an_older_text_than_was_seen_before_is_refused() {
    let (world, _) = one_image();
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let index = world.path("repo/index.asc");
    let old = std::fs::read(&index).unwrap();
    sign_again(&world, "index.asc", 3600, |text| text);
    machine.find(&reference, &machine.trusting()).unwrap();
    std::fs::write(&index, &old).unwrap();
    for _ in 0..2 {
        let error = machine.find(&reference, &machine.trusting()).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        let text = error.render();
        assert!(
            text.contains("a newer one") && text.contains("an old index is served"),
            "{text}"
        );
    }
    let allowed = Options {
        allow_older: true,
        ..machine.trusting()
    };
    machine.find(&reference, &allowed).unwrap();
    machine.find(&reference, &machine.trusting()).unwrap();
}

/// One name, two servers: the second connection may reach the other one.
#[test]
fn a_server_that_lags_behind_another_of_its_name_is_asked_again() {
    let (world, _) = one_image();
    let machine = Machine::new(&world);
    let old = std::fs::read(world.path("repo/index.asc")).unwrap();
    sign_again(&world, "index.asc", 3600, |text| text);
    let (root, lagging) = (world.path("repo"), Arc::new(AtomicUsize::new(0)));
    let lags = Arc::clone(&lagging);
    let server = Server::start(move |request, _| {
        let mut left = |n: usize| n.checked_sub(1);
        let old_one = request.path == "/index.asc"
            && lags
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, &mut left)
                .is_ok();
        match old_one {
            true => Answer::of(&old),
            false => Answer::directory(request, &root),
        }
    });
    let reference = format!("{}#web", server.text(""));
    machine.find(&reference, &machine.trusting()).unwrap();
    lagging.store(2, Ordering::SeqCst);
    server.forget();
    machine.find(&reference, &machine.trusting()).unwrap();
    let asked = server.requests();
    let anew = |request: &&Request| request.header("cache-control") == Some("no-cache");
    assert_eq!(asked.iter().filter(anew).count(), 2, "{asked:?}");
    lagging.store(100, Ordering::SeqCst);
    let text = machine
        .find(&reference, &machine.trusting())
        .unwrap_err()
        .render();
    for words in [
        "asked for 4 times",
        "an old index is served",
        "lags behind",
        "--allow-older",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn an_old_record_does_not_bring_a_yanked_revision_back() {
    let (world, _) = one_image();
    let machine = Machine::new(&world);
    let two = disk(&world, "two", &[7]);
    publish(&world, &two, "web", "stable");
    let reference = format!("{}#web@1", world.path("repo").display());
    let record = world.path("repo/images/web/revisions.sjson");
    let old = std::fs::read(&record).unwrap();
    machine.find(&reference, &machine.trusting()).unwrap();
    let stamp = Stamp::now().why(Some("a key in it"));
    world
        .repository()
        .yank("web", 1, false, &stamp, &Ui::silent())
        .unwrap();
    sign_again(&world, "images/web/revisions.sjson", 3600, |text| text);
    let error = machine.find(&reference, &machine.trusting()).unwrap_err();
    assert!(error.message().contains("was yanked"), "{error}");
    std::fs::write(&record, old).unwrap();
    let error = machine.find(&reference, &machine.trusting()).unwrap_err();
    assert!(error.message().contains("a newer one"), "{error}");
}

#[test]
fn what_is_signed_counts_for_a_time_and_everything_renews_it() {
    let world = World::new();
    let one = disk(&world, "one", &[1, 2]);
    let past = Repository::open(settings(&world, 0)).unwrap();
    let present = Repository::open(settings(&world, 3600)).unwrap();
    publish_to(&present, &one, "web", "stable");
    publish_to(&present, &one, "web", "nightly");
    present
        .freeze("stable", true, &Stamp::now().why(Some("release")))
        .unwrap();
    past.renew(&Stamp::now()).unwrap();
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let nightly = Options {
        channel: Some("nightly"),
        ..machine.trusting()
    };
    for options in [machine.trusting(), nightly] {
        let error = machine.find(&reference, &options).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        let text = error.render();
        assert!(
            text.contains("was valid until") && text.contains("channel renew"),
            "{text}"
        );
        let allowed = Options {
            allow_older: true,
            ..options
        };
        machine.find(&reference, &allowed).unwrap();
    }
    let before = past.entries("stable").unwrap();
    present.renew(&Stamp::now()).unwrap();
    // With a longer time, the same bytes published again change nothing; but everything is signed
    // anew.
    let longer = Repository::open(settings(&world, 36_000)).unwrap();
    assert_eq!(publish_to(&longer, &one, "web", "nightly"), 1);
    assert_eq!(
        machine
            .find(&reference, &machine.trusting())
            .unwrap()
            .revision,
        1
    );
    machine.find(&reference, &nightly).unwrap();
    assert_eq!(present.entries("stable").unwrap(), before);
    // What is fresh is left alone.
    let index = world.path("repo/index.asc");
    let signed = std::fs::read(&index).unwrap();
    publish_to(&longer, &one, "web", "nightly");
    assert_eq!(std::fs::read(&index).unwrap(), signed);

    // A frozen repository to which nobody publishes.
    past.renew(&Stamp::now()).unwrap();
    assert!(machine.find(&reference, &machine.trusting()).is_err());
    present.renew(&Stamp::now()).unwrap();
    machine.find(&reference, &machine.trusting()).unwrap();
    let state = present.state().unwrap();
    assert!(state.channels["stable"].frozen.is_some());
    assert_eq!(state.images["web"].revisions.len(), 1);
}

/// Whoever remembered it would refuse what is right until then.
#[test]
fn what_is_signed_in_the_future_is_refused_and_not_remembered() {
    let (world, _) = one_image();
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let index = world.path("repo/index.asc");
    let right = std::fs::read(&index).unwrap();
    sign_again(&world, "index.asc", 3 * 24 * 3600, |text| text);
    let error = machine.find(&reference, &machine.trusting()).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let text = error.render();
    assert!(
        text.contains("which is yet to come") && text.contains("clock"),
        "{text}"
    );
    std::fs::write(&index, right).unwrap();
    machine.find(&reference, &machine.trusting()).unwrap();
}

/// An imgforge that did not say it yet has signed texts that have a good signature for ever.
#[test]
fn an_index_says_what_it_is_once_one_did() {
    let (world, _) = one_image();
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let bare = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect()
    };
    sign_again(&world, "index.asc", 0, bare);
    sign_again(&world, "images/web/revisions.sjson", 0, |text| {
        text.replace("  \"state\": 1,\n", "")
    });
    std::fs::remove_file(world.path("repo/.imgforge/state.sjson")).unwrap();
    machine.find(&reference, &machine.trusting()).unwrap();
    world.repository().renew_older(&Stamp::now()).unwrap();
    machine.find(&reference, &machine.trusting()).unwrap();
    sign_again(&world, "index.asc", 60, |text| {
        let lines = text.lines().filter(|line| !line.contains("valid-until"));
        lines.map(|line| format!("{line}\n")).collect()
    });
    let error = machine.find(&reference, &machine.trusting()).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let text = error.render();
    assert!(text.contains("does not say any more"), "{text}");
    let allowed = Options {
        allow_older: true,
        ..machine.trusting()
    };
    machine.find(&reference, &allowed).unwrap();
}

#[test]
fn a_list_with_a_short_digest_is_an_error() {
    let (world, _) = one_image();
    publish(&world, &disk(&world, "two", &[7]), "web", "stable");
    sign_again(&world, "images/web/revisions.sjson", 0, |text| {
        let mut list: serde_json::Value = serde_json::from_str(&text).unwrap();
        list["revisions"]["1"]["sha512"] = "ab".into();
        format!("{list:#}\n")
    });
    let machine = Machine::new(&world);
    let reference = format!("{}#web@1", world.path("repo").display());
    assert_eq!(machine.pull(&reference).unwrap_err().kind(), Kind::Gate);
}

/// One key signs all repositories of a host, and each has a channel of this name.
#[test]
fn another_repository_of_the_same_key_is_served_in_vain() {
    let (world, _) = one_image();
    let test = world.path("test");
    let other = Repository::open(world.settings(&test)).unwrap();
    for seed in [8, 9] {
        publish_to(&other, &disk(&world, "test", &[seed]), "web", "stable");
    }
    let machine = Machine::new(&world);
    let evil: Arc<Mutex<Vec<&str>>> = Arc::default();
    let (served, root) = (Arc::clone(&evil), world.path("repo"));
    let server = Server::start(move |request, _| {
        let swapped = served
            .lock()
            .unwrap()
            .iter()
            .any(|path| *path == request.path);
        Answer::directory(request, if swapped { &test } else { &root })
    });
    let reference = format!("{}#web", server.text(""));
    machine.pull(&reference).unwrap();
    for (path, wanted) in [
        ("/index.asc", reference.clone()),
        ("/images/web/revisions.sjson", format!("{reference}@2")),
    ] {
        *evil.lock().unwrap() = vec![path];
        let options = Options {
            allow_older: true,
            ..machine.trusting()
        };
        for options in [machine.trusting(), options] {
            let error = machine.find(&wanted, &options).unwrap_err();
            assert_eq!(error.kind(), Kind::Gate);
            let text = error.render();
            assert!(text.contains("was there before"), "{path}: {text}");
        }
    }
    // Nor counts what does not say whose it is.
    evil.lock().unwrap().clear();
    machine.find(&reference, &machine.trusting()).unwrap();
    sign_again(&world, "index.asc", 60, |text| {
        let lines = text.lines().filter(|line| !line.starts_with("# imgforge "));
        lines.map(|line| format!("{line}\n")).collect()
    });
    let error = machine.find(&reference, &machine.trusting()).unwrap_err();
    let text = error.render();
    assert!(text.contains("does not say of which repository"), "{text}");
}
