//! `imgforge build --updated`.

use super::Build;
use crate::cli::App;
use crate::error::{Error, Result};
use crate::pipeline::Session;
use crate::pipeline::updated::{self, Rebuild};
use crate::pipeline::updates::{self, Scope};

impl Build {
    /// What is built: all, or with `--updated` only what has fixes waiting and what is built on that, and what could
    /// not be judged.
    pub(super) fn chosen(
        &self,
        app: &App,
        session: &Session,
        names: Vec<String>,
    ) -> Result<(Rebuild, Vec<String>)> {
        if !self.updated {
            return Ok((Rebuild::plain(names), vec![]));
        }
        // All of them: what an image is built on has fixes waiting or not, whoever is named.
        let report = updates::look(session, &Scope::default())?;
        if !self.all {
            updated::have_channels(&report, &names)?;
        }
        let unjudged = updated::unjudged(&report, &names);
        for why in &unjudged {
            app.ui.warning(why.clone());
        }
        let publish = self.publish.as_ref();
        let rebuild = updated::choose(session, &report, (&self.vars, publish), &names)?;
        for why in &rebuild.kept_back {
            app.ui.warning(format!("nothing is built again: {why}"));
        }
        let told = match rebuild.images.as_slice() {
            [] if !rebuild.kept_back.is_empty() => return Ok((rebuild, unjudged)),
            [] if unjudged.is_empty() => "no fixes wait: nothing is built".to_owned(),
            [] => "nothing is built: no fixes are known to wait, and not all could be judged"
                .to_owned(),
            images => format!("fixes wait: building {}", images.join(", ")),
        };
        app.ui.notice(told);
        Ok((rebuild, unjudged))
    }
}

/// Fails where fixes may wait that nobody has seen.
pub(super) fn judged(unjudged: &[String]) -> Result<()> {
    match unjudged {
        [] => Ok(()),
        _ => Err(Error::stage("not every image could be judged")
            .cause("fixes may wait that nobody has seen")
            .hint("`imgforge updates` shows by image what is missing")),
    }
}
