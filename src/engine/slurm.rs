//! Slurm, through what its programs print for people: `--parsable` and formats of our own. Its JSON changes
//! with every release.

use std::collections::BTreeMap;
use std::time::Duration;

use super::queue::{Ended, Look, Order, Queue, Standing};
use crate::error::{Error, Result};
use crate::host::exec::Program;

pub(super) const QUEUE: Queue = Queue {
    name: "slurm",
    submit,
    look,
    cancel,
};

/// Slurm's own programs wait for a controller that restarts, and then give up.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

/// What `squeue` prints of a job.
const FORMAT: &str = "%i|%T|%r|%N";

/// Why jobs wait where all is well; see "job reason codes" in squeue(1). A limit may never allow one.
const PASSES: &[&str] = &[
    "None",
    "Priority",
    "Resources",
    "Dependency",
    "BeginTime",
    "Cleaning",
    "Prolog",
    "Reservation",
];

/// One of Slurm's programs. What was begun is known to its end, also after Ctrl-C.
fn program(name: &'static str) -> Program {
    let program = Program::new(name)
        .timeout(ANSWERS_WITHIN)
        .despite_interrupt()
        .hint(
            "`sinfo` tells whether Slurm answers here; its programs are in Debian's slurm-client",
        );
    // A site's configuration may lie elsewhere.
    match std::env::var_os("SLURM_CONF") {
        Some(config) => program.env("SLURM_CONF", config),
        None => program,
    }
}

fn submit(order: &Order<'_>) -> Result<String> {
    let submit = program("sbatch")
        .args(arguments(order))
        .input(order.script.as_str());
    let said = submit.text()?;
    // With several clusters its name follows.
    let id = said.lines().last().unwrap_or_default();
    let id = id.split(';').next().unwrap_or_default();
    match id.parse::<u64>() {
        Ok(_) => Ok(id.to_owned()),
        Err(_) => Err(Error::stage(format!(
            "`sbatch` says `{said}`, which is no job"
        ))),
    }
}

/// Slurm replaces `%` in names of files.
fn plain(path: &std::path::Path) -> String {
    path.display().to_string().replace('%', "%%")
}

fn arguments(order: &Order<'_>) -> Vec<String> {
    let (job, config) = (order.job, &order.config.slurm);
    let all = |word: &str, ids: &[String]| match ids {
        [] => String::new(),
        ids => format!(",{word}:{}", ids.join(":")),
    };
    let after = format!(
        "singleton{}{}",
        all("afterok", &order.parents),
        all("afterany", &order.after)
    );
    let mut args = vec![
        "--parsable".to_owned(),
        "--export=NONE".to_owned(),
        "--requeue".to_owned(),
        "--open-mode=append".to_owned(),
        "--kill-on-invalid-dep=yes".to_owned(),
        format!("--job-name=imgforge-{}", job.key),
        format!("--comment={}", job.name),
        format!("--dependency={after}"),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", job.processors),
        format!("--mem={}M", job.memory),
        format!("--time={}", job.time.div_ceil(60)),
        format!("--chdir={}", order.root.display()),
        format!("--output={}", plain(order.output)),
    ];
    let constraint = match job.is_gate() {
        true => &config.gate_constraint,
        false => &config.constraint,
    };
    let chosen = [
        ("partition", &config.partition),
        ("constraint", constraint),
        ("account", &config.account),
    ];
    for (name, value) in chosen {
        args.extend(value.iter().map(|value| format!("--{name}={value}")));
    }
    args.extend(config.options.iter().cloned());
    args
}

fn look() -> Result<BTreeMap<String, Look>> {
    let squeue = program("squeue").args(["--noheader", "--me", "--states=all"]);
    let said = squeue.arg(format!("--format={FORMAT}")).text()?;
    Ok(said.lines().filter_map(read).collect())
}

