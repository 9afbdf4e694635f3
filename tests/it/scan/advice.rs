//! What the scan advises is true: the operation of `disk seal` that it names removes what it found.

use std::collections::{BTreeMap, BTreeSet};

use imgforge::guest::Guestfs;
use imgforge::scan::{Finding, Rule, Subject, rules, tree};
use imgforge::sysprep::{Declared, OPERATIONS, Operation, Seal, seal};

use super::*;

/// An account at each kind of home, as patterns of homes are planted.
const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nx:x:1000:1000::/home/x:/bin/sh\n\
                      lib:x:105:110::/var/lib/x:/usr/sbin/nologin\n";

/// The operations that an advice names, one of which is to remove the finding.
fn operations(advice: &str) -> Vec<&'static Operation> {
    let Some(names) = advice.strip_prefix("seal with the operation ") else {
        return vec![];
    };
    let all = names.split(" or ").map(|name| {
        let named = |operation: &&&Operation| format!("`{}`", operation.name) == name;
        *OPERATIONS.iter().find(named).unwrap()
    });
    all.collect()
}

/// Paths that a pattern means, with all of its words.
fn paths(pattern: &str) -> Vec<String> {
    if let Some((before, rest)) = pattern.split_once('{') {
        let (words, after) = rest.split_once('}').unwrap();
        let each = words
            .split(',')
            .map(|word| format!("{before}{word}{after}"));
        return each.flat_map(|pattern| paths(&pattern)).collect();
    }
    if let Some(below) = pattern.strip_prefix("/**/") {
        let dirs = ["root", "home/x", "var/lib/x", "opt/x", "etc"];
        return dirs
            .iter()
            .flat_map(|dir| paths(&format!("/{dir}/{below}")))
            .collect();
    }
    let plain = pattern.replace("[0-9]*", "1").replace("**", "x");
    vec![plain.replace('*', "x")]
}

/// What a file there has that the rule reports.
fn content(rule: &Rule, path: &str) -> String {
    let mac = "52:54:00:12:34:56";
    match rule.name {
        "build-proxy" if path.contains("/apt") => {
            "Acquire::http::Proxy \"http://10.0.2.2:1\";\n".into()
        }
        "build-proxy" if path.ends_with("config.json") => {
            "{\"proxies\": {\"default\": {\n\"httpProxy\": \"http://10.0.2.2:1\"}}}\n".into()
        }
        "build-proxy" => "https_proxy=http://10.0.2.2:1\n".into(),
        "password-backup" => format!("root:$6$saltsalt${}:1::::::\n", "aB3./".repeat(18)),
        "debconf-password" => "Name: x/y\nValue: hunter2\n".into(),
        "storage-name" if path.ends_with("hostid") => {
            "0b5e2f9c-7c1d-4d5e-9a41-0123456789ab\n".into()
        }
        "storage-name" if path.ends_with("hostnqn") => "nqn.2014-08.org.nvmexpress:uuid:x\n".into(),
        "storage-name" => "InitiatorName=iqn.1993-08.org.debian:01:x\n".into(),
        "network-address" if path.ends_with(".rules") => {
            format!("SUBSYSTEM==\"net\", ATTR{{address}}==\"{mac}\", NAME=\"eth0\"\n")
        }
        "network-address" if path.contains("ifcfg") => format!("HWADDR={mac}\n"),
        "network-address" if path.contains("/interfaces") => {
            format!("iface eth0 inet dhcp\n  hwaddress ether {mac}\n")
        }
        "network-address" if path.contains("systemd") => format!("[Match]\nMACAddress={mac}\n"),
        "network-address" if path.contains("NetworkManager") => {
            format!("[connection]\ntype=ethernet\n[ethernet]\nmac-address={mac}\n")
        }
        "network-address" => format!(
            "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n      match:\n        macaddress: \"{mac}\"\n      set-name: eth0\n"
        ),
        "survey-id" if path.ends_with(".conf") => format!("MY_HOSTID=\"{}\"\n", "0a".repeat(16)),
        "survey-id" => "0b5e2f9c-7c1d-4d5e-9a41-0123456789ab\n".into(),
        "snap-device" if path.ends_with(".json") => {
            "{\"data\": {\"auth\": {\"device\": {\"serial\": \"x\", \"key-id\": \"y\"}}}}\n".into()
        }
        "authorized-keys" => format!("ssh-rsa AAAAB3NzaC1yc2E{} me\n", "aB3d".repeat(16)),
        _ => "0123456789abcdef0123456789abcdef\n".into(),
    }
}

