//! What only reads a repository needs neither its key nor the right to write there.

use super::world::*;
use crate::support::{Run as _, Said, under};

/// Runs imgforge where the repository is mounted so that nobody can write to it.
fn read_only(site: &World, args: &[&str]) -> Said {
    let repository = site.path("repo");
    let line = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" \
                && ! touch \"$1/x\" 2> /dev/null && shift && exec \"$@\"";
    let shell = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        line,
        "sh",
        repository.to_str().unwrap(),
    ];
    under(&shell, &site.command(args)).said()
}

#[test]
fn who_only_reads_needs_no_right_to_write() {
    let site = World::publishing();
    let repository = site.repository();
    let disks = ["one", "two"].map(|text| site.disk(text));
    for disk in &disks {
        publish(&repository, disk);
    }
    // No key is made, and none is asked for.
    site.configure(
        "signing-key: nobody@example.org\nrepositories: {main: {path: repo, url: https://x/}}\n",
    );
    let run = |args: &[&str]| read_only(&site, args).ok().out;
    let prune = [
        "repo",
        "prune",
        "--keep",
        "1",
        "--keep-days",
        "0",
        "--grace",
        "0s",
    ];
    let told = run(&prune);
    assert!(
        told.contains("web-node 1: would be removed") && told.contains("--yes does it"),
        "{told}"
    );
    assert!(run(&["repo", "verify"]).contains("is right: 1 channels, 1 entries, 2 revisions"));
    assert!(run(&["channel", "list"]).contains("web-node"));
    assert!(run(&["channel", "history", "web-node"]).contains("publish"));
    assert!(run(&["repo", "query", "openssl", "--json"]).contains("\"unknown\""));
    run(&["pull", "web-node", "-o", "disk.raw", "--arch", "x86_64"]);
    Program::new("cmp")
        .args([site.path("disk.raw"), disks[1].raw.clone()])
        .run()
        .unwrap();
    assert!(run(&["repo", "copy", "mirror"]).starts_with("copied "));
    let copy = Repository::open(site.settings(&site.path("mirror"))).unwrap();
    site.fetched_equals(&copy, "stable", "web-node", &disks[1]);

    // A change of it is refused with the reason.
    site.configure("repositories: {main: {path: repo}}\n");
    for args in [
        &[&prune[..], &["--yes"]].concat()[..],
        &["repo", "yank", "web-node@1", "--why", "x"],
    ] {
        read_only(&site, args).says(&["cannot be written"]);
    }
}

#[test]
fn a_copy_does_not_take_what_a_killed_publisher_left_half_way() {
    let site = World::publishing();
    let [one, two] = ["one", "two"].map(|text| site.disk(text));
    publish(&site.repository(), &one);
    // The directory as a kill in the middle of the renames leaves it.
    let (root, killed) = (site.path("repo"), site.path("killed"));
    let (from, to) = (root.clone(), killed.clone());
    let repository = site.repository().on_step(move |step| {
        if step == "rename an entry point" {
            let line = "rm -rf \"$2\" && cp -a \"$1\" \"$2\"";
            let copy = Program::new("sh").args(["-c", line, "sh"]);
            copy.args([&from, &to]).run().unwrap();
        }
    });
    publish(&repository, &two);
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::rename(&killed, &root).unwrap();

    let refused = read_only(&site, &["repo", "copy", "mirror"]);
    refused.says(&["its publisher was killed"]);
    assert!(!site.path("mirror/index.asc").exists());
    // Who can write there finishes it first.
    site.ok(&["repo", "copy", "mirror"]);
    let copy = Repository::open(site.settings(&site.path("mirror"))).unwrap();
    site.fetched_equals(&copy, "stable", "web-node", &two);
    assert!(!root.join(".imgforge/journal.json").exists());
}

#[test]
fn a_blob_that_is_half_copied_is_gone_on_with() {
    let site = World::publishing();
    let disk = site.disk("one");
    publish(&site.repository(), &disk);
    let bytes = std::fs::read(&disk.xz).unwrap();
    let half = bytes.len() / 2;
    let mut garbage = bytes[..half].to_vec();
    garbage[10] ^= 1;
    let longer = [&bytes[..], b"more"].concat();
    for (name, left, fetched) in [
        ("half", &bytes[..half], bytes.len() - half),
        ("garbage", &garbage, bytes.len()),
        ("longer", &longer, bytes.len()),
    ] {
        let copy = site.path(name);
        let dir = copy.join("images/web-node/1");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("web-node-0123456789ab.xz.part"), left).unwrap();
        let ui = Ui::silent().stage("repository", "copy");
        let copied =
            imgforge::repository::copy(&site.path("repo"), &copy, &Signers::default(), None, &ui)
                .unwrap();
        let manifest = copy
            .join("images/web-node/1/manifest.json")
            .metadata()
            .unwrap();
        assert_eq!(copied.bytes - manifest.len(), fetched as u64, "{name}");
        assert_eq!(
            std::fs::read(dir.join("web-node-0123456789ab.xz")).unwrap(),
            bytes
        );
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "{name}");
    }
}
