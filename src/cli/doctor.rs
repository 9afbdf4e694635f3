//! `imgforge doctor`.

use super::{App, build, out, recipes, session};
use crate::doctor::{self, Wishes};
use crate::engine::{self, Queue};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
    /// Looks at a node of each partition of ENGINE instead
    #[arg(long, value_name = "ENGINE", value_parser = build::engines(), conflicts_with = "json")]
    on: Option<String>,
}

impl Doctor {
    /// Looks at the host and prints what it finds.
    ///
    /// # Errors
    /// When the host is not ready.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let queue = engine::QUEUES
            .iter()
            .find(|queue| Some(queue.name) == self.on.as_deref());
        if let Some(queue) = queue {
            return on_nodes(app, queue);
        }
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

fn on_nodes(app: &App, queue: &'static Queue) -> Result<()> {
    let wishes = engine::Wishes {
        globals: app.globals.of_jobs()?,
        most: None,
    };
    let visits = engine::visit(&session::open(app)?, queue, &wishes)?;
    let mut ill = vec![];
    for visit in visits {
        let place = match visit.partition.as_str() {
            "" => queue.name.to_owned(),
            partition => format!("{}, partition {partition}", queue.name),
        };
        out::print(&format!("{place}:\n{}", visit.said))?;
        if !visit.well {
            ill.push(place);
        }
    }
    match ill.as_slice() {
        [] => Ok(()),
        _ => Err(Error::host("not every node can build").evidence(ill)),
    }
}
