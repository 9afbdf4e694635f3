//! `updates`: images against mirrors on loopback.

mod advisories;
mod archive;
mod further;
mod missed;
mod nightly;
mod oracle;
mod others;
mod trust;
mod unread;

use crate::repository::world::*;
use crate::server::{Answer, Nobody, Server};
use crate::support::Said;
use crate::support::world::IMPORT;
use crate::views::{companions, contents, package};
use archive::Archive;
use imgforge::sbom::{Contents, Kind, Package};

const MAIN: &str = "debian/dists/bookworm";
const SECURITY: &str = "debian-security/dists/bookworm-security";

impl World {
    /// With a mirror, whose signature counts.
    fn with_mirror(server: &Server, archive: &Archive) -> World {
        let world = World::new();
        world.write("archive.gpg", archive.public_key());
        world.configure(&format!(
            "repositories: {{main: {{path: repo}}}}\nmirrors: {{debian: [\"{}\"]}}\n\
             updates: {{keyrings: [archive.gpg]}}\n",
            server.text("debian")
        ));
        world
    }

    /// Publishes an image with these packages.
    fn has(&self, name: &'static str, contents: &Contents) {
        let disk = self.disk(name);
        publish_with(&self.repository(), &disk, |p| {
            p.name = name;
            p.companions = companions(&disk, contents);
        })
        .unwrap();
    }

    fn updates(&self, args: &[&str]) -> Said {
        self.run(&[&["updates"], args].concat())
    }
}

fn deb(packages: &[Package]) -> Contents {
    contents(Kind::Deb, packages)
}

/// What waits: `IMAGE PACKAGE INSTALLED AVAILABLE SUITE`, with a star for security.
fn waiting(report: &Value) -> Vec<String> {
    let images = report["images"].as_array().unwrap().iter();
    let rows = images.flat_map(|image| {
        let name = image["image"].as_str().unwrap();
        image["updates"].as_array().unwrap().iter().map(move |one| {
            let word = |name: &str| one[name].as_str().unwrap().to_owned();
            let star = if one["security"] == true { " *" } else { "" };
            format!(
                "{name} {} {} {} {}{star}",
                word("package"),
                word("installed"),
                word("available"),
                word("suite")
            )
        })
    });
    rows.collect()
}

/// A mirror with the suites of bookworm; the newest libraries of three images are in it.
fn mirror() -> (Archive, Server, World) {
    let archive = Archive::new();
    archive.suite(
        MAIN,
        "bookworm",
        &[
            ("openssl", "3.0.11-1~deb12u2", ""),
            ("libssl3", "3.0.11-1~deb12u2", "openssl"),
            ("vim", "2:9.0.1378-2", ""),
            ("libstdc++6", "12.2.0-14", "gcc-12"),
        ],
    );
    archive.suite("debian/dists/bookworm-updates", "bookworm-updates", &[]);
    archive.suite(SECURITY, "bookworm-security", &[]);
    let server = archive.serve();
    let world = World::with_mirror(&server, &archive);
    world.has(
        "web",
        &deb(&[
            package("openssl", "3.0.11-1~deb12u2", ""),
            package("libssl3", "3.0.11-1~deb12u2", "openssl"),
        ]),
    );
    world.has("editor", &deb(&[package("vim", "2:9.0.1378-2", "")]));
    world.has(
        "build",
        &deb(&[
            package("libstdc++6", "12.2.0-14", "gcc-12"),
            package("libssl3", "3.0.11-1~deb12u2", "openssl"),
        ]),
    );
    (archive, server, world)
}

