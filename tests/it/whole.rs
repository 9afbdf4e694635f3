//! A whole build of `debian-mini`: from the recipe to the published image, pulled by the stock
//! client and booted; then what a change, a kill and a second build cost.

use std::path::Path;
use std::process::Command;

use imgforge::host::exec::Program;
use serde_json::Value;

use crate::patience::wait_for;
use crate::support::{Run as _, World, external, tool};
use crate::{repository, slots};

/// A copy of the shipped recipes with a state directory and a repository of its own.
fn shipped() -> World {
    let world = World::with_guests("whole");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in [
        "recipes",
        "firstboot",
        "preseed",
        "kickstart",
        "autoinstall",
        "files",
    ] {
        if source.join(folder).exists() {
            tool(
                "cp",
                &["-a", path(&source.join(folder)), path(world.dir.path())],
            );
        }
    }
    // A whole build by the recipe's own profile is another test's.
    let recipe = "recipes/debian-mini.yaml";
    world.replace(recipe, "profile: publish", "profile: fast");
    world.configure("repositories: {main: {path: repo}}\n");
    world
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn events(world: &World, args: &[&str]) -> Vec<Value> {
    world.showing("json", args).said().ok().events()
}

fn stages<'a>(events: &'a [Value], event: &str) -> Vec<&'a str> {
    let wanted = events.iter().filter(|value| value["event"] == event);
    wanted.filter_map(|value| value["stage"].as_str()).collect()
}

/// What the stock client lists and downloads from the repository, signature checked.
fn virt_builder(world: &World) -> Program {
    let repository = repository::world::address(&world.path("repo"));
    let source = format!("uri={repository}/index.asc\ngpgkey={repository}/imgforge.gpg");
    world.sources(&format!("[imgforge]\n{source}\n"));
    world.client("virt-builder")
}

/// A guest that ends with the test, however that ends.
struct Guest(std::process::Child);

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Boots the disk, under UEFI, until `marker` appears on the serial console. Its clones in the gate
/// booted under UEFI and BIOS.
fn boots_to(world: &World, held: slots::Held, disk: &Path, marker: &str) {
    // A busy host is late with timer interrupts, and Linux gives up before it begins.
    let starved = |seen: &String| !seen.contains("IO-APIC + timer doesn't work");
    let mut attempts = (0..3).map(|_| boot(world, held, disk, marker));
    let seen = attempts.find(starved).unwrap_or_default();
    assert!(
        seen.contains(marker),
        "no `{marker}` on the console:\n{seen}"
    );
}

/// What a throw-away overlay of `disk` says on its serial console, up to `marker`.
fn boot(world: &World, held: slots::Held, disk: &Path, marker: &str) -> String {
    let overlay = world.path("uefi.qcow2");
    let (format, backing) = ("raw", path(disk));
    tool(
        "qemu-img",
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            format,
            "-b",
            backing,
            path(&overlay),
        ],
    );
    let console = world.path("uefi.log");
    let mut qemu = external(slots::qemu(held));
    qemu.args(["-accel", "tcg,thread=multi", "-machine", "q35,hpet=off"]);
    qemu.args([
        "-cpu",
        "max",
        "-m",
        "1024",
        "-smp",
        "2",
        "-display",
        "none",
        "-no-reboot",
    ]);
    qemu.args(["-serial", &format!("file:{}", path(&console))]);
    qemu.args([
        "-drive",
        &format!(
            "file={},format=qcow2,if=virtio,cache=unsafe",
            path(&overlay)
        ),
    ]);
    let code = [
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_CODE.fd",
    ];
    let code = code
        .into_iter()
        .find(|file| Path::new(file).exists())
        .unwrap();
    let vars = world.path("vars.fd");
    std::fs::copy(code.replace("CODE", "VARS"), &vars).unwrap();
    qemu.args([
        "-drive",
        &format!("if=pflash,format=raw,readonly=on,file={code}"),
    ]);
    qemu.args([
        "-drive",
        &format!("if=pflash,format=raw,file={}", path(&vars)),
    ]);
    let mut guest = Guest(qemu.spawn().unwrap());
    let mut seen = String::new();
    wait_for("an end of the boot", || {
        let ended = guest.0.try_wait().unwrap().is_some();
        seen = String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default()).into_owned();
        ended || seen.contains(marker) || seen.contains("Kernel panic")
    });
    drop(guest);
    seen
}

