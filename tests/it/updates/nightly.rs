//! What is done again and again: nightly builds that cannot bring a fix, or judge an image; promotions.

use std::time::{Duration, SystemTime};

use super::advisories::{CRITICAL, built, osv, with};
use super::*;
use crate::support::world::IMPORT;

const NIGHTLY: [&str; 4] = ["build", "--all", "--updated", "--publish"];

#[test]
fn what_a_build_did_not_bring_is_told_and_not_built_again() {
    let (archive, _server, world) = mirror();
    let newer = [("libssl3", "3.0.15-1~deb12u1", "openssl")];
    archive.suite(SECURITY, "bookworm-security", &newer);
    world.updates(&["web"]).exits(4);
    let recipe = "publish: {channel: stable}\n";
    built(&world, recipe, "3.0.11-1~deb12u2");
    let before = world.stored();
    let said = world.ok(&NIGHTLY);
    said.says(&[
        "nothing is built again: the build of web from",
        "came without libssl3 3.0.15-1~deb12u1 (bookworm-security)",
    ]);
    assert_eq!(world.stored(), before);
    // With another recipe it may come.
    let mut disk = std::fs::read(world.path("files/disk.raw")).unwrap();
    disk[0] = 1;
    world.write("files/other.raw", disk);
    world.replace("recipes/web.yaml", "disk.raw", "other.raw");
    world
        .ok(&["build", "web", "--updated", "--until", "install"])
        .says(&["fixes wait: building web"]);

    // A build that has it is published, and not made anew.
    built(&world, recipe, "3.0.15-1~deb12u1");
    let before = world.stored();
    world.ok(&NIGHTLY).says(&["fixes wait: building web"]);
    assert_eq!(world.stored(), before);
    // The sources that this build names nobody reaches.
    let said = world.updates(&["web", "--json"]).exits(1).json();
    assert_eq!(said["images"][0]["revision"], 2);
    assert_eq!(said["images"][0]["updates"], json!([]));
}

/// What is published comes before what is built on it, and a failure of it is one of both.
#[test]
fn what_is_built_on_a_published_image_follows_the_recipe_that_publishes_it() {
    let (archive, _server, world) = mirror();
    let newer = [("libssl3", "3.0.15-1~deb12u1", "openssl")];
    archive.suite(SECURITY, "bookworm-security", &newer);
    let nobody = Nobody::new();
    let url = format!("http://{}/disk.raw", nobody.address);
    let disk = format!(
        "install: {{import: {{image: \"{url}\", sha256: {}}}}}\nmachine: {{disk: 1GiB}}\npublish: \
         {{channel: stable}}\n",
        "0".repeat(64)
    );
    world.image("web", &disk);
    world.image("above", "from: {image: main#web, channel: stable}\n");
    world.image("pinned", "from: {image: main#web@1}\n");
    world.run(&NIGHTLY).exits(1).says(&[
        "fixes wait: building above, web",
        "above (it builds on web)",
    ]);
    // Without --publish the channel has the old one still.
    let said = world.run(&["build", "--all", "--updated"]);
    said.exits(1).says(&["fixes wait: building web"]);
}

#[test]
fn what_could_not_be_judged_fails_a_nightly_build_of_it() {
    let (_archive, server, world) = mirror();
    let rpm = [package("bash", "5.1.8-9.el9", "")];
    world.has("rocky", &contents(Kind::Rpm, &rpm));
    world.disk_file("files/disk.raw");
    world.image("web", IMPORT);
    // No recipe here makes what nobody knows the sources of.
    let nothing = "no fixes wait: nothing is built";
    world.ok(&NIGHTLY).says(&[nothing]);
    drop(server);
    world.run(&NIGHTLY).exits(1).says(&[
        "web is not judged: ",
        "no fixes are known to wait, and not all could be judged",
        "not every image could be judged",
        "`imgforge updates` shows by image what is missing",
    ]);
}

/// An image `web` in the channel `stable`, with a recipe that has this rule, and a file of advisories.
fn ruled(world: &World, rule: &str) {
    world.disk_file("files/disk.raw");
    world.image("web", &format!("{IMPORT}check: {{advisories: {rule}}}\n"));
    world.write("list.json", "[]");
    with(world, "advisories: [{format: osv, from: list.json}]\n");
}

