//! A fleet on many nodes, with stand-ins for the stages: how far its time is from the best possible.
//!
//! A stand-in looks for what its image builds on, by imgforge and as a build does, waits as long as the work would
//! take, and puts the results of its stages into the registry, which were signed before. What is measured is all
//! that imgforge, Slurm and the registry add.
//!
//! `IMGFORGE_SCALE='RECIPES NODES SECONDS RATIO'` is another fleet, the seconds of each of its images, and how much
//! longer than the best possible it may take.

use std::collections::BTreeMap;
use std::time::Instant;

use imgforge::digest::{Key, Sha256};
use imgforge::host::accel::Setting;
use imgforge::hypervisor::{Host, Settings as HostSettings};
use imgforge::pipeline::pins::Pins;
use imgforge::pipeline::{Options, Session, plan};
use imgforge::recipe::Repo;
use imgforge::registry::MANIFEST;
use imgforge::stage::plan::Planned;
use imgforge::store::digests::Digests;
use imgforge::store::epoch::Mode;
use imgforge::store::ledger::Ledger;
use imgforge::store::remote::{Remote, Settings};
use imgforge::store::{DISK, Facts, Meta, Store};
use imgforge::sysprep::Declared;
use imgforge::ui::Ui;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::support::registry::{Kind, Service};
use crate::support::{IMGFORGE, Run as _, World};

const LEVELS: usize = 5;

/// Submission may take so many seconds, for 500 recipes.
const SUBMISSION: f64 = 20.0;

struct Fleet {
    recipes: usize,
    nodes: usize,
    seconds: f64,
    ratio: f64,
}

impl Fleet {
    fn asked_for() -> Self {
        let asked = std::env::var("IMGFORGE_SCALE");
        let asked = asked.as_deref().unwrap_or("30 4 20 1.5");
        let numbers: Vec<f64> = asked.split(' ').map(|it| it.parse().unwrap()).collect();
        let [recipes, nodes, seconds, ratio] = numbers.try_into().unwrap();
        Fleet {
            recipes: recipes as usize,
            nodes: nodes as usize,
            seconds,
            ratio,
        }
    }

    /// The images with what each builds on, those of a level before those of the next one.
    fn images(&self) -> Vec<(String, Option<String>)> {
        let width = self.recipes / LEVELS;
        let name = |level: usize, n: usize| format!("image-{level}-{n}");
        let all = (0..LEVELS).flat_map(|level| (0..width).map(move |n| (level, n)));
        let below = |level: usize, n| level.checked_sub(1).map(|below| name(below, n / 2));
        all.map(|(level, n)| (name(level, n), below(level, n)))
            .collect()
    }

    /// No schedule takes fewer seconds.
    fn best(&self) -> f64 {
        let work = self.images().len() as f64 * self.seconds / self.nodes as f64;
        work.max(LEVELS as f64 * self.seconds)
    }
}

/// What a stage would report.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Reported(Value);

impl Facts for Reported {
    const STAGE: &'static str = "seal";
}

fn facts(planned: &Planned) -> Reported {
    let mut facts = json!({"install": {}, "declared": Declared::default()});
    if planned.label == "seal" {
        facts["note"] = "".into();
        facts["os"] = json!({
            "root": "/dev/sda1", "distro": "debian", "major": 13, "minor": 0, "arch": "x86_64",
            "package_format": "deb", "mountpoints": [], "osinfo": "debian13", "product": "Debian 13",
        });
    }
    Reported(facts)
}

/// Who makes all results beforehand.
struct Workshop {
    session: Session,
    store: Store,
    ledger: Ledger,
}

impl Workshop {
    fn new(world: &World, service: &Service) -> Self {
        let repo = Repo::open(world.dir.path()).unwrap();
        let state = world.path("workshop");
        let remote = Remote::open(Settings {
            address: service.oci("imgforge").parse().unwrap(),
            push: true,
            allowed_signers: world.path("signers.gpg"),
            signing_key: None,
            state: world.path("state"),
            ui: Ui::silent(),
        });
        let store = Store::new(state.clone());
        store.prepare().unwrap();
        let host = Host::new(HostSettings {
            state: state.clone(),
            connect: None,
            accel: Setting::Auto,
            host_ports: vec![],
            max_size: None,
            ui: Ui::silent(),
        });
        let session = Session {
            config: repo.config().unwrap(),
            repo,
            store: store.clone(),
            digests: Digests::open(&state),
            ui: Ui::silent(),
            host,
            pins: Pins::default(),
        };
        Workshop {
            session,
            ledger: Ledger::open(&state).unwrap(),
            store: store.with_remote(std::sync::Arc::new(remote.unwrap())),
        }
    }

    /// Puts the results of an image into the registry; their keys.
    fn make(&self, image: &str) -> Vec<Key> {
        let options = Options {
            until: Some("seal".parse().unwrap()),
            ..Options::default()
        };
        let plan = plan(&self.session, &options, image, Mode::Look).unwrap();
        let own = plan.all().into_iter().filter(|stage| stage.image == image);
        let own = own.filter(|stage| ["install", "configure", "seal"].contains(&&*stage.label));
        let make = |planned: &Planned| {
            let (key, inputs) = (planned.key.clone(), planned.inputs.clone());
            let meta = Meta {
                parent: planned.input.clone(),
                ..Meta::new(key.clone(), image, &planned.label, inputs, Instant::now())
            };
            let draft = self.store.draft(&self.ledger).unwrap();
            std::fs::write(draft.path().join(DISK), format!("{image} {key}")).unwrap();
            let layer = draft.commit(&self.store, meta, facts(planned)).unwrap();
            self.store
                .share_out(layer.entry(), None, &self.ledger)
                .unwrap();
            key
        };
        own.map(make).collect()
    }
}

