//! `status`: recipes against store against channels.

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
    world.configure("repositories: {main: {path: repo}}\n");
    world.write("recipes/web-node.yaml", RECIPE);
    world.disk_file("files/disk.raw");
    world
}

/// Publishes as if the recipe had been built as it is now.
fn published(world: &World, repository: &Repository, channel: &str, text: &str) {
    let plan = world.ok(&["plan", "web-node", "--json"]).json();
    let version = plan[0]["version"].as_str().unwrap();
    let disk = world.disk(text);
    let gate = proof("sealed");
    let mut publication = publication(&disk, &gate);
    (publication.version, publication.channel) = (version, channel);
    publication.stamp = Stamp::now().commit(Some("c".repeat(40)));
    repository.publish(&[publication], &Ui::silent()).unwrap();
}

#[test]
fn status_says_what_drifted_and_its_exit_code_says_whether() {
    let world = world();
    let status = |args: &[&str]| world.run(&[&["status"], args].concat());
    let first = status(&[]).exits(4);
    let first = first.prints(&["not published", "it was never built here"]);
    first.says(&["nightly, to which its recipe publishes, does not have it"]);

    let repository = world.repository();
    published(&world, &repository, "nightly", "one");
    status(&[]).ok().prints(&["current", "cccccccccccc"]);

    world.write("recipes/web-node.yaml", RECIPE.replace("1GiB", "2GiB"));
    let json = status(&["--json"]).exits(4).json();
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
    // Stable has nothing to do with it.
    status(&["--channel", "stable"]).ok();

    let why = Stamp::now().why(Some("a release"));
    repository.freeze("nightly", true, &why).unwrap();
    // It is behind on purpose.
    status(&[]).ok().prints(&["frozen"]);
    repository.freeze("nightly", false, &Stamp::now()).unwrap();

    std::fs::remove_file(world.path("recipes/web-node.yaml")).unwrap();
    status(&[]).exits(4).says(&["no recipe makes it"]);
}

/// Every verb takes the name of an image, and says so to who types the path of a recipe.
#[test]
fn a_recipe_is_named_by_its_image_and_validated_by_its_file_too() {
    let world = world();
    for word in ["web-node", "recipes/web-node.yaml"] {
        world.ok(&["validate", word]).prints(&["1 files: all good"]);
    }
    let said = world.run(&["validate", "web-nod"]).exits(2);
    said.says(&["there is no recipe `web-nod`", "did you mean `web-node`?"]);
    for verb in [
        "attach", "build", "logs", "plan", "publish", "shell", "show", "status",
    ] {
        for path in ["recipes/web-node.yaml", "web-node.yaml"] {
            let said = world.run(&[verb, path]).exits(2);
            said.says(&["name what that file makes: `web-node`"]);
        }
        let said = world.run(&[verb, "nothing"]).exits(2);
        said.says(&["there is no recipe `nothing`"]);
    }
    for (file, hint) in [
        ("web-nod.yaml", "recipes/web-node.yaml?"),
        ("recipes/zzz.yaml", "`imgforge list` shows the images"),
    ] {
        let said = world.run(&["validate", file]).exits(2);
        said.says(&["cannot be read", "hint: ", hint]);
    }
}

#[test]
fn what_channels_do_not_have_and_no_recipe_makes_is_unknown_and_a_damaged_note_drifts() {
    let world = world();
    let repository = world.repository();
    published(&world, &repository, "nightly", "one");
    world.ok(&["status", "web-node"]);
    let said = world.run(&["status", "web-node:riscv64"]).exits(2);
    said.says(&["`web-node` is not listed for riscv64"]);
    // A folder of an image's name is no recipe.
    std::fs::create_dir(world.path("web-node")).unwrap();
    world.ok(&["validate", "web-node"]);

    let planned = world.ok(&["plan", "web-node", "--json"]).json();
    // Without an epoch the key is the note's name.
    let key = planned[0]["stages"][0]["key"].as_str().unwrap();
    std::fs::create_dir_all(world.path("state/epochs")).unwrap();
    world.write(&format!("state/epochs/{key}"), "x");
    let said = world.run(&["plan", "web-node"]).exits(3);
    said.says(&["is damaged", "--from STAGE"]);
    world.ok(&["plan", "web-node", "--from", "install"]);
    let said = world.run(&["status"]).exits(4);
    said.says(&["it cannot be planned: ", "is damaged", "--from STAGE"]);
    // Nothing of a wrong recipe can be built.
    world.write("recipes/web-node.yaml", RECIPE.replace("1GiB", "1Gib"));
    let said = world.run(&["status"]).exits(4);
    said.says(&[
        "its recipe is wrong",
        "hint: `imgforge validate web-node` shows",
    ]);
}

