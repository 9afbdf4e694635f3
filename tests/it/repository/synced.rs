//! What a cloud is told of a repository, by a client that only notes what it is told.

use imgforge::repository::Policy;
use imgforge::units::Span;

use super::world::*;
use crate::support::{Run as _, Said};

const NOTHING_STAYS: Policy = Policy {
    keep: Some(1),
    window: Span::seconds(0),
    grace: Span::seconds(0),
};

const ID: &str = "0f3c5a2e-7c1d-4d5e-9a41-00000000000";

/// A cloud that has the disks of two revisions in sight.
fn cloud(site: &World, digests: &[String]) {
    let disks: Vec<_> = digests.iter().map(|digest| (digest.as_str(), "")).collect();
    cloud_of(site, &disks);
}

/// A cloud that has disks with these digests in sight, each for an architecture.
fn cloud_of(site: &World, disks: &[(&str, &str)]) {
    let path = |name: &str| site.path(name);
    std::fs::create_dir(path("bin")).unwrap();
    let mut list = vec![];
    for (number, (digest, arch)) in (1..).zip(disks) {
        let mut about = json!({
            "status": "active", "min_disk": 1, "min_ram": 1,
            "properties": {"imgforge_sha512": digest, "imgforge_version": number.to_string()},
        });
        if !arch.is_empty() {
            about["properties"]["architecture"] = (*arch).into();
        }
        std::fs::write(path(&format!("bin/{ID}{number}")), about.to_string()).unwrap();
        list.push(json!({"ID": format!("{ID}{number}")}));
    }
    std::fs::write(path("bin/list"), Value::from(list).to_string()).unwrap();
    let dir = path("bin");
    let script = format!(
        "#!/bin/sh\ncd {}\nfor last; do :; done\ncase \"$*\" in *--hidden*list*|*list*--hidden*) echo [];;\n\
         *' list '*) cat list;; *' show '*|*show*) cat \"$last\";; *) echo \"$*\" >> told;; esac\n",
        dir.display()
    );
    std::fs::write(path("bin/openstack"), script).unwrap();
    let all = Permissions::from_mode(0o755);
    std::fs::set_permissions(path("bin/openstack"), all).unwrap();
}

/// What is told the cloud.
fn synced(site: &World) -> String {
    let (said, told) = sync(site);
    said.ok();
    told
}

/// What `sync openstack` says, and what is told the cloud.
fn sync(site: &World) -> (Said, String) {
    let told = site.path("bin/told");
    drop(std::fs::remove_file(&told));
    let path = std::env::var("PATH").unwrap();
    let bin = site.path("bin").display().to_string();
    let mut command = site.command(&["sync", "openstack", "web-node"]);
    let said = command.env("PATH", format!("{bin}:{path}")).said();
    (said, std::fs::read_to_string(told).unwrap_or_default())
}

