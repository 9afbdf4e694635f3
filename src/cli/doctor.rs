//! `imgforge doctor`.

use super::{App, out, recipes};
use crate::doctor::{self, Wishes};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Looks at the host and prints what it finds.
    ///
    /// # Errors
    /// When the host is not ready.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        // A recipe repository is welcome, not needed.
        let repo = recipes::find(app)?;
        let config = repo
            .as_ref()
            .map(|repo| repo.config())
            .transpose()?
            .unwrap_or_default();
        let configured = repo
            .as_ref()
            .zip(config.state.as_ref())
            .map(|(repo, state)| repo.root().join(state));
        let state = app.globals.state_dir(configured.as_deref())?;
        let mirrors: Vec<String> = config
            .mirrors
            .into_values()
            .flatten()
            .map(String::from)
            .collect();
        let findings = doctor::examine(&Wishes {
            state: &state,
            connect: app.globals.connect.as_deref(),
            accel: app.globals.accel,
            signing_key: config.signing_key.as_deref(),
            mirrors: &mirrors,
        });
        if self.json {
            out::json(&findings)?;
        } else {
            out::print(&doctor::render(&findings))?;
        }
        doctor::verdict(&findings)
    }
}
