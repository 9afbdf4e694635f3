//! What mirrors and sources would make people believe.

use super::*;
use sha2::{Digest as _, Sha256};

/// An image with an old editor, and these lines of a `sources.list`.
fn editor_of(sources: &[String]) -> Contents {
    Contents {
        sources: sources.to_vec(),
        ..deb(&[package("vim", "2:9.0-1", "")])
    }
}

#[test]
fn an_archive_of_others_is_read_where_it_is_whatever_its_name() {
    let (archive, server, world) = mirror();
    let newer = [("vim", "2:9.9-1", "")];
    archive.suite("ppa/debian/dists/bookworm", "bookworm", &newer);
    let line = format!("deb {} bookworm main", server.text("ppa/debian"));
    world.has("theirs", &editor_of(&[line]));
    let own = "deb http://mirror.example.debian.org/debian bookworm main";
    let key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
    let keyed = format!("deb {key} http://127.0.0.1:1/debian bookworm main");
    world.has("own", &editor_of(&[own.to_owned(), keyed]));
    let said = world.updates(&["theirs", "own", "--json"]).exits(4);
    let rows = [
        "own vim 2:9.0-1 2:9.0.1378-2 bookworm",
        "theirs vim 2:9.0-1 2:9.9-1 bookworm",
    ];
    assert_eq!(waiting(&said.json()), rows);
}

#[test]
fn the_password_of_a_mirror_is_told_nobody() {
    let (_archive, _server, world) = mirror();
    world.replace("imgforge.yaml", "http://", "http://me:Pa55word@");
    let line = "deb http://mirror.example.debian.org/debian bookworm main contrib";
    world.has("more", &editor_of(&[line.to_owned()]));
    let said = world.updates(&["--json"]).exits(4);
    let said = said.says(&["/debian bookworm has no contrib for amd64"]);
    let last = std::fs::read_to_string(world.path("state/updates/last.json")).unwrap();
    for text in [&said.out, &said.err, &last] {
        assert!(!text.contains("Pa55word"), "{text}");
    }
}

#[test]
fn the_index_of_another_suite_is_not_that_of_security_fixes() {
    let (archive, _server, world) = mirror();
    let newer = [("vim", "2:9.0.1378-3", "")];
    archive.suite(SECURITY, "bookworm-security", &newer);
    // Signed by whom it should be, and nothing in it is new.
    let index = archive.read(&format!("{MAIN}/InRelease"));
    archive.write(&format!("{SECURITY}/InRelease"), index);
    let list = "main/binary-amd64/Packages.xz";
    let packages = archive.read(&format!("{MAIN}/{list}"));
    archive.write(&format!("{SECURITY}/{list}"), packages);
    let said = world.updates(&["editor", "--json"]).exits(1);
    said.says(&["bookworm-security/InRelease is the index of another suite"]);
}

#[test]
fn an_index_older_than_the_one_before_hides_nothing() {
    let (archive, server, world) = mirror();
    archive.suite(SECURITY, "bookworm-security", &[]);
    let old = archive.read(&format!("{SECURITY}/InRelease"));
    let list = format!("{SECURITY}/main/binary-amd64/Packages.xz");
    let old_list = archive.read(&list);
    let newer = [("vim", "2:9.0.1378-3", "")];
    archive.suite(SECURITY, "bookworm-security", &newer);
    archive.alter(SECURITY, |text| {
        text.replace("15 Nov 2025 10", "15 Nov 2025 11")
    });
    let row = "editor vim 2:9.0.1378-2 2:9.0.1378-3 bookworm-security *";
    let waits = |args: &[&str]| {
        let said = world.updates(&[&["editor", "--json"], args].concat());
        assert_eq!(waiting(&said.exits(4).json()), [row], "{args:?}");
    };
    waits(&[]);
    archive.write(&format!("{SECURITY}/InRelease"), &old);
    archive.write(&list, &old_list);
    waits(&[]);
    // Twice: what was refused has not taken the other one's place.
    waits(&[]);
    // Nor does what nobody has signed.
    archive.write(&format!("{SECURITY}/InRelease"), b"<html>welcome</html>");
    world.updates(&["editor"]).exits(1);
    drop(server);
    waits(&["--offline"]);
}

