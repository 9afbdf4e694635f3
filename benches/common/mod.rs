//! What every benchmark needs: timing, medians, a table, JSON, and the table in docs/.
//!
//! Figures go to standard output, to `target/bench/NAME.json` and, between the markers of NAME, to
//! `docs/benchmarks.md`. What matters is the ratio within one run, not the seconds.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each benchmark uses what it needs of this"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use imgforge::host::accel::{Accel, PROBE_COMMAND, probe_with};
use imgforge::host::exec::Program;
use serde_json::{Value, json};

/// Work that takes longer than this is measured once; shorter work three times.
const LONG: Duration = Duration::from_secs(30);

/// What several runs of the same work took.
#[derive(Debug, Clone)]
pub struct Times {
    /// Each run.
    pub all: Vec<Duration>,
    /// The largest resident size of a process, in bytes; 0 when it was not watched.
    pub peak: u64,
}

impl Times {
    /// The median.
    pub fn median(&self) -> Duration {
        let mut sorted = self.all.clone();
        sorted.sort();
        sorted[sorted.len() / 2]
    }
}

/// Runs `work` after `prepare`, which is not measured: three times, or once when it is long.
pub fn measure(mut prepare: impl FnMut(), mut work: impl FnMut() -> u64) -> Times {
    let mut times = Times {
        all: vec![],
        peak: 0,
    };
    while times.all.len() < 3 && times.all.first().is_none_or(|first| *first < LONG) {
        prepare();
        let began = Instant::now();
        let peak = work();
        times.all.push(began.elapsed());
        times.peak = times.peak.max(peak);
    }
    times
}

/// The imgforge that was just built.
pub fn imgforge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgforge"));
    command.arg("-q");
    command
}

/// The host's accelerator. The probe starts a program again, which must not be the benchmark.
pub fn accel() -> Accel {
    probe_with(Program::new(env!("CARGO_BIN_EXE_imgforge")).arg(PROBE_COMMAND)).accel
}

/// A command line for the shell, as a user would type it.
pub fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

/// Runs a command to its end, which must be a success; returns the largest resident size of its
/// process in bytes.
pub fn run(command: &mut Command) -> u64 {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (status, peak) = (
        PathBuf::from(format!("/proc/{}/status", child.id())),
        AtomicU64::new(0),
    );
    let ended = AtomicBool::new(false);
    let ok = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                peak.fetch_max(high_water(&status), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let ok = child.wait().unwrap().success();
        ended.store(true, Ordering::Relaxed);
        ok
    });
    assert!(ok, "{command:?}");
    peak.into_inner()
}

fn high_water(status: &Path) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// A comparison: work of ours against work of somebody else, or of ours under other conditions.
#[derive(Debug)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// What ours took.
    pub ours: Times,
    /// What it is measured against.
    pub against: String,
    /// What that took.
    pub theirs: Times,
    /// How many times as fast ours should be, at least.
    pub goal: f64,
    /// Further figures with their goals, such as sizes; the last tells whether it is reached.
    pub more: Vec<(String, bool)>,
}

impl Row {
    fn speed(&self) -> f64 {
        self.theirs.median().as_secs_f64() / self.ours.median().as_secs_f64()
    }

    fn reached(&self) -> bool {
        self.speed() >= self.goal && self.more.iter().all(|(_, reached)| *reached)
    }
}

/// One benchmark's figures.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    facts: Vec<(String, String)>,
    rows: Vec<Row>,
}

