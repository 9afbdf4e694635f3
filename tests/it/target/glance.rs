//! A real Glance, kept by the official client.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{run, text};
use crate::support::{Run as _, external, imgforge_with_guests};

/// A Glance of our own: files, sqlite, nobody to ask for a name.
struct Glance {
    dir: tempfile::TempDir,
    service: Child,
    url: String,
}

impl Glance {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let base = text(dir.path());
        let conf = format!(
            "[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {port}\nworkers = 0\n\
             enabled_backends = fs:file\ntransport_url = fake://\nlog_file = {base}/log\n\
             [database]\nconnection = sqlite:///{base}/db\n[glance_store]\ndefault_backend = fs\n\
             [fs]\nfilesystem_store_datadir = {base}/images\n\
             [os_glance_staging_store]\nfilesystem_store_datadir = {base}/staging\n\
             [os_glance_tasks_store]\nfilesystem_store_datadir = {base}/tasks\n\
             [paste_deploy]\nconfig_file = /usr/share/glance-common/glance-api-paste.ini\n\
             [oslo_policy]\npolicy_file = {base}/policy.yaml\nenforce_scope = false\n\
             enforce_new_defaults = false\n"
        );
        std::fs::write(dir.path().join("conf"), conf).unwrap();
        std::fs::write(dir.path().join("policy.yaml"), "\"default\": \"\"\n").unwrap();
        for name in ["images", "staging", "tasks", "bin"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let conf = dir.path().join("conf");
        run("glance-manage", &["--config-file", text(&conf), "db_sync"]);
        let service = external("glance-api")
            .args(["--config-file", text(&conf)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        crate::patience::wait_for("Glance's start", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let url = format!("http://127.0.0.1:{port}");
        Glance { dir, service, url }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The client, with a service for servers that says what `servers` holds; none says nothing.
    fn with_servers(&self, servers: &str) {
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *'server list'*) echo '{servers}' ;; \
             *) exec /usr/bin/openstack \"$@\" ;; esac\n"
        );
        imgforge::host::exec::write_program(&self.path("bin/openstack"), &script).unwrap();
    }

    fn environment(&self, command: &mut Command) {
        let own = text(&self.path("bin")).to_owned();
        let path = format!("{own}:{}", std::env::var("PATH").unwrap());
        command
            .env("OS_AUTH_TYPE", "none")
            .env("OS_ENDPOINT", &self.url)
            .env("PATH", path);
    }

    fn client(&self, args: &[&str]) -> Value {
        let mut command = external("openstack");
        self.environment(&mut command);
        let said = command.args(args).said().ok();
        serde_json::from_str(&said.out).unwrap_or_default()
    }

    /// The versions in sight and the hidden ones.
    fn versions(&self) -> (Vec<String>, Vec<String>) {
        let of = |more: &[&str]| {
            let words = ["image", "list", "-f", "json"];
            let rows = self.client(&words.iter().chain(more).copied().collect::<Vec<_>>());
            let mut all: Vec<String> = rows
                .as_array()
                .unwrap()
                .iter()
                .map(|row| {
                    let about =
                        self.client(&["image", "show", "-f", "json", row["ID"].as_str().unwrap()]);
                    about["properties"]["imgforge_version"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                })
                .collect();
            all.sort();
            all
        };
        (of(&[]), of(&["--hidden"]))
    }

    fn sync(&self, manifests: &[&Path], more: &[&str]) -> (i32, String) {
        let mut command = imgforge_with_guests();
        command.args(["--progress", "plain", "sync", "openstack"]);
        for manifest in manifests {
            command.arg("--manifest").arg(manifest);
        }
        command.args(more);
        self.environment(&mut command);
        command.said().both()
    }

    #[track_caller]
    fn synced(&self, manifests: &[&Path], more: &[&str]) -> Vec<(String, String)> {
        let (code, said) = self.sync(manifests, more);
        assert_eq!(code, 0, "{said}");
        let mut rows: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("web "))
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                (words[1].to_owned(), words[3].to_owned())
            })
            .collect();
        rows.sort();
        rows
    }

    /// A disk and what is told about it.
    fn version(&self, version: &str) -> PathBuf {
        let disk = self.path(&format!("web-{version}.openstack.qcow2"));
        run(
            "qemu-img",
            &["create", "-q", "-f", "qcow2", text(&disk), "2G"],
        );
        run(
            "qemu-io",
            &["-c", &format!("write -P {version} 0 64k"), text(&disk)],
        );
        let sum = run("sha512sum", &[text(&disk)]);
        let manifest = json!({
            "name": "web",
            "version": version,
            "file": format!("web-{version}.openstack.qcow2"),
            "sha512": sum.split(' ').next().unwrap(),
            "disk-format": "qcow2",
            "min-disk": 2,
            "min-ram": 512,
            "properties": {
                "imgforge_image": "web", "imgforge_version": version,
                "hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi", "os_distro": "debian",
            },
            "create": "",
        });
        let path = self.path(&format!("web-{version}.openstack.json"));
        std::fs::write(&path, manifest.to_string()).unwrap();
        path
    }
}

