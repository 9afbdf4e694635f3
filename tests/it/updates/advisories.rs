//! Advisories in both formats, and what excuses from them.

use std::io::Write as _;

use super::*;
use crate::support::world::IMPORT;
use crate::support::{Run as _, under};

/// An advisory of OSV about a package of Debian 12.
pub(super) fn osv(id: &str, package: &str, fixed: &str, score: &str) -> Value {
    json!({
        "id": id, "schema_version": "1.6.0", "modified": "2025-11-02T00:00:00Z", "published": "2025-11-01T00:00:00Z",
        "aliases": [format!("X-{id}")], "details": "d".repeat(200),
        "severity": [{"type": "CVSS_V3", "score": score}],
        "affected": [{
            "package": {"ecosystem": "Debian:12", "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
        }],
    })
}

pub(super) const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";

/// `IMAGE ID SEVERITY FIXED`, with what excuses from it.
fn found(report: &Value) -> Vec<String> {
    let images = report["images"].as_array().unwrap().iter();
    let rows = images.flat_map(|image| {
        let name = image["image"].as_str().unwrap();
        let all = image["advisories"].as_array().into_iter().flatten();
        all.map(move |one| {
            let fixed = one["fixed"].as_str().unwrap_or("-");
            let excuse = one["excuse"]["justification"].as_str().unwrap_or_default();
            let (id, severity) = (
                one["id"].as_str().unwrap(),
                one["severity"].as_str().unwrap(),
            );
            format!("{name} {id} {severity} {fixed} {excuse}")
                .trim_end()
                .to_owned()
        })
    });
    rows.collect()
}

pub(super) fn with(world: &World, text: &str) {
    let config = world.read("imgforge.yaml");
    let kept = config.split("advisories:").next().unwrap();
    world.write("imgforge.yaml", format!("{kept}{text}"));
}

#[test]
fn advisories_of_both_formats_are_found_by_source_package_and_closed_by_updates() {
    let (archive, _server, world) = mirror();
    let new = "3.0.15-1~deb12u1";
    archive.suite(
        "debian/dists/bookworm-updates",
        "bookworm-updates",
        &[("openssl", new, ""), ("libssl3", new, "openssl")],
    );
    let all = [
        osv("CVE-1", "openssl", "3.0.13-1~deb12u1", CRITICAL),
        osv("CVE-2", "openssl", "3.0.99-1", "5.0"),
        osv("CVE-3", "openssl", "3.0.9-1", CRITICAL),
        osv("CVE-4", "nobody-has-it", "9", CRITICAL),
        osv("CVE-5", "gcc-12", "12.2.0-14", CRITICAL),
    ];
    let expected = [
        "build CVE-1 critical 3.0.13-1~deb12u1",
        "build CVE-2 medium 3.0.99-1",
        "web CVE-1 critical 3.0.13-1~deb12u1",
        "web CVE-2 medium 3.0.99-1",
    ];
    // One after another, as a list, in a directory, in a zip.
    let lines: Vec<String> = all.iter().map(Value::to_string).collect();
    world.write("lines.json", lines.join("\n"));
    world.write("list.json", format!(" \n{}", json!(all)));
    let mut zip = zip::ZipWriter::new(std::fs::File::create(world.path("all.zip")).unwrap());
    for (number, line) in lines.iter().enumerate() {
        world.write(&format!("many/{number}.json"), line);
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("{number}.json"), options).unwrap();
        zip.write_all(line.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    for from in ["lines.json", "list.json", "many", "all.zip"] {
        with(
            &world,
            &format!("advisories: [{{format: osv, from: {from}}}]\n"),
        );
        let report = world.updates(&["--json"]).exits(4).json();
        assert_eq!(found(&report), expected, "{from}");
        let closed = &report["images"][2]["updates"][0];
        assert_eq!(closed["advisories"], json!(["CVE-1"]), "{report}");
        assert_eq!(
            (&closed["security"], &closed["severity"]),
            (&json!(true), &json!("critical"))
        );
        assert_eq!(report["images"][2]["advisories"][0]["since"], 1_761_955_200);
    }

    let tracker = json!({
        "openssl": {
            "CVE-7": {"description": "d", "releases": {
                "bookworm": {"status": "resolved", "fixed_version": "3.0.13-1~deb12u1", "urgency": "high"},
                "trixie": {"status": "open", "urgency": "high"},
            }},
            "CVE-8": {"releases": {"bookworm": {"status": "open", "urgency": "unimportant"}}},
            "CVE-9": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "0", "urgency": "low"}}},
        },
        "nobody-has-it": {"CVE-1": {"releases": {"bookworm": {"status": "open", "urgency": "high"}}}},
    });
    world.write("tracker.json", tracker.to_string());
    with(
        &world,
        "advisories: [{format: debian-tracker, from: tracker.json}]\n",
    );
    let report = world.updates(&["web", "--json"]).exits(4).json();
    let expected = ["web CVE-7 high 3.0.13-1~deb12u1", "web CVE-8 negligible -"];
    assert_eq!(found(&report), expected);
    let said = world.updates(&["web"]).exits(4);
    said.prints(&["security, high", "CVE-7", "bookworm-updates"]);
}

