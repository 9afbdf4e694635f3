//! `status`: recipes against store against channels.

use std::process::{Command, Output};

use crate::repository::world::*;

const RECIPE: &str = "name: web-node\ninstall: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB}\npublish: {channel: nightly}\n";

/// Reads metrics as Prometheus' own library does; prints each sample.
const PARSE: &str = "\
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()), float(sample.value))
";

fn world() -> World {
    let world = World::new();
    for dir in ["recipes", "files"] {
        std::fs::create_dir_all(world.path(dir)).unwrap();
    }
    std::fs::write(
        world.path("imgforge.yaml"),
        "state: state\nrepositories: {main: {path: repo}}\n",
    )
    .unwrap();
    std::fs::write(world.path("recipes/web-node.yaml"), RECIPE).unwrap();
    let mut disk = vec![0u8; 4 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(world.path("files/disk.raw"), disk).unwrap();
    world
}

#[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
fn run(world: &World, args: &[&str]) -> Output {
    Command::new(crate::slots::IMGFORGE_WITHOUT_GUESTS)
        .arg("-C")
        .arg(world.dir.path())
        .args(["--progress", "plain", "--accel", "tcg"])
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Publishes as if the recipe had been built as it is now.
fn published(world: &World, repository: &Repository, channel: &str, text: &str) {
    let plan: Value =
        serde_json::from_slice(&run(world, &["plan", "web-node", "--json"]).stdout).unwrap();
    let version = plan[0]["version"].as_str().unwrap();
    let disk = world.disk(text);
    let gate = proof("sealed");
    let mut publication = publication(&disk, &gate);
    (publication.version, publication.channel) = (version, channel);
    publication.stamp = Stamp::now().commit(Some("c".repeat(40)));
    repository.publish(&publication, &Ui::silent()).unwrap();
}

#[test]
fn status_says_what_drifted_and_its_exit_code_says_whether() {
    let world = world();
    let status = |args: &[&str]| run(&world, &[&["status"], args].concat());
    let first = status(&[]);
    assert_eq!(first.status.code(), Some(4), "{}", text(&first.stderr));
    assert!(
        text(&first.stdout).contains("not published"),
        "{}",
        text(&first.stdout)
    );
    assert!(
        text(&first.stdout).contains("it was never built here"),
        "{}",
        text(&first.stdout)
    );
    assert!(
        text(&first.stderr).contains("nightly, to which its recipe publishes, does not have it")
    );

    let repository = world.repository();
    published(&world, &repository, "nightly", "one");
    let current = status(&[]);
    let table = text(&current.stdout);
    assert_eq!(
        current.status.code(),
        Some(0),
        "{table}{}",
        text(&current.stderr)
    );
    assert!(
        table.contains("current") && table.contains("cccccccccccc"),
        "{table}"
    );

    std::fs::write(
        world.path("recipes/web-node.yaml"),
        RECIPE.replace("1GiB", "2GiB"),
    )
    .unwrap();
    let behind = status(&["--json"]);
    assert_eq!(behind.status.code(), Some(4));
    let json: Value = serde_json::from_slice(&behind.stdout).unwrap();
    let image = &json["images"][0];
    assert_eq!(
        (
            &image["places"][0]["current"],
            &image["places"][0]["revision"]
        ),
        (&json!(false), &json!(1))
    );
    assert!(
        image["drift"][0].as_str().unwrap().contains("nightly has"),
        "{image}"
    );
    assert_eq!(
        status(&["--channel", "stable"]).status.code(),
        Some(0),
        "stable has nothing to do with it"
    );

    let why = Stamp::now().why(Some("a release"));
    repository.freeze("nightly", true, &why).unwrap();
    let frozen = status(&[]);
    assert_eq!(
        frozen.status.code(),
        Some(0),
        "frozen is behind on purpose: {}",
        text(&frozen.stderr)
    );
    assert!(
        text(&frozen.stdout).contains("frozen"),
        "{}",
        text(&frozen.stdout)
    );
    repository.freeze("nightly", false, &Stamp::now()).unwrap();

    std::fs::remove_file(world.path("recipes/web-node.yaml")).unwrap();
    let orphan = status(&[]);
    assert_eq!(orphan.status.code(), Some(4));
    assert!(
        text(&orphan.stderr).contains("no recipe makes it"),
        "{}",
        text(&orphan.stderr)
    );
}

#[test]
fn metrics_are_what_prometheus_reads_and_count_builds() {
    let world = world();
    let repository = world.repository();
    published(&world, &repository, "nightly", "one");
    for _ in 0..2 {
        let build = run(&world, &["build", "web-node", "--until", "install"]);
        assert!(build.status.success(), "{}", text(&build.stderr));
    }
    std::fs::write(world.path("files/disk.raw"), b"no disk").unwrap();
    assert!(
        !run(&world, &["build", "web-node", "--until", "install"])
            .status
            .success()
    );
    let file = world.path("imgforge.prom");
    run(&world, &["status", "--metrics", file.to_str().unwrap()]);
    let metrics = std::fs::read_to_string(&file).unwrap();
    let samples = crate::views::python(PARSE).input(metrics).text().unwrap();
    let place = "[('arch', 'x86_64'), ('channel', 'nightly'), ('image', 'web-node'), ('repository', 'main')]";
    let stage = "[('image', 'web-node'), ('stage', 'install')]";
    for expected in [
        format!("imgforge_image_revision {place} 1.0"),
        format!("imgforge_image_virtual_size_bytes {place} 3145728.0"),
        format!("imgforge_stage_runs_total {stage} 1.0"),
        format!("imgforge_stage_cache_hits_total {stage} 1.0"),
        format!("imgforge_stage_failures_total {stage} 1.0"),
        "imgforge_builds_total [('image', 'web-node'), ('result', 'failed')] 1.0".into(),
        "imgforge_builds_total [('image', 'web-node'), ('result', 'ok')] 2.0".into(),
    ] {
        assert!(
            samples.lines().any(|line| line == expected),
            "{expected}: {samples}"
        );
    }
    for name in [
        "imgforge_image_age_seconds",
        "imgforge_stage_duration_seconds",
        "imgforge_store_bytes",
    ] {
        assert!(samples.contains(name), "{name}: {samples}");
    }
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o644
    );
}

#[test]
fn a_key_is_warned_of_thirty_days_before_it_expires() {
    let mut world = world();
    let home = Home::new(world.path("gnupg"));
    home.gpg(&[
        "--quick-gen-key",
        "images <images@example.org>",
        "ed25519",
        "sign",
        // Nineteen days and a half: within one second of its birth a key of 20 days has all 20.
        "seconds=1684800",
    ]);
    world.signer = Signer::configured_in("images@example.org", &home.0).unwrap();
    let repository = world.repository();
    published(&world, &repository, "nightly", "one");
    // On a host that has not signed it.
    let status = run(&world, &["--state", "reader", "status"]);
    assert_eq!(status.status.code(), Some(0), "{}", text(&status.stderr));
    assert!(
        text(&status.stderr).contains("expires in 19 days"),
        "{}",
        text(&status.stderr)
    );
}

#[test]
fn passwords_in_addresses_are_shown_nowhere_and_warned_of() {
    let world = world();
    let recipe = "name: web-node\ninstall: {import: {image: 'https://me:hunter2@h.example/x', sha256: \
                  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}\n\
                  mirrors: {build: 'https://me:hunter2@m.example/debian'}\n\
                  vars: {place: 'http://me:hunter2@v.example/'}\n\
                  configure:\n- shell: {run: 'curl https://me:hunter2@s.example/'}\n";
    std::fs::write(world.path("recipes/web-node.yaml"), recipe).unwrap();
    for args in [
        &["show", "web-node", "--resolved"][..],
        &["show", "web-node", "--json"],
        &["plan", "web-node", "--json"],
        &["plan", "web-node", "--explain"],
        &["validate"],
    ] {
        let output = run(&world, args);
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{args:?}: {all}");
        assert!(!all.contains("hunter2"), "{args:?}: {all}");
        if args[0] == "show" {
            assert!(all.contains("https://m.example/debian"), "{all}");
        }
        if args[0] == "validate" {
            for line in [2, 3, 4, 6] {
                let place = format!("recipes/web-node.yaml:{line}: an address with a password");
                assert!(all.contains(&place), "{place}: {all}");
            }
        }
    }
}
