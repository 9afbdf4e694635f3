//! The gate's promises on a guest of a few files, which boots from its disk in seconds.

use imgforge::machine::Arch;

use super::*;
use crate::grub;
use crate::phony::Phony;
use crate::toy;

/// What it starts with: the services of a machine, and the runner if that was put in.
const INIT: &str = r#"#!/bin/sh
export PATH=/usr/sbin:/usr/bin
mount -t tmpfs run /run
mkdir -p /run/systemd/system
[ -s /etc/machine-id ] || tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
echo "<2>small: started" >/dev/kmsg # one line whatever else the kernel has to say
[ ! -e /etc/panics ] || echo c >/proc/sysrq-trigger
[ ! -e /usr/lib/imgforge/runner ] || setsid sh /usr/lib/imgforge/runner &
while read -r line; do
  echo "small: heard $line"
  [ "$line" != bye ] || busybox poweroff -f
done
while :; do sleep 1000; done
"#;

/// As much of systemd as the runner asks for; `/etc/failed` names a unit that failed.
const SYSTEMCTL: &str = r#"#!/bin/sh
case $* in
  is-system-running)
    [ -e /etc/failed ] && echo degraded || echo running ;;
  "list-units --failed"*) cat /etc/failed ;;
  *poweroff*) exec busybox poweroff -f ;;
  *) exit 1 ;;
esac
"#;

/// Programs of it that busybox is.
const BUSYBOX: &[&str] = &[
    "basename",
    "cat",
    "chmod",
    "cut",
    "dd",
    "grep",
    "head",
    "ip",
    "ls",
    "mkdir",
    "mkfifo",
    "mount",
    "od",
    "readlink",
    "rm",
    "rmdir",
    "sed",
    "setsid",
    "sha256sum",
    "sleep",
    "sync",
    "tar",
    "timeout",
    "touch",
    "tr",
    "uname",
];

/// A Debian of a few files that boots.
pub(crate) fn guest() -> Phony {
    guest_on(Arch::X86_64)
}

/// As [`guest`], on a machine of this architecture.
pub(super) fn guest_on(arch: Arch) -> Phony {
    let phony = Phony::debian().on(arch);
    let (kernel, initrd) = toy::for_a_disk(arch);
    phony
        .file("boot/vmlinuz", std::fs::read(kernel).unwrap())
        .file("boot/initrd.img", initrd)
        .file("etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n")
        .file("usr/lib/systemd/systemd", "")
        .file("usr/sbin/init", INIT)
        .file("usr/bin/systemctl", SYSTEMCTL);
    for program in ["usr/sbin/init", "usr/bin/systemctl"] {
        phony.mode(program, 0o755);
    }
    for name in BUSYBOX {
        phony.link(&format!("usr/bin/{name}"), "busybox");
    }
    phony
}

/// Where the root of a small disk begins, and its size.
const START: u64 = 1 << 20;
const SIZE: u64 = 200 << 20;

/// Writes the disk of the image `name`: one ext4 partition, and GRUB in front of it.
pub(crate) fn disk(world: &World, name: &str, phony: &Phony) {
    let (disk, file) = partitioned(world, name, "label: dos\nstart=2048, type=83, bootable\n");
    root(&disk, phony);
    let modules = ["biosdisk", "part_msdos", "ext2", "linux"];
    let core = grub::core(
        world.dir.path(),
        Arch::X86_64,
        "i386-pc",
        "(hd0,msdos1)",
        &modules,
    );
    let core = std::fs::read(core).unwrap();
    assert!((core.len() as u64) < START - 512);
    // The first sector loads what follows it; the table stays.
    let first = std::fs::read("/usr/lib/grub/i386-pc/boot.img").unwrap();
    file.write_all_at(&first[..440], 0).unwrap();
    file.write_all_at(&core, 512).unwrap();
    world.image(name, &import(world, name));
}

/// As [`disk`], for UEFI of this architecture: GRUB is in a partition of its own behind the root.
pub(super) fn uefi_disk(world: &World, arch: Arch, name: &str, phony: &Phony) {
    const ESP: u64 = 16 << 20;
    let (root_sectors, esp_start) = (SIZE / 512, (START + SIZE) / 512);
    let table = format!(
        "label: gpt\nstart=2048, size={root_sectors}, type={}\nstart={esp_start}, size={}, type=U\n",
        arch.root_partition,
        ESP / 512
    );
    let (disk, file) = partitioned(world, name, &table);
    root(&disk, phony);
    let modules = ["part_gpt", "ext2", "linux"];
    let dir = world.dir.path();
    let core = grub::core(dir, arch, arch.grub_efi, "(hd0,gpt1)", &modules);
    let esp = grub::esp(dir, arch, &core, ESP);
    file.write_all_at(&esp, START + SIZE).unwrap();
    world.image(name, &import(world, name));
}

/// As [`disk`], without a boot loader.
pub(super) fn plain_disk(world: &World, name: &str, phony: &Phony) {
    let (disk, _) = partitioned(world, name, "label: dos\nstart=2048, type=83\n");
    root(&disk, phony);
    world.image(name, &import(world, name));
}

/// A disk with this table.
fn partitioned(world: &World, name: &str, table: &str) -> (PathBuf, std::fs::File) {
    let disk = world.path(&format!("{name}.raw"));
    let file = std::fs::File::create(&disk).unwrap();
    file.set_len(START + SIZE + (17 << 20)).unwrap();
    let sfdisk = Program::new("sfdisk").arg("-q").arg(&disk);
    sfdisk.input(table).run().unwrap();
    (disk, file)
}

