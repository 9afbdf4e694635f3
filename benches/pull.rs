//! `imgforge pull` beside curl, xz and virt-builder, in one run on one machine.
//!
//! `IMGFORGE_BENCH_VIRT_BUILDER=no` leaves virt-builder's appliance out; `IMGFORGE_BENCH_DIR=DIR`
//! keeps the disks of the change, which the benchmark of packing uses, too.

#![allow(
    clippy::disallowed_methods,
    reason = "the peers are run as their users run them"
)]

mod common;
#[path = "common/disks.rs"]
mod disks;
#[path = "common/serve.rs"]
mod serve;
#[path = "common/site.rs"]
mod site;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use imgforge::http::Client;
use imgforge::index::{self, IndexEntry};
use imgforge::pack::Profile;
use imgforge::pull::{self, Session};
use imgforge::recipe::Config;
use imgforge::store::Store;
use imgforge::store::ledger::Ledger;
use imgforge::ui::Ui;

use common::{Report, Row, Times, Workspace};
use site::{Site, made_up_disk};

/// What a client may take to read an index.
const INDEX: Duration = Duration::from_millis(100);

/// How many times as fast as virt-builder a pull should be.
const VIRT_BUILDER: f64 = 3.0;

/// What a pull may take, compared with fetching and unpacking one after the other.
const PARTS: f64 = 1.25;

/// What a client may fetch after a nightly change, of the whole blob.
const CHANGE: f64 = 0.4;

/// What a pull may take that finds the disk of the revision before, of one that does not.
const KEPT: f64 = 0.4;

/// How often each of them is pulled, in turn.
const CHANGES: usize = 3;

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut report = Report::new("pull");
    index_of_many(dir.path(), &mut report);
    after_a_change(dir.path(), &mut report);
    whole_disk(dir.path(), &mut report);
    report.finish();
}

fn once(took: Duration) -> Times {
    Times {
        all: vec![took],
        peak: 0,
    }
}

/// 3 GiB with 0.67 GiB used, cold cache.
fn whole_disk(dir: &Path, report: &mut Report) {
    let dir = &dir.join("whole");
    std::fs::create_dir(dir).unwrap();
    let disk = made_up_disk(dir, "disk.raw", 3 << 30, 690 << 20);
    let site = Site::new(dir);
    let size = site.publish(&disk, Profile::Fast);
    report.fact(
        "disk",
        format!(
            "3 GiB, 0.67 GiB of data, {} MB packed by the `fast` profile",
            size / 1_000_000
        ),
    );
    let blob = "images/bench/1/bench-0123456789ab.xz";
    let (url, packed) = (format!("{}{blob}", site.url), site.root.join(blob));
    let (peers, sum) = (dir.join("peer.raw"), dir.join("sum").display().to_string());
    let fetch = timed(|| sh(&format!("curl -fsS '{url}' | sha512sum > '{sum}'")));
    let right = imgforge::digest::file_sha512(&packed).unwrap();
    assert!(std::fs::read_to_string(&sum).unwrap().starts_with(&right));
    let unpack = timed(|| {
        sh(&format!(
            "xz -T0 -d -c '{}' > '{}'",
            packed.display(),
            peers.display()
        ));
    });
    std::fs::remove_file(&peers).unwrap();
    let out = dir.join("out.raw");
    let (took, peak, printed) = site.pull(&dir.join("state"), &out);
    sh(&format!("cmp '{}' '{}'", out.display(), disk.display()));
    let limit = printed["pulled"]["memory"].as_u64().unwrap() >> 20;
    std::fs::remove_file(&out).unwrap();
    let (again, _, _) = site.pull(&dir.join("state"), &out);
    std::fs::remove_file(&out).unwrap();
    report.row(Row {
        work: "pull, cold cache".into(),
        ours: once(took),
        against: format!(
            "`curl \\| sha512sum` ({:.1} s), then `xz -T0 -d` ({:.1} s)",
            fetch.as_secs_f64(),
            unpack.as_secs_f64()
        ),
        theirs: once(fetch + unpack),
        goal: 1.0 / PARTS,
        more: vec![
            (
                format!(
                    "peak memory {} MiB, decoders limited to {limit} MiB",
                    peak >> 10
                ),
                peak >> 10 <= limit + 64,
            ),
            (
                format!("out of the store {:.1} s", again.as_secs_f64()),
                true,
            ),
        ],
    });
    virt_builder(dir, &site, took, report);
}

