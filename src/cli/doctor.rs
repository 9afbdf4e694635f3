//! `imgforge doctor`.

use super::{App, out};
use crate::error::Result;
use crate::host::doctor::{self, Wishes};

/// The arguments of `imgforge doctor`.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Looks at the host and prints what it finds.
    ///
    /// # Errors
    /// When the host is not ready.
    pub fn run(&self, app: &App) -> Result<()> {
        let state = app.globals.state_dir(None)?;
        let findings = doctor::examine(&Wishes {
            state: &state,
            connect: app.globals.connect.as_deref(),
            accel: app.globals.accel.setting(),
            signing_key: None,
            mirrors: &[],
        });
        if self.json {
            out::json(&findings)?;
        } else {
            out::print(&doctor::render(&findings))?;
        }
        doctor::verdict(&findings)
    }
}
