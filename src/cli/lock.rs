//! `imgforge lock`.

use super::{App, out, recipes, session};
use crate::error::Result;
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
        let mut names = names.iter();
        names.try_for_each(|name| write(&session, &options, name))
    }
}

/// Writes the lock of an image's last build, and prints where it is.
pub(super) fn write(session: &Session, options: &Options, name: &str) -> Result<()> {
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
