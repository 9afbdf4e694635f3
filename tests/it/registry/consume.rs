//! Published images in a registry: copied there, found, verified and pulled.

use imgforge::digest::Sha256;
use imgforge::gpg::Signers;
use imgforge::registry::Manifest;
use imgforge::repository::{Copied, copy_to_registry};

use crate::patience::wait_for;
use crate::pull::world::*;
use crate::support::registry::{Kind as Like, Service};
use crate::support::relay::Relay;

/// A repository with `web` in two channels, and a registry that has a copy of it.
pub(super) struct Shared {
    pub(super) world: World,
    pub(super) service: Service,
    pub(super) disks: [Disk; 2],
}

/// What is beside each disk, and refers to it.
fn beside() -> Vec<Companion> {
    vec![
        Companion::bytes(
            "web-0123456789ab.cdx.json",
            "{\"bomFormat\": \"CycloneDX\"}",
        ),
        Companion::bytes("web-0123456789ab.provenance.json", "{}").signed(),
        Companion::bytes("web-0123456789ab.qcow2", vec![7; 100_000]).about([("target", "qcow2")]),
    ]
}

impl Shared {
    pub(super) fn new() -> Shared {
        let world = World::new();
        let disks = [("one", 3), ("two", 5)].map(|(name, seed)| disk(&world, name, &[seed, 7, 0]));
        for (disk, channel) in disks.iter().zip(["stable", "nightly"]) {
            publish_with(&world.repository(), disk, ("web", channel), beside());
        }
        let service = Service::start(&world.path("registry"), Like::default());
        Shared {
            world,
            service,
            disks,
        }
    }

    pub(super) fn try_copy(&self) -> Result<Copied> {
        self.copy_to(&self.service.oci("images"))
    }

    pub(super) fn copy_to(&self, to: &str) -> Result<Copied> {
        let ui = Ui::silent().stage("repository", "copy");
        copy_to_registry(&self.world.path("repo"), to, &Signers::default(), None, &ui)
    }

    pub(super) fn copy(&self) -> Copied {
        self.try_copy()
            .unwrap_or_else(|error| panic!("{}", error.render()))
    }

    /// The address of the image with what follows its name.
    pub(super) fn web(&self, more: &str) -> String {
        self.service.oci(&format!("images/web{more}"))
    }

    /// The manifest of a tag.
    pub(super) fn manifest(&self, tag: &str) -> Manifest {
        let client = self.service.client("images/web");
        Manifest::read(&client.manifest(tag).unwrap().unwrap()).unwrap()
    }

    pub(super) fn put(&self, tag: &str, manifest: &Manifest) {
        let client = self.service.client("images/web");
        client.put_manifest(tag, manifest.bytes()).unwrap();
    }

    /// The file of the disk's blob that a tag has.
    pub(super) fn blob(&self, tag: &str) -> PathBuf {
        let manifest = self.manifest(tag);
        let mut layers = manifest.layers.iter();
        let disk = layers.find(|layer| layer.title().is_some_and(|it| it.ends_with(".xz")));
        self.service.blob(disk.unwrap().digest().unwrap().as_str())
    }
}

/// What `-o FILE` asks for.
fn output(path: &Path) -> Output<'_> {
    Output {
        path,
        format: DiskFormat::Raw,
        size: None,
        keep: true,
        threads: None,
    }
}

#[test]
fn what_was_copied_to_a_registry_is_pulled_and_verified() {
    let mut shared = Shared::new();
    let copied = shared.copy();
    // Of two revisions with seven files each; equal ones go once.
    assert_eq!(copied.files + copied.kept, 14);
    assert!(copied.kept >= 3, "{copied:?}");
    // Nobody is trusted because a registry has a key.
    let stranger = Machine::new(&shared.world);
    let nobody = Options {
        key: None,
        ..stranger.trusting()
    };
    let error = stranger.find(&shared.web(""), &nobody).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    assert!(
        error.render().contains("--fingerprint"),
        "{}",
        error.render()
    );

    shared.service.restart(Like::default());
    let machine = Machine::new(&shared.world);
    // As the command does.
    let (session, path) = (machine.session(), machine.path("disk.raw"));
    let image = shared.web("").parse().unwrap();
    let image = pull::find(&session, &image, &machine.trusting()).unwrap();
    let output = output(&path);
    let pulled = pull::fetch(&session, &image, &output).unwrap();
    machine.has(&shared.disks[0]);
    assert_eq!(pulled.fetched, shared.disks[0].size.as_bytes());
    // The manifest, the end of the disk, the disk: what is signed lies in the manifest.
    wait_for("three requests", || shared.service.requests().len() >= 3);
    assert_eq!(
        shared.service.requests().len(),
        3,
        "{:?}",
        shared.service.requests()
    );
    for (more, disk) in [
        (":stable", 0),
        (":nightly", 1),
        ("@1", 0),
        (":nightly@2", 1),
        ("@2", 1),
    ] {
        // Whose signature counts was remembered, of all images there.
        let options = Options {
            key: None,
            ..machine.trusting()
        };
        machine.pull_to(&shared.web(more), &options).unwrap();
        machine.has(&shared.disks[disk]);
    }
    let by_option = Options {
        channel: Some("nightly"),
        ..machine.trusting()
    };
    assert_eq!(
        machine.find(&shared.web(""), &by_option).unwrap().revision,
        2
    );
    let error = machine
        .find(&shared.web(":stable"), &by_option)
        .unwrap_err();
    assert!(error.message().contains("name two channels"), "{error}");
    let error = machine
        .find(&shared.web(":weekly"), &machine.trusting())
        .unwrap_err();
    assert!(
        error.render().contains("latest, nightly, stable"),
        "{}",
        error.render()
    );
    let none = shared.service.oci("images/db");
    let error = machine.find(&none, &machine.trusting()).unwrap_err();
    assert!(
        error.render().contains("no such image"),
        "{}",
        error.render()
    );
}

