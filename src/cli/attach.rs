//! `imgforge attach`.

use std::io::IsTerminal as _;

use super::{App, session};
use crate::console::lines::Screen;
use crate::error::Result;
use crate::pipeline;

#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// Image whose running build's guest is watched
    name: String,
}

impl Attach {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        let mut stdout = std::io::stdout().lock();
        let screen = stdout.is_terminal().then(Screen::default);
        let image = session.repo.one(&self.name)?;
        let shown = pipeline::shell::attach(&session.store, &image, screen, &mut stdout);
        shown.map_err(|error| session.repo.know(&self.name).err().unwrap_or(error))
    }

    /// What to know of one that a signal ended: it only looked.
    pub(super) fn interrupted(&self) -> String {
        let name = &self.name;
        format!("the build goes on; `imgforge attach {name}` shows its guest again")
    }
}