#[test]
fn a_newer_package_names_the_images_that_contain_it_and_no_other() {
    let (archive, server, world) = mirror();
    let none: [&str; 0] = [];
    assert_eq!(waiting(&world.updates(&["--json"]).ok().json()), none);

    // In no image.
    archive.suite(
        SECURITY,
        "bookworm-security",
        &[("nginx", "1.22.1-9+deb12u1", "")],
    );
    assert_eq!(waiting(&world.updates(&["--json"]).ok().json()), none);

    archive.suite(
        SECURITY,
        "bookworm-security",
        &[
            ("openssl", "3.0.15-1~deb12u1", ""),
            ("libssl3", "3.0.15-1~deb12u1", "openssl"),
        ],
    );
    let (was, new) = ("3.0.11-1~deb12u2", "3.0.15-1~deb12u1");
    let report = world.updates(&["--json"]).exits(4).json();
    let row =
        |image: &str, package: &str| format!("{image} {package} {was} {new} bookworm-security *");
    let web = [row("web", "libssl3"), row("web", "openssl")];
    assert_eq!(
        waiting(&report),
        [&[row("build", "libssl3")][..], &web].concat()
    );

    // A part that was built again, by its epoch, is no security fix.
    archive.suite(
        "debian/dists/bookworm-updates",
        "bookworm-updates",
        &[
            ("libstdc++6", "12.2.0-14+b1", "gcc-12 (12.2.0-14)"),
            ("vim", "9.1-1", ""),
            ("openssl", "3.0.11-1~deb12u2+b1", ""),
        ],
    );
    let said = world.updates(&["build", "editor"]).exits(4);
    let said = said.prints(&["libstdc++6", "12.2.0-14+b1", "bookworm-updates"]);
    said.says(&[
        "fixes wait for 1 of 2 images, 1 of them for security",
        "imgforge build build",
    ]);
    let security = world.updates(&["--security", "--json"]).exits(4).json();
    assert_eq!(waiting(&security), waiting(&report));

    // Those who fetched it once ask whether it is still so, and for no list again.
    server.forget();
    world.updates(&[]).exits(4);
    let asked = server.requests();
    let paths: Vec<&str> = asked.iter().map(|request| request.path.as_str()).collect();
    assert!(
        paths.iter().all(|path| path.ends_with("InRelease")),
        "{paths:?}"
    );
    assert!(
        asked
            .iter()
            .all(|request| request.header("if-none-match").is_some())
    );
    assert_eq!(asked.len(), 3);

    // Without the mirror: as it was, with its age.
    let before = world.updates(&["--json"]).exits(4).json();
    drop(server);
    let said = world.updates(&["--offline", "--json"]).exits(4);
    let said = said.says(&["the oldest of the indexes was read"]);
    assert_eq!(waiting(&said.json()), waiting(&before));
    let since = |report: &Value| report["images"][0]["updates"][0]["since"].clone();
    assert_eq!(since(&said.json()), since(&report));
}

#[test]
fn what_one_image_lacks_is_told_there_and_the_others_are_judged() {
    let (archive, _server, world) = mirror();
    let nobody = Nobody::new();
    let sources = |uri: &str, suite: &str| Contents {
        sources: vec![format!("deb {uri} {suite} main")],
        ..deb(&[package("vim", "2:9.0-1", "")])
    };
    let gone = format!("http://{}/node", nobody.address);
    world.has("gone", &sources(&gone, "nodistro"));
    let rpm = [package("bash", "5.1.8-9.el9", "")];
    world.has("rocky", &contents(Kind::Rpm, &rpm));
    let bare = world.disk("bare");
    publish_with(&world.repository(), &bare, |p| p.name = "bare").unwrap();
    archive.suite(
        SECURITY,
        "bookworm-security",
        &[("vim", "2:9.0.1378-2+deb12u1", "")],
    );
    let said = world.updates(&["--json"]).exits(4);
    let said = said.says(&[
        "gone:x86_64@stable: ",
        &*format!("{gone}/dists/nodistro/InRelease"),
        "rocky:x86_64@stable: nothing says where its packages come from",
        "bare:x86_64@stable: it has no SBOM",
    ]);
    let row = "editor vim 2:9.0.1378-2 2:9.0.1378-2+deb12u1 bookworm-security *";
    assert_eq!(waiting(&said.json()), [row]);
    // Nothing waits for it, as far as anybody knows: that is no answer.
    world
        .updates(&["gone"])
        .exits(1)
        .says(&["not every image could be judged"]);
    world
        .updates(&["nobody"])
        .exits(2)
        .says(&["no channel has an image `nobody`"]);
}

