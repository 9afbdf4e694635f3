//! Whether nodes can build: the doctor, as a job in each partition.

use std::path::Path;
use std::time::Duration;

use super::queue::{Ended, Order, Queue, Standing};
use super::run::{Asked, Run};
use super::script::{Place, script};
use super::{Job, Wishes, cancel};
use crate::digest::Key;
use crate::error::Result;
use crate::host::interrupt;
use crate::machine::Arch;
use crate::pipeline::Session;
use crate::recipe::EngineConfig;
use crate::time::now;

/// Between two looks at the queue.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the doctor said in a partition.
#[derive(Debug)]
pub struct Visit {
    /// The partition; empty for the engine's own.
    pub partition: String,
    /// What it printed.
    pub said: String,
    /// Whether a node there can build.
    pub well: bool,
}

/// Runs the doctor on a node of each partition that imgforge.yaml names.
///
/// # Errors
/// When the engine does not take a job, or does not answer; on an interrupt.
pub fn visit(session: &Session, queue: &'static Queue, wishes: &Wishes) -> Result<Vec<Visit>> {
    session.store.prepare()?;
    let run = Run {
        id: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
        engine: queue.name.to_owned(),
        created: now(),
        images: vec![],
        asked: Asked::default(),
        jobs: vec![],
        whole: false,
    };
    run.save(&session.store)?;
    let mut ids = vec![];
    let visited = visit_all(session, queue, wishes, &run, &mut ids);
    if visited.is_err()
        && let Err(error) = cancel::cancel(queue, &ids, &session.ui)
    {
        session.ui.warning(error.render().trim_end().to_owned());
    }
    run.remove(&session.store);
    visited
}

fn visit_all(
    session: &Session,
    queue: &Queue,
    wishes: &Wishes,
    run: &Run,
    ids: &mut Vec<String>,
) -> Result<Vec<Visit>> {
    let config = &session.config.engine;
    let named = config.slurm.partition.clone().unwrap_or_default();
    let partitions: Vec<&str> = named.split(',').map(str::trim).collect();
    for partition in &partitions {
        ids.push(submit(session, queue, wishes, run, partition)?);
    }
    let mut visits = vec![];
    for (partition, id) in partitions.into_iter().zip(ids) {
        let mut told = String::new();
        let how = loop {
            let looks = (queue.look)()?;
            match looks.get(id) {
                None => break Ended::Forgotten,
                Some(look) => match look.standing {
                    Standing::Ended(how) => break how,
                    Standing::Waiting | Standing::Held
                        if look.reason != told && look.reason != "None" =>
                    {
                        told.clone_from(&look.reason);
                        let ui = &session.ui;
                        ui.notice(format!("the job {id} ({}) waits: {told}", name(partition)));
                    }
                    _ => {}
                },
            }
            interrupt::check()?;
            std::thread::sleep(LOOK_EVERY);
        };
        let [_, output] = run.files(&session.store, &name(partition));
        visits.push(Visit {
            partition: partition.to_owned(),
            said: String::from_utf8_lossy(&std::fs::read(output).unwrap_or_default()).into_owned(),
            well: how == Ended::Well,
        });
    }
    Ok(visits)
}

fn name(partition: &str) -> String {
    format!("doctor {partition}")
}

fn submit(
    session: &Session,
    queue: &Queue,
    wishes: &Wishes,
    run: &Run,
    partition: &str,
) -> Result<String> {
    let mut config: EngineConfig = session.config.engine.clone();
    config.slurm.partition = Some(partition.to_owned()).filter(|name| !name.is_empty());
    let job = Job {
        name: name(partition),
        image: name(partition),
        key: Key::of(format!("{} {partition}", run.id).as_bytes()),
        parents: vec![],
        arch: Arch::default(),
        memory: 1024,
        processors: 1,
        time: 3600,
        until: None,
        done: false,
        command: ["imgforge", "doctor"].map(str::to_owned).to_vec(),
    };
    let [events, output] = run.files(&session.store, &job.name);
    let (program, root) = super::submit::program_and_root(session)?;
    let place = Place {
        program: &program,
        root: &root,
        state: config
            .slurm
            .state
            .as_deref()
            .map_or(session.store.state(), Path::new),
        caller: None,
        globals: &wishes.globals,
        scratch: config.slurm.scratch.as_deref(),
        root_user: rustix::process::geteuid().is_root(),
    };
    (queue.submit)(&Order {
        job: &job,
        parents: vec![],
        after: vec![],
        script: script(&job, &place, &events),
        output: &output,
        root: &root,
        config: &config,
    })
}
