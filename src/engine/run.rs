//! A build that was given to an engine: what was asked for, and the jobs, in `STATE/jobs/ID/run.json`, so that
//! another command can come back to it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Job, QUEUES, Queue};
use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::pipeline::Options;
use crate::pipeline::again::Again;
use crate::stage::StageId;
use crate::stage::plan::Plan;
use crate::store::{Store, private_dir, to_json, write_atomic};

const FILE: &str = "run.json";

/// The jobs that an engine has taken so far, one a line.
const TAKEN: &str = "taken";

/// A build that was given to an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Run {
    /// Its name.
    pub id: String,
    /// The engine's name.
    pub engine: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The images that were asked for.
    pub images: Vec<String>,
    /// What of them.
    pub asked: Asked,
    /// What was submitted, parents first.
    pub jobs: Vec<Submitted>,
    /// Whether that is all: not yet, or not any more, where who submits has been killed.
    pub whole: bool,
}

/// A job that an engine has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Submitted {
    /// What the engine calls it.
    pub id: String,
    /// What it builds.
    pub job: Job,
    /// The result that was there already, where it makes another one.
    pub before: Option<Key>,
}

/// What tells results of a plan apart.
pub(super) fn result(plan: &Plan) -> Key {
    super::jobs::key(&plan.all())
}

/// The options of a build that matter when its jobs are over.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Asked {
    until: Option<StageId>,
    targets: Vec<String>,
    vars: Vec<(String, String)>,
    publish: bool,
    channel: Option<String>,
    output: Option<PathBuf>,
    // Runs of an older imgforge lack it.
    #[serde(default)]
    locked: bool,
    #[serde(default)]
    again: Again,
}

impl Asked {
    /// What of these options matters.
    pub fn new(options: &Options) -> Self {
        let Options {
            until,
            targets,
            vars,
            publish,
            output,
            locked,
            again,
            ..
        } = options.clone();
        Asked {
            until,
            targets,
            vars,
            publish: publish.is_some(),
            channel: publish.flatten(),
            output,
            locked,
            again,
        }
    }

    /// The command line that goes on after a failed job.
    pub(super) fn again(&self) -> &Again {
        &self.again
    }

    /// Another command may come back from another directory.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn make_absolute(&mut self) -> Result<()> {
        if let Some(output) = &mut self.output {
            let whole = std::path::absolute(&output);
            *output = whole.doing(|| format!("finding {}", output.display()))?;
        }
        Ok(())
    }

    /// The options of who hands over what the jobs made.
    pub fn options(&self) -> Options {
        let Asked {
            until,
            targets,
            vars,
            output,
            locked,
            ..
        } = self.clone();
        Options {
            until,
            targets,
            vars,
            offline: true,
            publish: self.publish.then(|| self.channel.clone()),
            output,
            locked,
            ..Options::default()
        }
    }
}