fn virt_builder(dir: &Path, site: &Site, ours: Duration, report: &mut Report) {
    if std::env::var("IMGFORGE_BENCH_VIRT_BUILDER").is_ok_and(|value| value == "no") {
        return;
    }
    let config = dir.join("config/virt-builder/repos.d");
    std::fs::create_dir_all(&config).unwrap();
    let key = site.root.join("imgforge.gpg");
    let text = format!(
        "[bench]\nuri={}index.asc\ngpgkey=file://{}\n",
        site.url,
        key.display()
    );
    std::fs::write(config.join("bench.conf"), text).unwrap();
    let run = |appliance: bool| {
        let mut command = Command::new("virt-builder");
        command
            .args(["bench", "--no-sync", "--no-delete-on-failure", "-o"])
            .arg(dir.join("peer.raw"))
            .env("XDG_CONFIG_HOME", dir.join("config"))
            .env("XDG_CACHE_HOME", dir.join(format!("cache-{appliance}")))
            .env("VIRT_BUILDER_DIRS", "/nonexistent")
            .env("LIBGUESTFS_BACKEND", "direct")
            .env("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if !appliance {
            command.env("LIBGUESTFS_HV", "/bin/false");
        }
        let mut ok = false;
        let took = timed(|| ok = command.status().unwrap().success());
        (took, ok)
    };
    let (unpacked, _) = run(false);
    let (took, ok) = run(true);
    report.row(Row {
        work: "pull, cold cache".into(),
        ours: once(ours),
        against: "`virt-builder --no-sync`".into(),
        theirs: once(took),
        goal: VIRT_BUILDER,
        more: vec![
            (
                format!(
                    "virt-builder until its disk is unpacked {:.1} s",
                    unpacked.as_secs_f64()
                ),
                true,
            ),
            ("virt-builder came to its end".into(), ok),
        ],
    });
}

/// A nightly change: the same server with two packages more.
fn after_a_change(dir: &Path, report: &mut Report) {
    let workspace = Workspace::new("pack");
    let [base, changed] = disks::disks(workspace.path());
    let dir = &dir.join("change");
    std::fs::create_dir(dir).unwrap();
    let site = Site::new(dir);
    let publish = |disk: &Path| {
        let link = dir.join("disk.raw");
        drop(std::fs::remove_file(&link));
        std::os::unix::fs::symlink(disk, &link).unwrap();
        site.publish(&link, Profile::Nightly)
    };
    publish(&base);
    let [before, full, after] = ["before", "full", "after"].map(|name| dir.join(name));
    std::fs::create_dir(&before).unwrap();
    site.pull(&before.join("state"), &before.join("out.raw"));
    let size = publish(&changed);
    let pull = |dir: &Path| {
        sh("sync");
        let out = dir.join("out.raw");
        let (took, _, printed) = site.pull(&dir.join("state"), &out);
        sh(&format!("cmp '{}' '{}'", out.display(), changed.display()));
        std::fs::remove_dir_all(dir).unwrap();
        (took, printed)
    };
    let (mut ours, mut theirs, mut said) = (vec![], vec![], vec![]);
    for _ in 0..CHANGES {
        std::fs::create_dir(&full).unwrap();
        theirs.push(pull(&full).0);
        let (from, to) = (before.display(), after.display());
        sh(&format!("cp -a --sparse=always '{from}' '{to}'"));
        let (took, printed) = pull(&after);
        ours.push(took);
        let bytes = |name: &str| printed["pulled"][name].as_u64().unwrap();
        said = vec![bytes("fetched"), bytes("copied")];
    }
    let share = said[0] as f64 / size as f64;
    let times = |all| Times { all, peak: 0 };
    report.row(Row {
        work: "pull after two packages were added".into(),
        ours: times(ours),
        against: "pull without the revision before".into(),
        theirs: times(theirs),
        goal: 1.0 / KEPT,
        more: vec![
            (
                format!(
                    "{} of {} MB fetched, {:.1} %",
                    said[0] / 1_000_000,
                    size / 1_000_000,
                    share * 100.0
                ),
                share <= CHANGE,
            ),
            (
                format!("{} MB of the disk kept", said[1] / 1_000_000),
                said[1] > 0,
            ),
        ],
    });
}