#[test]
fn a_copy_is_complete_and_nothing_is_sent_twice() {
    let mut shared = Shared::new();
    shared.copy();
    let client = shared.service.client("images/web");
    let bytes = client.manifest("1").unwrap().unwrap();
    // As the API of 1.1 does not exist there, the list has a tag.
    let digest = Sha256::of(&bytes);
    let tag = format!("sha256-{}", digest.as_str());
    assert!(client.tags().unwrap().contains(&tag));
    let about = client.referrers(&digest).unwrap();
    let mut kinds: Vec<&str> = about
        .iter()
        .filter_map(|it| it.artifact_type.as_deref())
        .collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            "application/vnd.cyclonedx+json",
            "application/vnd.imgforge.artifact.v1",
            "application/vnd.in-toto+json"
        ]
    );
    for one in &about {
        let reference = format!("sha256:{}", one.digest().unwrap().as_str());
        let own = Manifest::read(&client.manifest(&reference).unwrap().unwrap()).unwrap();
        assert_eq!(own.subject.unwrap().digest().unwrap(), digest);
        for layer in &own.layers {
            assert!(client.has_blob(&layer.digest().unwrap()).unwrap());
        }
        let signed = one.artifact_type.as_deref() == Some("application/vnd.in-toto+json");
        assert_eq!(own.layers.len(), if signed { 2 } else { 1 });
    }
    shared.service.restart(Like::default());
    let again = shared.copy();
    assert_eq!((again.files, again.bytes), (0, 0));
    let asked = shared.service.requests();
    assert!(
        asked.iter().all(|asked| !asked.starts_with('P')),
        "{asked:?}"
    );

    // What a copy that was ended left is gone on with; until then the channels are as they were.
    let third = disk(&shared.world, "three", &[9, 7, 0]);
    publish_with(
        &shared.world.repository(),
        &third,
        ("web", "stable"),
        beside(),
    );
    shared.service.restart(Like {
        readonly: true,
        ..Like::default()
    });
    let error = shared.try_copy().unwrap_err();
    assert!(
        error.message().contains("refused taking"),
        "{}",
        error.render()
    );
    let machine = Machine::new(&shared.world);
    assert_eq!(machine.pull(&shared.web("")).unwrap().revision, 1);
    shared.service.restart(Like::default());
    shared.copy();
    assert_eq!(machine.pull(&shared.web("")).unwrap().revision, 3);
    machine.has(&third);

    // A yank reaches the registry, and with it who pulls.
    let stamp = Stamp::now();
    let repository = shared.world.repository();
    for revision in [3, 1] {
        repository
            .yank("web", revision, false, &stamp, &Ui::silent())
            .unwrap();
    }
    assert_eq!(shared.copy().removed, 2);
    let error = machine
        .find(&shared.web(""), &machine.trusting())
        .unwrap_err();
    assert!(
        error.message().contains("has no image `web`"),
        "{}",
        error.render()
    );
    let error = machine
        .find(&shared.web("@3"), &machine.trusting())
        .unwrap_err();
    assert!(error.message().contains("was yanked"), "{}", error.render());
}

#[test]
fn a_pull_from_a_registry_goes_on_where_it_broke() {
    let shared = Shared::new();
    shared.copy();
    let relay = Relay::to(shared.service.address());
    let machine = Machine::new(&shared.world);
    let web = format!("oci://{}/images/web", relay.address);
    let size = shared.disks[0].size.as_bytes();
    let image = machine.find(&web, &machine.trusting()).unwrap();
    relay.break_after(i64::MAX, i64::try_from(size).unwrap());
    let path = machine.path("disk.raw");
    pull::fetch(&machine.session(), &image, &output(&path)).unwrap_err();
    machine.has_nothing();
    let left = machine.parts()[0].metadata().unwrap().len();
    assert!(left > 0 && left < size, "{left}");
    relay.mend();
    let pulled = machine.pull(&web).unwrap();
    machine.has(&shared.disks[0]);
    assert_eq!((pulled.fetched, pulled.reused), (size - left, left));
}
