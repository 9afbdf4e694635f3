//! The shipped answer files: as installers get them, and judged by the programs of those who read
//! them: `debconf-set-selections -c`, `ksvalidator`, `cloud-init schema`, `sh -n`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imgforge::distro::{self, apt};
use imgforge::host::exec::Program;
use imgforge::machine::{Arch, Firmware};
use imgforge::recipe::Repo;
use imgforge::recipe::types::{Base, Install};
use imgforge::stage::install::virt_install::answers::{self, Known};
use imgforge::stage::install::virt_install::proof;
use imgforge::yaml::template;

const PROXY: &str = "10.0.2.2:4000";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of `scripts/deps.sh test`.
fn validator(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| root().join("target"), PathBuf::from);
    target.join("validators").join(name)
}

/// What the relay tells an installer of this distribution.
fn mirrors(os: &str) -> BTreeMap<String, String> {
    let distro = distro::by_osinfo(os).unwrap();
    let mut vars = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        vars.insert(format!("imgforge_{name}"), value.to_owned());
    };
    let route = |name: &str| format!("http://{PROXY}/{name}");
    for (prefix, name) in [
        ("mirror", distro.id.to_owned()),
        ("security", format!("{}-security", distro.id)),
    ] {
        set(prefix, &route(&name));
        set(&format!("{prefix}_host"), PROXY);
        set(&format!("{prefix}_path"), &format!("/{name}"));
    }
    set("packages", &distro.packages.join(" "));
    if let Some(end) = distro.tree_ends(Arch::default()).first() {
        set("tree", &format!("{}/{end}", route(distro.id)));
    }
    if let Some((archive, suite)) = distro::suite_by_osinfo(os) {
        let mirror = apt::Archive::at("http://mirror.example/archive");
        set("sources", &apt::sources(archive, suite, &mirror, &[]));
    }
    vars
}

fn rendered(image: &str, firmware: Firmware) -> String {
    with_secrets(image, firmware, &BTreeMap::new())
}

fn with_secrets(image: &str, firmware: Firmware, secrets: &BTreeMap<String, Vec<u8>>) -> String {
    let mut resolved = Repo::open(root()).unwrap().load(image, &[]).unwrap();
    resolved.recipe.machine.firmware = Some(firmware);
    let Base::Install(Install::VirtInstall(method)) = &resolved.base else {
        panic!("{image} is not installed by virt-install");
    };
    let vars = answers::variables(&Known {
        recipe: &resolved.recipe,
        vars: &resolved.vars,
        installer: method.answers.installer(),
        key: &"0123456789abcdef".repeat(4),
        mirrors: &mirrors(&method.os),
        secrets,
    })
    .unwrap();
    let text = std::fs::read_to_string(root().join(method.answers.path())).unwrap();
    template::render(&text, &vars, method.answers.path()).unwrap()
}

/// Runs a judge on a file with `text`; says what it complains about.
fn judge(program: Program, text: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("answers");
    std::fs::write(&file, text).unwrap();
    program.arg(&file).run().map_err(|error| error.render())
}

fn debconf(text: &str) -> Result<(), String> {
    // With a database of its own: the system's is locked while another one looks.
    let dir = tempfile::tempdir().unwrap();
    let database = format!("File{{{}}}", dir.path().join("database").display());
    let file = dir.path().join("answers");
    std::fs::write(&file, text).unwrap();
    // It ends with 0 when it warns of a type that there is not.
    let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let tap = std::sync::Arc::clone(&said);
    Program::new("debconf-set-selections")
        .arg("-c")
        .arg(&file)
        .env("DEBCONF_DB_REPLACE", database)
        .lines(move |line| *tap.lock().unwrap() += &format!("{line}\n"))
        .map_err(|error| error.render())?;
    let said = said.lock().unwrap().clone();
    match said.is_empty() {
        true => types_and_values(text),
        false => Err(said),
    }
}

/// What `debconf-set-selections -c` does not look at: types by debconf-devel(7), and the values of
/// booleans, of which debconf knows two.
fn types_and_values(preseed: &str) -> Result<(), String> {
    const TYPES: [&str; 9] = [
        "string",
        "boolean",
        "select",
        "multiselect",
        "note",
        "text",
        "password",
        "title",
        "error",
    ];
    let joined = preseed.replace("\\\n", " ");
    for line in joined.lines().map(str::trim_start) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace().skip(2);
        let kind = words.next().unwrap_or_default();
        let value = words.collect::<Vec<_>>().join(" ");
        let good = match kind {
            "boolean" | "seen" => matches!(value.as_str(), "true" | "false"),
            kind => TYPES.contains(&kind),
        };
        if !good {
            return Err(format!("type or value: {line}"));
        }
    }
    Ok(())
}

