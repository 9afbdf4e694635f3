//! How long a publication takes in a large repository: 10,000 revisions of 500 images.
//!
//! `IMGFORGE_BENCH_NAMES=50 IMGFORGE_BENCH_REVISIONS=4 cargo bench --bench repository` is quicker.

#![allow(clippy::print_stdout, reason = "the figures are the result")]

use std::path::Path;
use std::time::{Duration, Instant};

use imgforge::digest::file_sha512;
use imgforge::host::exec::Program;
use imgforge::index::{self, Entry};
use imgforge::repository::{
    GateProof, Publication, Repository, Settings, Signer, Stamp, State, verify,
};
use imgforge::ui::Ui;
use imgforge::units::Size;
use serde_json::{Value, json};

const GOAL: Duration = Duration::from_secs(1);

fn main() {
    let number = |name: &str, default: usize| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let names = number("IMGFORGE_BENCH_NAMES", 500);
    let each = number("IMGFORGE_BENCH_REVISIONS", 20);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let signer = Signer::own(&state, &Ui::silent()).unwrap();
    let root = dir.path().join("repository");
    let repository = Repository::open(Settings::new(&root, signer)).unwrap();
    publish(&repository, dir.path(), "image-0", "first");
    fill(&repository, &state, names, each);
    println!("repository of {} revisions of {names} images", names * each);

    let read = timed(|| drop(State::read(&root).unwrap()));
    println!("  its records read in {:.0} ms", millis(read));
    let mut times: Vec<Duration> = (0..20)
        .map(|round| {
            let name = format!("image-{}", round * names / 20);
            let text = format!("round {round}");
            timed(|| publish(&repository, dir.path(), &name, &text))
        })
        .collect();
    times.sort();
    let (median, longest) = (times[10], times[19]);
    println!(
        "  publish of a blob of 1 KiB: median {:.0} ms, longest {:.0} ms; goal: at most {:.0} ms: {}",
        millis(median),
        millis(longest),
        millis(GOAL),
        if median <= GOAL { "met" } else { "MISSED" }
    );
    let signed = std::fs::read(root.join("index.asc")).unwrap();
    let verified = timed(|| {
        let verified = verify(&signed, &repository.keyring()).unwrap();
        let entries = index::check(&index::parse(&verified.text).unwrap()).unwrap();
        assert_eq!(entries.len(), names);
    });
    println!(
        "  its index of {} KiB verified and read in {:.0} ms",
        signed.len() >> 10,
        millis(verified)
    );
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn publish(repository: &Repository, dir: &Path, name: &str, text: &str) {
    let xz = dir.join("blob");
    std::fs::write(&xz, format!("{text:<1024}")).unwrap();
    let sha512 = file_sha512(&xz).unwrap();
    let gate = GateProof::of("sealed", true, json!({})).unwrap();
    let publication = Publication {
        name,
        channel: "stable",
        arch: "x86_64",
        version: "0123456789ab",
        size: Size::bytes(std::fs::metadata(&xz).unwrap().len()),
        xz,
        sha512: &sha512,
        virtual_size: Size::gib(2),
        sealed: "sealed",
        gate: &gate,
        title: "An image",
        osinfo: Some("debian12"),
        expand: Some("/dev/sda1"),
        notes: None,
        manifest: serde_json::Map::new(),
        companions: vec![],
        built_on: vec![],
        keep: None,
        stamp: Stamp::now(),
    };
    let published = repository.publish(&publication, &Ui::silent()).unwrap();
    assert!(published.changed);
}

/// Gives every image as many revisions as wanted, all in the index, without publishing each.
fn fill(repository: &Repository, state: &Path, names: usize, each: usize) {
    let root = repository.path();
    let first = root.join(".imgforge/names/image-0.json");
    let pattern: Value = serde_json::from_slice(&std::fs::read(&first).unwrap()).unwrap();
    let manifest = std::fs::read_to_string(root.join("images/image-0/1/manifest.json")).unwrap();
    let mut entries = Vec::new();
    for number in 0..names {
        let name = format!("image-{number}");
        let mut record = pattern.clone();
        record["name"] = json!(name);
        let (mut revisions, mut history) = (serde_json::Map::new(), vec![]);
        for revision in 1..=each {
            let mut one = pattern["revisions"]["1"].clone();
            one["sha512"] = json!(format!("{number:064x}{revision:064x}"));
            one["file"] = json!(format!("images/{name}/{revision}/{name}-0123456789ab.xz"));
            revisions.insert(revision.to_string(), one);
            let mut moved = pattern["history"][0].clone();
            moved["revision"] = json!(revision);
            history.push(moved);
            let dir = root.join(format!("images/{name}/{revision}"));
            std::fs::create_dir_all(&dir).unwrap();
            let text = manifest.replace("image-0", &name);
            std::fs::write(dir.join("manifest.json"), text).unwrap();
            std::fs::write(dir.join(format!("{name}-0123456789ab.xz")), "blob").unwrap();
        }
        record["revisions"] = Value::Object(revisions);
        record["history"] = Value::Array(history);
        record["channels"]["stable"]["current"]["x86_64"] = json!(each);
        std::fs::write(
            root.join(format!(".imgforge/names/{name}.json")),
            record.to_string(),
        )
        .unwrap();
        entries.push(Entry {
            id: name.clone(),
            name: Some("An image".into()),
            osinfo: Some("debian12".into()),
            arch: "x86_64".into(),
            file: format!("images/{name}/{each}/{name}-0123456789ab.xz"),
            sha512: Some(format!("{number:064x}{each:064x}")),
            revision: each as u64,
            format: Some("raw".into()),
            size: 2 << 30,
            compressed_size: Some(1024),
            expand: Some("/dev/sda1".into()),
            other: vec![("imgforge_version".into(), "0123456789ab".into())],
            ..Entry::default()
        });
    }
    let text = index::write(&entries).unwrap();
    let signed = Program::new("gpg")
        .arg("--homedir")
        .arg(state.join("gnupg"));
    let signed = signed.args(["--batch", "--digest-algo", "SHA512", "--clearsign"]);
    std::fs::write(root.join("index.asc"), signed.input(text).output().unwrap()).unwrap();
}