impl Run {
    /// The engine.
    ///
    /// # Errors
    /// When this imgforge knows none of this name.
    pub fn queue(&self) -> Result<&'static Queue> {
        let mut queues = QUEUES.iter();
        queues
            .find(|queue| queue.name == self.engine)
            .ok_or_else(|| Error::usage(format!("there is no engine `{}`", self.engine)))
    }

    /// The options by which a job's image is made.
    pub fn options(&self, job: &Job) -> Options {
        let targets = match self.images.contains(&job.image) {
            true => self.asked.targets.clone(),
            false => vec![],
        };
        Options {
            until: job.until,
            targets,
            ..self.asked.options()
        }
    }

    /// Nobody follows what was not submitted to its end: what has no job would be taken for done.
    ///
    /// # Errors
    /// Of such a one.
    pub fn refuse_part(&self) -> Result<()> {
        if self.whole {
            return Ok(());
        }
        let id = &self.id;
        let said = format!("the build `{id}` was not submitted to its end");
        Err(Error::usage(said).hint(format!(
            "`imgforge jobs {id} --cancel` takes back what was; then build again"
        )))
    }

    /// Where its files are.
    pub fn dir(&self, store: &Store) -> PathBuf {
        all(store).join(&self.id)
    }

    /// The file into which a job writes its events, and the one of what else it prints.
    pub fn files(&self, store: &Store, image: &str) -> [PathBuf; 2] {
        ["events", "out"].map(|end| self.dir(store).join(format!("{image}.{end}")))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub fn save(&self, store: &Store) -> Result<()> {
        let dir = self.dir(store);
        private_dir(&dir).doing(|| format!("making {}", dir.display()))?;
        write_atomic(&dir.join(FILE), &to_json(self)?)
    }

    /// Notes a job that the engine has just taken: who comes after a killed command finds it.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub(super) fn note(&self, store: &Store, submitted: &Submitted) -> Result<()> {
        let path = self.dir(store).join(TAKEN);
        let doing = || format!("writing {}", path.display());
        let line = serde_json::to_string(submitted);
        let line = line.map_err(|cause| Error::internal("a job has no text").cause(cause))?;
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .doing(doing)?;
        file.write_all(format!("{line}\n").as_bytes()).doing(doing)
    }

    /// Forgets it.
    pub fn remove(&self, store: &Store) {
        // What stays is listed again, and no more.
        drop(std::fs::remove_dir_all(self.dir(store)));
    }

    /// Reads the one of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(store: &Store, id: &str) -> Result<Self> {
        let runs = Run::all(store);
        let known: Vec<String> = runs.iter().map(|run| run.id.clone()).collect();
        runs.into_iter().find(|run| run.id == id).ok_or_else(|| {
            let error = Error::usage(format!("no build `{id}` is with an engine"));
            match known.as_slice() {
                [] => error.hint("`imgforge build NAME --on ENGINE --detach` begins one"),
                known => error.hint(format!("there are {}", known.join(", "))),
            }
        })
    }

    /// All of this state directory, the oldest first. One that cannot be read is left out.
    pub fn all(store: &Store) -> Vec<Self> {
        let dirs = std::fs::read_dir(all(store))
            .into_iter()
            .flatten()
            .flatten();
        let read = |dir: &Path| {
            let mut run: Run = serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()?;
            if !run.whole {
                let taken = std::fs::read_to_string(dir.join(TAKEN)).unwrap_or_default();
                let jobs = taken.lines().map(serde_json::from_str);
                run.jobs = jobs.filter_map(Result::ok).collect();
            }
            Some(run)
        };
        let mut runs: Vec<Run> = dirs.filter_map(|dir| read(&dir.path())).collect();
        runs.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        runs
    }
}

fn all(store: &Store) -> PathBuf {
    store.state().join("jobs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_knows_what_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let options = Options {
            until: Some(StageId::Pack),
            publish: Some(None),
            output: Some("/out".into()),
            vars: vec![("a".into(), "b".into())],
            ..Options::default()
        };
        let run = Run {
            id: "0123abcd".into(),
            engine: "slurm".into(),
            created: 7,
            images: vec!["web".into()],
            asked: Asked::new(&options),
            jobs: vec![],
            whole: true,
        };
        run.save(&store).unwrap();
        let read = Run::read(&store, "0123abcd").unwrap();
        assert_eq!(read, run);
        let again = read.asked.options();
        assert_eq!(again.publish, Some(None));
        assert_eq!((again.until, again.output), (options.until, options.output));
        let error = Run::read(&store, "other").unwrap_err();
        assert_eq!(error.hint_text(), Some("there are 0123abcd"));
        run.remove(&store);
        assert_eq!(Run::all(&store), []);
    }

    #[test]
    fn what_was_submitted_is_known_though_its_command_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let mut run = Run {
            id: "0123abcd".into(),
            engine: "slurm".into(),
            created: 7,
            images: vec!["web".into()],
            asked: Asked::default(),
            jobs: vec![],
            whole: false,
        };
        run.save(&store).unwrap();
        let submitted = Submitted {
            id: "17".into(),
            job: Job {
                name: "web".into(),
                image: "web".into(),
                key: Key::of(b"web"),
                parents: vec![],
                arch: crate::machine::Arch::default(),
                memory: 5120,
                processors: 2,
                time: 3600,
                until: None,
                done: false,
                command: vec![],
            },
            before: None,
        };
        run.note(&store, &submitted).unwrap();
        let read = Run::read(&store, "0123abcd").unwrap();
        assert_eq!(read.jobs, std::slice::from_ref(&submitted));
        let error = read.refuse_part().unwrap_err();
        assert!(
            error
                .hint_text()
                .unwrap()
                .contains("jobs 0123abcd --cancel")
        );
        (run.jobs, run.whole) = (vec![submitted], true);
        run.save(&store).unwrap();
        let read = Run::read(&store, "0123abcd").unwrap();
        assert_eq!(read, run);
        read.refuse_part().unwrap();
    }
}
