//! A repository, a client with a state directory of its own, and disks.

pub(crate) use std::fs::File;
pub(crate) use std::os::unix::fs::{FileExt as _, MetadataExt as _};
pub(crate) use std::path::{Path, PathBuf};
pub(crate) use std::sync::{Arc, Mutex};
pub(crate) use std::time::Duration;

pub(crate) use imgforge::error::{Kind, Result};
pub(crate) use imgforge::host::exec::Program;
pub(crate) use imgforge::host::qemu_img::DiskFormat;
pub(crate) use imgforge::http::Client;
pub(crate) use imgforge::pull::{self, Image, Options, Output, Pulled, Session, blocks};
use imgforge::recipe::Config;
pub(crate) use imgforge::repository::Companion;
use imgforge::repository::Publication;
use imgforge::repository::manifest::Origin;
pub(crate) use imgforge::repository::{Repository, Stamp};
use imgforge::store::Store;
use imgforge::store::ledger::Ledger;
pub(crate) use imgforge::ui::Ui;
pub(crate) use imgforge::units::Size;

use crate::patience::HANG;
pub(crate) use crate::repository::world::{Disk, Home, World, canary, proof};
use crate::server::client;
pub(crate) use crate::server::{Answer, Request, Server, Then};

/// A disk of 1 MiB blocks: each has 120 kB made of its seed, or is empty when that is 0.
pub(crate) fn disk(world: &World, name: &str, seeds: &[u64]) -> Disk {
    let raw = world.path(&format!("{name}.raw"));
    let file = File::create(&raw).unwrap();
    file.set_len((seeds.len() as u64) << 20).unwrap();
    for (block, seed) in seeds.iter().enumerate().filter(|(_, seed)| **seed != 0) {
        file.write_all_at(&noise(*seed), (block as u64) << 20)
            .unwrap();
    }
    packed(raw)
}

pub(crate) fn packed(raw: PathBuf) -> Disk {
    let xz = raw.with_extension("xz");
    // Small blocks, whatever the profiles have.
    let line = "xz -T2 -1 --block-size=1MiB -c \"$1\" > \"$2\"";
    let pack = Program::new("sh").args(["-c", line, "sh"]);
    pack.args([&raw, &xz]).run().unwrap();
    let size = |path: &Path| Size::bytes(path.metadata().unwrap().len());
    Disk {
        size: size(&xz),
        virtual_size: size(&raw),
        sha512: imgforge::digest::file_sha512(&xz).unwrap(),
        raw,
        xz,
    }
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..15_000).flat_map(|_| next().to_le_bytes()).collect()
}

/// Publishes as the publish stage does: with the block map.
pub(crate) fn publish(world: &World, disk: &Disk, name: &str, channel: &str) -> u64 {
    publish_to(&world.repository(), disk, name, channel)
}

pub(crate) fn publish_to(repository: &Repository, disk: &Disk, name: &str, channel: &str) -> u64 {
    publish_with(repository, disk, (name, channel), vec![])
}

/// Publishes with further files beside the disk.
pub(crate) fn publish_with(
    repository: &Repository,
    disk: &Disk,
    (name, channel): (&str, &str),
    more: Vec<Companion>,
) -> u64 {
    let map = blocks::of_file(&disk.xz).unwrap();
    let map = Companion::bytes(format!("{name}-0123456789ab.xz.blocks"), map);
    let gate = proof("sealed");
    let publication = Publication {
        name,
        channel,
        arch: "x86_64",
        version: "0123456789ab",
        xz: disk.xz.clone(),
        size: disk.size,
        sha512: &disk.sha512,
        virtual_size: disk.virtual_size,
        sealed: "sealed",
        gate: &gate,
        title: "Web",
        osinfo: None,
        expand: None,
        notes: None,
        origin: Origin::default(),
        companions: [vec![map], more].concat(),
        built_on: vec![],
        keep: None,
        stamp: Stamp::now(),
    };
    let published = repository.publish(&[publication], &Ui::silent());
    published.unwrap()[0].revision
}

/// A repository with one image, `web`, of one disk.
pub(crate) fn one_image() -> (World, Disk) {
    let world = World::new();
    let disk = disk(&world, "one", &[1, 2, 0, 3, 4, 0, 0, 5]);
    publish(&world, &disk, "web", "stable");
    (world, disk)
}