/// Writes the root.
fn root(disk: &Path, phony: &Phony) {
    Program::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "small"])
        .args(["-E", &format!("offset={START}"), "-d"])
        .arg(phony.path())
        .arg(disk)
        .arg(format!("{}k", SIZE >> 10))
        .run()
        .unwrap();
}

/// A leftover, a kill between two clones, a unit that failed, exceptions with their reasons, and a
/// kernel that panics.
#[test]
#[ignore = "vm: src/stage/check src/scan src/console src/runner src/stage/publish"]
fn the_gate_refuses_accepts_with_reasons_and_leaves_nothing() {
    slots::take(2);
    let world = world("bios");
    let phony = guest();
    phony.file("etc/app.conf", "password = hunter22x\n");
    phony.file(
        "etc/failed",
        "broken.service loaded failed failed It is broken\n",
    );
    disk(&world, "unit", &phony);
    let publish = ["build", "unit", "--publish"];
    let why =
        "secret-assignment: /etc/app.conf (line 1; from install of unit, recipes/unit.yaml:3)";
    refused(&world, "unit", world.run(&publish), why);

    let import = import(&world, "unit");
    let allow = "allow: [{rule: secret-assignment, path: /etc/app.conf, reason: it is a joke}]";
    world.image("unit", &format!("{import}check:\n  {allow}\n"));
    a_kill_leaves_nothing(&world);
    let why = "the unit broken.service failed";
    refused(&world, "unit", world.run(&publish), why);

    let units = "failed-units: {broken.service: it is broken on purpose}";
    world.image(
        "unit",
        &format!("{import}check:\n  {allow}\n  {units}\npack: {{profile: fast}}\n"),
    );
    published_with_its_exceptions(&world);

    let phony = guest();
    phony.file("etc/panics", "");
    disk(&world, "panics", &phony);
    // A machine that crashed is gone before anybody can look at its screen.
    let output = world.run(&["build", "panics", "--publish"]).exits(4);
    output.says(&["kernel panicked"]);
    assert!(!world.path("repo/images/panics").exists());
    assert_eq!(world.left_over(), [""; 0]);
}

/// The build is killed while the guest runs; the next one clears up, and goes on behind the last stage
/// that was finished.
#[test]
#[ignore = "vm: src/stage/configure src/runner src/hypervisor src/pipeline src/store"]
fn a_build_that_is_killed_in_its_guest_goes_on() {
    slots::take(1);
    let world = world("bios");
    disk(&world, "unit", &guest());
    let import = import(&world, "unit");
    let configure = "configure: [{shell: {run: 'true'}}]\n";
    world.image("unit", &format!("{import}{configure}"));
    let build = ["build", "unit", "--until", "configure"];
    // A guest that lost its timer is started again, with a log of its own.
    let logs = world.path("state/logs/unit");
    world.kill_when(&build, || {
        let files = std::fs::read_dir(&logs).into_iter().flatten().flatten();
        let consoles = files.filter(|file| {
            let name = file.file_name();
            name.as_encoded_bytes().starts_with(b"configure-console")
        });
        let mut texts = consoles.filter_map(|file| std::fs::read(file.path()).ok());
        texts.any(|text| memchr::memmem::find(&text, b"small: started").is_some())
    });
    let events = world.showing("json", &build).said().ok().events();
    let stages = |wanted: &str| -> Vec<&str> {
        let events = events.iter().filter(|event| event["event"] == wanted);
        events.filter_map(|event| event["stage"].as_str()).collect()
    };
    assert_eq!(stages("cached"), ["install"]);
    assert_eq!(stages("finished"), ["configure"]);
    assert_eq!(world.left_over(), [""; 0]);
    assert!(!world.stored().iter().any(|name| name.starts_with('.')));
}

/// The disk is one for x86-64: what is said of the other architecture keeps that one out, too, until the
/// recipe lists it alone.
#[test]
#[ignore = "vm: src/pipeline src/recipe/variants.rs src/hypervisor/machine.rs"]
fn a_name_is_published_when_all_its_architectures_have_passed() {
    slots::take(2);
    let world = world("bios");
    disk(&world, "unit", &guest());
    let import = import(&world, "unit");
    let recipe = |archs: &str| {
        let machine = format!("{{disk: 2GiB, memory: 1GiB, arch: [{archs}]}}");
        let text = format!("name: unit\nmachine: {machine}\n{import}pack: {{profile: fast}}\n");
        world.write("recipes/unit.yaml", text);
    };
    recipe("x86_64, aarch64");
    let publish = ["build", "unit", "--publish"];
    let said = world.run(&publish).exits(1);
    said.says(&[
        "the disk has a system of x86_64, and the recipe's machine is aarch64",
        "`unit` was not handed over",
        "1 of 2 images failed",
        "unit:aarch64",
    ]);
    assert!(!world.path("repo/index.asc").exists());
    let plan = world.ok(&["plan", "unit:x86_64", "--json"]).json();
    let stages = plan[0]["stages"].as_array().unwrap();
    assert!(stages.iter().all(|stage| stage["cached"] == true), "{plan}");

    recipe("x86_64");
    world.ok(&publish).prints(&["revision 1"]);
    world.ok(&["logs", "unit"]).prints(&["/unit:x86_64/check"]);
    assert_eq!(world.left_over(), [""; 0]);
}
