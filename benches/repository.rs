//! How long a publication takes in a large repository: 10,000 revisions of 500 images.
//!
//! `IMGFORGE_BENCH_NAMES=50 IMGFORGE_BENCH_REVISIONS=4 cargo bench --bench repository` is quicker.

#![allow(
    clippy::disallowed_methods,
    reason = "the frame runs peers as their users run them"
)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use imgforge::digest::file_sha512;
use imgforge::gpg::{Keyring, Signer, verify};
use imgforge::host::exec::Program;
use imgforge::index::{self, IndexEntry};
use imgforge::repository::gate::GateReport;
use imgforge::repository::manifest::Origin;
use imgforge::repository::{GateProof, Publication, Repository, Settings, Stamp, State};
use imgforge::ui::Ui;
use imgforge::units::Size;
use serde_json::{Value, json};

use common::{Report, Row, Times};

/// What a publication may take beyond the blob's own cost.
const GOAL: Duration = Duration::from_secs(1);

/// What a client may take to read an index.
const INDEX: Duration = Duration::from_millis(100);

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
    let mut report = Report::new("repository");
    report.fact("revisions", names * each);
    report.fact("images", names);
    let read = timed(|| drop(State::read(&root).unwrap()));
    report.fact("its records read", format!("{:.0} ms", millis(read)));
    let mut times: Vec<Duration> = (0..20)
        .map(|round| {
            let name = format!("image-{}", round * names / 20);
            let text = format!("round {round}");
            timed(|| publish(&repository, dir.path(), &name, &text))
        })
        .collect();
    times.sort();
    let longest = times[times.len() - 1];
    let page = root.join("index.html").metadata().unwrap().len();
    report.row(Row {
        work: "publish a blob of 1 KiB".into(),
        ours: seconds(times),
        against: "the limit".into(),
        theirs: seconds(vec![GOAL]),
        goal: 1.0,
        more: vec![
            (format!("longest {:.0} ms", millis(longest)), true),
            (
                format!("`index.html` of {} KiB", page >> 10),
                page < 1 << 20,
            ),
        ],
    });
    let signed = std::fs::read(root.join("index.asc")).unwrap();
    let keyring = Keyring::of_file(&repository.keyring(), None).unwrap();
    let verify_once = || {
        let verified = verify(&signed, &keyring).unwrap();
        let entries = index::check(&index::parse(&verified.text).unwrap()).unwrap();
        assert_eq!(entries.len(), names);
    };
    report.row(Row {
        work: format!("verify and read its index of {} KiB", signed.len() >> 10),
        ours: seconds((0..11).map(|_| timed(verify_once)).collect()),
        against: "the limit".into(),
        theirs: seconds(vec![INDEX]),
        goal: 1.0,
        more: vec![],
    });
    report.finish();
}

fn seconds(all: Vec<Duration>) -> Times {
    Times { all, peak: 0 }
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
    let passed = GateReport {
        passed: true,
        ..GateReport::default()
    };
    let gate = GateProof::new("sealed", passed).unwrap();
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
        origin: Origin::default(),
        companions: vec![],
        built_on: vec![],
        keep: None,
        stamp: Stamp::now(),
    };
    let published = repository.publish(&[publication], &Ui::silent()).unwrap();
    assert!(published[0].changed);
}

/// Gives every image as many revisions as wanted, all in the index, without publishing each.
fn fill(repository: &Repository, state: &Path, names: usize, each: usize) {
    let root = repository.path();
    let first = root.join(".imgforge/names/image-0.json");
    let pattern: Value = serde_json::from_slice(&std::fs::read(&first).unwrap()).unwrap();
    let manifest = std::fs::read_to_string(root.join("images/image-0/1/manifest.json")).unwrap();
    let list = std::fs::read(root.join("images/image-0/revisions.sjson")).unwrap();
    let keyring = Keyring::of_file(&repository.keyring(), None).unwrap();
    let list = verify(&list, &keyring).unwrap().text;
    let list: Value = serde_json::from_str(&list).unwrap();
    let (mut entries, mut lists) = (Vec::new(), Vec::new());
    for number in 0..names {
        let name = format!("image-{number}");
        let mut record = pattern.clone();
        record["name"] = json!(name);
        let (mut revisions, mut history) = (serde_json::Map::new(), vec![]);
        let mut list = list.clone();
        for revision in 1..=each {
            let mut one = pattern["revisions"]["1"].clone();
            let mut listed = list["revisions"]["1"].clone();
            for one in [&mut one, &mut listed] {
                one["sha512"] = json!(format!("{number:064x}{revision:064x}"));
                one["file"] = json!(format!("images/{name}/{revision}/{name}-0123456789ab.xz"));
            }
            revisions.insert(revision.to_string(), one);
            list["revisions"][revision.to_string()] = listed;
            let mut moved = pattern["history"][0].clone();
            moved["revision"] = json!(revision);
            history.push(moved);
            let dir = root.join(format!("images/{name}/{revision}"));
            std::fs::create_dir_all(&dir).unwrap();
            let text = manifest.replace("image-0", &name);
            std::fs::write(dir.join("manifest.json"), text).unwrap();
            std::fs::write(dir.join(format!("{name}-0123456789ab.xz")), "blob").unwrap();
        }
        list["name"] = json!(name);
        list["channels"]["stable"]["x86_64"] = json!(each);
        let path = root.join(format!("images/{name}/revisions.sjson"));
        std::fs::write(&path, format!("{list:#}\n")).unwrap();
        lists.push(path);
        record["revisions"] = Value::Object(revisions);
        record["history"] = Value::Array(history);
        record["channels"]["stable"]["current"]["x86_64"] = json!(each);
        std::fs::write(
            root.join(format!(".imgforge/names/{name}.json")),
            record.to_string(),
        )
        .unwrap();
        entries.push(IndexEntry {
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
            ..IndexEntry::default()
        });
    }
    let text = index::write(&entries).unwrap();
    let gpg = || {
        let gpg = Program::new("gpg")
            .arg("--homedir")
            .arg(state.join("gnupg"));
        gpg.args(["--batch", "--digest-algo", "SHA512"])
    };
    let signed = gpg().arg("--clearsign").input(text).output().unwrap();
    std::fs::write(root.join("index.asc"), signed).unwrap();
    let sign = gpg().args(["--multifile", "--clearsign"]).args(&lists);
    sign.run().unwrap();
    for path in lists {
        std::fs::rename(path.with_extension("sjson.asc"), path).unwrap();
    }
}
