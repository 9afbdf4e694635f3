//! Root's QEMU where no daemon starts it.

use std::path::{Path, PathBuf};

use imgforge::guest::{Drive, Launch};
use imgforge::host::accel::Accel;
use imgforge::host::exec::Program;

/// Of a QEMU of root, or of one in a network of its own.
pub(crate) fn is_nobody(pid: i32) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            status.contains(&format!("{name}:\t0000000000000000\n")),
            "{status}"
        );
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(!status.contains("\t0\t"), "it has an id of root: {status}");
    let net = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_ne!(net(&pid.to_string()), net("self"));
}

/// Process ids of the QEMUs that this process has started, whose command lines have this word.
pub(crate) fn emulators(word: &str) -> Vec<i32> {
    let ours = |pid: &i32| -> Option<bool> {
        let file = |name: &str| format!("/proc/{pid}/{name}");
        let is_qemu = std::fs::read_link(file("exe")).ok()?;
        let parent = format!("PPid:\t{}\n", std::process::id());
        let of_us = std::fs::read_to_string(file("status")).ok()?;
        let line = std::fs::read(file("cmdline")).ok()?;
        Some(
            is_qemu.ends_with("qemu-system-x86_64")
                && of_us.contains(&parent)
                && String::from_utf8_lossy(&line).contains(word),
        )
    };
    let names = std::fs::read_dir("/proc").unwrap().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| ours(pid) == Some(true))
        .collect()
}

/// Below `dir`: a disk of root's alone with these first bytes, and overlays of it on one another.
fn layers(dir: &Path, name: &str, overlays: u8) -> PathBuf {
    let mut top = dir.join(format!("{name}.raw"));
    std::fs::write(&top, [name.as_bytes(), &[0; 1 << 20]].concat()).unwrap();
    let mut format = "raw";
    for number in 0..overlays {
        let below = std::mem::replace(&mut top, dir.join(format!("{name}, {number}.qcow2")));
        let create = ["create", "-q", "-f", "qcow2", "-F", format, "-b"];
        let create = Program::new("qemu-img").args(create);
        let below = below.file_name().unwrap().to_owned();
        create.arg(below).arg(&top).run().unwrap();
        format = "qcow2";
    }
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(entry.path(), private).unwrap();
    }
    top
}

