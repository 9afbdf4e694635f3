//! Shows what the jobs of a build do, until each has ended; whether its image is there, the store says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::cancel;
use super::events::{Said, Tail};
use super::queue::{Ended, Look, Queue, Standing};
use super::run::{Run, Submitted, result};
use crate::error::{Error, Result};
use crate::host::interrupt;
use crate::pipeline::graph::Outcome;
use crate::pipeline::{self, Session};
use crate::store::epoch::Mode;
use crate::ui::{Event, Ui};
use crate::units::{Size, Span};

/// Between two looks at the queue: its controller serves a whole site.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Between two looks at the files.
const READ_EVERY: Duration = Duration::from_millis(100);

/// What another machine has written to a shared directory is seen here so much later at most.
const SEEN_WITHIN: Duration = Duration::from_secs(15);

/// How much of what a job printed is shown when nothing else tells why it failed, in lines.
const LAST: usize = 12;

/// Follows a build's jobs to their end. Outcomes are in the order of the jobs; failures were told.
///
/// # Errors
/// The interrupt.
pub(super) fn follow(session: &Session, run: &Run) -> Result<Vec<(String, Outcome)>> {
    let queue = run.queue()?;
    let mut jobs: Vec<Followed<'_>> = run
        .jobs
        .iter()
        .map(|job| Followed::new(session, run, job))
        .collect();
    let (mut looked, mut silent) = (None::<Instant>, false);
    loop {
        jobs.iter_mut().for_each(Followed::listen);
        if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            match (queue.look)() {
                Ok(looks) => {
                    jobs.iter_mut().for_each(|job| job.look(&looks));
                    silent = false;
                }
                Err(error) if !silent => {
                    session
                        .ui
                        .warning(format!("{error}; it is asked again until it answers"));
                    silent = true;
                }
                Err(_) => {}
            }
            looked = Some(Instant::now());
        }
        judge(&mut jobs, queue, &session.ui);
        if jobs.iter().all(|job| job.outcome.is_some()) {
            break;
        }
        interrupt::check()?;
        std::thread::sleep(READ_EVERY);
    }
    let outcomes = jobs
        .into_iter()
        .filter_map(|job| Some((job.submitted.job.name.clone(), job.outcome?)));
    let mut outcomes: Vec<_> = outcomes.collect();
    let is_failed = |(_, outcome): &(String, Outcome)| matches!(outcome, Outcome::Failed(_));
    match (run.images.as_slice(), outcomes.iter().position(is_failed)) {
        // One image ends as what it builds on, as in a local build.
        ([image], Some(at)) => Ok(vec![(image.clone(), outcomes.swap_remove(at).1)]),
        _ => Ok(outcomes),
    }
}

/// Parents first: what builds on a failed image is not built, whatever the queue makes of it.
fn judge(jobs: &mut [Followed<'_>], queue: &Queue, ui: &Ui) {
    let mut given_up = vec![];
    for at in 0..jobs.len() {
        let parents = &jobs[at].submitted.job.parents;
        let mut parents = jobs[..at]
            .iter()
            .filter(|job| parents.contains(&job.submitted.job.name));
        let lost = parents.clone().find(|parent| {
            matches!(
                parent.outcome,
                Some(Outcome::Failed(_) | Outcome::Skipped(_))
            )
        });
        let lost = lost.map(|parent| parent.submitted.job.name.clone());
        let open = parents.any(|parent| parent.outcome.is_none());
        let job = &mut jobs[at];
        match lost {
            Some(parent) if job.outcome.is_none() => {
                if job.ended.is_none() {
                    given_up.push(job.submitted.id.clone());
                }
                job.outcome = Some(Outcome::Skipped(parent));
            }
            None if !open => job.judge(),
            _ => {}
        }
    }
    if let Err(error) = cancel::cancel(queue, &given_up, ui) {
        ui.warning(error.render().trim_end().to_owned());
    }
}

struct Followed<'a> {
    session: &'a Session,
    run: &'a Run,
    submitted: &'a Submitted,
    tail: Tail,
    failure: Option<Error>,
    /// What its program said beside.
    texts: Vec<String>,
    /// It has begun, and said so.
    heard: bool,
    stands: Option<Standing>,
    /// Why it waits, where that has been told.
    odd: Option<String>,
    ended: Option<(Ended, Instant)>,
    /// When the store was asked last.
    judged: Option<Instant>,
    outcome: Option<Outcome>,
}

impl<'a> Followed<'a> {
    fn new(session: &'a Session, run: &'a Run, submitted: &'a Submitted) -> Self {
        let [events, _] = run.files(&session.store, &submitted.job.name);
        Followed {
            session,
            run,
            submitted,
            tail: Tail::new(events),
            failure: None,
            texts: vec![],
            heard: false,
            stands: None,
            odd: None,
            ended: None,
            judged: None,
            outcome: None,
        }
    }

    fn listen(&mut self) {
        let (ui, name) = (&self.session.ui, &self.submitted.job.name);
        for said in self.tail.next() {
            match said {
                Said::Failure(error) => self.failure = Some(error),
                Said::Text(text) => self.texts.push(text),
                // The caller hands over what was made.
                Said::Event(Event::Artifact { .. } | Event::Published { .. }) => {}
                Said::Event(Event::Notice { text }) => ui.notice(format!("{name}: {text}")),
                Said::Event(Event::Warning { text }) => ui.warning(format!("{name}: {text}")),
                Said::Event(event) => {
                    (self.failure, self.heard) = (None, true);
                    ui.event(&event);
                }
            }
        }
    }

