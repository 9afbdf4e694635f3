//! Builds on other machines: the jobs of a build, and the engines that run them. One file an engine;
//! the lists below are the only ones.
//!
//! * [`jobs`]: the jobs, for whatever runs them
//! * `gitlab`: the jobs as a file that a service runs by itself
//! * `slurm`: an engine with a queue, which [`queue`] says what is asked of
//! * [`submit`], [`follow`], [`attend`]: a build by such an engine, from here

mod attend;
mod cancel;
mod doctor;
mod events;
mod follow;
mod gitlab;
pub mod jobs;
pub mod queue;
mod run;
mod script;
mod slurm;
mod submit;

use crate::error::Result;
use crate::recipe::EngineConfig;
pub use attend::{attend, cancel_all};
pub use doctor::{Visit, visit};
pub use jobs::{Job, list};
pub use queue::Queue;
pub use run::{Run, Submitted};
pub use submit::{Wishes, submit};

/// A service that takes jobs as a file that it runs by itself.
#[derive(Debug)]
pub struct Pipeline {
    /// Its name on the command line.
    pub name: &'static str,
    /// Writes the file of these jobs, of which a parent stands before its children. The words are options
    /// of every command line in it; those of the jobs have them.
    ///
    /// # Errors
    /// When it has limits that the jobs exceed.
    pub write: fn(&[Job], &[String], &EngineConfig) -> Result<String>,
}

/// Every service that takes a file.
pub const PIPELINES: &[Pipeline] = &[gitlab::PIPELINE];

/// Every engine with a queue.
pub const QUEUES: &[Queue] = &[slurm::QUEUE];
