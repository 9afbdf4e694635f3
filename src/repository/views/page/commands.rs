//! Commands to copy and paste, for each client.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::boxes;
use super::super::offer::{Offer, word};
use crate::host::exec::quote;
use crate::machine;
use crate::repository::state::{CompanionRecord, State};

/// What a person types for one client.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Command {
    client: &'static str,
    /// A sentence above the commands.
    note: Option<String>,
    text: Option<String>,
}

/// The configuration of virt-builder for a channel, as shell commands.
pub(super) fn virt_builder_setup(state: &State, channel: &str) -> String {
    let id = match channel == state.default_channel {
        true => "imgforge".to_owned(),
        false => format!("imgforge-{channel}"),
    };
    let dir = "/etc/virt-builder/repos.d";
    let (url, index) = (&state.url, state.index_path(channel));
    // virt-builder takes keys from local files only.
    let (fetch, key) = match url.strip_prefix("file://") {
        Some(path) => (String::new(), format!("file://{path}/imgforge.gpg")),
        None => (
            format!(
                "curl -fsS {} -o {dir}/{id}.gpg\n",
                quote(&format!("{url}/imgforge.gpg"))
            ),
            format!("file://{dir}/{id}.gpg"),
        ),
    };
    format!("{fetch}cat > {dir}/{id}.conf <<'EOF'\n[{id}]\nuri={url}/{index}\ngpgkey={key}\nEOF")
}

/// What each client needs to type for an image.
pub(super) fn of(state: &State, offer: &Offer<'_>, fingerprint: &str) -> Vec<Command> {
    let pull = |output: &str| pull(state, offer, fingerprint, output);
    vec![
        virt_builder(state, offer),
        Command {
            client: "imgforge pull",
            note: Some("Resumes, verifies and unpacks while it downloads.".into()),
            text: Some(pull(&format!("-o {}.img", offer.image.name))),
        },
        openstack(state, offer),
        incus(state, offer),
        vagrant(state, offer),
        podman(state, offer),
    ]
}

/// The option that asks for an architecture, where it is not the usual one.
fn arch(offer: &Offer<'_>) -> String {
    match machine::is_default(offer.arch) {
        true => String::new(),
        false => format!(" --arch {}", offer.arch),
    }
}

fn virt_builder(state: &State, offer: &Offer<'_>) -> Command {
    let entry = state.entry_id(&offer.image.name, offer.channel);
    let setup = virt_builder_setup(state, offer.channel);
    let arch = arch(offer);
    Command {
        client: "virt-builder",
        note: Some("The first part is needed once on each machine.".into()),
        text: Some(format!(
            "{setup}\n\nvirt-builder {entry}{arch} -o {}.img",
            offer.image.name
        )),
    }
}

fn pull(state: &State, offer: &Offer<'_>, fingerprint: &str, output: &str) -> String {
    let channel = match offer.channel == state.default_channel {
        true => String::new(),
        false => format!(" --channel {}", offer.channel),
    };
    let from = quote(&format!("{}#{}", state.url, offer.image.name));
    let arch = arch(offer);
    format!("imgforge pull {from}{channel}{arch} \\\n  --fingerprint {fingerprint} \\\n  {output}")
}

fn openstack(state: &State, offer: &Offer<'_>) -> Command {
    let name = &offer.image.name;
    let file = format!("{name}.qcow2");
    let gib = offer.revision.virtual_size.div_ceil(1 << 30);
    let text = offer.artifact("qcow2", &["openstack"]).map(|disk| {
        let machine = disk.about.iter().filter(|(key, _)| key.starts_with("hw_"));
        let machine: String = machine
            .map(|(key, value)| format!("--property {} ", quote(&format!("{key}={value}"))))
            .collect();
        format!(
            "{}\nopenstack image create --disk-format qcow2 --container-format bare \\\n  \
             --min-disk {gib} {machine}--file {file} {name}",
            download(state, disk, &file)
        )
    });
    let missing = "Its recipe does not ask for it: `targets: {openstack: {}}`.";
    Command {
        client: "OpenStack",
        note: text.is_none().then(|| missing.into()),
        text,
    }
}

