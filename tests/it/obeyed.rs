//! What other users of the host could have written is not obeyed: recipe repositories, state
//! directories, ledgers.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::world::NOBODY;
use crate::support::{Run as _, World, imgforge};

const PULL: [&str; 4] = ["pull", "main#web", "-o", "x.img"];

fn run_in(dir: &Path, args: &[&str]) -> Command {
    let mut command = imgforge();
    command.current_dir(dir).args(args);
    command
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What an attacker leaves in `dir`: a state directory whose ledger names `victim`.
fn plant(world: &World, dir: &str, victim: &Path) {
    for part in ["store", "locks", "ledger", "deep"] {
        fs::create_dir_all(world.path(dir).join(part)).unwrap();
    }
    record(world, &format!("{dir}/ledger/x"), victim);
}

fn record(world: &World, page: &str, victim: &Path) {
    let item = serde_json::json!({"kind": "scratch", "path": victim});
    world.write(&format!("{page}/lock"), "");
    world.write(&format!("{page}/0.json"), item.to_string());
}

/// A directory that its owner would miss, named as imgforge names its own.
fn victim(world: &World) -> std::path::PathBuf {
    let path = world.path(".imgforge-0123456789abcdef0123456789abcdef");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("letter"), "dear").unwrap();
    path
}

#[test]
fn a_directory_where_all_may_write_says_nothing() {
    let world = World::importing();
    let victim = victim(&world);
    plant(&world, "shared", &victim);
    world.write(
        "shared/imgforge.yaml",
        "state: .\nstore: {max-size: 1MiB}\n",
    );
    let shared = world.path("shared");
    set(&shared, 0o1777);
    let pack = ["disk", "pack", "../../files/disk.raw", "-o", "x.xz"];
    let verify = ["repo", "verify"];
    for verb in [&["gc"][..], &PULL, &pack, &verify, &["doctor"], &["status"]] {
        let refused = run_in(&shared.join("deep"), verb).said().exits(3);
        refused.says(&[
            "is not trusted",
            "everybody may write there",
            "another directory",
        ]);
        assert!(victim.join("letter").exists(), "{verb:?}");
    }
    assert_eq!(fs::read_dir(shared.join("deep")).unwrap().count(), 0);
    // Who takes it for theirs has a state directory that is nobody's all the same.
    for verb in [&["gc"][..], &PULL, &pack, &["status"]] {
        let mut trusting = run_in(&shared.join("deep"), verb);
        let refused = trusting.env("IMGFORGE_TRUST", &shared).said().exits(3);
        refused.says(&["the state directory", "everybody may write there"]);
        assert!(victim.join("letter").exists(), "{verb:?}");
    }
    // In a directory of its own it counts.
    set(&shared, 0o755);
    run_in(&shared.join("deep"), &["gc"]).said().ok();
    assert!(!victim.exists());
}

#[test]
fn each_part_of_a_state_directory_is_this_users_own() {
    let world = World::importing();
    let victim = victim(&world);
    plant(&world, "state", &victim);
    let parts = [
        "store",
        "locks",
        "ledger",
        "cache",
        "blocks",
        "gnupg",
        "repositories",
    ];
    for part in parts {
        let path = world.path("state").join(part);
        fs::create_dir_all(&path).unwrap();
        set(&path, 0o777);
        let chmod = format!("chmod go-w {}", path.canonicalize().unwrap().display());
        world.run(&["gc"]).exits(3).says(&[
            "others can change what is in the state directory",
            &chmod,
            "--state",
        ]);
        set(&path, 0o755);
        let elsewhere = world.path("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        for verb in [&["gc"][..], &["build", "small"]] {
            world.run(verb).exits(3).says(&["is a link"]);
        }
        fs::remove_file(&path).unwrap();
        fs::rename(&elsewhere, &path).unwrap();
    }
    assert!(victim.exists());
    assert_eq!(world.ok(&["gc"]).err, "");
    assert!(!victim.exists());
}

#[test]
fn a_ledger_does_not_name_what_imgforge_did_not_make() {
    let world = World::importing();
    plant(&world, "state", &world.path("files"));
    let said = world.ok(&["gc"]);
    said.says(&["imgforge does not give such names"]);
    assert!(world.path("files/disk.raw").exists());
    assert!(world.path("state/ledger/x/0.json").exists());
    // Neither a page nor what is on it may be a link.
    let victim = victim(&world);
    record(&world, "theirs", &victim);
    symlink(world.path("theirs"), world.path("state/ledger/y")).unwrap();
    for linked in ["lock", "0.json"] {
        let page = format!("state/ledger/{linked}");
        record(&world, &page, &victim);
        fs::remove_file(world.path(&page).join(linked)).unwrap();
        let to = world.path("theirs").join(linked);
        symlink(to, world.path(&page).join(linked)).unwrap();
    }
    world.ok(&["gc"]);
    assert!(victim.join("letter").exists());
}

/// Only root can give files away.
#[test]
#[ignore = "root: src/host/ours.rs src/host/statedir.rs src/store src/recipe/obeyed.rs"]
fn root_obeys_no_other_user() {
    let world = World::importing();
    let victim = victim(&world);
    plant(&world, "theirs", &victim);
    world.write("theirs/imgforge.yaml", "state: .\n");
    let dir = world.path("theirs");
    let run = |verb: &[&str]| run_in(&dir.join("deep"), verb).said();
    let give = |path: &Path, to| chown(path, Some(to), None).unwrap();
    // The directory, or the file alone.
    for given in [dir.clone(), dir.join("imgforge.yaml")] {
        give(&given, NOBODY);
        for verb in [&["gc"][..], &PULL] {
            run(verb).exits(3).says(&[
                "is not trusted",
                "belongs to another user",
                "IMGFORGE_TRUST=",
            ]);
        }
        give(&given, 0);
    }
    // Parts of a state directory, made before root made it.
    for part in ["store", "locks", "ledger"] {
        give(&dir.join(part), NOBODY);
        for verb in [&["gc"][..], &PULL] {
            let refused = run(verb).exits(3);
            refused.says(&["others can change what is in the state", "chown -R 0: "]);
        }
        give(&dir.join(part), 0);
    }
    // A page, or a record on it.
    for given in ["ledger/x", "ledger/x/lock", "ledger/x/0.json"] {
        give(&dir.join(given), NOBODY);
        run(&["gc"]).ok();
        assert!(victim.exists(), "{given}");
        // A page without records of ours is done with.
        record(&world, "theirs/ledger/x", &victim);
        give(&dir.join(given), 0);
    }
    // What is to be cleared is another user's.
    give(&victim, NOBODY);
    run(&["gc"]).ok().says(&["it is not what this user made"]);
    assert!(victim.exists());
    give(&victim, 0);
    // Who called sudo may say what root does; their state directory is none of root's.
    for given in [dir.clone(), dir.join("imgforge.yaml")] {
        give(&given, NOBODY);
    }
    let sudo = |user: u32| {
        let mut command = run_in(&dir, &["gc"]);
        command.env("SUDO_UID", user.to_string()).said()
    };
    let refused = sudo(NOBODY).exits(3);
    refused.says(&["belongs to another user", "--state DIR"]);
    world.write("theirs/imgforge.yaml", "state: deep\n");
    sudo(NOBODY).ok();
    sudo(1).exits(3).says(&["is not trusted"]);
    let trust = ["gc", "--trust", dir.to_str().unwrap()];
    run_in(&dir, &trust).said().ok();
}
