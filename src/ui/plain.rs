//! Stable lines on standard error, for logs and CI.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Event, Reporter, Unit, printable, write_line};
use crate::mutex::Unpoisoned as _;
use crate::units::{Size, elapsed};

/// Progress of one stage is shown at most this often, unless it moved by a tenth.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Draws plain lines.
#[derive(Debug)]
pub struct Plain {
    verbose: bool,
    since: Instant,
    lines: Mutex<Lines>,
}

impl Plain {
    /// Draws lines of guests and programs too when `verbose`.
    pub fn new(verbose: bool) -> Self {
        Plain {
            verbose,
            since: Instant::now(),
            lines: Mutex::default(),
        }
    }
}

impl Reporter for Plain {
    fn event(&self, event: &Event) {
        let mut lines = self.lines.lock().unpoisoned();
        if let Some(line) = lines.line(event, self.since.elapsed(), self.verbose) {
            write_line(&line);
        }
    }
}

/// What has been shown of each stage's progress.
#[derive(Debug, Default)]
struct Lines {
    shown: HashMap<(String, String), (Duration, u64)>,
    /// When work on this many bytes began.
    began: HashMap<(String, String), (Duration, u64)>,
}

impl Lines {
    fn line(&mut self, event: &Event, now: Duration, verbose: bool) -> Option<String> {
        let head = |image: &str, stage: &str| format!("==> {image} {stage}:");
        match event {
            Event::Progress {
                image,
                stage,
                done,
                total,
                unit,
                ..
            } => {
                let began = self.began(image, stage, *total, now);
                let pace = match unit {
                    Unit::Bytes => pace(*done, *total, now.saturating_sub(began)),
                    Unit::Percent | Unit::Steps => String::new(),
                };
                let percent = percent(*done, *total);
                self.is_due(image, stage, percent, now).then(|| {
                    let progress = progress(*done, *total, *unit);
                    format!("{} {progress}{pace}", head(image, stage))
                })
            }
            Event::Line { image, stage, text } => {
                verbose.then(|| format!("{image} {stage} | {}", printable(text)))
            }
            // When it is finished, it is said in words.
            Event::Pulled { .. } => None,
            other => Some(match other.place() {
                Some((image, stage)) => format!("{} {}", head(image, stage), sentence(other)),
                None => sentence(other),
            }),
        }
    }

    fn began(&mut self, image: &str, stage: &str, total: u64, now: Duration) -> Duration {
        let entry = self.began.entry((image.into(), stage.into()));
        let began = entry.or_insert((now, total));
        if began.1 != total {
            *began = (now, total);
        }
        began.0
    }

    fn is_due(&mut self, image: &str, stage: &str, percent: u64, now: Duration) -> bool {
        let shown = self
            .shown
            .entry((image.into(), stage.into()))
            .or_insert((now, 0));
        let due = percent >= shown.1 + 10
            || percent < shown.1
            || (now >= shown.0 + PROGRESS_EVERY && percent != shown.1);
        if due {
            *shown = (now, percent);
        }
        due
    }
}

/// How fast it goes and how long the rest takes, once that can be told.
pub(super) fn pace(done: u64, total: u64, took: Duration) -> String {
    if took < Duration::from_secs(1) || done == 0 {
        return String::new();
    }
    let rate = done as f64 / took.as_secs_f64();
    let rest = Duration::from_secs_f64(total.saturating_sub(done) as f64 / rate);
    let rate = Size::bytes(rate as u64).human();
    match done < total {
        true => format!(", {rate}/s, {} left", elapsed(rest)),
        false => format!(", {rate}/s"),
    }
}

pub(super) fn percent(done: u64, total: u64) -> u64 {
    (u128::from(done.min(total)) * 100)
        .checked_div(u128::from(total))
        .unwrap_or(0) as u64
}

fn progress(done: u64, total: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!(
            "{}% ({} of {})",
            percent(done, total),
            Size::bytes(done).human(),
            Size::bytes(total).human()
        ),
        Unit::Percent => format!("{}%", percent(done, total)),
        Unit::Steps => format!("step {done} of {total}"),
    }
}

