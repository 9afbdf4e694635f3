//! `imgforge publish`.

use std::collections::BTreeSet;

use super::{App, out, place, session};
use crate::error::Result;
use crate::pipeline::{self, whole};

#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    /// Images whose last build is published
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The channel (default: the recipe's or the repository's)
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel)]
    to: Option<String>,
}

impl Publish {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        let images = session::names(&session, &self.names, false)?;
        whole::refuse_parts(&session.repo, &images, &[])?;
        let mut done = BTreeSet::new();
        for name in images.iter().map(|image| whole::name(image)) {
            if done.insert(name) {
                pipeline::publish(&session, self.to.as_deref(), name)?;
            }
        }
        app.ui.close();
        out::print(&app.summary.render())
    }
}