fn world(fleet: &Fleet) -> World {
    let world = World::importing();
    std::fs::remove_file(world.path("recipes/small.yaml")).unwrap();
    for (image, below) in fleet.images() {
        let begins = match &below {
            None => "install: {import: {image: files/disk.raw}}\n".to_owned(),
            Some(below) => format!("from: {below}\n"),
        };
        let machine = "machine: {disk: 1GiB, cpus: 1, memory: 1GiB}\n";
        let own = format!("configure: [{{shell: {{run: 'echo {image}'}}}}]\n");
        world.image(&image, &(begins + machine + &own));
    }
    world.write("signers.gpg", world.signer().public_key().unwrap());
    world
}

/// When each image's job began and ended, in seconds.
fn times(world: &World) -> BTreeMap<String, Vec<f64>> {
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in world.read("times").lines() {
        let (image, at) = line.split_once(' ').unwrap();
        times
            .entry(image.to_owned())
            .or_default()
            .push(at.parse().unwrap());
    }
    times
}

#[test]
#[ignore = "e2e: src/engine src/store/remote"]
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn a_fleet_takes_little_longer_than_its_work() {
    let fleet = Fleet::asked_for();
    let world = world(&fleet);
    let service = Service::start(&world.path("registry"), Kind::default());
    let dir = world.dir.path().display().to_string();
    world.configure(&format!(
        "store: {{remote: '{}', push: true, allowed-signers: signers.gpg}}\n\
         engine: {{slurm: {{program: {dir}/on-node, state: /node}}}}\n",
        service.oci("imgforge")
    ));
    let workshop = Workshop::new(&world, &service);
    let registry = service.client("imgforge");
    let mut stages = 0;
    for (image, _) in fleet.images() {
        for key in workshop.make(&image) {
            let manifest = registry.manifest(key.as_str()).unwrap().unwrap();
            world.write(&format!("made/{image}/{key}"), &manifest);
            stages += 1;
        }
    }
    // Its blobs stay; nobody sees an entry.
    for (image, _) in fleet.images() {
        for key in crate::support::names(&world.path(&format!("made/{image}"))) {
            let manifest = std::fs::read(world.path(&format!("made/{image}/{key}"))).unwrap();
            registry.remove(&Sha256::of(&manifest)).unwrap();
        }
    }
    std::fs::create_dir(world.path("plans")).unwrap();
    let program = format!(
        "for word; do [ \"$before\" != build ] || image=$word; before=$word; done\n\
         now() {{ echo \"$image $(date +%s.%N)\" >>{dir}/times; }}\nnow\n\
         {IMGFORGE} -C {dir} --state {dir}/nodes/$SLURMD_NODENAME --accel tcg plan \"$image\" --remote --until seal \
         --json >{dir}/plans/$image || exit 1\n\
         sleep {}\nfor file in {dir}/made/$image/*; do\n\
         curl -fsS -X PUT -H 'Content-Type: {MANIFEST}' --data-binary @$file \
         http://{}/v2/imgforge/manifests/${{file##*/}} -o /dev/null || exit 1\ndone\nnow\n",
        fleet.seconds,
        service.address()
    );
    let cluster = Cluster::of_nodes(world, &program, fleet.nodes);
    let world = &cluster.world;
    let build = [
        "build", "--all", "--until", "seal", "--on", "slurm", "--detach",
    ];
    let began = Instant::now();
    let id = cluster.command(&build).said().ok().out;
    let submission = began.elapsed().as_secs_f64();
    cluster.command(&["jobs", id.trim_end()]).said().ok();

    let times = times(world);
    assert_eq!(times.len(), fleet.images().len());
    let all = || times.values().flatten().copied();
    let makespan = all().fold(0.0, f64::max) - all().fold(f64::INFINITY, f64::min);
    // Each found what it builds on in the registry, and made what was not there.
    for (image, below) in fleet.images() {
        let plan: Value = serde_json::from_str(&world.read(&format!("plans/{image}"))).unwrap();
        for stage in plan[0]["stages"].as_array().unwrap() {
            let is_own = stage["image"] == *image;
            assert_eq!(
                stage["remote"] == true,
                !is_own,
                "{image} on {below:?}: {stage}"
            );
        }
    }
    let so_far = service.requests().len();
    let look = [
        "plan", "--all", "--until", "seal", "--remote", "--jobs", "json",
    ];
    let listed = world
        .ok(&[&["--state", "empty"], &look[..]].concat())
        .json();
    let jobs = listed["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| job["done"] == true), "{jobs:?}");
    let asked = service.requests().len() - so_far;
    let (best, per_stage) = (fleet.best(), asked as f64 / f64::from(stages));
    println!(
        "{} recipes on {} nodes, {} s each: submitted in {submission:.1} s, done in {makespan:.0} s, {:.3} of the \
         best possible {best:.0} s; {per_stage:.2} requests for each of {stages} cached stages; {so_far} requests in all",
        times.len(),
        fleet.nodes,
        fleet.seconds,
        makespan / best,
    );
    assert!(makespan <= fleet.ratio * best, "{makespan} s, {best} s");
    assert!(submission <= SUBMISSION, "{submission} s");
    assert!(per_stage <= 2.0, "{per_stage}");
}