/// A machine that pulls.
pub(crate) struct Machine {
    dir: tempfile::TempDir,
    pub(crate) config: Config,
    store: Store,
    ledger: Ledger,
    client: Client,
    pub(crate) notices: Arc<Mutex<Vec<String>>>,
    ui: Ui,
    key: PathBuf,
}

struct Notices(Arc<Mutex<Vec<String>>>);

impl imgforge::ui::Reporter for Notices {
    fn event(&self, event: &imgforge::ui::Event) {
        use imgforge::ui::Event;
        if let Event::Notice { text } | Event::Warning { text } = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

impl Machine {
    /// It trusts the key of the world's repository.
    pub(crate) fn new(world: &World) -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("state"));
        store.prepare().unwrap();
        let ledger = Ledger::open(store.state()).unwrap();
        let notices = Arc::default();
        Machine {
            config: Config::default(),
            store,
            ledger,
            client: client(HANG),
            ui: Ui::new(Notices(Arc::clone(&notices))),
            notices,
            key: world.path("repo/imgforge.gpg"),
            dir,
        }
    }

    /// The key that it trusts.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// It soon gives up a server that sends nothing.
    #[must_use]
    pub(crate) fn impatient(mut self) -> Machine {
        self.client = client(Duration::from_secs(2));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn session(&self) -> Session<'_> {
        Session {
            config: &self.config,
            root: None,
            store: &self.store,
            ledger: &self.ledger,
            client: &self.client,
            registries: pull::Registries::default(),
            ui: &self.ui,
        }
    }

    pub(crate) fn trusting(&self) -> Options<'_> {
        Options {
            key: Some(&self.key),
            arch: Some("x86_64"),
            ..Options::default()
        }
    }

    pub(crate) fn find(&self, reference: &str, options: &Options<'_>) -> Result<Image> {
        pull::find(&self.session(), &reference.parse().unwrap(), options)
    }

    /// Pulls to `disk.raw`, as most tests do.
    pub(crate) fn pull(&self, reference: &str) -> Result<Pulled> {
        self.pull_to(reference, &self.trusting())
    }

    pub(crate) fn pull_to(&self, reference: &str, options: &Options<'_>) -> Result<Pulled> {
        self.pull_as(reference, options, "disk.raw", DiskFormat::Raw, None)
    }

    pub(crate) fn pull_as(
        &self,
        reference: &str,
        options: &Options<'_>,
        file: &str,
        format: DiskFormat,
        size: Option<Size>,
    ) -> Result<Pulled> {
        let output = Output {
            path: &self.path(file),
            format,
            size,
            keep: true,
            threads: None,
        };
        let image = self.find(reference, options)?;
        pull::fetch(&self.session(), &image, &output)
    }

    /// Whether `disk.raw` is this disk, and as sparse.
    pub(crate) fn has(&self, disk: &Disk) {
        let path = self.path("disk.raw");
        Program::new("cmp").args([&path, &disk.raw]).run().unwrap();
        let blocks = |path: &Path| std::fs::metadata(path).unwrap().blocks();
        assert!(blocks(&path) <= blocks(&disk.raw) + 64);
    }

    /// Nothing is there that was not there before.
    pub(crate) fn has_nothing(&self) {
        let names = std::fs::read_dir(self.dir.path()).unwrap();
        let names: Vec<_> = names.map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, ["state"]);
    }

    /// Unfinished downloads in the store.
    pub(crate) fn parts(&self) -> Vec<PathBuf> {
        let names = std::fs::read_dir(self.path("state/store")).unwrap();
        let paths = names.map(|file| file.unwrap().path());
        let part = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(".part-") && !name.ends_with(".from")
        };
        paths.filter(part).collect()
    }

    /// The program itself, as this machine.
    pub(crate) fn program(&self) -> Program {
        crate::support::imgforge_by_the_door()
            .arg("-C")
            .arg(self.dir.path())
            .arg("--state")
            .arg(self.path("state"))
    }
}

/// Requests for blobs, with their ranges.
pub(crate) fn blob_requests(server: &Server) -> Vec<Option<String>> {
    let requests = server.requests();
    let blobs = requests
        .iter()
        .filter(|request| request.path.ends_with(".xz"));
    blobs
        .map(|request| request.header("range").map(str::to_owned))
        .collect()
}