const PROMOTE: [&str; 5] = ["channel", "promote", "web", "stable", "prod"];

#[test]
fn a_promotion_asks_for_advisories_that_came_since() {
    let (_archive, _server, world) = mirror();
    ruled(&world, "{fail: critical}");
    let list = |ids: &[&str]| {
        let all = ids.iter().map(|id| osv(id, "openssl", "9", CRITICAL));
        world.write("list.json", json!(all.collect::<Vec<_>>()).to_string());
    };
    list(&["CVE-1"]);
    let said = world.run(&PROMOTE).exits(4);
    said.says(&["vulnerabilities that its recipe refuses", "CVE-1: critical"]);
    let list_of = |image: &str| world.ok(&["channel", "list", image, "--json"]).json();
    world.run(&["channel", "list", "prod"]).exits(2);
    // What has no recipe here has no rule; what is accepted is none.
    world.ok(&["channel", "promote", "editor", "stable", "prod"]);
    ruled(&world, "{fail: critical, allow: {CVE-1: nobody calls it}}");
    list(&["CVE-1"]);
    world.ok(&PROMOTE);
    let images = list_of("prod")[0]["images"].as_array().unwrap().len();
    assert_eq!(images, 2);
}

#[test]
fn a_canary_that_an_advisory_came_for_stays_one_and_a_rollback_goes_back_and_tells() {
    let (_archive, _server, world) = mirror();
    ruled(&world, "{fail: critical}");
    let mut settings = world.settings(&world.path("repo"));
    settings.channels = [("stable".to_owned(), canary("10%"))].into();
    let repository = Repository::open(settings).unwrap();
    let disk = world.disk("web-2");
    publish_with(&repository, &disk, |p| {
        p.name = "web";
        p.companions = companions(
            &disk,
            &deb(&[package("libssl3", "3.0.11-1~deb12u2", "openssl")]),
        );
    })
    .unwrap();
    let list = json!([osv("CVE-1", "openssl", "9", CRITICAL)]);
    world.write("list.json", list.to_string());
    let complete = ["channel", "complete", "web", "--channel", "stable"];
    let said = world.run(&complete).exits(4);
    said.says(&["vulnerabilities that its recipe refuses", "CVE-1: critical"]);
    // It goes to fewer machines, or to none.
    world.ok(&[&complete[..], &["--share", "5%"]].concat());
    world
        .ok(&["channel", "rollback", "web", "--channel", "stable"])
        .says(&["CVE-1: critical"]);
    world.run(&complete).exits(2).says(&["no canary of `web`"]);
}

/// As recipes of installers have them, whose media each site has elsewhere.
#[test]
fn a_recipe_that_needs_variables_stops_a_promotion_only_where_advisories_are_asked_for() {
    let (_archive, _server, world) = mirror();
    world.disk_file("files/disk.raw");
    world.image("web", &format!("{IMPORT}summary: \"{{{{ site }}}}\"\n"));
    world.ok(&PROMOTE);
    world.write(
        "list.json",
        json!([osv("CVE-1", "nobody-has-it", "9", CRITICAL)]).to_string(),
    );
    with(&world, "advisories: [{format: osv, from: list.json}]\n");
    let to = ["channel", "promote", "web", "stable", "next"];
    world
        .run(&to)
        .exits(2)
        .says(&["cannot ask for `check.advisories` of web", "--var site="]);
    world.ok(&[&to[..], &["--var", "site=here"]].concat());
}

#[test]
fn advisories_that_are_too_old_are_no_answer() {
    let (_archive, _server, world) = mirror();
    ruled(&world, "{fail: critical}");
    let written = |days: u64| {
        world.write(
            "list.json",
            json!([osv("CVE-1", "nobody-has-it", "9", CRITICAL)]).to_string(),
        );
        let file = std::fs::File::options()
            .append(true)
            .open(world.path("list.json"));
        let then = SystemTime::now() - Duration::from_secs(days * 86_400 + 60);
        file.unwrap().set_modified(then).unwrap();
    };
    written(40);
    world.run(&PROMOTE).exits(4).says(&[
        "nobody knows which vulnerabilities web has today",
        "list.json are 40 d old, and 30 d is the most",
        "`check.advisories.max-age` of the recipe",
    ]);
    ruled(&world, "{fail: critical, max-age: 50d}");
    written(40);
    world.ok(&PROMOTE);
}
