//! What the verbs of the pipeline work with, from the options and imgforge.yaml.

use std::path::PathBuf;
use std::sync::Arc;

use super::{App, recipes};
use crate::address::OciAddress;
use crate::error::{Error, Result};
use crate::host::accel::Setting;
use crate::hypervisor::{Host, Settings};
use crate::pipeline::Session;
use crate::pipeline::pins::Pins;
use crate::recipe::{Config, Repo};
use crate::store::Store;
use crate::store::digests::Digests;
use crate::store::remote::{self, Remote};

/// Opens the recipe repository of the working directory and its state directory.
///
/// # Errors
/// When there is no recipe repository here, or its imgforge.yaml is wrong.
pub(crate) fn open(app: &App) -> Result<Session> {
    let repo = recipes::open(app)?;
    let config = repo.config()?;
    let configured = config.state.as_ref().map(|state| repo.root().join(state));
    let state = app.globals.state_dir(configured.as_deref())?;
    with_state(app, repo, config, state)
}

/// As [`open`], with a state directory of its own.
///
/// # Errors
/// As there.
pub(crate) fn open_at(app: &App, state: PathBuf) -> Result<Session> {
    let repo = recipes::open(app)?;
    let config = repo.config()?;
    with_state(app, repo, config, state)
}

fn with_state(app: &App, repo: Repo, config: Config, state: PathBuf) -> Result<Session> {
    let accel = match app.globals.accel {
        Setting::Auto => config.accel,
        chosen => chosen,
    };
    let host = Host::new(Settings {
        state: state.clone(),
        connect: app.globals.connect.clone(),
        accel,
        host_ports: config.host_ports.clone(),
        max_size: config.store.max_size,
        ui: app.ui.clone(),
    });
    let digests = Digests::open(&state);
    let (store, ui) = (Store::new(state), app.ui.clone());
    Ok(Session {
        config,
        digests,
        host,
        pins: Pins::default(),
        store,
        ui,
        repo,
    })
}

/// Lets the session's store ask the shared one: that at `asked`, else the one of imgforge.yaml, if there
/// is one.
///
/// # Errors
/// When nobody says whose entries count, or that file cannot be read.
pub(crate) fn share(session: &mut Session, asked: Option<&OciAddress>) -> Result<()> {
    let Config {
        store, signing_key, ..
    } = &session.config;
    let Some(address) = asked.or(store.remote.as_ref()) else {
        return Ok(());
    };
    let Some(signers) = &store.allowed_signers else {
        return Err(Error::usage("no trusted key of the shared store is set")
            .hint("write `store: {allowed-signers: FILE}` in imgforge.yaml"));
    };
    let remote = Remote::open(remote::Settings {
        address: address.clone(),
        push: store.push,
        allowed_signers: session.repo.root().join(signers),
        signing_key: signing_key.clone(),
        state: session.store.planned_in().to_owned(),
        ui: session.ui.clone(),
    })?;
    session.store = session.store.clone().with_remote(Arc::new(remote));
    Ok(())
}

/// What needs no recipe repository works with: imgforge.yaml if the working directory lies under
/// one, where its relative paths start, and the store.
///
/// # Errors
/// When imgforge.yaml is wrong or not obeyed, or there is no place for the state.
pub(crate) fn plain(app: &App) -> Result<(Config, Option<PathBuf>, Store)> {
    let (config, root) = match recipes::find(app)? {
        Some(repo) => (repo.config()?, Some(repo.root().to_owned())),
        None => (Config::default(), None),
    };
    let configured = config.state.as_ref().zip(root.as_ref());
    let configured = configured.map(|(state, root)| root.join(state));
    let state = app.globals.state_dir(configured.as_deref())?;
    let store = Store::new(state);
    Ok((config, root, store))
}

/// The images that a verb was asked for: of names each architecture, or all with `--all`.
///
/// # Errors
/// When neither names nor `--all` are given, or one is no image's.
pub(crate) fn names(session: &Session, names: &[String], all: bool) -> Result<Vec<String>> {
    match (names.is_empty(), all) {
        (false, false) => session.repo.all_named(names),
        (true, true) => session.repo.names(),
        (true, false) => {
            Err(Error::usage("no image is named").hint("name one of `imgforge list`, or use --all"))
        }
        (false, true) => Err(Error::usage("names and --all exclude each other")),
    }
}
