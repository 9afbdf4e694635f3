//! What apt itself would upgrade, from the same mirror.

use super::*;

/// Pairs of versions, installed and offered, whose order is not that of their texts.
const VERSIONS: &[(&str, &str)] = &[
    ("1.0-1", "1.0-1+b1"),
    ("1.0-1+b2", "1.0-1+b10"),
    ("1.0-1+b1", "1.0-1"),
    ("1.0-1+b1", "1.0-1+deb12u1"),
    ("1:0.9-1", "2.0-1"),
    ("2.0-1", "1:0.9-1"),
    ("3.0.11-1~deb12u2", "3.0.11-1~deb12u10"),
    ("3.0.11-1", "3.0.11-1~deb12u2"),
    ("1.0~rc1-1", "1.0-1"),
    ("1.0-1", "1.0~rc1-1"),
    ("1.0-1.1", "1.0-2"),
    ("9.9-1", "9.10-1"),
    ("2024.05.1-1", "2024.5.1-1"),
];

#[test]
fn apt_would_upgrade_the_same_packages() {
    let archive = Archive::new();
    let names: Vec<String> = (0..VERSIONS.len()).map(|at| format!("p{at}")).collect();
    let pairs = || names.iter().zip(VERSIONS);
    let offered: Vec<_> = pairs()
        .map(|(name, (_, new))| (name.as_str(), *new, ""))
        .collect();
    archive.suite(MAIN, "bookworm", &offered);
    archive.suite("debian/dists/bookworm-updates", "bookworm-updates", &[]);
    archive.suite(SECURITY, "bookworm-security", &[]);
    let server = archive.serve();
    let world = World::with_mirror(&server, &archive);
    let installed: Vec<_> = pairs()
        .map(|(name, (old, _))| package(name, old, ""))
        .collect();
    world.has("all", &deb(&installed));
    let report = world.updates(&["--json"]).exits(4).json();
    let ours: Vec<String> = waiting(&report)
        .iter()
        .map(|row| row.split(' ').skip(1).take(3).collect::<Vec<_>>().join(" "))
        .collect();

    let status: String = pairs()
        .map(|(name, (old, _))| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n\
                 Maintainer: nobody\nVersion: {old}\nDescription: {name}\n\n"
            )
        })
        .collect();
    world.write("apt/status", status);
    for dir in ["apt/lists/partial", "apt/cache/archives/partial", "apt/etc"] {
        std::fs::create_dir_all(world.path(dir)).unwrap();
    }
    let key = world.path("archive.gpg");
    let line = format!(
        "deb [signed-by={}] {} bookworm main\n",
        key.display(),
        server.text("debian")
    );
    world.write("apt/sources.list", line);
    let at = |name: &str, path: &str| format!("-oDir::{name}={}", world.path(path).display());
    let apt = || {
        Program::new("apt-get")
            .args([
                at("State::lists", "apt/lists"),
                at("State::status", "apt/status"),
            ])
            .args([at("Cache", "apt/cache"), at("Etc", "apt/etc")])
            .arg(at("Etc::sourcelist", "apt/sources.list"))
            .args(["-oAPT::Architecture=amd64", "-oAPT::Sandbox::User=root"])
            .args([
                "-oAPT::Architectures=amd64",
                "-oAcquire::http::Proxy=DIRECT",
            ])
            .args(["-oDebug::NoLocking=1"])
    };
    apt().arg("update").run().unwrap();
    let said = apt().args(["--just-print", "dist-upgrade"]).text().unwrap();
    let mut theirs: Vec<String> = said
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .map(|line| {
            let words: Vec<&str> = line
                .split(['[', ']', '(', ' '])
                .filter(|w| !w.is_empty())
                .collect();
            words[..3].join(" ")
        })
        .collect();
    theirs.sort();
    assert_eq!(ours, theirs, "{said}");
    assert_eq!(ours.len(), 8, "{ours:?}");
}