#[test]
fn openvex_says_what_does_not_apply_and_why() {
    let (_archive, _server, world) = mirror();
    let all = [
        osv("CVE-1", "openssl", "9", CRITICAL),
        osv("CVE-2", "vim", "2:9.9", "5.0"),
    ];
    world.write("list.json", json!(all).to_string());
    let statement = |product: &str, more: Value| {
        let mut statement = json!({
            "vulnerability": {"name": "X-CVE-1"}, "products": [{"@id": product}], "status": "not_affected",
        });
        statement
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({
            "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/vex-1", "author": "A",
            "timestamp": "2025-11-01T00:00:00Z", "version": 1, "statements": [statement],
        })
    };
    with(
        &world,
        "advisories: [{format: osv, from: list.json}]\nvex: [vex.json]\n",
    );
    let reason = json!({"justification": "vulnerable_code_not_in_execute_path"});
    let excused = "CVE-1 critical 9 vulnerable_code_not_in_execute_path";
    let plain = "CVE-1 critical 9";
    for (product, build, web) in [
        ("pkg:deb/debian/openssl", excused, excused),
        (
            "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64",
            excused,
            excused,
        ),
        ("pkg:deb/debian/openssl@1.1", plain, plain),
        ("pkg:generic/web", plain, excused),
    ] {
        world.write("vex.json", statement(product, reason.clone()).to_string());
        let report = world.updates(&["--json"]).ok().json();
        let mut all = found(&report);
        all.dedup();
        let row = |image: &str, of: &str| format!("{image} {of}");
        let expected = [
            row("build", build),
            "editor CVE-2 medium 2:9.9".into(),
            row("web", web),
        ];
        assert!(
            expected.iter().all(|row| all.contains(row)),
            "{product}: {all:?}"
        );
    }
    // No reason, no excuse.
    world.write("vex.json", statement("web", json!({})).to_string());
    world
        .updates(&[])
        .exits(2)
        .says(&["vex.json is no OpenVEX", "does not say why X-CVE-1"]);
    world.write("vex.json", "{}");
    world
        .updates(&[])
        .exits(2)
        .says(&["vex.json is no OpenVEX"]);
}

/// Memory does not grow with the file: what nobody has is not kept.
#[test]
fn a_large_file_of_advisories_is_read_within_bounded_memory() {
    let (_archive, _server, world) = mirror();
    let mut file = std::fs::File::create(world.path("large.json")).unwrap();
    let filler = osv("CVE-0", "nobody-has-it", "9", CRITICAL).to_string();
    let block = format!("{filler}\n").repeat(1 << 10);
    let mut size = 0;
    while size < 200 << 20 {
        file.write_all(block.as_bytes()).unwrap();
        size += block.len();
    }
    writeln!(file, "{}", osv("CVE-1", "openssl", "9", CRITICAL)).unwrap();
    with(&world, "advisories: [{format: osv, from: large.json}]\n");
    let limit = format!("--data={}", 300 << 20);
    let command = world.command(&["updates", "web", "--json"]);
    let report = under(&["prlimit", &limit], &command).said().ok().json();
    assert_eq!(found(&report), ["web CVE-1 critical 9"]);

    let cut = format!("{filler}\n{}", &filler[..filler.len() / 2]);
    world.write("large.json", cut);
    let said = world.updates(&["web"]).exits(1);
    said.says(&[
        "large.json has no advisories in OSV's format",
        "EOF while parsing",
    ]);
}

/// Plants a build of the image `web` with this version of a library.
pub(super) fn built(world: &World, recipe: &str, version: &str) {
    world.disk_file("files/disk.raw");
    let disk = world.disk(version.get(..1).unwrap());
    world.image("web", &format!("{IMPORT}{recipe}"));
    world.ok(&["build", "web", "--until", "install"]);
    world.finish("web", &disk);
    let contents = Contents {
        sources: vec!["deb http://a.example/debian bookworm main".into()],
        ..deb(&[Package {
            licence: "OpenSSL".into(),
            ..package("libssl3", version, "openssl")
        }])
    };
    let path = format!("state/store/{}/contents.json", world.key("web", "seal"));
    world.write(&path, serde_json::to_vec(&contents).unwrap());
}

