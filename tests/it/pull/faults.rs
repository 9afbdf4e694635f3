//! What goes wrong: nothing half-written, a clear error, and the next call goes on.

use super::world::*;
use crate::patience::wait_for;

/// A server of the world's repository that answers requests for the blob in its own way.
fn server(
    world: &World,
    answer: impl Fn(&Request, Answer, usize) -> Answer + Send + Sync + 'static,
) -> Server {
    let root = world.path("repo");
    let blobs = Mutex::new(0);
    Server::start(move |request, _| {
        let good = Answer::directory(request, &root);
        if !request.path.ends_with(".xz") {
            return good;
        }
        let number = {
            let mut blobs = blobs.lock().unwrap();
            *blobs += 1;
            *blobs - 1
        };
        answer(request, good, number)
    })
}

#[test]
fn a_broken_connection_is_gone_on_with() {
    let (world, disk) = one_image();
    // The first request is for the end of the file.
    let server = server(&world, |_, good, number| match number {
        1 => good.cut(200_000, Then::Close),
        2 => good.cut(150_000, Then::Hang),
        _ => good,
    });
    let machine = Machine::new(&world).impatient();
    let pulled = machine.pull(&format!("{}#web", server.text(""))).unwrap();
    machine.has(&disk);
    assert_eq!(pulled.fetched, disk.size.as_bytes());
    let ranges = blob_requests(&server);
    let ranges: Vec<_> = ranges[1..].iter().map(Option::as_deref).collect();
    assert_eq!(ranges, [None, Some("bytes=200000-"), Some("bytes=350000-")]);
}

#[test]
fn a_later_call_goes_on_where_an_earlier_one_was_given_up() {
    let (world, disk) = one_image();
    let down = Arc::new(Mutex::new(true));
    let is_down = Arc::clone(&down);
    let server = server(&world, move |_, good, number| match number {
        0 => good,
        1 => good.cut(300_000, Then::Close),
        _ if *is_down.lock().unwrap() => Answer::status(502),
        _ => good,
    });
    let machine = Machine::new(&world);
    let reference = format!("{}#web", server.text(""));
    let error = machine.pull(&reference).unwrap_err();
    assert_eq!(error.kind(), Kind::Stage);
    assert!(
        error.render().contains("502 Bad Gateway"),
        "{}",
        error.render()
    );
    machine.has_nothing();
    assert_eq!(machine.parts().len(), 1);
    *down.lock().unwrap() = false;
    server.forget();
    let pulled = machine.pull(&reference).unwrap();
    machine.has(&disk);
    assert_eq!(
        (pulled.reused, pulled.fetched),
        (300_000, disk.size.as_bytes() - 300_000)
    );
    let requests = server.requests();
    let resumed = requests
        .iter()
        .find(|r| r.header("range") == Some("bytes=300000-"))
        .unwrap();
    assert!(resumed.header("if-range").is_some(), "{resumed:?}");
    assert!(machine.parts().is_empty());
}

#[test]
fn a_part_that_does_not_fit_is_fetched_anew() {
    let (world, disk) = one_image();
    let down = Arc::new(Mutex::new(true));
    let is_down = Arc::clone(&down);
    let server = server(&world, move |_, good, number| match number {
        0 => good,
        1 => good.cut(300_000, Then::Close),
        _ if *is_down.lock().unwrap() => Answer::status(500),
        _ => good,
    });
    let machine = Machine::new(&world);
    let reference = format!("{}#web", server.text(""));
    machine.pull(&reference).unwrap_err();
    let part = machine.parts().remove(0);
    File::options()
        .write(true)
        .open(part)
        .unwrap()
        .write_all_at(b"changed", 1000)
        .unwrap();
    *down.lock().unwrap() = false;
    machine.pull(&reference).unwrap();
    machine.has(&disk);
    let notices = machine.notices.lock().unwrap().join("\n");
    assert!(notices.contains("fetching everything again"), "{notices}");
}

#[test]
fn a_file_that_changes_in_between_begins_anew() {
    let (world, disk) = one_image();
    let server = server(&world, |request, good, number| match number {
        0 => good,
        // Another file at first, as the entity tag says.
        1 => {
            Answer::file(request, &vec![7; good.body.len()], "\"other\"").cut(250_000, Then::Close)
        }
        _ => good,
    });
    let machine = Machine::new(&world);
    machine.pull(&format!("{}#web", server.text(""))).unwrap();
    machine.has(&disk);
}