/// The digest of each file of the guest.
fn digests(guest: &Guestfs) -> BTreeMap<String, String> {
    let list = tempfile::NamedTempFile::new().unwrap();
    guest.checksums_out("md5", "/", list.path()).unwrap();
    let text = std::fs::read_to_string(list.path()).unwrap();
    let pair = |line: &str| {
        let (digest, path) = line.split_once("  .").unwrap();
        (path.to_owned(), digest.to_owned())
    };
    text.lines().map(pair).collect()
}

#[test]
#[ignore = "vm: src/scan/rules src/scan/rule.rs src/sysprep"]
fn the_operation_that_an_advice_names_removes_what_was_found() {
    let phony = Phony::debian();
    phony.file("etc/passwd", PASSWD);
    let mut planted = BTreeSet::new();
    for rule in rules()
        .iter()
        .filter(|rule| !operations(&rule.fix.to_string()).is_empty())
    {
        for path in rule.paths().iter().flat_map(|pattern| {
            // What is a tree or a file is planted as a file.
            paths(pattern.strip_suffix("{,/**}").unwrap_or(pattern))
        }) {
            let place = phony.path().join(&path[1..]);
            // Some programs have a file where others have a directory.
            if place.is_dir() || place.ancestors().any(Path::is_file) && !place.exists() {
                continue;
            }
            if !place.exists() {
                phony.file(&path[1..], content(rule, &path));
            }
            planted.insert((rule.name.to_owned(), path));
        }
    }
    let found = tree(phony.path(), &Subject::default()).unwrap().findings;
    let named = |found: &Finding| (found.rule.clone(), found.path.clone());
    let known: BTreeSet<_> = found.iter().map(named).collect();
    // Copies of what everybody may read are found by their usual names only.
    let public = |path: &str| !path.ends_with('-') && !path.contains("shadow");
    let told = |(rule, path): &&(String, String)| {
        rule != "password-backup" || path.contains("opasswd") || !public(path)
    };
    let lacking: Vec<_> = planted.difference(&known).filter(told).collect();
    assert!(lacking.is_empty(), "planted, and not found: {lacking:#?}");

    let dir = tempfile::tempdir().unwrap();
    let disk = phony.disk(dir.path(), "disk.raw");
    let guest = crate::slots::launch_on(&[&disk], "raw").unwrap();
    let os = guest.mount_root().unwrap();
    let declared = Declared::default();
    let run = |operations: &[&'static Operation]| {
        let work = Seal {
            operations,
            identity: None,
            declared: &declared,
            files: &[],
            luks_keys: &[],
            relabel_at_boot: false,
            ui: None,
        };
        seal(&guest, &os, &work).unwrap();
    };
    let advised: BTreeSet<&str> = found
        .iter()
        .flat_map(|found| operations(&found.fix))
        .map(|operation| operation.name)
        .collect();
    let all = OPERATIONS.iter().copied();
    let all: Vec<_> = all.filter(|one| advised.contains(one.name)).collect();
    // What each operation changes by itself.
    let mut changed: BTreeSet<(&str, String)> = BTreeSet::new();
    let before = digests(&guest);
    for operation in &all {
        run(&[*operation]);
        let after = digests(&guest);
        for (path, digest) in &before {
            if after.get(path) == Some(digest) {
                continue;
            }
            let (dir, _) = path.rsplit_once('/').unwrap();
            guest
                .mkdir_p(&format!("/{}", dir.trim_matches('/')))
                .unwrap();
            guest.rm_f(path).unwrap();
            let bytes = std::fs::read(phony.path().join(&path[1..])).unwrap();
            guest.write(path, bytes).unwrap();
            changed.insert((operation.name, path.clone()));
        }
    }
    let restored = digests(&guest);
    assert!(
        before
            .iter()
            .all(|(path, digest)| restored.get(path) == Some(digest))
    );
    run(&all);
    guest.close().unwrap();
    let untrue: Vec<String> = found
        .iter()
        .filter(|found| {
            let all = operations(&found.fix);
            let did =
                |operation: &&Operation| changed.contains(&(operation.name, found.path.clone()));
            !all.is_empty() && !all.iter().any(did)
        })
        .map(|found| format!("{} {}: {}", found.rule, found.path, found.fix))
        .collect();
    assert!(untrue.is_empty(), "{}", untrue.join("\n"));
    let said = scan(&[path(&disk)]);
    let left = said.json()["findings"].as_array().unwrap().clone();
    let left: Vec<&Value> = left
        .iter()
        .filter(|found| !operations(found["fix"].as_str().unwrap()).is_empty())
        .collect();
    assert!(left.is_empty(), "{left:#?}");
}
