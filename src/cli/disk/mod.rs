//! `imgforge disk`: each stage's work on any image file, without a recipe.

pub(crate) mod export;
pub(crate) mod pack;
pub(crate) mod scan;
pub(crate) mod seal;
pub(crate) mod unpack;
pub(crate) mod words;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::App;
use crate::error::{Context as _, Result};
use crate::guest::Key;
use crate::hypervisor::{Host, Settings};
use crate::pipeline::clean;
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(crate) struct Disk {
    /// What to do with the file.
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with an image file. Adding something is a file in this folder, a line here
/// and a line in [`Disk::run`].
#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a disk into what a place where images run takes: an OVA, a VHD, a container
    Export(export::Export),
    /// Packs a disk into a .xz file that virt-builder decompresses in parallel
    Pack(pack::Pack),
    /// Looks for leftovers: credentials, keys, secrets, identities, traces of a build
    Scan(scan::Scan),
    /// Seals a disk: what must not be in its clones goes, free space is given back
    Seal(seal::Seal),
    /// Unpacks a .xz file into a sparse disk, in parallel
    Unpack(unpack::Unpack),
}

impl Disk {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        match &self.verb {
            Verb::Export(verb) => verb.run(app),
            Verb::Pack(verb) => verb.run(app),
            Verb::Scan(verb) => verb.run(app),
            Verb::Seal(verb) => verb.run(app),
            Verb::Unpack(verb) => verb.run(app),
        }
    }
}

/// The host, for work that needs a session or a guest; clears first what dead processes left.
pub(crate) fn host(app: &App) -> Result<Host> {
    let state = app.globals.state_dir(None)?;
    let store = Store::new(&state);
    store.prepare()?;
    for cleared in clean::sweep(&store, &app.ui)? {
        app.ui
            .notice(format!("cleared after an earlier run: {cleared}"));
    }
    Ok(Host::new(Settings {
        state,
        connect: app.globals.connect.clone(),
        accel: app.globals.accel,
        host_ports: vec![],
        max_size: None,
        ui: app.ui.clone(),
    }))
}

/// What events call a file.
pub(crate) fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    name.to_string_lossy().into_owned()
}

/// The passphrases in files; an editor's last line end is no part of one.
fn luks_keys(files: &[PathBuf]) -> Result<Vec<Key>> {
    let key = |path: &PathBuf| {
        let doing = || format!("reading the passphrase in {}", path.display());
        let mut bytes = std::fs::read(path).doing(doing)?;
        bytes.truncate(bytes.strip_suffix(b"\n").map_or(bytes.len(), <[u8]>::len));
        Ok(Key::new(bytes))
    };
    files.iter().map(key).collect()
}