#[test]
#[ignore = "vm: src firstboot recipes/debian-mini.yaml"]
fn debian_mini_is_built_published_pulled_booted() {
    slots::take(1);
    let world = shipped();
    let built = events(&world, &["build", "debian-mini", "--until", "seal"]);
    assert_eq!(stages(&built, "finished"), ["install", "configure", "seal"]);
    // Two clones at once.
    slots::instead(2);
    let built = events(&world, &["build", "debian-mini", "--publish"]);
    assert_eq!(stages(&built, "cached"), ["install", "configure", "seal"]);
    assert_eq!(stages(&built, "finished"), ["check", "pack"]);
    assert_eq!(world.left_over(), [""; 0]);
    let published = built
        .iter()
        .find(|event| event["event"] == "published")
        .unwrap();
    assert_eq!(published["revision"], 1);

    the_stock_client_lists_and_unpacks_it(&world);
    its_clones_are_two_machines(&world);
    let held = slots::instead(1);
    let disk = world.path("pulled.raw");
    boots_to(&world, held, &disk, "debian-mini login:");

    nothing_is_done(world.showing("json", &["build", "debian-mini"]));
    let again = events(&world, &["build", "debian-mini", "--publish"]);
    assert!(stages(&again, "started").is_empty(), "{again:?}");
    let again = again.iter().find(|event| event["event"] == "published");
    assert_eq!(again.map(|event| &event["revision"]), Some(&1.into()));
}

fn the_stock_client_lists_and_unpacks_it(world: &World) {
    let list = virt_builder(world).arg("--list").text().unwrap();
    assert!(list.contains("debian-mini"), "{list}");
    let out = world.path("pulled.raw");
    let args = [
        "debian-mini",
        "-o",
        path(&out),
        "--no-delete-on-failure",
        "--no-sync",
    ];
    // It fails when it wants its appliance, after everything that this test is about.
    drop(virt_builder(world).args(args).run());
    let blobs = tool("find", &[path(&world.path("repo/images")), "-name", "*.xz"]);
    let direct = world.path("direct.raw");
    tool(
        "sh",
        &[
            "-c",
            &format!("xz -dc {} > {}", blobs.trim(), path(&direct)),
        ],
    );
    tool("cmp", &[path(&out), path(&direct)]);
    std::fs::remove_file(direct).unwrap();
    tool("xz", &["-t", blobs.trim()]);
}

/// The published manifest holds what the gate saw of two clones.
fn its_clones_are_two_machines(world: &World) {
    let manifest = world.path("repo/images/debian-mini/1/manifest.json");
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    let clones = manifest["gate"]["clones"].as_array().unwrap();
    let of = |name: &str| -> Vec<&str> { clones.iter().flat_map(|c| c[name].as_str()).collect() };
    assert_eq!(of("firmware"), ["bios", "uefi"]);
    assert_eq!(of("state"), ["running", "running"]);
    let ids = of("machine-id");
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
    let healthy = clones.iter().filter_map(|c| c["healthy-after"].as_u64());
    assert_eq!(healthy.filter(|seconds| *seconds > 0).count(), 2);
    let scan = &manifest["gate"]["scan"];
    assert!(scan["files"].as_u64().unwrap() > 1000, "{scan}");
}

/// A build without work needs no program, not even one that could be found.
fn nothing_is_done(mut build: Command) {
    let events = build.env("PATH", "/nonexistent").said().ok().events();
    assert!(stages(&events, "started").is_empty(), "{events:?}");
    assert_eq!(
        stages(&events, "cached"),
        ["install", "configure", "seal", "check", "pack"]
    );
}

/// The build is killed while the guest runs; the next one clears up and finishes.
#[test]
#[ignore = "e2e: src/stage/configure src/runner src/pipeline firstboot recipes/debian-mini.yaml"]
fn a_changed_step_of_debian_mini_does_not_repeat_the_installation() {
    slots::take(1);
    let world = shipped();
    let build = ["build", "debian-mini", "--until", "configure"];
    world.ok(&build);
    let changed = "\nconfigure:\n  - shell: {run: \"echo changed\"}\n";
    world.replace("recipes/debian-mini.yaml", "\nconfigure:\n", changed);
    let console = world.path("state/logs/debian-mini/configure-console.log");
    let modified = || std::fs::metadata(&console).and_then(|meta| meta.modified());
    let before = modified().unwrap();
    world.kill_when(&build, || modified().is_ok_and(|now| now != before));
    let resumed = events(&world, &build);
    assert_eq!(stages(&resumed, "cached"), ["install"]);
    assert_eq!(stages(&resumed, "finished"), ["configure"]);
    assert_eq!(world.left_over(), [""; 0]);
    assert!(!world.stored().iter().any(|name| name.starts_with('.')));
}
