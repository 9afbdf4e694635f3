//! `imgforge jobs`.

use super::{App, BEGINS_AGAIN, build, out, session};
use crate::engine::{self, Run};
use crate::error::Result;
use crate::ui::summary::table;

/// The arguments of `imgforge jobs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Jobs {
    /// The build to follow to its end; without it all jobs are listed
    #[arg(value_name = "BUILD")]
    build: Option<String>,
    /// Cancels its jobs
    #[arg(long, requires = "build")]
    cancel: bool,
}

impl Jobs {
    /// Runs the verb. Who follows and is interrupted leaves the jobs as they are.
    ///
    /// # Errors
    /// As `build`; when there is no such build, or its engine does not answer.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let mut session = session::open(app)?;
        if session.config.engine.slurm.state.is_some() {
            session::share(&mut session, None)?;
        }
        let Some(id) = &self.build else {
            return out::print(&list(&Run::all(&session.store))?);
        };
        let run = Run::read(&session.store, id)?;
        if self.cancel {
            return engine::cancel_all(&session, &run);
        }
        run.refuse_part()?;
        let all = run.images.len();
        let failed = build::stay(session, &run, false, vec![])?;
        build::end(app, &failed, all, false)
    }

    /// What to know of one that a signal ended: who follows jobs only looks.
    pub(super) fn interrupted(&self) -> String {
        match &self.build {
            Some(id) if !self.cancel => {
                format!("the jobs go on; `imgforge jobs {id}` follows them again")
            }
            _ => BEGINS_AGAIN.into(),
        }
    }
}

/// One line a job, with what its engine says of it.
fn list(runs: &[Run]) -> Result<String> {
    let mut rows = vec![];
    for run in runs {
        let looks = (run.queue()?.look)()?;
        for engine::Submitted { id, job, .. } in &run.jobs {
            let (state, node) = match looks.get(id) {
                Some(look) => (look.standing.to_string(), look.node.clone()),
                None => ("over".to_owned(), String::new()),
            };
            rows.push([run.id.clone(), job.name.clone(), id.clone(), state, node]);
        }
    }
    Ok(table(
        ["BUILD", "IMAGE", "JOB", "STATE", "NODE"],
        [false; 5],
        rows,
    ))
}
