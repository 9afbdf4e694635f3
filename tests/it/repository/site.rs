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
        let plan = self.plan(name);
        let mut stages = plan["stages"].as_array().unwrap().iter();
        let found = stages.find(|planned| planned["image"] == name && planned["stage"] == stage);
        found.unwrap()["key"].as_str().unwrap().to_owned()
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
        let plain = name.split(':').next().unwrap();
        let file = format!("{plain}-{}.xz", self.version(name));
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
            let key = self.key(name, stage);
            let dir = self.path(&format!("state/store/{key}"));
            std::fs::create_dir_all(&dir).unwrap();
            if stage == "pack" {
                std::fs::write(dir.join(&file), &xz).unwrap();
            }
            let meta = json!({
                "key": key, "image": name, "stage": stage, "created": 1, "took": 1.0,
                "inputs": [["stage", stage]], "facts": facts,
                "disk": (stage == "seal").then(|| json!({"file": "file", "chain": "sealed"})),
            });
            std::fs::write(dir.join("meta.json"), meta.to_string()).unwrap();
        }
    }
}
