//! The leftover scan on planted trees and disks, and beside an independent scanner.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use imgforge::host::exec::Program;
use imgforge::scan::{KNOWN_SECRET, NOT_SEARCHED, rule_names};
use serde_json::Value;

use planted::{base64, planted};

use crate::phony::Phony;
use crate::support::{Run as _, Said, imgforge_with_guests};

mod advice;
mod clean;
mod containers;
mod independent;
mod planted;
mod volumes;

fn scan(args: &[&str]) -> Said {
    let mut command = imgforge_with_guests();
    command.args(["disk", "scan", "--quiet", "--json"]);
    command.args(args).env("SCAN_TEST_SECRET", SECRET).said()
}

/// What the scan says: rule and path of each finding.
fn findings(said: &Said) -> BTreeSet<(String, String)> {
    let report = said.json();
    let all = report["findings"].as_array().unwrap();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    for finding in all {
        let whole = ["why", "fix"]
            .iter()
            .all(|name| text(finding, name).len() > 10);
        assert!(whole, "{finding}");
    }
    all.iter()
        .map(|finding| (text(finding, "rule"), text(finding, "path")))
        .collect()
}

/// What is found on a disk with these arguments: rule and path.
pub(crate) fn found_in(disk: &Path, args: &[&str]) -> BTreeSet<(String, String)> {
    findings(&scan(&[&[path(disk)][..], args].concat()))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A value that every form of hiding has to give away.
const SECRET: &str = "Tr0ub4dor&3/xkcd+horse";

fn tree() -> Phony {
    let phony = Phony::debian();
    for (_, file, content) in planted().iter().filter(|row| !row.2.is_empty()) {
        phony.file(file, content);
    }
    // Modes, which a content does not have.
    phony
        .file("usr/local/bin/tool", "x")
        .file("srv/shared/open", "x");
    mode(&phony, "usr/local/bin/tool", 0o4755);
    mode(&phony, "srv/shared/open", 0o666);
    mode(&phony, "srv/shared", 0o777);
    phony
}

fn mode(phony: &Phony, file: &str, mode: u32) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(phony.path().join(file), mode).unwrap();
}

fn expected() -> BTreeSet<(String, String)> {
    let modes = [
        ("setuid-file", "usr/local/bin/tool"),
        ("world-writable-file", "srv/shared/open"),
        ("world-writable-directory", "srv/shared"),
    ];
    let planted = planted();
    let planted = planted.iter().map(|row| (row.0, row.1));
    planted
        .chain(modes)
        .map(|(rule, file)| (rule.to_owned(), format!("/{file}")))
        .collect()
}

#[test]
fn every_rule_has_a_planted_leftover() {
    let planted: BTreeSet<String> = expected().into_iter().map(|(rule, _)| rule).collect();
    // Only root makes devices, and two rules are about no file: their tests are below, and in `containers`.
    let others = ["device-file", KNOWN_SECRET, NOT_SEARCHED];
    let rules = rule_names().filter(|name| !others.contains(name));
    let rules: BTreeSet<String> = rules.map(str::to_owned).collect();
    let missing: Vec<_> = rules.difference(&planted).collect();
    assert!(missing.is_empty(), "no row of planted() for {missing:?}");
}

#[test]
fn every_planted_leftover_is_found_on_a_disk_and_in_its_tree() {
    let phony = tree();
    let dir = tempfile::tempdir().unwrap();
    let disk = phony.disk(dir.path(), "disk.raw");
    for file in [path(phony.path()), path(&disk)] {
        let output = scan(&[file]).exits(4);
        let found = findings(&output);
        let missed: Vec<_> = expected().difference(&found).cloned().collect();
        assert!(missed.is_empty(), "{file}: {missed:?}");
    }
    // The same through qcow2 and through an archive.
    let qcow2 = dir.path().join("disk.qcow2");
    let convert = Program::new("qemu-img").args(["convert", "-O", "qcow2"]);
    convert.args([&disk, &qcow2]).run().unwrap();
    let archive = dir.path().join("files.tar");
    let tar = Program::new("tar").arg("-cf").arg(&archive).arg("-C");
    tar.arg(phony.path()).arg(".").run().unwrap();
    for file in [&qcow2, &archive] {
        let found = findings(&scan(&[path(file)]));
        assert!(expected().is_subset(&found), "{}", file.display());
    }
}

