//! What an installer fetches: through the build's own proxy, and the host's behind it.

use super::{ANSWERS, Installation};
use crate::server::{Answer, Server};
use crate::support::Run as _;

const MIRROR: &str = "http://mirror.example/debian";
const PACKAGE: &[u8] = b"a package for the toy\n";

/// Only the host's proxy knows the mirror: media and packages come that way, and the image is told
/// nothing of any proxy.
#[test]
#[ignore = "vm: src/proxy src/stage/install/virt_install"]
fn the_hosts_proxy_stands_between_the_build_and_its_mirrors() {
    let world = Installation::new("fetch", "mirrors: {build: http://mirror.example/debian}\n");
    let initrd = std::fs::read(world.path("media/installer.img")).unwrap();
    // What is kept is what an index vouches for.
    let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(PACKAGE));
    let index = format!(
        "Package: toy\nFilename: pool/main/t/toy/toy_1_all.deb\nSize: {}\nSHA256: {sum}\n\n",
        PACKAGE.len()
    );
    let upstream = Server::start(move |request, _| {
        match request.path.strip_prefix(MIRROR).unwrap_or_default() {
            "/dists/trixie/InRelease" => Answer::of(b"Suite: trixie\n"),
            "/dists/trixie/main/binary-amd64/Packages" => Answer::of(index.as_bytes()),
            "/installer.img" => Answer::file(request, &initrd, "\"1\""),
            "/pool/main/t/toy/toy_1_all.deb" => Answer::of(PACKAGE),
            _ => Answer::status(404),
        }
    });
    let (toy, from_mirror) = ("recipes/toy.yaml", "initrd: 'mirror:installer.img'");
    world.replace(toy, "initrd: media/installer.img", from_mirror);
    // It comes over plain http, and no archive signs it.
    world.replace(toy, "    media:", "    unverified-media: true\n    media:");
    let answers = ANSWERS.replace("token", "from string {{ imgforge_mirror }}\nd-i toy/token");
    world.write("preseed/toy.cfg", answers);
    let env = [
        ("http_proxy", upstream.text("")),
        ("no_proxy", String::new()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));

    let said = world.install_with(&env);
    assert_eq!(
        said.code,
        Some(0),
        "{}\n{}",
        said.err,
        world.log("install-console.log")
    );
    let console = world.log("install-console.log");
    assert!(
        console.contains("toy: fetched a package for the toy"),
        "{console}"
    );
    let facts = world.facts();
    let fetched = facts["fetched"].as_array().unwrap();
    let address = format!("{MIRROR}/pool/main/t/toy/toy_1_all.deb");
    let package = fetched.iter().find(|one| one["url"] == *address);
    assert_eq!(package.unwrap()["size"], PACKAGE.len(), "{facts}");
    let logged = |word: &str| {
        let log = world.log("proxy.log");
        let line = |line: &str| line.starts_with(word) && line.ends_with(".deb");
        assert!(log.lines().any(line), "{log}");
    };
    logged("miss ");
    let by_proxy = upstream.requests();
    assert!(
        by_proxy
            .iter()
            .all(|request| request.path.starts_with(MIRROR)),
        "{by_proxy:?}"
    );

    // Again, from the cache: the package is not asked for any more.
    upstream.forget();
    let mut command = world.command(&["build", "toy", "--until", "install", "--from", "install"]);
    command.envs(env).said().ok();
    logged("hit ");
    assert!(
        !upstream
            .requests()
            .iter()
            .any(|request| request.path.ends_with(".deb"))
    );
    world.is_clean();
}