#[test]
fn a_manifest_says_what_is_fixed_and_a_query_what_is_not() {
    let (_archive, _server, world) = mirror();
    let all = [
        osv("CVE-1", "openssl", "4.0-1", CRITICAL),
        osv("CVE-2", "openssl", "9.9-1", "5.0"),
    ];
    world.write("list.json", json!(all).to_string());
    with(&world, "advisories: [{format: osv, from: list.json}]\n");
    built(&world, "publish: {channel: stable}\n", "5.0-1");
    world.ok(&["publish", "web"]);
    let manifest: Value =
        serde_json::from_str(&world.read("repo/images/web/2/manifest.json")).unwrap();
    let fixes = &manifest["fixes"];
    assert_eq!(fixes["since"], 1);
    let updated = &fixes["updated"][0];
    assert_eq!(
        (&updated["name"], &updated["old"], &updated["new"]),
        (
            &json!("libssl3"),
            &json!("3.0.11-1~deb12u2"),
            &json!("5.0-1")
        )
    );
    assert_eq!(fixes["removed"][0]["name"], "openssl");
    assert_eq!(
        (&fixes["added"], &fixes["closed"]),
        (&json!([]), &json!(["CVE-1"]))
    );

    let page = world.read("repo/images/web/index.html");
    let closed = page.split("Advisories closed").nth(1).unwrap();
    assert!(
        closed
            .trim_start_matches(|c| c != 'C')
            .starts_with("CVE-1<"),
        "{closed}"
    );

    let said = world.ok(&["repo", "query", "libssl3"]);
    said.prints(&["ADVISORIES", "CVE-1 (critical), CVE-2 (medium)"]);
    let json = world.ok(&["repo", "query", "libssl3", "--json"]).json();
    let of = |version: &str| {
        let mut found = json["found"].as_array().unwrap().iter();
        let found = found.find(|one| one["image"] == "web" && one["version"] == version);
        found.unwrap()["advisories"].as_array().unwrap().len()
    };
    assert_eq!((of("3.0.11-1~deb12u2"), of("5.0-1")), (2, 1));
}

#[test]
fn an_offline_build_is_published_without_a_request() {
    let (_archive, _mirror, world) = mirror();
    let server = Server::start(|_, _| Answer::of(b"[]"));
    let from = server.text("all.json");
    with(
        &world,
        &format!("advisories: [{{format: osv, from: \"{from}\"}}]\n"),
    );
    built(&world, "publish: {channel: stable}\n", "5.0-1");
    world
        .ok(&["build", "web", "--offline", "--publish"])
        .says(&[
            "the manifest does not say which advisories are closed",
            "was never read on this host",
        ]);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn the_gate_refuses_what_is_as_bad_as_its_recipe_says_and_not_accepted() {
    let (_archive, _server, world) = mirror();
    let all = [
        osv("CVE-1", "openssl", "9", CRITICAL),
        osv("CVE-2", "openssl", "9", "5.0"),
    ];
    world.write("list.json", json!(all).to_string());
    let recipe = |rule: &str| {
        let check = format!("check: {{advisories: {rule}}}\npublish: {{channel: stable}}\n");
        built(&world, &check, "3.0.11-1~deb12u2");
    };
    recipe("{fail: critical}");
    world
        .run(&["publish", "web"])
        .exits(2)
        .says(&["`check.advisories` of web has nothing to look for"]);
    with(&world, "advisories: [{format: osv, from: list.json}]\n");
    let said = world.run(&["publish", "web"]).exits(4);
    said.says(&[
        "web has 1 vulnerabilities that its recipe refuses",
        "CVE-1: critical, openssl 3.0.11-1~deb12u2, fixed in 9, known for",
    ]);
    with(&world, "advisories: [{format: osv, from: gone.json}]\n");
    world
        .run(&["publish", "web"])
        .exits(4)
        .says(&["nobody knows which vulnerabilities web has"]);
    with(&world, "advisories: [{format: osv, from: list.json}]\n");
    recipe("{fail: medium, grace: 1d, allow: {X-CVE-1: the code is not called}}");
    let said = world.run(&["publish", "web"]).exits(4);
    said.says(&[
        "web has 1 vulnerabilities that its recipe refuses",
        "CVE-2: medium",
    ]);
    recipe("{fail: critical, allow: {X-CVE-1: the code is not called, CVE-9: gone}}");
    let said = world.ok(&["publish", "web"]);
    said.says(&["accepts what is not there: CVE-9"]);

    // What is published beside the disk says the same in each format.
    let read = |end: &str| -> Value {
        let dir = world.path("repo/images/web/2");
        let names = crate::support::names(&dir);
        let name = names.iter().find(|name| name.ends_with(end)).unwrap();
        serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
    };
    assert_eq!(
        read(".cdx.json")["components"][1]["licenses"][0]["expression"],
        "OpenSSL"
    );
    assert_eq!(
        read(".spdx.json")["packages"][1]["licenseDeclared"],
        "OpenSSL"
    );
    let elements = read(".spdx3.json")["@graph"].as_array().unwrap().clone();
    let licence = elements
        .iter()
        .find_map(|it| it["simplelicensing_licenseExpression"].as_str());
    assert_eq!(licence, Some("OpenSSL"));
}
