//! Stays with a build until its jobs have ended, and hands over what they made.

use std::collections::{BTreeMap, BTreeSet};

use super::cancel;
use super::follow::follow;
use super::run::Run;
use crate::error::{Kind, Result};
use crate::pipeline::graph::Outcome;
use crate::pipeline::{self, Session, whole};
use crate::ui::{Event, Reporter, Ui};

/// How a build's images ended, in the order in which they were asked for. What is done was handed over.
/// On an interrupt the jobs are cancelled if they are this command's own.
///
/// # Errors
/// The interrupt; also when what was made cannot be handed over.
pub fn attend(session: Session, run: &Run, own: bool) -> Result<Vec<(String, Outcome)>> {
    let followed = follow(&session, run);
    if let Err(error) = &followed
        && matches!(error.kind(), Kind::Interrupted(_))
        && !own
    {
        return followed;
    }
    let outcomes = followed.inspect_err(|_| {
        if let Err(error) = cancel_all(&session, run) {
            session.ui.warning(error.render().trim_end().to_owned());
        }
    })?;
    let ended = images(run, outcomes);
    let told = run
        .jobs
        .iter()
        .map(|submitted| submitted.job.image.clone())
        .collect();
    let shown = Shown {
        ui: session.ui.clone(),
        told,
    };
    let session = Session {
        ui: Ui::new(shown),
        ..session
    };
    let handed = hand_over(&session, run, &ended);
    if handed.is_ok() || own {
        run.remove(&session.store);
    }
    handed.map(|()| ended)
}

/// What became of the images that were asked for, by their jobs; what has none was there before.
fn images(run: &Run, outcomes: Vec<(String, Outcome)>) -> Vec<(String, Outcome)> {
    let image = |name: &str| {
        let job = run.jobs.iter().find(|submitted| submitted.job.name == name);
        job.map_or(name, |submitted| &submitted.job.image)
            .to_owned()
    };
    let mut ended: BTreeMap<String, Outcome> = BTreeMap::new();
    for (name, outcome) in outcomes {
        let of = image(&name);
        let outcome = match outcome {
            Outcome::Skipped(parent) => Outcome::Skipped(image(&parent)),
            outcome => outcome,
        };
        // A gate is not begun where its image was not sealed, and the reason is that one's.
        if !matches!(&outcome, Outcome::Skipped(parent) if *parent == of) {
            ended.insert(of, outcome);
        }
    }
    let all = run.images.iter();
    let ended = all.map(|name| (name.clone(), ended.remove(name).unwrap_or(Outcome::Done)));
    ended.collect()
}

/// Ends all jobs of a build.
///
/// # Errors
/// When its engine does not take it: the build stays known.
pub fn cancel_all(session: &Session, run: &Run) -> Result<()> {
    let ids: Vec<String> = run
        .jobs
        .iter()
        .map(|submitted| submitted.id.clone())
        .collect();
    let cancelled = cancel::cancel(run.queue()?, &ids, &session.ui);
    let kept = format!(
        "the build goes on: `imgforge jobs {} --cancel` tries again",
        run.id
    );
    cancelled.map_err(|error| error.within(kept))?;
    run.remove(&session.store);
    Ok(())
}

/// What has all its architectures, at once.
fn hand_over(session: &Session, run: &Run, ended: &[(String, Outcome)]) -> Result<()> {
    let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Done);
    let failed = ended.iter().filter(|(_, outcome)| !is_done(outcome));
    let failed: BTreeSet<&str> = failed.map(|(image, _)| whole::name(image)).collect();
    let done = ended.iter().filter(|(_, outcome)| is_done(outcome));
    let (part, done): (Vec<String>, Vec<String>) = done
        .map(|(image, _)| image.clone())
        .partition(|image| failed.contains(whole::name(image)));
    let parts: BTreeSet<&str> = part.iter().map(|image| whole::name(image)).collect();
    for name in parts {
        session.ui.warning(format!(
            "`{name}` was not handed over: not all its architectures are built"
        ));
    }
    let options = run.asked.options();
    let apart = session.config.engine.slurm.state.is_some();
    if apart && options.publish.is_none() && options.output.is_none() {
        // They would come here, whole disks, for nothing but their names.
        for name in &done {
            session.ui.notice(format!("{name} is in the shared store"));
        }
        return Ok(());
    }
    pipeline::finished(session, &options, &done)
}

/// Passes on all but what the followed jobs have said.
struct Shown {
    ui: Ui,
    told: BTreeSet<String>,
}

impl Reporter for Shown {
    fn event(&self, event: &Event) {
        match event {
            Event::Cached { image, .. } if self.told.contains(image) => {}
            event => self.ui.event(event),
        }
    }
}