/// An event in words, without image and stage.
pub(super) fn sentence(event: &Event) -> String {
    match event {
        Event::Started { key, last, .. } => match last {
            Some(took) => format!(
                "started ({}), took {} last time",
                short(key),
                elapsed(*took)
            ),
            None => format!("started ({})", short(key)),
        },
        Event::Cached { key, .. } => format!("cached ({})", short(key)),
        Event::Waiting { pid, .. } => format!("waiting for process {pid}, which makes the same"),
        Event::Progress {
            done, total, unit, ..
        } => progress(*done, *total, *unit),
        Event::Step { name, .. } => printable(name),
        Event::Line { text, .. } => printable(text),
        Event::Finished { took, note, .. } => match note {
            Some(note) => format!("done in {}, {}", elapsed(*took), printable(note)),
            None => format!("done in {}", elapsed(*took)),
        },
        Event::Failed { message, .. } => format!("failed: {}", printable(message)),
        Event::Artifact {
            image,
            kind,
            path,
            size,
            ..
        } => {
            format!(
                "==> {image}: {kind} {} ({})",
                path.display(),
                Size::bytes(*size).human()
            )
        }
        Event::Published {
            image,
            channel,
            revision,
            url,
            ..
        } => {
            format!("==> {image}: published as revision {revision} in {channel}, {url}")
        }
        Event::Pulled { revision, .. } => format!("revision {revision}"),
        Event::Notice { text } => format!("note: {}", printable(text)),
        Event::Warning { text } => format!("warning: {}", printable(text)),
    }
}

fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;

    #[test]
    fn every_event_has_its_line() {
        let mut lines = Lines::default();
        let all: Vec<String> = samples::all()
            .iter()
            .filter_map(|event| lines.line(event, Duration::ZERO, true))
            .collect();
        insta::assert_snapshot!(all.join("\n"), @r"
        ==> web install: started (0123456789ab), took 1 min 52 s last time
        ==> web install: cached (0123456789ab)
        ==> web install: waiting for process 4242, which makes the same
        ==> web install: 50% (512.0 MiB of 1.0 GiB)
        ==> web install: packages: nginx
        web install | Setting up nginx
        ==> web install: done in 12.3 s, 1.2 GiB
        ==> web install: failed: the guest crashed
        ==> web: qcow2 out/web.qcow2 (3.0 GiB)
        ==> web: published as revision 7 in nightly, https://images.example.org/
        note: the key is new
        warning: no space soon
        ");
    }

    #[test]
    fn progress_is_shown_each_tenth_or_each_ten_seconds() {
        let mut lines = Lines::default();
        let mut shown = vec![];
        for (second, done) in [
            (0, 0),
            (1, 5),
            (2, 10),
            (3, 19),
            (11, 19),
            (13, 19),
            (14, 20),
            (24, 20),
        ] {
            let event = samples::progress("pack", done, 100, Unit::Percent);
            if lines
                .line(&event, Duration::from_secs(second), false)
                .is_some()
            {
                shown.push((second, done));
            }
        }
        assert_eq!(shown, [(2, 10), (13, 19), (24, 20)]);
    }

    #[test]
    fn bytes_have_a_rate_and_a_rest() {
        let mut lines = Lines::default();
        let mut at = |second, done: u64| {
            let event = samples::progress("pack", done << 20, 100 << 20, Unit::Bytes);
            lines.line(&event, Duration::from_secs(second), false)
        };
        assert_eq!(at(5, 0), None);
        assert_eq!(
            at(15, 20).unwrap(),
            "==> web pack: 20% (20.0 MiB of 100.0 MiB), 2.0 MiB/s, 40.0 s left"
        );
        assert_eq!(
            at(25, 100).unwrap(),
            "==> web pack: 100% (100.0 MiB of 100.0 MiB), 5.0 MiB/s"
        );
    }

    #[test]
    fn lines_of_guests_need_verbose_and_lose_their_control_characters() {
        let event = Event::Line {
            image: "web".into(),
            stage: "configure".into(),
            text: "\u{1b}[2J\u{1b}[1;31mred\u{7}\u{9b}H".into(),
        };
        assert_eq!(Lines::default().line(&event, Duration::ZERO, false), None);
        let line = Lines::default().line(&event, Duration::ZERO, true).unwrap();
        assert_eq!(line, "web configure | red");
    }
}