#[test]
fn an_index_that_was_changed_cut_or_signed_by_another_does_not_count() {
    let (archive, _server, world) = mirror();
    let newer = [("vim", "2:9.0.1378-3", "")];
    let index = format!("{SECURITY}/InRelease");
    let list = format!("{SECURITY}/main/binary-amd64/Packages.xz");
    let refused = |why: &str| {
        let said = world.updates(&["editor", "--json"]).exits(1).says(&[why]);
        assert!(waiting(&said.json()).is_empty());
    };
    archive.suite(SECURITY, "bookworm-security", &newer);
    let good = archive.read(&index);
    archive.write(
        &index,
        String::from_utf8_lossy(&good).replace("Suite: ", "Suite: x"),
    );
    refused("the signature is wrong: the text was changed");
    archive.write(&index, &good[..good.len() / 2]);
    refused("bookworm-security/InRelease does not count");
    archive.write(&index, b"Suite: bookworm-security\n");
    refused("this is not a clear-signed text");
    let other = Archive::new();
    other.suite(SECURITY, "bookworm-security", &newer);
    archive.write(&index, other.read(&index));
    refused("none of the keys that signed it is trusted here");
    archive.write(&index, &good);
    let whole = archive.read(&list);
    archive.write(&list, &whole[..whole.len() / 2]);
    refused("Packages.xz");
    archive.write(&list, vec![b'x'; whole.len()]);
    refused("is not what its index says");
    archive.expire(SECURITY, "bookworm-security");
    refused("has expired");
    // Whatever was refused left nothing that counts later.
    archive.suite(SECURITY, "bookworm-security", &newer);
    world.updates(&["editor"]).exits(4);
}

/// Images of the recipes that a build has begun to make.
fn made(world: &World) -> Vec<String> {
    let metas = world.stored().into_iter().map(|key| {
        let meta: Value =
            serde_json::from_str(&world.read(&format!("state/store/{key}/meta.json"))).unwrap();
        meta["image"].as_str().unwrap().to_owned()
    });
    let mut images: Vec<String> = metas.collect();
    images.sort();
    images
}

#[test]
fn what_has_fixes_waiting_is_built_and_told_by_status_and_nothing_else() {
    let (archive, _server, world) = mirror();
    world.disk_file("files/disk.raw");
    for name in ["web", "editor", "build"] {
        world.image(name, IMPORT);
    }
    let updated = ["build", "--all", "--updated", "--until", "install"];
    world
        .ok(&updated)
        .says(&["no fixes wait: nothing is built"]);
    assert!(made(&world).is_empty());
    world.run(&["status", "--metrics", "m.prom"]).exits(4);
    let labels = |image: &str| {
        format!("{{repository=\"main\",channel=\"stable\",image=\"{image}\",arch=\"x86_64\"}}")
    };
    let pending = |image: &str| {
        let text = world.read("m.prom");
        let name = format!("imgforge_pending_security_fixes{} ", labels(image));
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.map(str::to_owned)
    };
    assert_eq!(pending("web").as_deref(), Some("0"));

    let newer = [
        ("openssl", "3.0.15-1~deb12u1", ""),
        ("libssl3", "3.0.15-1~deb12u1", "openssl"),
    ];
    archive.suite(SECURITY, "bookworm-security", &newer);
    world
        .ok(&updated)
        .says(&["fixes wait: building build, web"]);
    assert_eq!(made(&world), ["build", "web"]);
    let said = world.run(&["status", "--metrics", "m.prom"]).exits(4);
    said.prints(&["web in stable for x86_64: 2 fixes wait, 2 of them for security"]);
    assert_eq!(pending("web").as_deref(), Some("2"));
    assert_eq!(pending("editor").as_deref(), Some("0"));
}

#[test]
fn a_mirror_that_does_not_count_is_told_and_the_next_one_is_read() {
    let (archive, server, world) = mirror();
    let bad = Server::start(|_, _| Answer::of(b"<html>welcome</html>"));
    world.replace(
        "imgforge.yaml",
        "[\"",
        &format!("[\"{}\", \"", bad.text("debian")),
    );
    archive.suite(
        SECURITY,
        "bookworm-security",
        &[("vim", "2:9.0.1378-3", "")],
    );
    let said = world.updates(&["editor", "--json"]).exits(4);
    said.says(&[
        &*format!("{} bookworm", server.text("debian")),
        "was read instead",
    ]);
}
