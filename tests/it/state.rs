//! The state directory: whose it is, and what lies in it that this imgforge cannot use.

use crate::support::World;

const INSTALL: [&str; 4] = ["build", "small", "--until", "install"];

#[test]
fn what_this_imgforge_cannot_read_is_counted_told_and_freed() {
    let world = World::importing();
    world.ok(&INSTALL);
    let mib = vec![1; 1 << 20];
    let (newer, draft) = ("ab".repeat(32), ".draft-0123");
    for (name, meta) in [
        (newer.as_str(), "{\"version\": 9}"),
        (draft, ""),
        ("mine", ""),
    ] {
        let dir = format!("state/store/{name}");
        world.write(&format!("{dir}/meta.json"), meta);
        std::fs::write(world.path(&format!("{dir}/disk.qcow2")), &mib).unwrap();
    }
    world.write("state/ledger/old/lock", "");
    world.write("state/ledger/old/0.json", r#"{"kind": "moon", "phase": 3}"#);
    world.write("state/ledger/old/1.json", "");
    let gc = |args: &[&str]| world.run(args).out;
    let said = gc(&["gc"]);
    for part in [
        newer.as_str(),
        "an entry that this imgforge cannot read",
        draft,
        "no process works on",
        "store/mine",
        "not made by imgforge",
        "ledger/old/0.json: left by another version",
        "`imgforge gc --free SIZE`",
    ] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    let size = said
        .lines()
        .find(|line| line.contains("1 entries"))
        .unwrap();
    let mib = size
        .split_once("entries, ")
        .unwrap()
        .1
        .split_once(' ')
        .unwrap()
        .0;
    assert!(mib.parse::<f64>().unwrap() >= 3.0, "{size}");
    // Who uses it keeps it.
    let lock = world.path(&format!("state/locks/{newer}"));
    let lock = std::fs::File::create(lock).unwrap();
    lock.lock_shared().unwrap();
    let said = gc(&["gc", "--free", "1MiB"]);
    assert!(said.contains(&format!("removed {draft}")), "{said}");
    assert!(world.stored().contains(&newer));
    lock.unlock().unwrap();
    world.configure("store: {max-size: 2MiB}\n");
    let said = gc(&["gc"]);
    assert!(said.contains(&format!("removed {newer}")), "{said}");
    assert_eq!(world.stored().len(), 2, "the entry, and what nobody knows");
    assert!(world.path("state/ledger/old/0.json").exists());
}

#[test]
fn a_directory_of_somebody_else_is_no_state_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::importing();
    let mode = |name: &str| {
        let meta = std::fs::metadata(world.path(name)).unwrap();
        meta.permissions().mode() & 0o7777
    };
    let set = |name: &str, mode: u32| {
        std::fs::create_dir_all(world.path(name)).unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(world.path(name), mode).unwrap();
    };
    for (dir, mode_of, file, why) in [
        ("theirs", 0o755, Some("letter.txt"), "it holds `letter.txt`"),
        (
            "shared",
            0o1777,
            Some("letter.txt"),
            "everybody may write there",
        ),
        ("open", 0o1777, None, "everybody may write there"),
    ] {
        set(dir, mode_of);
        if let Some(file) = file {
            world.write(&format!("{dir}/{file}"), "dear");
        }
        for verb in [&["gc"][..], &INSTALL] {
            let state = world.path(dir);
            let args = [&["--state", state.to_str().unwrap()], verb].concat();
            world.run(&args).exits(3).says(&[why, "--state DIR"]);
        }
        assert_eq!(mode(dir), mode_of, "{dir}");
        let left = std::fs::read_dir(world.path(dir)).unwrap().count();
        assert_eq!(left, usize::from(file.is_some()), "{dir}");
    }
    // An empty one keeps its permissions, and what is made in it is private.
    set("given", 0o755);
    world.ok(&["--state", world.path("given").to_str().unwrap(), "gc"]);
    assert_eq!((mode("given"), mode("given/store")), (0o755, 0o700));
    world.ok(&["--state", world.path("new").to_str().unwrap(), "gc"]);
    assert_eq!(mode("new"), 0o700);
}

/// Who may rename it puts another one there while a verb works.
#[test]
fn a_state_directory_that_others_can_rename_serves_no_verb() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::importing();
    let shared = world.path("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o777)).unwrap();
    let state = shared.join("state");
    let disk = world.path("files/disk.raw");
    let (disk, out) = (disk.to_str().unwrap(), world.path("out"));
    let out = out.to_str().unwrap();
    for verb in [
        &["disk", "seal", disk, "-o", out][..],
        &["disk", "export", "-t", "raw", disk, "-o", out],
        &["disk", "pack", disk, "-o", out],
        &["doctor"],
        &["gc"],
    ] {
        let said = world.run(&[&["--state", state.to_str().unwrap()], verb].concat());
        said.exits(3)
            .says(&["everybody may write there", "--state DIR"]);
        assert!(!state.exists(), "{verb:?}");
    }
}