/// A repository with a disk for OpenStack of each version, a revision each; their SHA-512.
fn disks(versions: [&'static str; 2]) -> (World, Repository, Vec<String>) {
    disks_on(versions.map(|version| (version, "x86_64", json!({}))))
}

/// As [`disks`], of one version for two architectures.
fn disks_for(archs: [&'static str; 2]) -> (World, Repository, Vec<String>) {
    disks_on(archs.map(|arch| ("1", arch, json!({"architecture": arch}))))
}

/// As [`disks`], each for an architecture, with these properties.
fn disks_on(
    revisions: [(&'static str, &'static str, Value); 2],
) -> (World, Repository, Vec<String>) {
    let site = World::publishing();
    std::fs::create_dir(site.path("recipes")).unwrap();
    let repository = site.repository();
    let mut digests = vec![];
    for (number, (version, arch, properties)) in (1..).zip(revisions) {
        let disk = site.disk(&number.to_string());
        let bytes = std::fs::read(&disk.raw).unwrap();
        digests.push(file_sha512(&disk.raw).unwrap());
        let manifest = json!({
            "name": "web-node", "version": version, "file": "web-node.raw",
            "sha512": digests.last(), "disk-format": "raw", "min-disk": 1, "min-ram": 1,
            "properties": properties, "create": "",
        });
        publish_with(&repository, &disk, |p| {
            let about = [("target", "openstack"), ("format", "openstack-manifest")];
            let name = "web-node.openstack.json";
            let manifest = Companion::bytes(name, manifest.to_string()).about(about);
            p.companions = vec![manifest, Companion::bytes("web-node.raw", bytes)];
            p.version = version;
            p.arch = arch;
        })
        .unwrap();
    }
    (site, repository, digests)
}

#[test]
fn of_two_disks_of_one_version_a_cloud_gets_what_the_channel_has() {
    let (site, _, digests) = disks(["1", "1"]);
    cloud(&site, &digests);
    let told = synced(&site);
    assert!(
        told.contains(&format!("image set --hidden {ID}1\n")),
        "{told}"
    );
    assert!(!told.contains(&format!("--hidden {ID}2")), "{told}");
}

#[test]
fn a_cloud_gets_each_architecture_of_an_image_and_of_the_other_nothing_goes() {
    let (site, repository, digests) = disks_for(["x86_64", "aarch64"]);
    let (old, older) = ("0".repeat(128), "1".repeat(128));
    cloud_of(
        &site,
        &[
            (&digests[0], "x86_64"),
            (&digests[1], "aarch64"),
            (&old, "aarch64"),
            (&older, "riscv64"),
        ],
    );
    assert_eq!(synced(&site), format!("image set --hidden {ID}3\n"));
    // Without the one architecture the other is as it was.
    let (now, ui) = (Stamp::now(), Ui::silent());
    repository.yank("web-node", 2, false, &now, &ui).unwrap();
    assert_eq!(synced(&site), format!("image set --hidden {ID}2\n"));
}

#[test]
fn an_architecture_without_a_disk_keeps_none_of_the_others_from_a_cloud() {
    let (site, repository, digests) = disks_for(["x86_64", "aarch64"]);
    publish_with(&repository, &site.disk("3"), |p| {
        (p.version, p.arch) = ("1", "aarch64");
    })
    .unwrap();
    let old = "0".repeat(128);
    cloud_of(
        &site,
        &[
            (&digests[1], "aarch64"),
            (&digests[0], "x86_64"),
            (&old, "x86_64"),
        ],
    );
    let (said, told) = sync(&site);
    let lacks = "has no disk of `web-node` for OpenStack for aarch64";
    said.exits(2).says(&[lacks]);
    assert_eq!(told, format!("image set --hidden {ID}3\n"));
    // Also one that never had a disk.
    publish_with(&repository, &site.disk("4"), |p| {
        (p.version, p.arch) = ("1", "riscv64");
    })
    .unwrap();
    let (said, told) = sync(&site);
    said.exits(2)
        .says(&[lacks, "for riscv64", "2 of 3 disks were not synced"]);
    assert_eq!(told, format!("image set --hidden {ID}3\n"));
}

/// A cloud with the disks of aarch64 and x86_64, and one of x86_64 that is no longer offered.
fn cloud_with_an_old_disk(site: &World, digests: &[String]) {
    let old = "0".repeat(128);
    cloud_of(
        site,
        &[
            (&digests[0], "aarch64"),
            (&digests[1], "x86_64"),
            (&old, "x86_64"),
        ],
    );
}

#[test]
fn a_damaged_manifest_keeps_no_other_disk_from_a_cloud() {
    let (site, repository, digests) = disks_for(["aarch64", "x86_64"]);
    cloud_with_an_old_disk(&site, &digests);
    let path = "images/web-node/1/web-node.openstack.json";
    std::fs::write(repository.path().join(path), "{}").unwrap();
    let (said, told) = sync(&site);
    said.exits(4).says(&["is not what was signed"]);
    assert_eq!(told, format!("image set --hidden {ID}3\n"));
}

#[test]
fn of_several_failures_a_damaged_file_is_the_exit_code() {
    let (site, repository, digests) = disks_for(["aarch64", "x86_64"]);
    publish_with(&repository, &site.disk("3"), |p| {
        (p.version, p.arch) = ("1", "aarch64");
    })
    .unwrap();
    cloud_of(&site, &[(&digests[1], "x86_64")]);
    let path = "images/web-node/2/web-node.openstack.json";
    std::fs::write(repository.path().join(path), "{}").unwrap();
    let (said, told) = sync(&site);
    said.exits(4).says(&[
        "has no disk of `web-node` for OpenStack for aarch64",
        "is not what was signed",
        "2 of 2 disks were not synced",
    ]);
    assert_eq!(told, "");
}

#[test]
fn an_interrupt_tells_what_was_done() {
    let (site, _, digests) = disks_for(["aarch64", "x86_64"]);
    cloud_with_an_old_disk(&site, &digests);
    // What hides the last one waits for ever, and its user does not.
    let client = site.path("bin/openstack");
    let script = std::fs::read_to_string(&client).unwrap();
    let waiting = script.replace(
        "echo \"$*\" >> told",
        "mkfifo never; kill -INT $PPID; read _ < never",
    );
    assert_ne!(script, waiting);
    std::fs::write(&client, waiting).unwrap();
    let (said, _) = sync(&site);
    let out = said.exits(130).out.clone();
    for (number, arch) in [(1, "aarch64"), (2, "x86_64")] {
        let row = format!("{ID}{number}  unchanged");
        assert!(out.contains(&row), "{arch}: {out}");
    }
    assert!(!out.contains(&format!("{ID}3")), "{out}");
}

#[test]
fn what_was_pruned_keeps_no_yank_from_a_cloud() {
    let (site, repository, digests) = disks(["1", "2"]);
    let (now, ui) = (Stamp::now(), Ui::silent());
    cloud(&site, &digests);
    assert_eq!(synced(&site), "");
    for _ in 0..2 {
        repository
            .prune(&NOTHING_STAYS, true, &Stamp::now())
            .unwrap();
    }
    let gone = repository
        .path()
        .join("images/web-node/1/web-node.openstack.json");
    assert!(!gone.exists());
    let told = synced(&site);
    assert_eq!(told, format!("image set --hidden {ID}1\n"));
    let error = site.fails(2, &["diff", "web-node@1", "web-node@2"]);
    assert!(error.contains("it was pruned"), "{error}");
    // Also where nothing is left.
    repository.yank("web-node", 2, false, &now, &ui).unwrap();
    let told = synced(&site);
    assert!(
        told.contains(&format!("image set --hidden {ID}2\n")),
        "{told}"
    );
}

#[test]
fn a_version_without_a_disk_leaves_no_yanked_one_of_its_name_in_sight() {
    let (site, repository, mut digests) = disks(["1", "1"]);
    let (now, ui) = (Stamp::now(), Ui::silent());
    // The third one was made elsewhere.
    digests.push("0".repeat(128));
    cloud(&site, &digests);
    publish_with(&repository, &site.disk("3"), |p| p.version = "1").unwrap();
    let error = site.fails(2, &["sync", "openstack", "web-node"]);
    assert!(error.contains("has no disk of `web-node`"), "{error}");
    for number in [1, 2] {
        repository
            .yank("web-node", number, false, &now, &ui)
            .unwrap();
    }
    let told = synced(&site);
    for number in [1, 2] {
        let hidden = format!("image set --hidden {ID}{number}\n");
        assert!(told.contains(&hidden), "{told}");
    }
    assert_eq!(told.lines().count(), 2, "{told}");
}

#[test]
fn where_a_channel_lost_its_target_no_good_disk_goes_out_of_sight_because_of_a_yanked_one() {
    for (versions, yanked) in [(["1", "1"], 1), (["1", "2"], 2)] {
        let (site, repository, _) = disks(versions);
        publish_with(&repository, &site.disk("3"), |p| p.version = "1").unwrap();
        repository
            .yank("web-node", yanked, false, &Stamp::now(), &Ui::silent())
            .unwrap();
        let error = site.fails(2, &["sync", "openstack", "web-node", "--delete"]);
        assert!(error.contains("has no disk of `web-node`"), "{error}");
    }
}
