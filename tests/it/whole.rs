//! A whole build of `debian-mini`: from the recipe to the published image, pulled by the stock
//! client and booted; then what a change, a kill and a second build cost.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::patience::wait_for;
use crate::slots;

/// A copy of the shipped recipes with a state directory and a repository of its own.
struct World {
    dir: tempfile::TempDir,
    held: slots::Held,
}

impl World {
    fn new() -> Self {
        // libguestfs, libvirt and gpg dislike long paths; /var/tmp survives large files.
        let dir = tempfile::Builder::new()
            .prefix("imgforge-whole-")
            .tempdir_in("/var/tmp")
            .unwrap();
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
                tool("cp", &["-a", path(&source.join(folder)), path(dir.path())]);
            }
        }
        // A whole build by the recipe's own profile is another test's.
        let recipe = dir.path().join("recipes/debian-mini.yaml");
        let text = std::fs::read_to_string(&recipe).unwrap();
        let fast = text.replace("profile: publish", "profile: fast");
        assert_ne!(text, fast);
        std::fs::write(&recipe, fast).unwrap();
        let config = "state: state\nrepositories: {main: {path: repo}}\n";
        std::fs::write(dir.path().join("imgforge.yaml"), config).unwrap();
        let held = slots::take(1);
        World { dir, held }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[allow(clippy::disallowed_methods, reason = "tests run the program itself")]
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(slots::imgforge());
        command
            .arg("-C")
            .arg(self.dir.path())
            .args(args)
            .args(["--progress", "json"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn events(&self, args: &[&str]) -> Vec<Value> {
        events(self.command(args).output().unwrap())
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn events(output: Output) -> Vec<Value> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", tail(&stderr));
    stderr
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().rev().take(60).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn stages<'a>(events: &'a [Value], event: &str) -> Vec<&'a str> {
    let wanted = events.iter().filter(|value| value["event"] == event);
    wanted.filter_map(|value| value["stage"].as_str()).collect()
}

#[track_caller]
#[allow(clippy::disallowed_methods, reason = "tests run the real clients")]
fn tool(name: &str, args: &[&str]) -> String {
    let output = Command::new(name)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the stock client lists and downloads from the repository, signature checked.
#[allow(clippy::disallowed_methods, reason = "tests run the real clients")]
fn virt_builder(world: &World, args: &[&str]) -> Output {
    let repos = world.path("xdg/virt-builder/repos.d");
    std::fs::create_dir_all(&repos).unwrap();
    let conf = format!(
        "[imgforge]\nuri=file://{0}/index.asc\ngpgkey=file://{0}/imgforge.gpg\n",
        path(&world.path("repo"))
    );
    std::fs::write(repos.join("imgforge.conf"), conf).unwrap();
    Command::new("virt-builder")
        .args(args)
        .env("XDG_CONFIG_HOME", world.path("xdg"))
        .env("XDG_CACHE_HOME", world.path("cache"))
        .env("VIRT_BUILDER_DIRS", "/nonexistent")
        .env("LIBGUESTFS_BACKEND", "direct")
        // The client downloads, verifies and unpacks before it wants an appliance, which this is not.
        .env("LIBGUESTFS_HV", "/bin/false")
        .output()
        .unwrap()
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
fn boots_to(world: &World, disk: &Path, marker: &str) {
    // A busy host is late with timer interrupts, and Linux gives up before it begins.
    let starved = |seen: &String| !seen.contains("IO-APIC + timer doesn't work");
    let mut attempts = (0..3).map(|_| boot(world, disk, marker));
    let seen = attempts.find(starved).unwrap_or_default();
    assert!(
        seen.contains(marker),
        "no `{marker}` on the console:\n{}",
        tail(&seen)
    );
}

/// What a throw-away overlay of `disk` says on its serial console, up to `marker`.
#[allow(clippy::disallowed_methods, reason = "tests boot what was published")]
fn boot(world: &World, disk: &Path, marker: &str) -> String {
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
    let mut qemu = Command::new(slots::qemu(world.held));
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
    let mut guest = Guest(qemu.stdin(Stdio::null()).spawn().unwrap());
    let mut seen = String::new();
    wait_for("an end of the boot", || {
        let ended = guest.0.try_wait().unwrap().is_some();
        seen = String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default()).into_owned();
        ended || seen.contains(marker) || seen.contains("Kernel panic")
    });
    drop(guest);
    seen
}

/// Processes whose command line names something below the world, or a libvirt daemon of ours.
fn left_over(world: &World) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let texts = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    texts
        .filter(|line| line.contains(path(world.dir.path())))
        .collect()
}

#[test]
#[ignore = "vm: src firstboot recipes/debian-mini.yaml"]
fn debian_mini_is_built_published_pulled_booted_resumed() {
    let mut world = World::new();
    let built = world.events(&["build", "debian-mini", "--until", "seal"]);
    assert_eq!(stages(&built, "finished"), ["install", "configure", "seal"]);
    // Two clones at once.
    world.held = slots::instead(2);
    let built = world.events(&["build", "debian-mini", "--publish"]);
    assert_eq!(stages(&built, "cached"), ["install", "configure", "seal"]);
    assert_eq!(stages(&built, "finished"), ["check", "pack"]);
    assert!(left_over(&world).is_empty(), "{:?}", left_over(&world));
    let published = built
        .iter()
        .find(|event| event["event"] == "published")
        .unwrap();
    assert_eq!(published["revision"], 1);

    the_stock_client_lists_and_unpacks_it(&world);
    its_clones_are_two_machines(&world);
    world.held = slots::instead(1);
    let disk = world.path("pulled.raw");
    boots_to(&world, &disk, "debian-mini login:");

    nothing_is_done(world.command(&["build", "debian-mini"]));
    let again = world.events(&["build", "debian-mini", "--publish"]);
    assert!(stages(&again, "started").is_empty(), "{again:?}");
    let again = again.iter().find(|event| event["event"] == "published");
    assert_eq!(again.map(|event| &event["revision"]), Some(&1.into()));
    a_changed_step_does_not_repeat_the_installation(&world);
}

fn the_stock_client_lists_and_unpacks_it(world: &World) {
    let list = virt_builder(world, &["--list"]);
    let text = String::from_utf8_lossy(&list.stdout);
    assert!(
        list.status.success() && text.contains("debian-mini"),
        "{text}"
    );
    let out = world.path("pulled.raw");
    let args = [
        "debian-mini",
        "-o",
        path(&out),
        "--no-delete-on-failure",
        "--no-sync",
    ];
    // It fails when it wants its appliance, after everything that this test is about.
    drop(virt_builder(world, &args));
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
    let events = events(build.env("PATH", "/nonexistent").output().unwrap());
    assert!(stages(&events, "started").is_empty(), "{events:?}");
    assert_eq!(
        stages(&events, "cached"),
        ["install", "configure", "seal", "check", "pack"]
    );
}

/// The build is killed while the guest runs; the next one clears up and finishes.
fn a_changed_step_does_not_repeat_the_installation(world: &World) {
    let recipe = world.path("recipes/debian-mini.yaml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    let changed = text.replace(
        "\nconfigure:\n",
        "\nconfigure:\n  - shell: {run: \"echo changed\"}\n",
    );
    assert_ne!(text, changed);
    std::fs::write(&recipe, changed).unwrap();
    let console = world.path("state/logs/debian-mini/configure-console.log");
    let modified = || std::fs::metadata(&console).and_then(|meta| meta.modified());
    let before = modified().unwrap();
    let mut killed = world.command(&["build", "debian-mini", "--until", "configure"]);
    let mut killed = killed
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the guest's start", || {
        assert!(killed.try_wait().unwrap().is_none(), "no guest started");
        modified().is_ok_and(|now| now != before)
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    let resumed = world.events(&["build", "debian-mini", "--until", "configure"]);
    assert_eq!(stages(&resumed, "cached"), ["install"]);
    assert_eq!(stages(&resumed, "finished"), ["configure"]);
    assert!(left_over(world).is_empty(), "{:?}", left_over(world));
    let store = std::fs::read_dir(world.path("state/store"))
        .unwrap()
        .flatten();
    let drafts = store.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(drafts.count(), 0);
}
