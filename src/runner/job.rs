//! A job: what one boot of a guest has to do, as an archive straight on a disk.
//!
//! `core.tar` holds the runner, the plan and the steps' small files; `payload-N.tar` the files
//! that step N unpacks; `instance.tar` the image's own first-boot steps. The plan is a text of
//! words: a nonce that every record of the journal repeats, the mode, by how much limits grow, the
//! number of secrets, and one line a step: `step N ACTION SECONDS RETRIES DISTRO RELEASE`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::payload;
use super::script::{INSTANCE, RUNNER, actions, variable};
use crate::error::{Context as _, Error, Result};
use crate::host::accel::Accel;
use crate::host::exec::quote;
use crate::steps::entry::{ArchiveEntry, Content};
use crate::steps::{self, Scope, Step, Tools};
use crate::units::Span;

/// Limit for one try of a step that names none, with hardware acceleration.
const USUAL_LIMIT: Span = Span::seconds(30 * 60);

/// More steps than the journal's disk has room for.
const MOST_STEPS: usize = 300;

/// What the runner is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The first failure ends the job; afterwards the image holds no trace of it.
    Configure,
    /// All steps run, and the guest tells what the gate compares.
    Check,
}

/// What a job is made from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What the runner is there for.
    pub mode: Mode,
    /// Steps, in order; checkpoints are ignored.
    pub steps: &'a [Step],
    /// Steps for the first boot of every machine made from the image.
    pub instance: &'a [Step],
    /// The recipe's variables.
    pub vars: &'a BTreeMap<String, String>,
    /// Names of the recipe's secrets.
    pub secrets: &'a [String],
    /// Directory that the recipe's paths are relative to.
    pub root: &'a Path,
    /// What runs the guest; limits grow with it.
    pub accel: Accel,
}

/// Has apt read its settings of the job after the image's, as its main file, whose own content comes before them.
const APT_LAST: &str = r#"{
	[ ! -f /etc/apt/apt.conf ] || echo '#include "/etc/apt/apt.conf";'
	cat "$RUN/apt.conf"
} >"$RUN/apt-last.conf"
echo "Dir::Etc::main \"$RUN/apt-last.conf\";" >"$RUN/apt-first.conf"
"#;

/// Has servers be asked directly that the guest knows by its /etc/hosts: the host that relays does not.
const APT_OWN: &str = r#"IMGFORGE_OWN=$(sed 's/#.*//' "${IMGFORGE_ROOT:-}/etc/hosts" 2>/dev/null | while read -r _ names; do
	for name in $names; do
		case $name in *[!A-Za-z0-9.-]*) ;; *) printf ',%s' "$name" ;; esac
	done
done)
export IMGFORGE_OWN
{
	cat "$RUN/apt.conf"
	echo "$IMGFORGE_OWN" | tr , '\n' | sed -n 's/..*/Acquire::http::Proxy::& "DIRECT";/p'
} >"$RUN/apt-first.conf"
"#;

/// Tells every program of a step of the proxy, as far as it heeds its environment; what the guest's own sets
/// counts more, but where a lock says what comes.
const EVERYBODY: &str = r#"if [ -n "${IMGFORGE_LOCKED:-}" ]; then
	unset http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY all_proxy ALL_PROXY
fi
http_proxy=${http_proxy:-${HTTP_PROXY:-$IMGFORGE_RELAY}}
https_proxy=${https_proxy:-${HTTPS_PROXY:-$IMGFORGE_RELAY}}
no_proxy=${no_proxy:-${NO_PROXY:-localhost,127.0.0.1,::1${IMGFORGE_OWN:-}}}
HTTP_PROXY=$http_proxy HTTPS_PROXY=$https_proxy NO_PROXY=$no_proxy
export http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY
"#;

/// The proxy that package managers are told of while steps run. It is nowhere on the guest's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Its address as the guest sees it.
    pub address: String,
    /// A lock says what comes, also where that is long out of date.
    pub replays: bool,
}

impl Relay {
    /// For imgforge's own use of package managers, for apt, whoever starts it, and for all other programs.
    fn variables(&self) -> String {
        let address = quote(&self.address);
        let (apt, locked) = match self.replays {
            true => (APT_LAST, "export IMGFORGE_LOCKED=yes\n"),
            false => (APT_OWN, ""),
        };
        format!(
            "export IMGFORGE_RELAY={address}\n{locked}{apt}export APT_CONFIG=\"$RUN/apt-first.conf\"\n{EVERYBODY}"
        )
    }