#[test]
fn a_device_is_found_where_none_belongs() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Phony::debian().disk(dir.path(), "disk.raw");
    let make = Program::new("debugfs").args(["-w", "-f", "-"]).arg(&disk);
    make.input("cd /etc\nmknod disk b 8 0\n").run().unwrap();
    let found = ("device-file".to_owned(), "/etc/disk".to_owned());
    assert_eq!(found_in(&disk, &[]), BTreeSet::from([found]));
}

#[test]
fn a_clean_tree_gives_no_alarm_and_a_finding_can_be_accepted() {
    let phony = Phony::debian();
    let clean = scan(&[path(phony.path())]);
    assert_eq!((clean.code, findings(&clean).len()), (Some(0), 0));
    phony.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    scan(&[path(phony.path())]).exits(4);
    let accepted = scan(&[path(phony.path()), "--allow", "machine-id=/etc/*"]);
    assert_eq!((accepted.code, findings(&accepted).len()), (Some(0), 0));
    let report = accepted.json();
    assert_eq!(report["accepted"][0]["path"], "/etc/machine-id");
    let unknown = scan(&[path(phony.path()), "--allow", "machine-ids"]);
    assert_eq!(unknown.code, Some(2));
}

#[test]
fn a_known_secret_is_found_wherever_it_hides() {
    let phony = Phony::debian();
    let text = format!("x = {SECRET}\n");
    phony
        .file("opt/plain", &text)
        .file("opt/base64-0", base64(text.as_bytes()))
        .file("opt/base64-1", base64(format!("-{text}").as_bytes()))
        .file("opt/base64-2", base64(format!("--{text}").as_bytes()))
        .file("opt/url", "t=Tr0ub4dor%263%2Fxkcd%2Bhorse");
    for (tool, end) in [
        ("gzip", "gz"),
        ("xz", "xz"),
        ("zstd", "zst"),
        ("bzip2", "bz2"),
    ] {
        let packed = Program::new(tool).arg("-c").input(text.as_bytes()).output();
        phony.file(&format!("opt/packed.{end}"), packed.unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = phony.disk(dir.path(), "disk.raw");
    // Written and removed again: only the bytes are still there.
    std::fs::write(dir.path().join("gone"), text.repeat(300)).unwrap();
    for line in [
        format!("write {} /gone", path(&dir.path().join("gone"))),
        "rm /gone".into(),
    ] {
        Program::new("debugfs")
            .args(["-w", "-R", &line])
            .arg(&disk)
            .run()
            .unwrap();
    }
    let found = findings(&scan(&[path(&disk), "--secret-env", "SCAN_TEST_SECRET"]));
    let places: BTreeSet<&str> = found.iter().map(|(_, place)| place.as_str()).collect();
    let expected = [
        "(free space)",
        "/opt/base64-0",
        "/opt/base64-1",
        "/opt/base64-2",
        "/opt/packed.bz2",
        "/opt/packed.gz",
        "/opt/packed.xz",
        "/opt/packed.zst",
        "/opt/plain",
        "/opt/url",
    ];
    assert_eq!(places, BTreeSet::from(expected));
    let all = found.iter().filter(|(rule, _)| rule == "known-secret");
    assert_eq!(all.count(), expected.len());
    let other = findings(&scan(&[path(&disk)]));
    assert!(
        other.iter().all(|(rule, _)| rule != "known-secret"),
        "{other:?}"
    );
}

/// File systems that imgforge does not read itself go through an appliance, and a sealed disk
/// holds nothing of what was removed from it.
#[test]
#[ignore = "vm: src/scan src/sysprep"]
fn a_removed_secret_is_gone_after_sealing() {
    let phony = Phony::debian();
    let dir = tempfile::tempdir().unwrap();
    let disk = phony.disk(dir.path(), "disk.raw");
    std::fs::write(
        dir.path().join("gone"),
        format!("x = {SECRET}\n").repeat(300),
    )
    .unwrap();
    for line in [
        format!("write {} /gone", path(&dir.path().join("gone"))),
        "rm /gone".into(),
    ] {
        Program::new("debugfs")
            .args(["-w", "-R", &line])
            .arg(&disk)
            .run()
            .unwrap();
    }
    let args = [path(&disk), "--secret-env", "SCAN_TEST_SECRET"];
    let hidden = ("known-secret".to_owned(), "(free space)".to_owned());
    assert_eq!(findings(&scan(&args)), BTreeSet::from([hidden]));
    let state = dir.path().join("state");
    let mut seal = imgforge_with_guests();
    let seal = seal.args(["--state", path(&state), "disk", "seal", path(&disk)]);
    seal.said().ok();
    scan(&args).exits(0);
}
