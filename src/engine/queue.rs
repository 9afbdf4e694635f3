//! What an engine with a queue is asked: to take a job, where jobs stand, to end them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::Job;
use crate::error::Result;
use crate::recipe::EngineConfig;

/// An engine with a queue. Its functions end what they began also after Ctrl-C.
#[derive(Debug)]
pub struct Queue {
    /// Its name on the command line.
    pub name: &'static str,
    /// Takes a job; what it calls it.
    ///
    /// # Errors
    /// When it does not take it.
    pub submit: fn(&Order<'_>) -> Result<String>,
    /// Where this user's jobs stand; one that is not among them has been forgotten.
    ///
    /// # Errors
    /// When it does not answer.
    pub look: fn() -> Result<BTreeMap<String, Look>>,
    /// Ends jobs; one that has ended stays so.
    ///
    /// # Errors
    /// When it does not answer.
    pub cancel: fn(&[String]) -> Result<()>,
}

/// A job to take.
#[derive(Debug)]
pub struct Order<'a> {
    /// What is built.
    pub job: &'a Job,
    /// Jobs that have to end well before; if one fails, this one is given up.
    pub parents: Vec<String>,
    /// Jobs that have to end before, however.
    pub after: Vec<String>,
    /// What runs on the node: a script of a POSIX shell.
    pub script: String,
    /// File of what the script prints.
    pub output: &'a Path,
    /// Directory in which it begins.
    pub root: &'a Path,
    /// What imgforge.yaml says of engines.
    pub config: &'a EngineConfig,
}

/// What a queue says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Where it stands.
    pub standing: Standing,
    /// Why, in the queue's words.
    pub reason: String,
    /// Whether that may last until somebody does something about it.
    pub odd: bool,
    /// The node that has it, if one has.
    pub node: String,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its turn has not come, or comes again.
    Waiting,
    /// It waits until somebody releases it.
    Held,
    /// A node has it.
    Running,
    /// It is over.
    Ended(Ended),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::Waiting => "waits",
            Standing::Held => "held",
            Standing::Running => "runs",
            Standing::Ended(Ended::Well) => "done",
            Standing::Ended(Ended::Cancelled) => "cancelled",
            Standing::Ended(_) => "failed",
        })
    }
}

/// How a job ended, by what the queue says; whether its image is there, the store says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With exit code 0.
    Well,
    /// With another one.
    Failed,
    /// Somebody ended it, or it was given up for a parent.
    Cancelled,
    /// Its time was over.
    Late,
    /// It took more memory than it had asked for.
    Memory,
    /// Its node failed.
    Node,
    /// The queue knows it no more.
    Forgotten,
}
