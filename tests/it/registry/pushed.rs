//! Containers that are put into a registry.

use std::path::Path;

use imgforge::digest::Sha256;
use imgforge::error::Kind as Wrong;
use imgforge::host::exec::Program;
use imgforge::registry::{INDEX, MANIFEST};
use serde_json::{Value, json};

use super::site::noise;
use crate::support::World;
use crate::support::registry::{Kind, Service};

/// A directory in the layout of OCI.
struct Layout<'a>(&'a Path);

impl Layout<'_> {
    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Sha256::of(bytes);
        let blobs = self.0.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(digest.as_str()), bytes).unwrap();
        let digest = format!("sha256:{}", digest.as_str());
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// An image for an architecture, with a layer of so many bytes.
    fn image(&self, arch: &str, size: usize) -> Value {
        let config = json!({"architecture": arch, "os": "linux"}).to_string();
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            config.as_bytes(),
        );
        let layer = self.blob("application/vnd.oci.image.layer.v1.tar", &noise(size));
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut own = self.blob(MANIFEST, manifest.to_string().as_bytes());
        own["platform"] = json!({"architecture": arch, "os": "linux"});
        own
    }

    fn list(&self, manifests: &[Value]) -> Value {
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    }

    fn archive(&self, top: &Value, to: &Path) {
        let index = self.list(std::slice::from_ref(top));
        std::fs::write(self.0.join("index.json"), index.to_string()).unwrap();
        let tar = Program::new("tar").arg("-C").arg(self.0).arg("-cf").arg(to);
        tar.args(["index.json", "blobs"]).run().unwrap();
    }
}

#[test]
fn an_image_of_two_architectures_is_sent_once_with_its_list_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(&dir.path().join("registry"), Kind::default());
    let archive = dir.path().join("web.oci.tar");
    let layout = dir.path().join("layout");
    let layout = Layout(&layout);
    let both = [layout.image("amd64", 3000), layout.image("arm64", 2000)];
    let list = layout.list(&both).to_string();
    layout.archive(&layout.blob(INDEX, list.as_bytes()), &archive);
    let client = service.client("team/web");
    let pushed = client.push_archive(&archive, "1").unwrap();
    assert_eq!(pushed.digest, Sha256::of(list.as_bytes()));
    assert!(pushed.sent > 5000, "{pushed:?}");
    assert_eq!(client.manifest("1").unwrap().unwrap(), list.as_bytes());
    // Another program takes each architecture's own.
    let from = format!("docker://{}/team/web:1", service.address());
    for (arch, size) in [("amd64", 3000), ("arm64", 2000)] {
        let to = dir.path().join(arch);
        let copy = Program::new("skopeo")
            .args(["--override-arch", arch, "copy", "--insecure-policy", "-q"])
            .args(["--src-tls-verify=false", &from])
            .arg(format!("dir:{}", to.display()));
        copy.run().unwrap();
        let layer = to.join(Sha256::of(&noise(size)).as_str());
        assert_eq!(std::fs::read(layer).unwrap(), noise(size));
    }
    service.restart(Kind::default());
    let again = client.push_archive(&archive, "1").unwrap();
    assert_eq!((again.sent, again.digest), (0, pushed.digest));

    // What is damaged puts nothing under a tag.
    let blobs = layout.0.join("blobs/sha256");
    let digest = both[0]["digest"].as_str().unwrap();
    let own = blobs.join(digest.trim_start_matches("sha256:"));
    let right = std::fs::read(&own).unwrap();
    let mut wrong = right.clone();
    wrong[20] ^= 1;
    std::fs::write(&own, wrong).unwrap();
    let top = layout.blob(INDEX, list.as_bytes());
    layout.archive(&top, &archive);
    let error = client.push_archive(&archive, "2").unwrap_err();
    assert!(error.kind() == Wrong::Gate, "{}", error.render());
    assert!(
        error.render().contains("another digest"),
        "{}",
        error.render()
    );
    std::fs::write(&own, right).unwrap();
    // A layer that is not what its name says: the registry takes it for none.
    let other = service.client("team/other");
    let layer = blobs.join(Sha256::of(&noise(3000)).as_str());
    std::fs::write(layer, vec![0; 3000]).unwrap();
    layout.archive(&top, &archive);
    let error = other.push_archive(&archive, "2").unwrap_err();
    assert!(
        error.render().contains("refused taking a blob"),
        "{}",
        error.render()
    );
    for client in [client, other] {
        assert!(!client.has_manifest("2").unwrap());
    }
}

#[test]
fn what_no_registry_takes_is_told_before_anything_is_built() {
    let world = World::new();
    world.image("web", "install: {bootstrap: {suite: bookworm}}\n");
    let refused = |push: &str, words: &str| {
        let said = world.run(&["build", "web", "--push", push]);
        said.exits(2).says(&[words]);
    };
    refused("registry.example.org/x", "is not a place in a registry");
    refused("oci://registry.example.org", "has nothing for a registry");
    let disk = world.path("web.raw").display().to_string();
    let args = [
        "disk", "export", &disk, "-t", "raw", "-o", ".", "--push", "oci://h",
    ];
    world.run(&args).exits(2).says(&["only containers go"]);
}

/// Before anything is built.
#[test]
fn a_name_that_no_registry_takes_is_told_before() {
    let world = World::importing();
    let import = "install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB}\n";
    world.image(
        "web-",
        &format!("{import}targets: {{docker: {{}}, kubevirt: {{reference: acme/web}}}}\n"),
    );
    let words = "no registry takes the container of the target `docker` as `web-`: `reference:`";
    for named in [&["validate"][..], &["validate", "web-"]] {
        world.ok(named).says(&["web-: ", words]);
    }
    let said = world.ok(&["validate", "small"]).all();
    assert!(!said.contains("no registry"), "{said}");
    let push = ["build", "web-", "--push", "oci://127.0.0.1:9/images"];
    for more in [&[][..], &["--target", "docker"]] {
        let said = world.run(&[&push[..], more].concat()).exits(2);
        said.says(&[
            "web- cannot be pushed",
            "`web-` cannot be the name of a container",
        ]);
    }
    let all = ["build", "--all", "--push", "oci://127.0.0.1:9/images"];
    world.run(&all).exits(2).says(&["web- cannot be pushed"]);
    assert!(!world.path("state/store").exists(), "something was built");
}
