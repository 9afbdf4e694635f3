//! From imgforge.yaml to a repository that can be opened.

use std::path::{Path, PathBuf};

use super::hooks::{Hook, TIMEOUT};
use super::seen::RememberedRepository;
use super::{Settings, trust};
use crate::error::{Error, Result};
use crate::gpg::{Signer, Signers};
use crate::recipe::Config;
use crate::recipe::config::{HookCall, RepositoryPlace};
use crate::ui::Ui;

/// A repository with a directory of this host.
#[derive(Debug)]
pub struct LocalRepository<'a> {
    /// What imgforge.yaml says about it.
    pub config: &'a RepositoryPlace,
    /// Its name there.
    pub name: &'a str,
    /// The directory.
    pub path: PathBuf,
    root: &'a Path,
}

/// The repository that somebody asked for: the only one, or `main`, when nobody says. `root` is
/// that of the recipe repository.
///
/// # Errors
/// When there is none, or it has no directory.
pub fn find<'a>(
    config: &'a Config,
    root: &'a Path,
    asked: Option<&str>,
) -> Result<LocalRepository<'a>> {
    let all = &config.repositories;
    let found = match asked {
        Some(name) => all.get_key_value(name),
        None if all.len() == 1 => all.iter().next(),
        None => all.get_key_value("main"),
    };
    let (name, place) = found.ok_or_else(|| {
        let name = asked.unwrap_or("main");
        Error::usage(format!(
            "imgforge.yaml has no repository `{name}` to publish to"
        ))
        .hint(format!(
            "add `repositories: {{{name}: {{path: /srv/images}}}}` to imgforge.yaml"
        ))
    })?;
    let path = place.path.as_ref().ok_or_else(|| {
        Error::usage("the repository to publish to has no `path:` in imgforge.yaml")
            .hint("only a repository with a directory of this host can be published to")
    })?;
    Ok(LocalRepository {
        config: place,
        name,
        path: root.join(path),
        root,
    })
}

impl<'a> LocalRepository<'a> {
    /// The repository of imgforge.yaml that was found in a directory.
    pub fn at(config: &'a RepositoryPlace, name: &'a str, path: PathBuf, root: &'a Path) -> Self {
        LocalRepository {
            config,
            name,
            path,
            root,
        }
    }

    /// The channel whose index lies at the top.
    pub fn default_channel(&self) -> &str {
        self.config.default_channel.as_deref().unwrap_or("stable")
    }

    /// Whose signatures count.
    pub fn signers(&self) -> Signers {
        self.config.signers(self.root)
    }

    /// What this host has seen of it before.
    ///
    /// # Errors
    /// When its directory cannot be found.
    pub fn seen(&self, state: &Path, ui: &Ui) -> Result<RememberedRepository> {
        RememberedRepository::of_dir(state, &self.path, ui)
    }

    /// Whose signatures count for whoever reads it: of those who are named, else of this host's own
    /// key if that signs it, else of the one that was there at first.
    ///
    /// # Errors
    /// When gpg cannot be asked, or the key file cannot be read.
    pub fn trusted(&self, config: &Config, state: &Path, ui: &Ui) -> Result<Signers> {
        let (named, seen) = (self.signers(), self.seen(state, ui)?);
        if named.is_named() {
            return Ok(named.remembered_in(seen.dir()));
        }
        let signer = Signer::known(config.signing_key.as_deref(), state)?;
        let signers = trust::signers(&self.path, signer.as_ref(), &seen, ui)?;
        Ok(signers.remembered_in(seen.dir()))
    }

    /// How it is opened; the signing key is the configured one, or imgforge's own in `state`.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn settings(&self, config: &Config, state: &Path, ui: &Ui) -> Result<Settings> {
        let signer = match &config.signing_key {
            Some(key) => Signer::configured(key)?,
            None => Signer::own(state, ui)?,
        };
        let mut settings = Settings::new(&self.path, signer);
        settings.url = self.config.url.clone().map(String::from);
        self.default_channel()
            .clone_into(&mut settings.default_channel);
        let seen = self.seen(state, ui)?;
        settings.signers = self.signers().remembered_in(seen.dir());
        settings.seen = Some(seen);
        settings.valid_for = self.config.valid_for.unwrap_or(settings.valid_for);
        settings.channels.clone_from(&self.config.channels);
        let hook = |hook: &HookCall| Hook {
            run: hook.run.clone(),
            dir: self.root.to_owned(),
            timeout: hook.timeout.unwrap_or(TIMEOUT),
        };
        settings.ui = ui.clone();
        settings.hooks = self.config.hooks.iter().map(hook).collect();
        Ok(settings)
    }
}