impl Drop for Glance {
    fn drop(&mut self) {
        drop(self.service.kill());
        drop(self.service.wait());
    }
}

fn rows(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
#[ignore = "clouds: src/sync src/targets/openstack"]
fn e2e_glance_has_what_a_channel_has() {
    let glance = Glance::start();
    let [one, two, three] = ["1", "2", "3"].map(|version| glance.version(version));
    let keep = ["--keep", "2"];
    let done = glance.synced(&[&one, &two], &keep);
    assert_eq!(done, rows(&[("1", "uploaded"), ("2", "uploaded")]));
    let about = glance.client(&["image", "list", "-f", "json", "--long"]);
    assert_eq!(about.as_array().unwrap().len(), 2);
    let first = about[0]["ID"].as_str().unwrap();
    let about = glance.client(&["image", "show", "-f", "json", first]);
    assert_eq!(
        (&about["min_disk"], &about["min_ram"]),
        (&json!(2), &json!(512))
    );
    assert_eq!(about["properties"]["hw_scsi_model"], "virtio-scsi");
    assert_eq!(about["status"], "active");
    // Nothing to do.
    let done = glance.synced(&[&one, &two], &keep);
    assert_eq!(done, rows(&[("1", "unchanged"), ("2", "unchanged")]));
    // The third drives the first out of sight.
    let done = glance.synced(&[&one, &two, &three], &keep);
    assert_eq!(
        done,
        rows(&[("1", "hidden"), ("2", "unchanged"), ("3", "uploaded")])
    );
    let sight = |list: &[&str]| {
        list.iter()
            .map(|version| (*version).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(glance.versions(), (sight(&["2", "3"]), sight(&["1"])));
    // Back from the third: it is hidden, and the first can be seen again.
    let done = glance.synced(&[&one, &two], &keep);
    assert_eq!(
        done,
        rows(&[("1", "shown"), ("2", "unchanged"), ("3", "hidden")])
    );
    assert_eq!(glance.versions(), (sight(&["1", "2"]), sight(&["3"])));
    // Nobody can say which servers were made from it; a server was made from it; it is protected.
    let delete = ["--keep", "2", "--delete"];
    let kept = rows(&[("1", "unchanged"), ("2", "unchanged"), ("3", "kept")]);
    assert_eq!(glance.synced(&[&one, &two], &delete), kept);
    glance.with_servers(r#"[{"ID": "server"}]"#);
    assert_eq!(glance.synced(&[&one, &two], &delete), kept);
    glance.with_servers("[]");
    let hidden = glance.client(&["image", "list", "-f", "json", "--hidden"]);
    let id = hidden[0]["ID"].as_str().unwrap();
    glance.client(&["image", "set", "--protected", id]);
    assert_eq!(glance.synced(&[&one, &two], &delete), kept);
    glance.client(&["image", "set", "--unprotected", id]);
    let done = glance.synced(&[&one, &two], &delete);
    assert_eq!(
        done,
        rows(&[("1", "unchanged"), ("2", "unchanged"), ("3", "deleted")])
    );
    assert_eq!(glance.versions(), (sight(&["1", "2"]), sight(&[])));
    // A property that somebody changed is set again.
    let list = glance.client(&["image", "list", "-f", "json"]);
    for row in list.as_array().unwrap() {
        let id = row["ID"].as_str().unwrap();
        glance.client(&["image", "set", "--property", "hw_disk_bus=ide", id]);
    }
    let done = glance.synced(&[&one, &two], &keep);
    assert_eq!(done, rows(&[("1", "changed"), ("2", "changed")]));
    run(
        "sh",
        &[
            "-c",
            &format!("echo x >> {}", text(&glance.path("web-2.openstack.qcow2"))),
        ],
    );
    let (code, said) = glance.sync(&[&two], &[]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("is damaged"), "{said}");
}