fn ksvalidator(version: &str, text: &str) -> Result<(), String> {
    let program = validator("bin/ksvalidator");
    judge(Program::at(program).args(["-e", "-v", version]), text)
}

fn cloud_init(text: &str) -> Result<(), String> {
    let library = validator("cloud-init/usr/lib/python3/dist-packages");
    let python = validator("bin/python");
    let schema = ["-m", "cloudinit.cmd.main", "schema", "--config-file"];
    judge(
        Program::at(python).env("PYTHONPATH", library).args(schema),
        text,
    )
}

fn shell(text: &str) -> Result<(), String> {
    judge(Program::new("sh").arg("-n"), text)
}

/// The value of `preseed/late_command`, as debian-installer joins its lines.
fn late_command(preseed: &str) -> String {
    let (_, value) = preseed.split_once("preseed/late_command string").unwrap();
    value.replace("\\\n", " ")
}

/// The text between `%post` and `%end`.
fn post(kickstart: &str) -> &str {
    let (_, post) = kickstart.split_once("%post --erroronfail\n").unwrap();
    post.split_once("%end").unwrap().0
}

fn late_commands(autoinstall: &str) -> Vec<String> {
    let tree: serde_json::Value = serde_yaml::from_str(autoinstall).unwrap();
    let commands = tree["autoinstall"]["late-commands"].as_array().unwrap();
    let text = |command: &serde_json::Value| command.as_str().unwrap().to_owned();
    commands.iter().map(text).collect()
}

/// As rendered, but for the sentinel, which is the stage's own business.
fn snapshot(image: &str, text: &str) {
    let line = |root: &str| proof::sentinel(&"0123456789abcdef".repeat(4), root, "ttyS0");
    let text = text
        .replace(&line("/target"), "[sentinel]")
        .replace(&line("/"), "[sentinel]");
    insta::assert_snapshot!(image, text);
}

fn ends_with_the_sentinel(script: &str) {
    let last = script.trim_end().lines().next_back().unwrap();
    let key = "0123456789abcdef".repeat(4);
    assert!(
        last.contains(&key) && last.contains("imgforge/installed"),
        "{last}"
    );
    shell(script).unwrap();
}