/// The index of a repository with 500 names in their 20th revision.
fn index_of_many(dir: &Path, report: &mut Report) {
    let dir = &dir.join("index");
    let (home, root) = (dir.join("gnupg"), dir.join("repository"));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::create_dir_all(&root).unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    let entries: Vec<IndexEntry> = (0..500)
        .map(|number| IndexEntry {
            id: format!("image-{number:03}"),
            name: Some(format!("Image number {number}")),
            arch: "x86_64".into(),
            file: format!("images/image-{number:03}/20/image-{number:03}-0123456789ab.xz"),
            sha512: Some("0123456789abcdef".repeat(8)),
            revision: 20,
            format: Some("raw".into()),
            size: 3 << 30,
            compressed_size: Some(400_000_000),
            notes: vec![(None, "A line about it.\n\nAnd another one.".into())],
            ..IndexEntry::default()
        })
        .collect();
    std::fs::write(root.join("index"), index::write(&entries).unwrap()).unwrap();
    let gpg = format!(
        "gpg --homedir '{}' -q --batch --passphrase '' --pinentry-mode loopback",
        home.display()
    );
    let at = root.display();
    sh(&format!(
        "{gpg} --quick-gen-key bench ed25519 sign never 2> /dev/null"
    ));
    sh(&format!(
        "{gpg} --clearsign -o '{at}/index.asc' '{at}/index'"
    ));
    sh(&format!(
        "{gpg} --export > '{at}/key.gpg'; gpgconf --homedir '{}' --kill all",
        home.display()
    ));
    let url = serve::serve(&root);
    let store = Store::new(dir.join("state"));
    store.prepare().unwrap();
    let (ledger, client) = (Ledger::open(store.state()).unwrap(), Client::new().unwrap());
    let (config, ui) = (Config::default(), Ui::silent());
    let session = Session {
        config: &config,
        root: None,
        store: &store,
        ledger: &ledger,
        client: &client,
        registries: imgforge::pull::Registries::default(),
        ui: &ui,
    };
    let reference = format!("{url}#image-321").parse().unwrap();
    let find = |key: Option<&Path>| {
        let options = pull::Options {
            key,
            ..pull::Options::default()
        };
        timed(|| drop(pull::find(&session, &reference, &options).unwrap()))
    };
    let first = find(Some(&root.join("key.gpg")));
    let times: Vec<Duration> = (0..11).map(|_| find(None)).collect();
    let bytes = root.join("index.asc").metadata().unwrap().len();
    report.row(Row {
        work: format!(
            "find an image in an index of 500 names, {} KiB",
            bytes >> 10
        ),
        ours: Times {
            all: times,
            peak: 0,
        },
        against: "the limit".into(),
        theirs: once(INDEX),
        goal: 1.0,
        more: vec![(
            format!(
                "the first time, with its key: {:.0} ms",
                first.as_secs_f64() * 1000.0
            ),
            true,
        )],
    });
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn sh(line: &str) {
    let mut command = Command::new("sh");
    let status = command
        .args(["-c", line])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{line}");
}