#[test]
fn a_channel_that_is_asked_about_is_one_that_there_is() {
    let world = world();
    let repository = world.repository();
    published(&world, &repository, "nightly", "one");
    let said = world.run(&["status", "--channel", "nightyl"]).exits(2);
    said.says(&["no channel `nightyl`", "did you mean `nightly`?"]);
    // It is told by the other channels' names where no recipe makes it any more.
    world.ok(&["status", "web-node", "--channel", "stable"]);
    std::fs::remove_file(world.path("recipes/web-node.yaml")).unwrap();
    let said = world.run(&["status", "web-node", "--channel", "stable"]);
    said.exits(2).says(&[
        "the channel `stable` has no image `web-node`",
        "it is in nightly",
    ]);
    let said = world.run(&["status", "web-node", "--channel", "nightly"]);
    said.exits(4).says(&["no recipe makes it"]);
}

#[test]
fn status_says_what_is_on_trial() {
    let world = world();
    world.configure("repositories: {main: {path: repo, channels: {nightly: {canary: 10%}}}}\n");
    let settings = Settings {
        channels: [("nightly".to_owned(), canary("10%"))].into(),
        ..world.settings(&world.path("repo"))
    };
    let repository = Repository::open(settings).unwrap();
    published(&world, &repository, "nightly", "one");
    let json = world.ok(&["status", "--json"]).json();
    let place = &json["images"][0]["places"][0];
    assert_eq!(
        (place.get("notes"), &place["on-trial"]),
        (None, &json!(false))
    );
    // What the recipe makes is there, for some at first: nothing is to be published again.
    world.write("recipes/web-node.yaml", RECIPE.replace("1GiB", "2GiB"));
    world.run(&["status"]).exits(4).says(&["nightly has"]);
    published(&world, &repository, "nightly", "two");
    let trial = "canary: 10 % of the machines get revision 2";
    let line = format!("web-node in nightly for x86_64: {trial}\n");
    world.ok(&["status"]).prints(&["canary", &line]);
    let file = world.path("imgforge.prom");
    let json = world.ok(&["status", "--json", "--metrics", file.to_str().unwrap()]);
    let place = &json.json()["images"][0]["places"][0];
    assert_eq!(
        (&place["notes"], &place["on-trial"]),
        (&json!([trial]), &json!(true))
    );
    let metrics = std::fs::read_to_string(file).unwrap();
    for (name, value) in [("current", 0), ("on_trial", 1)] {
        let of = |line: &&str| line.starts_with(&format!("imgforge_image_{name}{{"));
        let line = metrics.lines().find(of).unwrap();
        assert!(line.ends_with(&format!(" {value}")), "{line}");
    }
}

#[test]
fn metrics_are_what_prometheus_reads_and_count_builds() {
    let world = world();
    let repository = world.repository();
    published(&world, &repository, "nightly", "one");
    for _ in 0..2 {
        world.ok(&["build", "web-node", "--until", "install"]);
    }
    world.write("files/disk.raw", b"no disk");
    let failed = world.run(&["build", "web-node", "--until", "install"]);
    assert_ne!(failed.code, Some(0));
    let file = world.path("imgforge.prom");
    world.run(&["status", "--metrics", file.to_str().unwrap()]);
    let metrics = std::fs::read_to_string(&file).unwrap();
    let samples = crate::views::python(PARSE).input(metrics).text().unwrap();
    let place = "[('arch', 'x86_64'), ('channel', 'nightly'), ('image', 'web-node'), ('repository', 'main')]";
    let stage = "[('image', 'web-node'), ('stage', 'install')]";
    for expected in [
        format!("imgforge_image_revision {place} 1.0"),
        format!("imgforge_image_virtual_size_bytes {place} 262144.0"),
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
    let world = world();
    let home = Home::new(world.path("gnupg"));
    home.gpg(&[
        "--quick-gen-key",
        "images <images@example.org>",
        "ed25519",
        "sign",
        // Nineteen days and a half: within one second of its birth a key of 20 days has all 20.
        "seconds=1684800",
    ]);
    let world = world.with_signer(Signer::configured_in("images@example.org", &home.0).unwrap());
    let repository = world.repository();
    published(&world, &repository, "nightly", "one");
    // On a host that has not signed it.
    let status = world.ok(&["--state", "reader", "status"]);
    status.says(&["expires in 19 days"]);
}

#[test]
fn passwords_in_addresses_are_shown_nowhere_and_warned_of() {
    let world = world();
    let recipe = "name: web-node\ninstall: {import: {image: 'https://me:hunter2@h.example/x', sha256: \
                  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}\n\
                  mirrors: {build: 'https://me:hunter2@m.example/debian'}\n\
                  vars: {place: 'http://me:hunter2@v.example/'}\n\
                  configure:\n- shell: {run: 'curl https://me:hunter2@s.example/'}\n";
    world.write("recipes/web-node.yaml", recipe);
    for args in [
        &["show", "web-node", "--resolved"][..],
        &["show", "web-node", "--json"],
        &["plan", "web-node", "--json"],
        &["plan", "web-node", "--explain"],
        &["validate"],
    ] {
        let all = world.ok(args).all();
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