#[test]
fn debians_preseed_is_one_that_debconf_takes() {
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let text = rendered("debian-base", firmware);
        debconf(&text).unwrap();
        ends_with_the_sentinel(&late_command(&text));
        let efi = text.contains("method{ efi }");
        assert_eq!(efi, firmware == Firmware::Uefi);
    }
    snapshot("debian-base", &rendered("debian-base", Firmware::Bios));
    for wrong in [
        "d-i only-two-words\n",
        "d-i netcfg/get_hostname strin web\n",
        "d-i grub-installer/only_debian boolean yes\n",
        "d-i grub-installer/only_debian boolean\n",
    ] {
        assert!(debconf(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn rockys_and_fedoras_kickstarts_are_ones_that_ksvalidator_takes() {
    for (image, version) in [("rocky-base", "RHEL10"), ("fedora-base", "F43")] {
        let text = rendered(image, Firmware::Bios);
        ksvalidator(version, &text).unwrap();
        ends_with_the_sentinel(post(&text));
        snapshot(image, &text);
        let broken = text.replace("zerombr", "zerombr --nonsense");
        assert!(ksvalidator(version, &broken).is_err());
    }
}

#[test]
fn ubuntus_autoinstall_is_one_that_cloud_init_takes() {
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let text = rendered("ubuntu-server", firmware);
        cloud_init(&text).unwrap();
        let commands = late_commands(&text);
        commands.iter().for_each(|command| shell(command).unwrap());
        ends_with_the_sentinel(commands.last().unwrap());
        let tree: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let install = &tree["autoinstall"];
        assert_eq!(install["shutdown"], "poweroff");
        let storage = install["storage"]["config"].as_array().unwrap();
        let last = storage.iter().rfind(|item| item["type"] == "partition");
        let last = last.unwrap();
        assert_eq!((&last["id"], &last["size"]), (&"root".into(), &(-1).into()));
    }
    snapshot("ubuntu-server", &rendered("ubuntu-server", Firmware::Bios));
    let broken = "#cloud-config\nautoinstall: {locale: C}\n";
    assert!(cloud_init(broken).unwrap_err().contains("version"));
}

#[test]
fn no_answers_name_a_mirror_of_their_own_or_hold_a_password() {
    for image in ["debian-base", "ubuntu-server", "rocky-base", "fedora-base"] {
        let text = rendered(image, Firmware::Bios);
        for (at, _) in text.match_indices("://") {
            let rest = &text[at + 3..];
            let known = [PROXY, "mirror.example/"]
                .iter()
                .any(|host| rest.starts_with(host));
            assert!(known, "{image}: {rest:.60}");
        }
        for hash in ["$1$", "$5$", "$6$", "$y$"] {
            assert!(!text.contains(hash), "{image}");
        }
    }
}

/// A recipe with a secret `passphrase` gets its root file system encrypted.
#[test]
fn answers_with_a_passphrase_encrypt_and_are_still_valid() {
    let secret = r#"it's "a" \ horse"#;
    let secrets = BTreeMap::from([("passphrase".to_owned(), secret.as_bytes().to_vec())]);
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let preseed = with_secrets("debian-base", firmware, &secrets);
        debconf(&preseed).unwrap();
        assert!(preseed.contains("partman-auto/method string crypto\n"));
        assert!(!preseed.contains("partman-auto/method string regular"));
        assert!(preseed.contains(&format!(
            "partman-crypto/passphrase-again password {secret}\n"
        )));
        ends_with_the_sentinel(&late_command(&preseed));

        let autoinstall = with_secrets("ubuntu-server", firmware, &secrets);
        cloud_init(&autoinstall).unwrap();
        let tree: serde_json::Value = serde_yaml::from_str(&autoinstall).unwrap();
        let storage = tree["autoinstall"]["storage"]["config"].as_array().unwrap();
        let of = |id: &str| storage.iter().find(|item| item["id"] == id).unwrap();
        assert_eq!(
            (&of("crypt")["type"], &of("crypt")["key"]),
            (&"dm_crypt".into(), &secret.into())
        );
        assert_eq!(of("root-format")["volume"], "crypt");
        let last = storage
            .iter()
            .rfind(|item| item["type"] == "partition")
            .unwrap();
        assert_eq!((&last["id"], &last["size"]), (&"root".into(), &(-1).into()));
    }
    for (image, version) in [("rocky-base", "RHEL10"), ("fedora-base", "F43")] {
        let kickstart = with_secrets(image, Firmware::Bios, &secrets);
        ksvalidator(version, &kickstart).unwrap();
        let part = kickstart
            .lines()
            .find(|line| line.starts_with("part / "))
            .unwrap();
        let quoted = part
            .split_once("--encrypted --luks-version=luks2 --passphrase=")
            .unwrap()
            .1;
        // As Anaconda splits it, by the rules of the shell.
        let split = Program::new("sh")
            .args(["-c", &format!("printf %s {quoted}")])
            .text();
        assert_eq!(split.unwrap(), secret);
    }
}

/// A card without a network holds nothing up, whichever installer made the machine: what the answers
/// write is run, and read.
#[test]
fn an_installed_machine_waits_for_one_card_only() {
    let networkd = (
        "systemd-networkd-wait-online",
        "/usr/lib/systemd/systemd-networkd-wait-online --any",
    );
    let manager = ("NetworkManager-wait-online", "/usr/bin/nm-online -q");
    for (image, (unit, program)) in [
        ("debian-base", networkd),
        ("ubuntu-server", networkd),
        ("fedora-base", manager),
        ("rocky-base", manager),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let etc = format!("{}/etc/", dir.path().display());
        let text = rendered(image, Firmware::Bios).replace("/target/etc/", "/etc/");
        let about = |line: &&str| line.contains("wait-online") || line.contains("\"$dir");
        let lines = text.lines().filter(about);
        let script: Vec<_> = lines.map(|line| line.trim_end_matches('\\')).collect();
        let script = script.join("\n").replace("=/etc/", &format!("={etc}"));
        let script = script.replace(" /etc/", &format!(" {etc}"));
        let script = script.replace(">/etc/", &format!(">{etc}"));
        Program::new("sh").args(["-ec", &script]).run().unwrap();
        let written = format!("{etc}systemd/system/{unit}.service.d/50-any.conf");
        assert_eq!(
            std::fs::read_to_string(&written).unwrap(),
            format!("[Service]\nExecStart=\nExecStart={program}\n"),
            "{image}"
        );
    }
}