/// A line of `squeue`.
fn read(line: &str) -> Option<(String, Look)> {
    let mut fields = line.splitn(4, '|');
    let (id, state) = (fields.next()?, fields.next()?);
    let (reason, node) = (fields.next()?, fields.next()?);
    let standing = match state {
        "COMPLETED" => Standing::Ended(Ended::Well),
        "TIMEOUT" | "DEADLINE" => Standing::Ended(Ended::Late),
        "OUT_OF_MEMORY" => Standing::Ended(Ended::Memory),
        "CANCELLED" | "REVOKED" => Standing::Ended(Ended::Cancelled),
        "NODE_FAIL" | "BOOT_FAIL" | "PREEMPTED" => Standing::Ended(Ended::Node),
        "FAILED" => Standing::Ended(Ended::Failed),
        "PENDING" | "CONFIGURING" | "REQUEUED" | "SUSPENDED" => Standing::Waiting,
        "REQUEUE_HOLD" | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => Standing::Held,
        // It does something: begins, ends, gives files back.
        _ => Standing::Running,
    };
    let held = reason.starts_with("JobHeld") || reason.contains("requeued_held");
    let standing = match standing {
        Standing::Waiting if held => Standing::Held,
        standing => standing,
    };
    Some((
        id.to_owned(),
        Look {
            standing,
            odd: !PASSES.contains(&reason),
            reason: reason.to_owned(),
            node: node.to_owned(),
        },
    ))
}

fn cancel(ids: &[String]) -> Result<()> {
    match ids {
        [] => Ok(()),
        // What has ended meanwhile is no error.
        ids => program("scancel").arg("--quiet").args(ids).run(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::digest::Key;
    use crate::engine::Job;
    use crate::machine::Arch;
    use crate::recipe::EngineConfig;

    #[test]
    fn a_job_is_asked_for_with_all_that_it_needs() {
        let mut config = EngineConfig::default();
        config.slurm.partition = Some("build".into());
        config.slurm.constraint = Some("kvm&ssd".into());
        config.slurm.account = Some("images".into());
        config.slurm.options = vec!["--nice=100".into()];
        let job = Job {
            name: "web:aarch64".into(),
            image: "web:aarch64".into(),
            key: Key::of(b"web"),
            parents: vec!["base".into()],
            arch: Arch::default(),
            memory: 5120,
            processors: 2,
            time: 3601,
            until: None,
            done: false,
            command: vec![],
        };
        let order = Order {
            job: &job,
            parents: vec!["7".into(), "8".into()],
            after: vec!["3".into()],
            script: String::new(),
            output: Path::new("/s/100%/web.out"),
            root: Path::new("/srv/recipes"),
            config: &config,
        };
        insta::assert_snapshot!(arguments(&order).join("\n"));
    }

    #[test]
    fn what_squeue_prints_is_read() {
        let standing = |line| read(line).map(|(_, look)| look.standing);
        for (line, wanted) in [
            ("7|PENDING|Dependency|", Standing::Waiting),
            ("7|PENDING|JobHeldUser|", Standing::Held),
            ("7|PENDING|launch_failed_requeued_held|", Standing::Held),
            ("7|RUNNING|None|n1", Standing::Running),
            ("7|COMPLETING|None|n1", Standing::Running),
            ("7|COMPLETED|None|n1", Standing::Ended(Ended::Well)),
            (
                "7|FAILED|NonZeroExitCode|n1",
                Standing::Ended(Ended::Failed),
            ),
            (
                "7|CANCELLED|DependencyNeverSatisfied|",
                Standing::Ended(Ended::Cancelled),
            ),
            (
                "7|OUT_OF_MEMORY|OutOfMemory|n1",
                Standing::Ended(Ended::Memory),
            ),
        ] {
            assert_eq!(standing(line), Some(wanted), "{line}");
        }
        assert_eq!(read("slurm_load_jobs error"), None);
        let odd = |line| read(line).is_some_and(|(_, look)| look.odd);
        assert!(odd("7|PENDING|PartitionTimeLimit|") && !odd("7|PENDING|Priority|"));
        let (id, look) = read("17|RUNNING|None|n2").unwrap();
        assert_eq!((id.as_str(), look.node.as_str()), ("17", "n2"));
    }
}
