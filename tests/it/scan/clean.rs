//! The scan of a system that nobody has touched.

use super::*;

/// What a bootstrap leaves and the seal takes away; anything else would be a false alarm.
const TAKEN_AWAY: [&str; 4] = [
    "private-key=/etc/ssh/ssh_host_*_key",
    "ssh-host-key=/etc/ssh/ssh_host_*",
    "password-backup=/etc/*-",
    "build-resolver=/etc/resolv.conf",
];

/// Debian's is gated and published as a whole: `whole`.
#[test]
#[ignore = "vm: src/scan"]
fn a_clean_ubuntu_gives_no_alarm() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let tree = dir.path().join("noble.tar");
    Program::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase"])
        .arg("--aptopt=Acquire::Retries 3")
        .args(["--include=openssh-server,cloud-init", "noble"])
        .arg(&tree)
        .run()
        .unwrap();
    let allow = TAKEN_AWAY
        .iter()
        .flat_map(|accepted| ["--allow", *accepted]);
    let args: Vec<_> = [path(&tree)].into_iter().chain(allow).collect();
    let output = scan(&args);
    let found = findings(&output);
    assert_eq!((output.code, &found), (Some(0), &BTreeSet::new()));
    let report = output.json();
    assert!(report["files"].as_u64().unwrap() > 5000, "{report}");
    assert!(!report["accepted"].as_array().unwrap().is_empty());
}
