//! A root that grows with its disk: the script on disks in files, and in the clones of a gate.

use std::path::{Path, PathBuf};

use imgforge::host::accel::Setting;
use imgforge::host::exec::Program;

use crate::gate::world;

/// A disk with this table, made on 1 GiB and then as large as `size`.
fn disk(dir: &Path, table: &str, size: u64) -> PathBuf {
    let path = dir.join("disk.raw");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    Program::new("sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(&path)
        .input(table)
        .run()
        .unwrap();
    file.set_len(size).unwrap();
    path
}

/// Start and size of every partition, in sectors, in the table's order.
fn partitions(disk: &Path) -> Vec<(u64, u64)> {
    let table = Program::new("sfdisk")
        .arg("--json")
        .arg(disk)
        .text()
        .unwrap();
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    let all = table["partitiontable"]["partitions"].as_array().unwrap();
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    all.iter()
        .map(|one| (number(&one["start"]), number(&one["size"])))
        .collect()
}

fn grow(disk: &Path, number: u32) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/steps/grow/grow-root.sh");
    Program::new("sh")
        .arg(script)
        .arg("partition")
        .arg(disk)
        .arg(number.to_string())
        .text()
        .unwrap()
}

const TIB: u64 = 1 << 40;

/// The end of what a DOS table can name, a whole MiB of it, in sectors.
const MOST: u64 = u32::MAX as u64 / 2048 * 2048;

#[test]
fn a_partition_grows_to_the_end_of_its_disk_or_of_its_table_and_never_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let plain = "label: dos\nstart=2048, size=2048\nstart=4096, type=83, bootable\n";
    let logical = "label: dos\nstart=2048, size=2048\nstart=4096, type=5\nstart=6144, size=2048\n\
                   start=10240, type=8e\n";
    let gpt = "label: gpt\nstart=2048, size=2048\nstart=4096\n";
    for (table, number, size, end) in [
        (plain, 2, TIB, TIB / 512),
        (plain, 2, 3 * TIB, MOST),
        (logical, 6, TIB, TIB / 512),
        (logical, 6, 3 * TIB, MOST),
        (gpt, 2, 3 * TIB, 3 * TIB / 512 - 2048),
    ] {
        let disk = disk(dir.path(), table, size);
        let before = partitions(&disk);
        let said = grow(&disk, number);
        let after = partitions(&disk);
        let last = after.last().unwrap();
        assert_eq!(last.0 + last.1, end, "{table}{after:?}");
        assert!(
            before
                .iter()
                .zip(&after)
                .all(|(b, a)| a.0 == b.0 && a.1 >= b.1)
        );
        let told = said.contains("stays unused");
        assert_eq!(told, end == MOST, "{said}");
        // Nothing is left, and an earlier one has no room.
        grow(&disk, number);
        assert!(grow(&disk, 1).contains("is not the last one"));
        assert_eq!(partitions(&disk), after);
    }
}

#[test]
fn a_partition_that_ends_beyond_what_is_left_stays() {
    let dir = tempfile::tempdir().unwrap();
    let all = "label: dos\nstart=2048, type=83\n";
    let disk = disk(dir.path(), all, 1 << 30);
    let before = partitions(&disk);
    assert_eq!(grow(&disk, 1), "");
    assert_eq!(partitions(&disk), before);
}

#[test]
#[ignore = "e2e: src/stage src/runner src/steps src/hypervisor"]
fn the_first_boot_of_a_clone_of_debian_13_does_what_the_recipe_says() {
    the_first_boot_does_what_the_recipe_says("trixie");
}

#[test]
#[ignore = "e2e: src/stage src/runner src/steps src/hypervisor"]
fn the_first_boot_of_a_clone_of_debian_12_does_what_the_recipe_says() {
    the_first_boot_does_what_the_recipe_says("bookworm");
}

/// Debian in the clones of a gate, of which one has a card that leads nowhere: the root has grown,
/// what the recipe disabled is disabled, and systemd is as patient as the host is slow.
#[track_caller]
fn the_first_boot_does_what_the_recipe_says(suite: &str) {
    crate::slots::take(2);
    let world = world("both");
    let patience = if Setting::Auto.choose().accel.is_emulated() {
        "9min"
    } else {
        "1min 30s"
    };
    world.image(
        suite,
        &format!(
            "include: [_base/grow.yaml]\n\
             install: {{bootstrap: {{suite: {suite}, packages: [openssh-server, cron]}}}}\n\
             configure: [{{shell: {{run: systemctl disable cron.service}}}}]\n\
             check:\n  commands:\n\
             \x20 - '[ \"$(systemctl is-enabled cron)\" = disabled ]'\n\
             \x20 - '! systemctl is-active cron'\n\
             \x20 - '[ \"$(systemctl show -p DefaultTimeoutStartUSec --value)\" = \"{patience}\" ]'\n\
             \x20 - '[ \"$(systemctl show -p Result --value systemd-networkd-wait-online)\" = success ]'\n"
        ),
    );
    world.write("recipes/_base/grow.yaml", "machine: {grow: true}\n");
    world.ok(&["build", suite, "--until", "check"]);
}