#[test]
fn a_date_that_nobody_can_read_is_no_permission_for_ever() {
    let (archive, _server, world) = mirror();
    archive.alter(SECURITY, |text| {
        text.replace("SHA256:", "Valid-Until: soon\nSHA256:")
    });
    let said = world.updates(&["editor"]).exits(1);
    said.says(&["`Valid-Until: soon` is no date"]);
}

#[test]
fn an_index_of_a_day_that_is_yet_to_come_hides_nothing() {
    let (archive, _server, world) = mirror();
    let newer = [("vim", "2:9.0.1378-3", "")];
    archive.suite(SECURITY, "bookworm-security", &newer);
    let date = |from: &str, to: &str| archive.alter(SECURITY, |text| text.replace(from, to));
    date("Sat, 15 Nov 2025", "Fri, 15 Nov 2999");
    let said = world.updates(&["editor"]).exits(1);
    said.says(&["InRelease is not valid yet"]);
    date("Fri, 15 Nov 2999", "Sat, 15 Nov 2025");
    let said = world.updates(&["editor", "--json"]).exits(4);
    let row = "editor vim 2:9.0.1378-2 2:9.0.1378-3 bookworm-security *";
    assert_eq!(waiting(&said.json()), [row]);
}

/// How long a fix waits is not forgotten while nobody can look.
#[test]
fn a_mirror_that_is_away_takes_no_day_of_a_fix_away() {
    let (archive, _server, world) = mirror();
    let newer = [("vim", "2:9.0.1378-3", "")];
    archive.suite(SECURITY, "bookworm-security", &newer);
    let look = |code: i32| world.updates(&["editor", "--json"]).exits(code).json();
    let now = look(4)["images"][0]["updates"][0]["since"].clone();
    let last = world.read("state/updates/last.json");
    let earlier = last.replace(&format!("\"since\":{now}"), "\"since\":1000");
    world.write("state/updates/last.json", earlier);
    let index = format!("{SECURITY}/InRelease");
    let good = archive.read(&index);
    archive.write(&index, b"<html>welcome</html>");
    look(1);
    look(1);
    archive.write(&index, &good);
    assert_eq!(look(4)["images"][0]["updates"][0]["since"], 1000);
}

#[test]
fn packages_for_all_architectures_may_have_a_list_of_their_own() {
    let (archive, _server, world) = mirror();
    let text = "Package: vim\nArchitecture: all\nVersion: 2:9.9-1\n\n";
    let path = "main/binary-all/Packages";
    archive.write(&format!("{SECURITY}/{path}"), text);
    let digest = Sha256::digest(text);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("SHA256:\n {digest} {} {path}", text.len());
    let apart = |text: String| {
        let text = text.replace("Architectures: amd64", "Architectures: all amd64");
        text.replace("SHA256:", &line)
    };
    archive.alter(SECURITY, apart);
    let said = world.updates(&["editor", "--json"]).exits(4);
    let row = "editor vim 2:9.0.1378-2 2:9.9-1 bookworm-security *";
    assert_eq!(waiting(&said.json()), [row]);
    // Debian has them in the others, too, and says so.
    let twice = "No-Support-for-Architecture-all: Packages\nSHA256:";
    archive.alter(SECURITY, |text| text.replace("SHA256:", twice));
    world.updates(&["editor"]).ok();
}

#[test]
fn a_channel_that_nobody_has_is_no_channel_without_fixes() {
    let (_archive, _server, world) = mirror();
    let said = world.updates(&["--channel", "stabel"]).exits(2);
    said.says(&["no image is in the channel `stabel`"]);
}

#[test]
fn an_archive_of_security_fixes_that_stands_still_is_told() {
    let (archive, _server, world) = mirror();
    let stands = "bookworm-security has had nothing new for";
    world.updates(&[]).ok().says(&[stands]);
    let now = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S UTC");
    let now = now.to_string();
    archive.alter(SECURITY, |text| {
        text.replace("Sat, 15 Nov 2025 10:00:00 UTC", &now)
    });
    let said = world.updates(&[]).ok();
    assert!(!said.err.contains(stands), "{}", said.err);
    // Nothing is published: that is no answer about fixes.
    let none = World::new();
    none.configure("repositories: {main: {path: repo}}\n");
    none.updates(&[]).ok().says(&["nothing was looked at"]);
}