    /// apt's settings: what an image sets by itself counts more, but where a lock says what comes.
    fn apt(&self) -> String {
        let mut text = String::new();
        if self.replays {
            // Of a program that finds a proxy apt knows two names.
            for own in ["Proxy", "Proxy-Auto-Detect", "ProxyAutoDetect"] {
                for scheme in ["http", "https"] {
                    text.push_str(&format!("#clear Acquire::{scheme}::{own};\n"));
                }
            }
        }
        text.push_str(&format!("Acquire::http::Proxy \"{}\";\n", self.address));
        // What runs in the guest itself nobody else reaches.
        for own in ["localhost", "127.0.0.1"] {
            text.push_str(&format!("Acquire::http::Proxy::{own} \"DIRECT\";\n"));
        }
        if self.replays {
            text.push_str("Acquire::Check-Valid-Until \"false\";\n");
        }
        text
    }
}

/// A step as the host has to know it while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What people see.
    pub title: String,
    /// The longest that one try may take, accelerated or not.
    pub each: Duration,
    /// The longest that all its tries may take, accelerated or not.
    pub limit: Duration,
}

/// A job, ready to be written to its disk.
#[derive(Debug)]
pub struct Job {
    /// What the runner is there for.
    pub mode: Mode,
    /// Random, and known only to this job's runner.
    pub nonce: String,
    /// The steps; the first is number 1.
    pub steps: Vec<Planned>,
    /// How many secrets the guest waits for.
    pub secrets: usize,
    /// The toolbox's disk, if some step needs one.
    pub toolbox: Option<PathBuf>,
    archive: Vec<ArchiveEntry>,
}

impl Job {
    /// Translates steps into a job.
    ///
    /// # Errors
    /// When a step is not available yet, or a file that it names cannot be used.
    pub fn prepare(request: &Request<'_>) -> Result<Job> {
        Job::prepare_with(request, &Tools::default(), None)
    }

    /// As [`Job::prepare`], with toolboxes, and a proxy for package managers.
    ///
    /// # Errors
    /// As [`Job::prepare`].
    pub fn prepare_with(
        request: &Request<'_>,
        tools: &Tools,
        relay: Option<&Relay>,
    ) -> Result<Job> {
        let scope = Scope {
            root: request.root,
            vars: request.vars,
            secrets: request.secrets,
            tools,
        };
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let factor = request.accel.time_factor();
        let main = Program::compile(request.steps, scope, factor)?;
        let own = Program::compile(
            request.instance,
            Scope {
                secrets: &[],
                ..scope
            },
            1,
        )?;
        let mode = match request.mode {
            Mode::Configure => "configure",
            Mode::Check => "check",
        };
        let plan = format!(
            "imgforge-job 1\nnonce {nonce}\nmode {mode}\nfactor {factor}\nsecrets {}\ninstance {}\n{}",
            request.secrets.len(),
            if own.steps.is_empty() { "no" } else { "yes" },
            main.plan,
        );
        let mut core = embedded(RUNNER);
        core.extend(steps::files().map(|(path, text)| ArchiveEntry::bytes(path, text)));
        core.push(ArchiveEntry::bytes("plan", plan));
        let mut vars = variables(scope);
        if let Some(relay) = relay {
            vars.push_str(&relay.variables());
            core.push(ArchiveEntry::bytes("apt.conf", relay.apt()));
        }
        core.push(ArchiveEntry::bytes("vars.sh", vars));
        core.extend(main.files);
        let mut archive = vec![ArchiveEntry::archive("core.tar", core)];
        archive.extend(main.payloads);
        if !own.steps.is_empty() {
            let vars = variables(Scope {
                secrets: &[],
                ..scope
            });
            archive.push(instance(own.plan, vars, own.files, own.payloads));
        }
        let (steps, secrets) = (main.steps, request.secrets.len());
        Ok(Job {
            mode: request.mode,
            nonce,
            steps,
            secrets,
            toolbox: tools.disk(),
            archive,
        })
    }

    /// Number of steps.
    pub fn count(&self) -> u32 {
        self.steps.len() as u32
    }

