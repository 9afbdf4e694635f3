//! How long `imgforge updates` takes for 100 images of 500 packages, from the indexes of a local mirror as large
//! as Debian's.

#![allow(
    clippy::disallowed_methods,
    reason = "the frame runs peers as their users run them"
)]

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use imgforge::digest::file_sha512;
use imgforge::gpg::Signer;
use imgforge::host::exec::Program;
use imgforge::repository::gate::GateReport;
use imgforge::repository::manifest::Origin;
use imgforge::repository::{Companion, GateProof, Publication, Repository, Settings, Stamp};
use imgforge::sbom::cyclonedx::{self, Subject};
use imgforge::sbom::{Contents, Kind, Package};
use imgforge::ui::Ui;
use imgforge::units::Size;
use sha2::{Digest as _, Sha256};

use common::{Report, Row, Times};

/// What it may take, and how much memory.
const GOAL: Duration = Duration::from_secs(3);
const MEMORY: u64 = 300 << 20;

const IMAGES: usize = 100;
const PACKAGES: usize = 500;

/// How many packages Debian's `main` has for one architecture.
const OFFERED: usize = 68_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let state = root.join("state");
    let signer = Signer::own(&state, &Ui::silent()).unwrap();
    std::fs::write(root.join("mirror.gpg"), signer.public_key().unwrap()).unwrap();
    let size = mirror(root);
    publish(root, signer);
    std::fs::create_dir(root.join("recipes")).unwrap();
    std::fs::write(
        root.join("imgforge.yaml"),
        format!(
            "state: state\nrepositories: {{main: {{path: repo}}}}\n\
             mirrors: {{debian: [\"file://{}/debian\"]}}\nupdates: {{keyrings: [mirror.gpg]}}\n",
            root.display()
        ),
    )
    .unwrap();
    let mut report = Report::new("updates");
    report.fact("images", IMAGES);
    report.fact("packages in each", PACKAGES);
    report.fact("packages of the mirror", OFFERED);
    report.fact("its list", format!("{} MiB with xz", size >> 20));
    let times = common::measure(
        || {},
        || common::run(common::imgforge().arg("-C").arg(root).arg("updates")),
    );
    let peak = times.peak;
    report.row(Row {
        work: "look for fixes of 100 images".into(),
        ours: times,
        against: "the limit".into(),
        theirs: Times {
            all: vec![GOAL],
            peak: 0,
        },
        goal: 1.0,
        more: vec![(format!("{} MiB of memory", peak >> 20), peak < MEMORY)],
    });
    report.finish();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name(number: usize) -> String {
    format!(
        "lib{}-{number}",
        hex(&Sha256::digest(number.to_string())[..4])
    )
}

/// A mirror with stanzas as long as Debian's; the size of its list of packages, in bytes.
fn mirror(root: &Path) -> u64 {
    let mut list = String::new();
    for number in 0..OFFERED {
        let (name, hash) = (name(number), hex(&Sha256::digest(number.to_string())));
        let _ = write!(
            list,
            "Package: {name}\nSource: source-{} (1.{number}-1)\nVersion: 1.{number}-1+b1\nInstalled-Size: {number}\n\
             Maintainer: Some Body <{name}@lists.example.org>\nArchitecture: amd64\n\
             Depends: libc6 (>= 2.36), libgcc-s1 (>= 3.0), libstdc++6 (>= 12), {}\n\
             Description: what the package number {number} is good for\nHomepage: https://{name}.example.org/\n\
             Description-md5: {}\nSection: libs\nPriority: optional\n\
             Tag: role::shared-lib, implemented-in::c, devel::library, works-with::software:running\n\
             Filename: pool/main/l/{name}/{name}_1.{number}-1+b1_amd64.deb\nSize: {number}\nMD5sum: {}\nSHA256: {hash}\n\n",
            number / 3,
            self::name(number / 2),
            &hash[..32],
            &hash[32..],
        );
    }
    let mut size = 0;
    for (dir, suite, list) in [
        ("debian", "bookworm", list.as_str()),
        ("debian", "bookworm-updates", ""),
        ("debian-security", "bookworm-security", ""),
    ] {
        let dir = root.join(dir).join("dists").join(suite);
        let lists = dir.join("main/binary-amd64");
        std::fs::create_dir_all(&lists).unwrap();
        let plain = lists.join("Packages");
        std::fs::write(&plain, list).unwrap();
        Program::new("xz")
            .args(["-T0", "-3", "-k"])
            .arg(&plain)
            .run()
            .unwrap();
        let packed = std::fs::read(lists.join("Packages.xz")).unwrap();
        size = size.max(packed.len() as u64);
        let line = |bytes: &[u8], end: &str| {
            let digest = hex(&Sha256::digest(bytes));
            format!(
                " {digest} {} main/binary-amd64/Packages{end}\n",
                bytes.len()
            )
        };
        let release = format!(
            "Suite: {suite}\nCodename: {suite}\nSHA256:\n{}{}",
            line(list.as_bytes(), ""),
            line(&packed, ".xz")
        );
        let gpg = Program::new("gpg")
            .arg("--homedir")
            .arg(root.join("state/gnupg"));
        let gpg = gpg.args(["--batch", "--digest-algo", "SHA512", "--clearsign"]);
        let signed = gpg.input(release).output().unwrap();
        std::fs::write(dir.join("InRelease"), signed).unwrap();
    }
    size
}

fn publish(root: &Path, signer: Signer) {
    let repository = Repository::open(Settings::new(root.join("repo"), signer)).unwrap();
    let xz = root.join("blob");
    std::fs::write(&xz, format!("{:<1024}", "blob")).unwrap();
    let sha512 = file_sha512(&xz).unwrap();
    let passed = GateReport {
        passed: true,
        ..GateReport::default()
    };
    let gate = GateProof::new("sealed", passed).unwrap();
    let names: Vec<String> = (0..IMAGES)
        .map(|number| format!("image-{number}"))
        .collect();
    let publications = names.iter().enumerate().map(|(image, name)| {
        let packages = (0..PACKAGES).map(|at| {
            let number = (image * 97 + at * 131) % OFFERED;
            Package {
                name: self::name(number),
                version: format!("1.{number}-1+b1"),
                arch: "amd64".into(),
                ..Package::default()
            }
        });
        let contents = Contents {
            kind: Kind::Deb,
            distro: "debian".into(),
            release: "12.11".into(),
            product: "Debian GNU/Linux 12 (bookworm)".into(),
            packages: packages.collect(),
            config: Default::default(),
            sources: vec![],
        };
        let subject = Subject {
            name,
            version: "0123456789ab",
            arch: "x86_64",
            sha512: &sha512,
            created: 1_767_225_600,
        };
        let bill = cyclonedx::write(&subject, &contents);
        let file = format!("{name}-0123456789ab.cdx.json");
        Publication {
            name,
            channel: "stable",
            arch: "x86_64",
            version: "0123456789ab",
            size: Size::bytes(1024),
            xz: xz.clone(),
            sha512: &sha512,
            virtual_size: Size::gib(2),
            sealed: "sealed",
            gate: &gate,
            title: "An image",
            osinfo: Some("debian12"),
            expand: None,
            notes: None,
            origin: Origin::default(),
            companions: vec![Companion::bytes(file, format!("{bill:#}\n"))],
            built_on: vec![],
            keep: None,
            stamp: Stamp::now(),
        }
    });
    let publications: Vec<_> = publications.collect();
    repository.publish(&publications, &Ui::silent()).unwrap();
}
