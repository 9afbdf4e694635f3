//! Commands to copy and paste, for each client.

use super::super::boxes;
use super::super::offer::Offer;
use crate::host::exec::quote;
use crate::machine;
use crate::repository::state::State;
use crate::targets::{Command, Offered, OfferedFile, TARGETS};

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

/// What to type for an image, for each client that it has a file for.
pub(super) fn of(state: &State, offer: &Offer<'_>, fingerprint: &str) -> Vec<Command> {
    let own = [virt_builder(state, offer), pull(state, offer, fingerprint)];
    let offered = offered(state, offer);
    let targets = TARGETS.iter().filter_map(|target| target.command);
    own.into_iter()
        .chain(targets.map(|command| command(&offered)))
        .filter(|command| command.text.is_some())
        .collect()
}

/// What is offered, as targets see it.
fn offered<'a>(state: &State, offer: &Offer<'a>) -> Offered<'a> {
    let name = &offer.image.name;
    let boxes = boxes::path(state, name, offer.channel, offer.arch);
    let files = offer.artifacts().map(|(_, file)| OfferedFile {
        url: format!("{}/{}", state.url, file.path),
        sha256: &file.sha256,
        about: &file.about,
    });
    Offered {
        name,
        entry: state.entry_id(name, offer.channel),
        streams: match offer.channel == state.default_channel {
            true => state.url.clone(),
            false => format!("{}/channels/{}", state.url, offer.channel),
        },
        boxes: format!("{}/{boxes}", state.url),
        virtual_size: offer.revision.virtual_size,
        files: files.collect(),
    }
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

fn pull(state: &State, offer: &Offer<'_>, fingerprint: &str) -> Command {
    let channel = match offer.channel == state.default_channel {
        true => String::new(),
        false => format!(" --channel {}", offer.channel),
    };
    let name = &offer.image.name;
    let from = quote(&format!("{}#{name}", state.url));
    let arch = arch(offer);
    Command {
        client: "imgforge pull",
        note: Some("Resumes, verifies and unpacks while it downloads.".into()),
        text: Some(format!(
            "imgforge pull {from}{channel}{arch} \\\n  --fingerprint {fingerprint} \\\n  -o {name}.img"
        )),
    }
}
