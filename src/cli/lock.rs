//! `imgforge lock`.

use super::{App, out, recipes, session};
use crate::error::{Error, Kind, Result};
use crate::lock;
use crate::pipeline::{self, Options, Session};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Of the image NAME the lock is the file NAME.lock beside its recipe; commit it with the recipe.\n\
                  `imgforge build NAME --locked` fetches only what it names."
)]
pub(crate) struct WriteLock {
    /// Images
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All images of the recipe repository
    #[arg(long)]
    all: bool,
    /// Sets a variable (can be repeated)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = recipes::variable)]
    vars: Vec<(String, String)>,
}

impl WriteLock {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        let options = Options {
            vars: self.vars.clone(),
            ..Options::default()
        };
        let names = session::names(&session, &self.names, self.all)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        write(&session, &options, &names)
    }
}

/// Writes the locks of the images' last builds. One that has none does not stop the others.
///
/// # Errors
/// Of a single image its own; of several all, as the first of them.
pub(super) fn write(session: &Session, options: &Options, names: &[&str]) -> Result<()> {
    let mut failed: Vec<(&str, Error)> = vec![];
    for name in names {
        match write_one(session, options, name) {
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => return Err(error),
            Err(error) => failed.push((name, error)),
            Ok(()) => {}
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        [(_, error)] if names.len() == 1 => Err(error.clone()),
        [(first, _), ..] => {
            let said = format!("{} of {} locks were not written", failed.len(), names.len());
            let each = failed
                .iter()
                .map(|(name, error)| format!("{name}: {}", error.message()));
            let kind = Kind::of_several(failed.iter().map(|(_, error)| error.kind()));
            Err(Error::new(kind.unwrap_or(Kind::Usage), said)
                .evidence(each)
                .hint(format!("`imgforge lock {first}` says more of the first")))
        }
    }
}

/// Writes the lock of an image's last build, and prints where it is.
fn write_one(session: &Session, options: &Options, name: &str) -> Result<()> {
    let written = pipeline::lock::write(session, options, name)?;
    for warning in &written.warnings {
        session.ui.warning(warning.clone());
    }
    out::print(&format!("{}\n", written.path.display()))
}

/// Refuses before a build what could not be written after it.
pub(super) fn ready(session: &Session, options: &Options, names: &[String]) -> Result<()> {
    names.iter().try_for_each(|name| {
        let recipe = session.repo.load(name, &options.vars)?.file;
        pipeline::lock::outlet(&lock::path(&recipe, name)).map(drop)
    })
}