/// Also root's QEMU is nobody to the host: it works on what was opened for it.
#[test]
#[ignore = "vm: src/host/confine.rs src/host/confine.sh src/guest"]
fn an_appliance_may_do_nothing_but_work_on_its_disks() {
    let dir = tempfile::tempdir().unwrap();
    let disks = [
        ("alone", 0, false),
        ("deep", 2, false),
        ("kept", 0, true),
        ("layer", 2, true),
    ];
    let disks = disks
        .map(|(name, overlays, readonly)| (name, layers(dir.path(), name, overlays), readonly));
    let drives = disks.each_ref().map(|(_, path, readonly)| Drive {
        path,
        format: path.extension().unwrap().to_str().unwrap(),
        readonly: *readonly,
    });
    // What it says of itself, too, and tools print that as it is.
    let secret = dir.path().join("secret.raw");
    std::fs::write(&secret, [0; 1 << 20]).unwrap();
    for (_, path, _) in &disks {
        if path.extension().unwrap() == "qcow2" {
            let name = format!("before\nimage: {}\nafter", secret.display());
            let snapshot = Program::new("qemu-img").args(["snapshot", "-c"]);
            snapshot.arg(name).arg(path).run().unwrap();
        }
    }
    // A guest chooses what its disk looks like.
    let posing = dir.path().join("posing.raw");
    let create = Program::new("qemu-img").args(["create", "-q", "-f", "qcow2"]);
    create.arg(&posing).arg("1M").run().unwrap();
    let posing = Drive {
        path: &posing,
        format: "raw",
        readonly: true,
    };
    let drives = [&drives[..], &[posing]].concat();
    let guest = crate::slots::launch(&Launch {
        drives: &drives,
        accel: Accel::Tcg,
        ui: None,
    })
    .unwrap();
    let open = |pid: &i32| -> Vec<PathBuf> {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter();
        let files = open.flatten().flatten().map(|file| file.path());
        let files = files.filter_map(|file| std::fs::read_link(file).ok());
        files.filter(|file| file.starts_with(dir.path())).collect()
    };
    let mut appliances = emulators("guestfsd.sock");
    appliances.retain(|pid| !open(pid).is_empty());
    assert_eq!(appliances.len(), 1);
    for pid in appliances {
        assert!(!open(&pid).contains(&secret));
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("Seccomp:\t2"), "{status}");
        if rustix::process::geteuid().is_root() {
            is_nobody(pid);
            let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
            let words = mounts.lines().map(|line| line.split(' ').skip(4));
            let mut root =
                words.filter_map(|mut words| (words.next()? == "/").then(|| words.next())?);
            assert!(root.next_back().unwrap().starts_with("ro"), "{mounts}");
        }
    }
    for ((name, ..), device) in disks
        .iter()
        .zip(["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"])
    {
        let first = guest.read_device(device, name.len() as i32, 0).unwrap();
        assert_eq!(first, name.as_bytes());
        guest.write_device(device, b"written", 4096).unwrap();
        assert_eq!(guest.read_device(device, 7, 4096).unwrap(), b"written");
    }
    assert_eq!(guest.read_device("/dev/sde", 4, 0).unwrap(), b"QFI\xfb");
    guest.close().unwrap();
    for (name, path, readonly) in &disks {
        let flat = dir.path().join("flat");
        let format = path.extension().unwrap().to_str().unwrap();
        let convert = Program::new("qemu-img").args(["convert", "-O", "raw", "-f", format]);
        convert.arg(path).arg(&flat).run().unwrap();
        let written = &std::fs::read(flat).unwrap()[4096..4103] == b"written";
        assert_eq!(written, !readonly, "{name}");
        let lowest = std::fs::read(dir.path().join(format!("{name}.raw"))).unwrap();
        assert_eq!(
            &lowest[4096..4103] == b"written",
            *name == "alone",
            "{name}"
        );
    }
}

/// Says whether it could do what a program on a foreign disk may not, and what it may.
const TRIES: &str = r#"
cat "$1" "$5"
for other in "$2" /etc/passwd /root/. /proc/self/status /sys/. /run/.; do
  ! cat "$other" >/dev/null 2>&1 && ! ls "$other" >/dev/null 2>&1 || echo "it sees $other"
done
echo changed 2>/dev/null >"$1" && echo "it wrote what it reads"
echo changed >"$3"; echo made >"$4"
touch "${3%/*}/more" 2>/dev/null && echo "it made another file"
mount -t tmpfs none /dev 2>/dev/null && echo "it mounts"
chown 7 "$3" 2>/dev/null && echo "it gives files away"
ls /usr/bin/env >/dev/null
"#;

#[test]
#[ignore = "root: src/host/exec src/host/qemu_img.rs"]
fn a_program_on_foreign_files_sees_those_and_nothing_else_of_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["read", "hidden", "changed", "made", "anns"].map(|name| dir.path().join(name));
    for file in names.iter().filter(|file| !file.ends_with("made")) {
        std::fs::write(file, format!("{}\n", file.file_name().unwrap().display())).unwrap();
    }
    let [read, hidden, changed, made, anns] = &names;
    std::os::unix::fs::chown(anns, Some(1000), Some(1000)).unwrap();
    let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(anns, own).unwrap();
    let tries = Program::new("bash")
        .args(["-c", TRIES, "tries"])
        .args(&names);
    let tries = tries
        .seeing(read)
        .seeing(anns)
        .changing(changed)
        .making(made);
    assert_eq!(tries.text().unwrap(), "read\nanns");
    let content = |file: &Path| std::fs::read_to_string(file).unwrap();
    let all = [read, hidden, changed, made].map(|file| content(file));
    assert_eq!(all, ["read\n", "hidden\n", "changed\n", "made\n"]);
}
