//! Published images below recipes: which revision counts is asked of the repository once a
//! command, and written down, so that the next one without a network goes on with the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::json;

use crate::digest::Key;
use crate::error::{Error, Kind, Result};
use crate::http::{Client, Url};
use crate::lock::Lock;
use crate::mutex::Unpoisoned as _;
use crate::pipeline::Session;
use crate::pull::{self, Image, Pin};
use crate::recipe::types::{PublishedImage, Recipe};
use crate::store::epoch::Mode;
use crate::store::{remembered, to_json, write_atomic};

/// What one command has asked already: all its images build on the same revision, until it publishes one.
#[derive(Debug, Default)]
pub struct Pins {
    known: Mutex<BTreeMap<Key, Pin>>,
}

impl Pins {
    /// Has the repositories be asked again: one of them has something new.
    pub fn forget(&self) {
        self.known.lock().unpoisoned().clear();
    }
}

/// Finds the revision of the `published` image that `recipe` builds on. `offline`, and of [`Mode::Last`], it is the one of
/// the last build.
///
/// # Errors
/// When the repository cannot be read, nobody trusted has signed it, or it has no such image.
pub fn find(
    session: &Session,
    recipe: &Recipe,
    published: &PublishedImage,
    mode: Mode,
    offline: bool,
) -> Result<Pin> {
    let PublishedImage {
        image: named,
        channel,
    } = published;
    let key = Key::of(
        json!([named, channel, recipe.machine.arch])
            .to_string()
            .as_bytes(),
    );
    let mut known = session.pins.known.lock().unpoisoned();
    if let Some(pin) = known.get(&key) {
        return Ok(pin.clone());
    }
    let path = path(session.store.state(), &key);
    let remembered = |path: &Path| remembered(path, |text| serde_json::from_slice::<Pin>(text));
    let given = match session.store.caller() {
        Some(caller) => remembered(&self::path(caller, &key))?,
        None => None,
    };
    let remembered = || remembered(&path);
    let pin = if let Some(pin) = given {
        pin
    } else if offline || mode == Mode::Last {
        remembered()?.ok_or_else(|| {
            Error::host(format!("no build here has used {named} before"))
                .hint("build once without --offline")
        })?
    } else {
        // What is known of repositories is kept there, too.
        if mode != Mode::Look && !session.store.is_prepared() {
            session.store.prepare()?;
        }
        match ask(session, recipe, published) {
            Ok(pin) => {
                if mode != Mode::Look {
                    write_atomic(&path, &to_json(&pin)?)?;
                }
                pin
            }
            // A plan is worth something without a network; a bad signature is not.
            Err(error) if mode == Mode::Look && error.kind() == Kind::Stage => {
                let last = remembered().unwrap_or_else(|damaged| {
                    session.ui.warning(damaged.render().trim_end().to_owned());
                    None
                });
                let Some(pin) = last else {
                    return Err(explain_failure(recipe, error));
                };
                session.ui.warning(format!(
                    "{}; planned with the one of the last build, {}",
                    error.message(),
                    pin.describe()
                ));
                pin
            }
            Err(error) => return Err(explain_failure(recipe, error)),
        }
    };
    known.insert(key, pin.clone());
    Ok(pin)
}

/// The revision that a lock names of the `published` image; nothing where it is of another image, or of an older
/// imgforge.
///
/// # Errors
/// When what the lock names is no address.
pub fn of_lock(lock: &Lock, published: &PublishedImage) -> Result<Option<Pin>> {
    let PublishedImage {
        image: named,
        channel,
    } = published;
    let channel = channel.clone().or(named.channel.clone());
    let Some(parent) = lock
        .from
        .as_ref()
        .filter(|it| it.image == named.to_string())
    else {
        return Ok(None);
    };
    let Some(entry) = parent.entry.clone().filter(|it| it.channel == channel) else {
        return Ok(None);
    };
    let image = Image {
        name: named.name.clone(),
        entry: entry.name,
        revision: parent.revision,
        arch: entry.arch,
        url: Url::parse(&entry.url)?,
        sha512: parent.sha512.clone(),
        size: entry.size,
        disk_size: entry.disk_size,
        format: entry.format,
        version: entry.version,
        osinfo: entry.osinfo,
    };
    Ok(Some(Pin {
        named: named.clone(),
        channel,
        image,
    }))
}

fn ask(session: &Session, recipe: &Recipe, published: &PublishedImage) -> Result<Pin> {
    let arch = serde_json::to_value(recipe.machine.arch).unwrap_or_default();
    let ui = session.ui.clone();
    let client = Client::new()?.on_notice(move |text| ui.warning(text));
    let pulling = pull::Session {
        config: &session.config,
        root: Some(session.repo.root()),
        store: &session.store,
        ledger: session.host.ledger()?,
        client: &client,
        registries: pull::Registries::default(),
        ui: &session.ui,
    };
    let options = pull::Options {
        channel: published.channel.as_deref(),
        arch: arch.as_str(),
        settled: true,
        ..pull::Options::default()
    };
    Ok(Pin {
        named: published.image.clone(),
        channel: published
            .channel
            .clone()
            .or(published.image.channel.clone()),
        image: pull::find(&pulling, &published.image, &options)?,
    })
}

fn explain_failure(recipe: &Recipe, error: Error) -> Error {
    let name = &recipe.name;
    let error = error.within(format!("what {name} builds on cannot be found"));
    match error.kind() {
        Kind::Stage => error.resume(format!(
            "`imgforge build {name} --offline` builds on the revision of the last build"
        )),
        _ => error,
    }
}

fn path(state: &Path, key: &Key) -> PathBuf {
    state.join("pins").join(format!("{key}.json"))
}
