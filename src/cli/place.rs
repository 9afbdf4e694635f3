//! The repository that a verb works on.

use std::path::PathBuf;

use super::{App, recipes};
use crate::error::Result;
use crate::gpg::Signers;
use crate::recipe::{Config, Repo};
use crate::repository::seen::RememberedRepository;
use crate::repository::{Repository, Stamp, place};
use crate::stage::publish::commit;

/// Which of imgforge.yaml's repositories.
#[derive(Debug, clap::Args)]
pub(crate) struct RepositoryArgs {
    /// The repository, by its name in imgforge.yaml (default: the only one, or `main`)
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
}

impl RepositoryArgs {
    /// Opens it to be changed, with the signing key; the stamp says who does it now, why, and from which
    /// commit of the recipe repository.
    ///
    /// # Errors
    /// When there is no such repository, no key, or it cannot be written.
    pub(crate) fn open(&self, app: &App, why: Option<&str>) -> Result<(Repository, Stamp)> {
        let repo = recipes::open(app)?;
        let (config, state) = with_state(app, &repo)?;
        let place = place::find(&config, repo.root(), self.repository.as_deref())?;
        let stamp = Stamp::now().why(why).commit(commit(repo.root()));
        Ok((
            Repository::open(place.settings(&config, &state, &app.ui)?)?,
            stamp,
        ))
    }

    /// Its directory, to be read only.
    ///
    /// # Errors
    /// When there is no such repository.
    pub(crate) fn path(&self, app: &App) -> Result<PathBuf> {
        let repo = recipes::open(app)?;
        let config = repo.config()?;
        Ok(place::find(&config, repo.root(), self.repository.as_deref())?.path)
    }

    /// Its directory, to be read only, whose signatures on it count, and what was seen of it before.
    ///
    /// # Errors
    /// When there is no such repository, or gpg cannot be asked.
    pub(crate) fn to_read(&self, app: &App) -> Result<(PathBuf, Signers, RememberedRepository)> {
        let repo = recipes::open(app)?;
        let (config, state) = with_state(app, &repo)?;
        let place = place::find(&config, repo.root(), self.repository.as_deref())?;
        let signers = place.trusted(&config, &state, &app.ui)?;
        let seen = place.seen(&state, &app.ui)?;
        Ok((place.path, signers, seen))
    }
}

/// imgforge.yaml, and where the state is.
fn with_state(app: &App, repo: &Repo) -> Result<(Config, PathBuf)> {
    let config = repo.config()?;
    let configured = config.state.as_ref().map(|state| repo.root().join(state));
    let state = app.globals.state_dir(configured.as_deref())?;
    Ok((config, state))
}

/// Parses a channel of the command line by the rule that recipes' channels keep.
///
/// # Errors
/// When it breaks that rule.
pub(crate) fn channel(text: &str) -> Result<String, String> {
    let bad = crate::yaml::checker::bad_word(text, "a channel");
    bad.map_or_else(|| Ok(text.to_owned()), Err)
}