    /// Step number `n`, if the job has it.
    pub fn step(&self, n: u32) -> Option<&Planned> {
        self.steps.get((n as usize).checked_sub(1)?)
    }

    /// Writes the job's disk and an empty disk for the journal.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn write(&self, job: &Path, log: &Path) -> Result<()> {
        let doing = || format!("writing the job {}", job.display());
        let mut out = BufWriter::new(File::create(job).doing(doing)?);
        payload::write(&mut out, &self.archive).doing(doing)?;
        out.into_inner().map_err(|e| e.into_error()).doing(doing)?;
        let doing = || format!("writing the journal {}", log.display());
        File::create(log)
            .and_then(|file| file.set_len(super::LOG_SIZE))
            .doing(doing)
    }
}

/// Steps, translated.
struct Program {
    plan: String,
    files: Vec<ArchiveEntry>,
    payloads: Vec<ArchiveEntry>,
    steps: Vec<Planned>,
}

impl Program {
    fn compile(list: &[Step], scope: Scope<'_>, factor: u32) -> Result<Program> {
        let (mut plan, mut files, mut payloads, mut steps) =
            (String::new(), vec![], vec![], vec![]);
        for step in list {
            let n = steps.len() + 1;
            let title = step.title();
            let translated = step
                .translate(scope)
                .map_err(|error| error.within(format!("step {n} ({title}) cannot be prepared")))?;
            let Some(translated) = translated else {
                continue;
            };
            let limit = step.timeout.unwrap_or(USUAL_LIMIT).as_seconds();
            let when = step.condition()?;
            let _ = writeln!(
                plan,
                "step {n} {} {limit} {} {when}",
                step.action.word(),
                step.retries
            );
            files.extend(translated.files.into_iter().map(|mut file| {
                file.path = format!("steps/{n}/{}", file.path);
                file
            }));
            payloads.extend(
                translated
                    .payload
                    .map(|all| ArchiveEntry::archive(format!("payload-{n}.tar"), all)),
            );
            let tries = u64::from(step.retries) + 1;
            let all = (limit + 20)
                .saturating_mul(tries)
                .saturating_mul(u64::from(factor));
            steps.push(Planned {
                title,
                each: Duration::from_secs(limit.saturating_mul(u64::from(factor))),
                limit: Duration::from_secs(all),
            });
        }
        if steps.len() > MOST_STEPS {
            return Err(Error::usage(format!(
                "{} steps are too many, {MOST_STEPS} are possible",
                steps.len()
            ))
            .hint("put a `checkpoint` between them"));
        }
        Ok(Program {
            plan,
            files,
            payloads,
            steps,
        })
    }
}

/// A table of the guest's files with all actions.
fn embedded(table: &[(&str, &str)]) -> Vec<ArchiveEntry> {
    let files = table
        .iter()
        .map(|(path, text)| ArchiveEntry::bytes(*path, *text));
    let actions = actions().map(|(path, text)| ArchiveEntry::bytes(path, text));
    files.chain(actions).collect()
}

/// The recipe's variables and the paths of its secrets, for every step.
fn variables(scope: Scope<'_>) -> String {
    let mut lines = String::new();
    for (name, value) in scope.vars {
        let (name, value) = (variable(name), quote(value));
        let _ = writeln!(lines, "export IMGFORGE_VAR_{name}={value}");
    }
    for secret in scope.secrets {
        let name = variable(secret);
        let _ = writeln!(
            lines,
            "export IMGFORGE_SECRET_{name}=\"$RUN/secrets/{secret}\""
        );
    }
    lines
}

fn instance(
    plan: String,
    vars: String,
    files: Vec<ArchiveEntry>,
    payloads: Vec<ArchiveEntry>,
) -> ArchiveEntry {
    let mut entries = embedded(INSTANCE);
    entries.push(ArchiveEntry::bytes("plan", plan));
    entries.push(ArchiveEntry::bytes("vars.sh", vars));
    entries.extend(files);
    entries.extend(payloads);
    for entry in &mut entries {
        entry.path = format!("usr/lib/imgforge-instance/{}", entry.path);
    }
    let content = Content::Archive(entries);
    ArchiveEntry {
        path: "instance.tar".into(),
        mode: 0o600,
        content,
    }
}
