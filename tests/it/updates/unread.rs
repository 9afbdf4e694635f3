//! What is told where a file of advisories cannot be read, and which revisions have an advisory.

use super::advisories::{CRITICAL, osv, with};
use super::*;
use crate::support::world::IMPORT;

#[test]
fn a_broken_file_of_advisories_beside_a_good_one_is_told_wherever_fixes_and_advisories_are() {
    let (_archive, _server, world) = mirror();
    let all = [
        osv("CVE-1", "openssl", "9", CRITICAL),
        osv("CVE-2\u{1b}[2J", "vim", "2:9.9", "5.0"),
    ];
    world.write("list.json", json!(all).to_string());
    with(&world, "advisories: [{format: osv, from: list.json}]\n");
    let query = |words: &[&str]| world.ok(&[&["repo", "query"], words].concat());
    query(&["CVE-1"]).prints(&["web", "openssl", "3.0.11-1~deb12u2", "CVE-1 (critical)\n"]);
    query(&["vim"]).prints(&["CVE-2 (medium)\n"]);
    query(&["CVE-404"]).says(&["no revision has such a package, or one with such an advisory"]);
    let found = query(&["CVE-1", "--json"]).json();
    assert_eq!(found["unjudged"], Value::Null);

    with(
        &world,
        "advisories: [{format: osv, from: list.json}, {format: osv, from: gone.json}]\n",
    );
    world
        .updates(&["web"])
        .exits(1)
        .prints(&["unknown   unknown"]);
    world.disk_file("files/disk.raw");
    world.image("web", IMPORT);
    let said = world.run(&["status", "--metrics", "m.prom"]);
    said.prints(&["web in stable for x86_64: nobody knows whether fixes wait"]);
    let metrics = world.read("m.prom");
    let unjudged = metrics.lines().find_map(|line| {
        let name = line.strip_prefix("imgforge_pending_fixes_unjudged")?;
        name.contains("image=\"web\"").then(|| name.ends_with(" 1"))
    });
    assert_eq!(unjudged, Some(true), "{metrics}");
    query(&["vim"]).prints(&["CVE-2 (medium), perhaps more\n"]);
    with(&world, "advisories: [{format: osv, from: gone.json}]\n");
    query(&["vim"]).prints(&["unknown\n"]);
    let found = query(&["vim", "--json"]).json();
    assert_eq!(found["found"][0]["advisories"], Value::Null);
    assert!(
        found["unjudged"][0].to_string().contains("gone.json"),
        "{found}"
    );
}
