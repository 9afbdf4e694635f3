//! A real bootstrap; slow, and fetches from the host's mirror.

use super::*;
use crate::ui::Ui;

fn bootstrap(suite: &str, out: &Path) -> BaseDisk {
    let scratch = tempfile::tempdir_in(out).unwrap();
    let bootstrap: Bootstrap =
        serde_json::from_value(serde_json::json!({ "suite": suite })).unwrap();
    let machine = Machine {
        disk: Size::gib(2),
        ..Machine::default()
    };
    let fetching = Fetching::default();
    let input = Input {
        fetching: &fetching,
        relay: proxy::Settings {
            routes: vec![],
            cache: proxy::Cache::new(scratch.path(), None),
            scratch: scratch.path().join("proxy"),
            log: scratch.path().join("proxy.log"),
            vouched_only: false,
            locked: None,
            open: None,
        },
        image: "boot-test",
        bootstrap: &bootstrap,
        machine: &machine,
        mirrors: &Mirrors::default(),
        site_mirrors: &[],
        seed: suite,
        scratch: scratch.path(),
        disk: &out.join(format!("{suite}.qcow2")),
        ui: &Ui::silent().stage("boot-test", "install"),
    };
    let installed = run(&input).unwrap_or_else(|error| panic!("{}", error.render()));
    assert!(!scratch.path().join("tree").exists());
    installed
}

#[test]
fn a_suite_alone_has_no_updates() {
    let (debian, trixie) = distro::suite("trixie").unwrap();
    let archive = Archive {
        main: "http://a.example/debian".into(),
        security: Some("http://a.example/debian-security".into()),
    };
    let suites = |more: serde_json::Value| -> Vec<String> {
        let mut written = serde_json::json!({"suite": "trixie"});
        written
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let bootstrap: Bootstrap = serde_json::from_value(written).unwrap();
        let suite = with_pockets(trixie, &bootstrap);
        let text = distro::apt::sources(debian, &suite, &archive, &[]);
        let lines = text.lines().filter(|line| line.starts_with("Suites:"));
        lines.map(str::to_owned).collect()
    };
    let all = ["Suites: trixie trixie-updates", "Suites: trixie-security"];
    assert_eq!(suites(serde_json::json!({})), all);
    assert_eq!(
        suites(serde_json::json!({"updates": false})),
        ["Suites: trixie"]
    );
}

#[test]
#[ignore = "e2e: src/stage/install/bootstrap"]
fn a_bootstrapped_disk_has_its_partitions_and_knows_its_sources() {
    let kept = std::env::var_os("IMGFORGE_TEST_KEEP").map(PathBuf::from);
    let dir = tempfile::tempdir().unwrap();
    let suite = std::env::var("IMGFORGE_TEST_SUITE").unwrap_or_else(|_| "trixie".into());
    let installed = bootstrap(&suite, kept.as_deref().unwrap_or(dir.path()));
    let sources = installed.facts.sources.unwrap();
    assert!(sources.text.contains(&format!("Suites: {suite}")));
    assert!(installed.disk.metadata().unwrap().len() < 1 << 30);
}