#[test]
fn a_server_without_ranges_is_enough() {
    let (world, disk) = one_image();
    let root = world.path("repo");
    let server = server(&world, move |request, _, number| {
        let whole = Request {
            headers: Default::default(),
            ..request.clone()
        };
        let answer = Answer::directory(&whole, &root);
        match number {
            1 => answer.cut(300_000, Then::Close),
            _ => answer,
        }
    });
    let machine = Machine::new(&world);
    machine.pull(&format!("{}#web", server.text(""))).unwrap();
    machine.has(&disk);
}

#[test]
fn other_bytes_than_the_signed_ones_are_refused() {
    type Change = fn(&Request, Answer) -> Answer;
    let cases: [(&str, Change); 4] = [
        ("have the sha512", |_, mut good| {
            let middle = good.body.len() / 2;
            good.body[middle] ^= 1;
            good
        }),
        ("the server says that it has", |request, good| {
            let longer = [good.body.as_slice(), &[0; 100]].concat();
            Answer::file(request, &longer, "\"x\"")
        }),
        ("the server says that it has", |request, good| {
            Answer::file(request, &good.body[..good.body.len() - 4], "\"x\"")
        }),
        ("sends more than there should be", |_, mut good| {
            good.body.extend([0; 1000]);
            good.headers
                .retain(|(name, _)| name != "Content-Length" && name != "Content-Range");
            good.status = 200;
            good.then = Then::Close;
            good
        }),
    ];
    let (world, _) = one_image();
    for (expected, change) in cases {
        let server = server(&world, move |request, good, _| change(request, good));
        let machine = Machine::new(&world);
        let error = machine
            .pull(&format!("{}#web", server.text("")))
            .unwrap_err();
        let text = error.render();
        assert!(text.contains(expected), "{expected}: {text}");
        assert_eq!(error.kind(), Kind::Gate, "{text}");
        machine.has_nothing();
        assert!(machine.session().store.all().is_empty());
    }
}

#[test]
fn a_server_that_fails_leaves_no_file() {
    let (world, _) = one_image();
    type Change = fn(Answer) -> Answer;
    let cases: [(&str, Change); 5] = [
        ("503 Service Unavailable", |_| Answer::status(503)),
        // Again and again after a few bytes more.
        ("the connection ended after", |good| {
            good.cut(1000, Then::Close)
        }),
        ("in a circle", |_| {
            Answer::redirect("/images/web/1/web-0123456789ab.xz")
        }),
        ("does not exist", |_| Answer::status(404)),
        ("sent almost nothing", |good| good.cut(0, Then::Hang)),
    ];
    for (expected, change) in cases {
        let server = server(&world, move |_, good, number| match number {
            0 => good,
            _ => change(good),
        });
        let machine = Machine::new(&world).impatient();
        let error = machine
            .pull(&format!("{}#web", server.text("")))
            .unwrap_err();
        assert!(
            error.render().contains(expected),
            "{expected}: {}",
            error.render()
        );
        assert_eq!(error.kind(), Kind::Stage);
        machine.has_nothing();
    }
}

#[test]
fn a_damaged_blob_of_the_store_is_fetched_again() {
    let (world, disk) = one_image();
    let server = Server::of(&world.path("repo"));
    let machine = Machine::new(&world);
    let reference = format!("{}#web", server.text(""));
    machine.pull(&reference).unwrap();
    let entry = machine.session().store.all().remove(0);
    let blob = File::options()
        .write(true)
        .open(entry.path().join("blob"))
        .unwrap();
    blob.write_all_at(b"changed", 100_000).unwrap();
    std::fs::remove_file(machine.path("disk.raw")).unwrap();
    let pulled = machine.pull(&reference).unwrap();
    machine.has(&disk);
    assert_eq!(pulled.fetched, disk.size.as_bytes());
    assert!(
        machine
            .notices
            .lock()
            .unwrap()
            .join("\n")
            .contains("is damaged")
    );
}