fn incus(state: &State, offer: &Offer<'_>) -> Command {
    let name = &offer.image.name;
    let metadata = offer.artifact("incus-metadata", &["incus"]);
    let remote = match offer.channel == state.default_channel {
        true => state.url.clone(),
        false => format!("{}/channels/{}", state.url, offer.channel),
    };
    let secure = remote.starts_with("https://");
    let added = |_| {
        format!(
            "incus remote add imgforge {} --protocol simplestreams\nincus launch imgforge:{name} {name} --vm",
            quote(&remote),
        )
    };
    let imported = |metadata| {
        let disk = offer.artifact("qcow2", &["incus", "openstack", "disk"])?;
        let (about, file) = (format!("{name}.tar.xz"), format!("{name}.qcow2"));
        Some(format!(
            "{}\n{}\nincus image import {about} {file} --alias {name}\nincus launch {name} {name} --vm",
            download(state, metadata, &about),
            download(state, disk, &file)
        ))
    };
    let text = match secure {
        true => metadata.map(added),
        false => metadata.and_then(imported),
    };
    let note = match (metadata, secure) {
        (None, _) => Some("Its recipe does not ask for it: `publish: {streams: true}`."),
        (_, true) => None,
        (_, false) => Some("As a remote, Incus takes servers with https only."),
    };
    Command {
        client: "Incus and LXD",
        note: note.map(str::to_owned),
        text,
    }
}

fn vagrant(state: &State, offer: &Offer<'_>) -> Command {
    let boxed = offer
        .artifacts()
        .any(|(_, file)| file.word(word::FORMAT) == "box");
    let name = state.entry_id(&offer.image.name, offer.channel);
    let path = boxes::path(state, &offer.image.name, offer.channel, offer.arch);
    let catalogue = format!("{}/{path}", state.url);
    let text = boxed.then(|| {
        format!(
            "vagrant box add {}\nvagrant init {name}\nvagrant up",
            quote(&catalogue)
        )
    });
    let missing =
        "Its recipe does not ask for a box: `targets: {vagrant: {providers: [libvirt]}}`.";
    Command {
        client: "Vagrant",
        note: text.is_none().then(|| missing.into()),
        text,
    }
}

fn podman(state: &State, offer: &Offer<'_>) -> Command {
    let archive = offer.artifact("oci-archive", &["docker"]);
    let reference = archive.map(|file| match file.word(word::REFERENCE) {
        "" => offer.image.name.as_str(),
        reference => reference,
    });
    let text = archive.zip(reference).map(|(file, reference)| {
        let name = format!("{}.tar", offer.image.name);
        format!(
            "{}\npodman load -i {name}\npodman run --rm -it {}",
            download(state, file, &name),
            quote(&loaded(reference))
        )
    });
    let note = match reference {
        Some(reference) if loaded(reference) == reference => None,
        Some(reference) => Some(format!("Docker calls it `{reference}`.")),
        None => {
            Some("Its recipe does not ask for a container: `targets: {docker: {}}`.".to_owned())
        }
    };
    Command {
        client: "podman and Docker",
        note,
        text,
    }
}

/// What `podman load` calls an image: without a registry in front, which a dot, a port or
/// `localhost` makes, it is one of the host.
fn loaded(reference: &str) -> String {
    let registry = reference
        .split_once('/')
        .is_some_and(|(first, _)| first == "localhost" || first.contains(['.', ':']));
    match registry {
        true => reference.to_owned(),
        false => format!("localhost/{reference}"),
    }
}

/// Downloads and verifies a file.
fn download(state: &State, file: &CompanionRecord, to: &str) -> String {
    let mut text = format!(
        "curl -fL {} -o {to}",
        quote(&format!("{}/{}", state.url, file.path))
    );
    let _ = write!(text, "\necho '{}  {to}' | sha256sum -c", file.sha256);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As podman 4.3.1 and 5.4.2 say it: `Loaded image: …`.
    #[test]
    fn a_loaded_container_is_the_hosts_unless_a_registry_is_named() {
        assert_eq!(loaded("web:0123"), "localhost/web:0123");
        assert_eq!(loaded("acme/web:0123"), "localhost/acme/web:0123");
        for same in [
            "localhost/web:1",
            "registry.example.org/acme/web:1",
            "host:5000/web:1",
        ] {
            assert_eq!(loaded(same), same);
        }
    }
}
