//! The site that `pull` fetches from, and the disk that is published there.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use imgforge::gpg::Signer;
use imgforge::pack::Profile;
use imgforge::pack::{Options, compress};
use imgforge::pull::blocks;
use imgforge::repository::gate::GateReport;
use imgforge::repository::manifest::Origin;
use imgforge::repository::{Companion, GateProof, Publication, Repository, Settings, Stamp};
use imgforge::ui::Ui;

use crate::{serve, sh};

/// A disk that virt-builder takes for an installed Debian, with files of this host up to `used`.
pub(crate) fn made_up_disk(dir: &Path, name: &str, size: u64, used: u64) -> PathBuf {
    let (disk, tree) = (dir.join(name), dir.join("tree"));
    for folder in [
        "etc",
        "bin",
        "root",
        "boot",
        "usr/share",
        "var/lib",
        "tmp",
        "dev",
        "proc",
        "sys",
    ] {
        std::fs::create_dir_all(tree.join(folder)).unwrap();
    }
    for (file, text) in [
        ("etc/debian_version", "12.0\n"),
        (
            "etc/os-release",
            "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian 12\"\n",
        ),
        ("etc/fstab", "/dev/sda1 / ext4 defaults 0 1\n"),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/shadow", "root:*:19000:0:99999:7:::\n"),
        ("etc/hostname", "bench\n"),
    ] {
        std::fs::write(tree.join(file), text).unwrap();
    }
    let mut taken = 0;
    let mut copy = |path: &Path| {
        let size = path
            .symlink_metadata()
            .map_or(0, |m| if m.is_file() { m.len() } else { 0 });
        if size > 0 && taken < used {
            let to = tree.join("usr/share").join(format!("{taken}"));
            if std::fs::copy(path, to).is_ok() {
                taken += size;
            }
        }
    };
    for folder in [
        "/usr/bin",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/sbin",
        "/usr/libexec",
    ] {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.for_each(|file| copy(&file.path()));
    }
    if taken < used {
        // Not enough here: the rest does not compress.
        let mut random = File::open("/dev/urandom").unwrap().take(used - taken);
        let mut rest = File::create(tree.join("usr/share/rest")).unwrap();
        std::io::copy(&mut random, &mut rest).unwrap();
    }
    File::create(&disk).unwrap().set_len(size).unwrap();
    let (path, kib) = (disk.display(), (size >> 10) - 2048);
    sh(&format!(
        "echo 'start=2048, type=83, bootable' | sfdisk -q '{path}'"
    ));
    sh(&format!(
        "mke2fs -q -t ext4 -F -E offset=1048576,root_owner=0:0 -d '{}' '{path}' {kib}",
        tree.display()
    ));
    std::fs::remove_dir_all(tree).unwrap();
    disk
}

/// A repository with its server, and what it is read with.
pub(crate) struct Site {
    pub(crate) root: PathBuf,
    pub(crate) signer: Signer,
    pub(crate) url: String,
}

impl Site {
    pub(crate) fn new(dir: &Path) -> Site {
        let root = dir.join("repository");
        let signer = Signer::own(&dir.join("signer"), &Ui::silent()).unwrap();
        std::fs::create_dir_all(&root).unwrap();
        let url = serve::serve(&root);
        Site { root, signer, url }
    }

    pub(crate) fn publish(&self, disk: &Path, profile: Profile) -> u64 {
        let xz = disk.with_extension("xz");
        let options = Options {
            profile,
            ..Options::default()
        };
        let ui = Ui::silent();
        let packed = compress(disk, &xz, &options, &ui.stage("bench", "pack")).unwrap();
        let map = blocks::of_file(&xz).unwrap();
        let passed = GateReport {
            passed: true,
            ..GateReport::default()
        };
        let gate = GateProof::new("sealed", passed).unwrap();
        let publication = Publication {
            name: "bench",
            channel: "stable",
            arch: "x86_64",
            version: "0123456789ab",
            xz,
            size: packed.size,
            sha512: &packed.sha512,
            virtual_size: packed.virtual_size,
            sealed: "sealed",
            gate: &gate,
            title: "bench",
            osinfo: None,
            expand: None,
            notes: None,
            origin: Origin::default(),
            companions: vec![Companion::bytes("bench-0123456789ab.xz.blocks", map)],
            built_on: vec![],
            keep: None,
            stamp: Stamp::now(),
        };
        let settings = Settings::new(&self.root, self.signer.clone());
        Repository::open(settings)
            .unwrap()
            .publish(&[publication], &ui)
            .unwrap();
        packed.size.as_bytes()
    }

    /// Runs the program; returns how long it took, its peak memory in KiB, and what it printed.
    pub(crate) fn pull(&self, state: &Path, out: &Path) -> (Duration, u64, serde_json::Value) {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_imgforge"))
            .args(["pull", &format!("{}#bench", self.url), "-q", "--json", "-o"])
            .arg(out)
            .arg("--key")
            .arg(self.root.join("imgforge.gpg"))
            .arg("--state")
            .arg(state)
            .current_dir(state.parent().unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut peak, status) = (0, PathBuf::from(format!("/proc/{}/status", child.id())));
        let ended = loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            peak = peak.max(kib.unwrap_or(0));
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let took = began.elapsed();
        assert!(ended.success());
        let mut printed = String::new();
        child.stdout.unwrap().read_to_string(&mut printed).unwrap();
        (took, peak, serde_json::from_str(&printed).unwrap())
    }
}