#[test]
fn ctrl_c_keeps_what_was_fetched_and_nothing_else() {
    let (world, disk) = one_image();
    let stuck = Arc::new(Mutex::new(true));
    let is_stuck = Arc::clone(&stuck);
    let server = server(&world, move |_, good, number| match number {
        0 => good,
        _ if *is_stuck.lock().unwrap() => good.cut(300_000, Then::Hang),
        _ => good,
    });
    let machine = Machine::new(&world);
    let pull = || {
        machine
            .program()
            .args([
                "pull",
                &format!("{}#web", server.text("")),
                "-o",
                "disk.raw",
                "--key",
            ])
            .arg(world.path("repo/imgforge.gpg"))
    };
    let running = pull().spawn().unwrap();
    // As soon as it has what it gets, it is interrupted.
    let arrived = || {
        let sizes = machine
            .parts()
            .into_iter()
            .map(|part| part.metadata().unwrap().len());
        sizes.sum::<u64>() == 300_000
    };
    wait_for("the transfer", arrived);
    Program::new("kill")
        .args(["-INT", &running.id().to_string()])
        .run()
        .unwrap();
    let error = running.wait().unwrap_err();
    assert!(error.render().contains("interrupted"), "{}", error.render());
    machine.has_nothing();
    assert_eq!(machine.parts().len(), 1);
    *stuck.lock().unwrap() = false;
    server.forget();
    pull().run().unwrap();
    machine.has(&disk);
    assert!(blob_requests(&server).contains(&Some("bytes=300000-".into())));
}

#[test]
fn a_full_disk_leaves_nothing_under_the_name() {
    let (world, _) = one_image();
    let server = Server::of(&world.path("repo"));
    let machine = Machine::new(&world);
    let small = machine.path("state/small");
    std::fs::create_dir(&small).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=256k none '{small}' && {program} -C '{small}' --state '{state}' \
         pull '{base}#web' -o disk.raw --key '{key}'; code=$?; ls -A '{small}'; exit $code",
        small = small.display(),
        program = crate::support::IMGFORGE,
        state = machine.path("state").display(),
        base = server.text(""),
        key = world.path("repo/imgforge.gpg").display(),
    );
    let error = Program::new("sh")
        .in_namespaces(&["-rm"])
        .args(["-c", &script])
        .run()
        .unwrap_err();
    let text = error.render();
    let full = ["the disk is full", "is nearly full"];
    let told = full.iter().any(|words| text.contains(words));
    assert!(told, "{text}");
    assert!(!text.contains("disk.raw\n"), "{text}");
}

#[test]
fn what_a_killed_pull_leaves_the_next_command_clears() {
    let (world, disk) = one_image();
    let stuck = Arc::new(Mutex::new(true));
    let is_stuck = Arc::clone(&stuck);
    let server = server(&world, move |_, good, number| match number {
        0 => good,
        _ if *is_stuck.lock().unwrap() => good.cut(300_000, Then::Hang),
        _ => good,
    });
    let machine = Machine::new(&world);
    let temporary = machine.path("state/tmp");
    std::fs::create_dir(&temporary).unwrap();
    let imgforge = || machine.program().env("TMPDIR", &temporary);
    let pull = || {
        let reference = format!("{}#web", server.text(""));
        let program = imgforge().args(["pull", &reference, "-o", "disk.raw", "--key"]);
        program.arg(world.path("repo/imgforge.gpg"))
    };
    let running = pull().spawn().unwrap();
    let arrived = || {
        let parts = machine.parts().into_iter();
        parts
            .map(|part| part.metadata().unwrap().len())
            .sum::<u64>()
            == 300_000
    };
    wait_for("the transfer", arrived);
    let id = running.id().to_string();
    Program::new("kill").args(["-KILL", &id]).run().unwrap();
    running.wait().unwrap_err();
    let scratch = || {
        let names = std::fs::read_dir(machine.path("")).unwrap();
        let names = names.map(|name| name.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with(".imgforge-"))
            .count()
    };
    assert_eq!(scratch(), 1, "the disk in the making");
    assert!(!machine.path("disk.raw").exists());
    // As another that was killed while gpg ran would leave it, an hour ago.
    let keys = temporary.join("imgforge-now-abcdef");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join("keyring"), "x").unwrap();
    let hour = std::time::SystemTime::now() - Duration::from_secs(3600);
    File::open(&keys).unwrap().set_modified(hour).unwrap();

    // No recipe repository is needed to clear up.
    let told = imgforge().arg("gc").text().unwrap();
    assert!(
        told.contains("/.imgforge-") && told.contains("imgforge-now-abcdef"),
        "{told}"
    );
    machine.has_nothing();
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    // What was fetched is no rubbish.
    assert_eq!(machine.parts().len(), 1);
    *stuck.lock().unwrap() = false;
    server.forget();
    pull().run().unwrap();
    machine.has(&disk);
    assert!(blob_requests(&server).contains(&Some("bytes=300000-".into())));
    assert!(machine.parts().is_empty());
}