impl Report {
    /// Starts a report; it begins with what is known about the machine.
    pub fn new(name: &'static str) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut report = Report {
            name,
            facts: vec![],
            rows: vec![],
        };
        report.fact("cores", cores);
        report.fact("load at the beginning", load());
        report
    }

    /// Notes a fact that the figures depend on.
    pub fn fact(&mut self, name: impl Into<String>, value: impl ToString) {
        self.facts.push((name.into(), value.to_string()));
    }

    /// Adds a comparison, and shows it.
    #[allow(clippy::print_stdout, reason = "the figures are the result")]
    pub fn row(&mut self, row: Row) {
        println!("{}", line(&row));
        self.rows.push(row);
    }

    /// Prints all figures and writes them as JSON and into docs/benchmarks.md.
    #[allow(clippy::print_stdout, reason = "the figures are the result")]
    pub fn finish(mut self) {
        self.fact("load at the end", load());
        let table = self.table();
        println!("\n{table}");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = root.join("target/bench");
        std::fs::create_dir_all(&dir).unwrap();
        let text = serde_json::to_string_pretty(&self.json()).unwrap();
        let file = dir.join(format!("{}.json", self.name));
        std::fs::write(&file, text + "\n").unwrap();
        write_section(&root.join("docs/benchmarks.md"), self.name, &table);
        println!("written: {}, docs/benchmarks.md", file.display());
    }

    fn table(&self) -> String {
        let facts: Vec<String> = self
            .facts
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let mut table = facts.join("; ");
        table += ".\n\n| work | seconds | against | seconds | times as fast | at least | also |\n|---|---|---|---|---|---|---|\n";
        for row in &self.rows {
            writeln!(table, "{}", line(row)).unwrap();
        }
        table
    }

    fn json(&self) -> Value {
        let seconds =
            |times: &Times| -> Vec<f64> { times.all.iter().map(Duration::as_secs_f64).collect() };
        let rows = self.rows.iter().map(|row| {
            json!({
                "work": row.work,
                "seconds": row.ours.median().as_secs_f64(),
                "runs": seconds(&row.ours),
                "peak-memory": row.ours.peak,
                "against": row.against,
                "against-seconds": row.theirs.median().as_secs_f64(),
                "against-runs": seconds(&row.theirs),
                "against-peak-memory": row.theirs.peak,
                "times-as-fast": row.speed(),
                "at-least": row.goal,
                "also": row.more.iter().map(|(text, reached)| json!({"figure": text, "reached": reached})).collect::<Vec<_>>(),
                "reached": row.reached(),
            })
        });
        let facts: serde_json::Map<String, Value> = self
            .facts
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        json!({ "benchmark": self.name, "facts": facts, "rows": rows.collect::<Vec<_>>() })
    }
}

fn line(row: &Row) -> String {
    let times = |times: &Times| {
        let runs = times.all.len();
        let median = times.median().as_secs_f64();
        match runs {
            1 => format!("{median:.1}"),
            _ => format!("{median:.2} (median of {runs})"),
        }
    };
    let more: Vec<String> = row
        .more
        .iter()
        .map(|(text, reached)| format!("{text}{}", if *reached { "" } else { " **(missed)**" }))
        .collect();
    format!(
        "| {} | {} | {} | {} | {:.2}{} | {} | {} |",
        row.work,
        times(&row.ours),
        row.against,
        times(&row.theirs),
        row.speed(),
        if row.speed() >= row.goal {
            ""
        } else {
            " **(missed)**"
        },
        row.goal,
        more.join("; ")
    )
}

/// Puts `text` between the markers of `name`, which are added when they are missing.
fn write_section(path: &Path, name: &str, text: &str) {
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->\n"),
    );
    let mut page = std::fs::read_to_string(path).unwrap_or_else(|_| {
        "# Benchmarks\n\nThe latest run of `make bench`; it writes the tables itself.\n".into()
    });
    if !page.contains(&begin) {
        write!(page, "\n## {name}\n\n{begin}{end}").unwrap();
    }
    let from = page.find(&begin).unwrap() + begin.len();
    let to = from + page[from..].find(&end).expect("the section's end");
    page.replace_range(from..to, text);
    std::fs::write(path, page).unwrap();
}

/// The load average of the last minute.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Where a benchmark works: `IMGFORGE_BENCH_DIR` (kept, and what is there is used again), or a
/// directory that goes when the value is dropped.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Workspace {
    /// Makes the directory.
    pub fn new(name: &str) -> Self {
        if let Some(dir) = std::env::var_os("IMGFORGE_BENCH_DIR") {
            let path = std::path::absolute(PathBuf::from(dir).join(name)).unwrap();
            std::fs::create_dir_all(&path).unwrap();
            return Workspace {
                path,
                _temporary: None,
            };
        }
        let temporary = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Workspace {
            path: temporary.path().to_owned(),
            _temporary: Some(temporary),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