    fn look(&mut self, looks: &BTreeMap<String, Look>) {
        if self.ended.is_some() {
            return;
        }
        let Submitted { id, job, .. } = self.submitted;
        let ui = &self.session.ui;
        let Some(look) = looks.get(id) else {
            self.ended = Some((Ended::Forgotten, Instant::now()));
            return;
        };
        match (self.stands, look.standing) {
            (_, Standing::Ended(how)) => self.ended = Some((how, Instant::now())),
            (_, Standing::Waiting) if self.heard => {
                self.heard = false;
                ui.notice(format!(
                    "the job {id} of {} begins anew: {}",
                    job.name, look.reason
                ));
            }
            (_, Standing::Waiting) if look.odd && self.odd.as_ref() != Some(&look.reason) => {
                self.odd = Some(look.reason.clone());
                ui.warning(format!(
                    "the job {id} of {} waits: {}",
                    job.name, look.reason
                ));
            }
            (before, Standing::Held) if before != Some(Standing::Held) => {
                ui.warning(format!(
                    "the job {id} of {} is held: {}",
                    job.name, look.reason
                ));
            }
            _ => {}
        }
        self.stands = Some(look.standing);
    }

    /// Of one that has ended, whether its image is there.
    fn judge(&mut self) {
        let (None, Some((how, at))) = (&self.outcome, self.ended) else {
            return;
        };
        let (session, job) = (self.session, &self.submitted.job);
        if self.judged.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.judged = Some(Instant::now());
        session.store.ask_anew();
        let plan = pipeline::plan(session, &self.run.options(job), &job.image, Mode::Last);
        let before = self.submitted.before.as_ref();
        if plan.is_ok_and(|plan| !plan.has_work() && before != Some(&result(&plan))) {
            self.listen();
            self.outcome = Some(Outcome::Done);
            return;
        }
        let late = matches!(how, Ended::Well | Ended::Forgotten);
        if late && at.elapsed() < SEEN_WITHIN {
            return;
        }
        self.listen();
        let error = match (self.failure.take(), how) {
            (Some(error), Ended::Well | Ended::Failed | Ended::Forgotten) => self.going_on(error),
            // Who ends a job ends its programs, too, whose failures the job then tells.
            (Some(error), how) => self.unexplained(how).cause(error),
            (None, how) => self.unexplained(how),
        };
        // Of one image it is the command's own error.
        if self.run.images.len() != 1 {
            session.ui.warning(error.render().trim_end().to_owned());
        }
        self.outcome = Some(Outcome::Failed(error));
    }

    /// The caller's command goes on, and not the job's.
    fn going_on(&self, error: Error) -> Error {
        match error.resume_text() {
            Some(_) => error.resume(format!("`{}` goes on at this stage", self.again())),
            None => error,
        }
    }

    /// The command that goes on: it builds this image if it was asked for, else all that were.
    fn again(&self) -> String {
        let (images, name) = (&self.run.images, &self.submitted.job.name);
        let all: Vec<&str> = match images.contains(name) {
            true => vec![name],
            false => images.iter().map(String::as_str).collect(),
        };
        self.run.asked.again().command(&all)
    }

    /// Of a job that did not say itself why it failed.
    fn unexplained(&self, how: Ended) -> Error {
        let Submitted { id, job, .. } = self.submitted;
        let (what, hint) = match how {
            Ended::Well => (
                "ended well, and its result is not in the store".to_owned(),
                match self.session.config.engine.slurm.state {
                    Some(_) => "could the node put it into the shared store? Its log says",
                    None => "do the node and this machine share the state directory?",
                }
                .to_owned(),
            ),
            Ended::Failed => ("failed".into(), format!("`{}` goes on", self.again())),
            Ended::Cancelled => (
                "was cancelled".into(),
                "the same command goes on where it stopped".into(),
            ),
            Ended::Late => (
                format!("took longer than {}", Span::seconds(job.time)),
                "write `engine: {time: …}` in imgforge.yaml; the same command goes on".into(),
            ),
            Ended::Memory => (
                format!("took more memory than {}", Size::mib(job.memory).human()),
                "the recipe's `machine: {memory: …}` decides what it gets".into(),
            ),
            Ended::Node => (
                "lost its node".into(),
                "the same command goes on where it stopped".into(),
            ),
            Ended::Forgotten => (
                format!(
                    "is not known to {} any more, and left no result",
                    self.run.engine
                ),
                "the same command goes on where it stopped".into(),
            ),
        };
        let [_, output] = self.run.files(&self.session.store, &job.name);
        let output = std::fs::read(output).unwrap_or_default();
        let output = String::from_utf8_lossy(&output);
        let texts = self.texts.iter().map(String::as_str);
        let lines: Vec<&str> = output.lines().chain(texts).collect();
        Error::stage(format!("the job {id} of {} {what}", job.name))
            .evidence(lines[lines.len().saturating_sub(LAST)..].iter().copied())
            .hint(hint)
    }
}
