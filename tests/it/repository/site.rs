//! A recipe repository beside the repository of published images.

use super::world::*;
use imgforge::sysprep::Declared;

impl World {
    /// With the image repository `repo`.
    pub(crate) fn publishing() -> Self {
        let world = World::new();
        world.configure("repositories: {main: {path: repo}}\n");
        world
    }

    #[track_caller]
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        self.run(args).exits(code).err
    }

    fn plan(&self, name: &str) -> Value {
        self.ok(&["plan", name, "--json"]).json()[0].clone()
    }

    pub(crate) fn version(&self, name: &str) -> String {
        self.plan(name)["version"].as_str().unwrap().to_owned()
    }

    /// The key of a stage.
    pub(crate) fn key(&self, name: &str, stage: &str) -> String {
        key(&self.plan(name), stage)
    }

    /// What a finished stage knows.
    pub(crate) fn facts(&self, name: &str, stage: &str) -> Value {
        let key = self.key(name, stage);
        let path = self.path(&format!("state/store/{key}/meta.json"));
        let meta: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        meta["facts"].clone()
    }

    /// Puts into the store what a build of `name` that made `disk` leaves there: its later stages
    /// need guests.
    pub(crate) fn finish(&self, name: &str, disk: &Disk) {
        self.finish_planned(&self.plan(name), disk, 1);
    }

    /// As [`World::finish`], as this plan would have it, at this time.
    pub(crate) fn finish_planned(&self, plan: &Value, disk: &Disk, created: u64) {
        let name = plan["image"].as_str().unwrap();
        let plain = name.split(':').next().unwrap();
        let file = format!("{plain}-{}.xz", plan["version"].as_str().unwrap());
        let xz = std::fs::read(&disk.xz).unwrap();
        for (stage, facts) in [
            (
                "seal",
                json!({
                    "install": {}, "declared": Declared::default(), "note": "",
                    "os": {"root": "/dev/sda1", "distro": "debian", "major": 13, "minor": 0,
                           "arch": "x86_64", "package_format": "deb", "mountpoints": [],
                           "osinfo": "debian13", "product": "Debian 13"},
                }),
            ),
            (
                "check",
                json!({
                    "sealed": "sealed", "passed": true, "note": "",
                    "gate": {"passed": true, "problems": [], "clones": [],
                             "scan": {"refused": [], "accepted": [], "files": 2, "bytes": 0, "took": 0}},
                }),
            ),
            (
                "pack",
                json!({
                    "sealed": "sealed", "file": file, "size": disk.size.as_bytes(),
                    "virtual-size": disk.virtual_size.as_bytes(), "sha512": disk.sha512,
                    "artifacts": [], "note": "",
                }),
            ),
        ] {
            let key = key(plan, stage);
            let dir = self.path(&format!("state/store/{key}"));
            std::fs::create_dir_all(&dir).unwrap();
            if stage == "pack" {
                std::fs::write(dir.join(&file), &xz).unwrap();
            }
            let meta = json!({
                "key": key, "image": name, "stage": stage, "created": created, "took": 1.0,
                "inputs": [["stage", stage]], "facts": facts,
                "disk": (stage == "seal").then(|| json!({"file": "file", "chain": "sealed"})),
            });
            std::fs::write(dir.join("meta.json"), meta.to_string()).unwrap();
        }
    }
}

/// The key of a stage of the planned image.
pub(crate) fn key(plan: &Value, stage: &str) -> String {
    let mut stages = plan["stages"].as_array().unwrap().iter();
    let own = |planned: &&Value| planned["image"] == plan["image"] && planned["stage"] == stage;
    stages.find(own).unwrap()["key"]
        .as_str()
        .unwrap()
        .to_owned()
}
