//! The jobs of a build, and the engines that run them.

mod gitlab;
mod slurm;

use serde_json::json;

use crate::support::World;

#[test]
fn the_list_of_jobs_has_parents_first_and_says_what_is_done() {
    let world = World::importing();
    world.image("above", "from: small\nmachine: {memory: 1GiB, cpus: 3}\n");
    world.configure("engine: {time: 90m}\n");
    let list = |args: &[&str]| {
        world
            .ok(&[&["plan"], args, &["--jobs", "json"]].concat())
            .json()
    };
    let listed = list(&["above"]);
    let jobs = listed["jobs"].as_array().unwrap();
    let fields: Vec<&String> = jobs[0].as_object().unwrap().keys().collect();
    let order = "name image key parents arch memory processors time until done command";
    assert_eq!(fields, order.split(' ').collect::<Vec<_>>());
    assert_eq!((&listed["version"], jobs.len()), (&json!(1), 2));
    // As the list was asked for.
    let dir = world.dir.path().to_str().unwrap();
    let begin = ["imgforge", "-C", dir, "--accel", "tcg", "build"];
    let command = json!([&begin[..], &["small", "--until", "seal"]].concat());
    assert_eq!(
        (&jobs[0]["name"], &jobs[0]["command"]),
        (&json!("small"), &command)
    );
    let above = &jobs[1];
    assert_eq!(above["parents"], json!(["small"]));
    assert_eq!(above["memory"], json!(3072), "two guests and a GiB");
    assert_eq!(
        (&above["processors"], &above["time"]),
        (&json!(3), &json!(5400))
    );
    assert_eq!(above["command"], json!([&begin[..], &["above"]].concat()));
    assert!(!world.path("state").exists(), "a plan only looks");

    let elsewhere = list(&["small", "--state", "made/of it"])["jobs"][0]["command"].clone();
    let state = [
        &begin[..3],
        &["--state", "made/of it"],
        &begin[3..],
        &["small"],
    ];
    assert_eq!(elsewhere, json!(state.concat()));
    let pipeline = [
        "plan",
        "small",
        "--state",
        "made/of it",
        "--pipeline",
        "gitlab",
    ];
    let options = format!("imgforge -C {dir} --state 'made/of it' --accel tcg");
    world.ok(&pipeline).prints(&[
        &format!("{options} build small"),
        &format!("{options} logs small |"),
    ]);

    let installs = ["--all", "--until", "install"];
    let before = list(&installs)["jobs"][1].clone();
    world.ok(&["build", "small", "--until", "install"]);
    let after = list(&installs)["jobs"].clone();
    let small = |jobs: &serde_json::Value| jobs[0]["done"].clone();
    assert_eq!(
        (small(&after), &after[1]["done"]),
        (json!(true), &json!(false))
    );
    assert_eq!(after[1]["key"], before["key"]);
    world
        .run(&["build", "--all", "--jobs", "json"])
        .exits(2)
        .says(&["only `plan` lists jobs"]);
}

/// What is below is bound to the lock of the image above: no job of its own would make the same.
#[test]
fn a_locked_image_is_one_job_with_all_that_is_below() {
    let world = World::importing();
    world.image("above", "from: small\nmachine: {memory: 1GiB}\n");
    let stage = |image: &str, stage: &str| {
        format!("  - image: {image}\n    stage: {stage}\n    recipe: old\n")
    };
    let stages = [
        stage("small", "install"),
        stage("small", "configure"),
        stage("above", "configure"),
    ];
    let lock = format!(
        "imgforge-lock: 1\nimage: above\nclock: 2026-01-01T00:00:00Z\nstages:\n{}packages: []\n# end\n",
        stages.concat()
    );
    world.write("recipes/above.lock", lock);
    let jobs = |args: &[&str]| {
        let words = [&["plan", "above", "--jobs", "json"], args].concat();
        world.ok(&words).json()["jobs"].clone()
    };
    let locked = jobs(&["--locked"]);
    assert_eq!(locked.as_array().unwrap().len(), 1, "{locked}");
    assert_eq!(locked[0]["parents"], json!([]));
    let command = locked[0]["command"].as_array().unwrap();
    assert!(
        command.ends_with(&[json!("above"), json!("--locked")]),
        "{locked}"
    );
    assert_ne!(locked[0]["key"], jobs(&[])[1]["key"]);
    let pipeline = ["plan", "above", "--locked", "--pipeline", "gitlab"];
    world.ok(&pipeline).prints(&["build above --locked"]);
}
