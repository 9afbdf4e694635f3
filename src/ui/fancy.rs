//! One live line a stage, on a terminal.

use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::plain::sentence;
use super::screen::{Line, Progress, Screen, Size, layout};
use super::{Event, Reporter, printable, write};
use crate::mutex::Unpoisoned as _;
use crate::units::elapsed;

/// How often live lines are drawn again.
const TICK: Duration = Duration::from_millis(120);

/// Draws live lines; finished stages scroll up.
#[derive(Debug)]
pub struct Fancy {
    verbose: bool,
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

/// What is drawn, also by the thread that lets the clocks tick.
#[derive(Debug)]
struct Shared {
    colour: bool,
    live: Mutex<Live>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Live {
    stages: Vec<Stage>,
    screen: Screen,
    turn: usize,
    ended: bool,
}

/// The line of a stage.
#[derive(Debug)]
struct Stage {
    line: Line,
    since: Instant,
    /// When work on the total of its progress began.
    began: Instant,
}

impl Live {
    fn stage(&mut self, image: &str, stage: &str) -> &mut Stage {
        let is = |one: &Stage| one.line.image == image && one.line.stage == stage;
        let at = self.stages.iter().position(is).unwrap_or_else(|| {
            let (image, stage) = (image.to_owned(), stage.to_owned());
            let line = Line {
                image,
                stage,
                ..Line::default()
            };
            let now = Instant::now();
            self.stages.push(Stage {
                line,
                since: now,
                began: now,
            });
            self.stages.len() - 1
        });
        &mut self.stages[at]
    }

    fn draw(&mut self, said: &[String], colour: bool) {
        let size = size();
        self.turn += 1;
        let lines: Vec<Line> = self.stages.iter().map(Stage::now).collect();
        let live = layout(&lines, size, self.turn, colour);
        write(&self.screen.draw(said, &live, size.columns));
    }
}

impl Stage {
    fn now(&self) -> Line {
        let mut line = self.line.clone();
        line.took = self.since.elapsed();
        if let Some(progress) = &mut line.progress {
            progress.took = self.began.elapsed();
        }
        line
    }
}

/// The size of the terminal; that of the oldest where it does not say.
fn size() -> Size {
    let size = rustix::termios::tcgetwinsize(std::io::stderr().as_fd());
    match size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row))) {
        Ok((columns @ 1.., rows @ 1..)) => Size { columns, rows },
        _ => Size {
            columns: 80,
            rows: 24,
        },
    }
}

impl Fancy {
    /// Draws lines of guests and programs too when `verbose`, and colours when `colour`.
    pub fn new(verbose: bool, colour: bool) -> Self {
        let shared = Arc::new(Shared {
            colour,
            live: Mutex::default(),
            changed: Condvar::new(),
        });
        let ticks = Arc::clone(&shared);
        let ticker = std::thread::Builder::new().name("progress".into());
        Fancy {
            verbose,
            shared,
            // Without it lines change with events only.
            ticker: ticker.spawn(move || ticks.tick()).ok(),
        }
    }

    /// Changes live lines, and writes `said` above them.
    fn change(&self, said: Option<String>, change: impl FnOnce(&mut Live)) {
        let mut live = self.shared.live.lock().unpoisoned();
        change(&mut live);
        live.draw(said.as_slice(), self.shared.colour);
        self.shared.changed.notify_all();
    }

    /// Changes the line of a stage, which the next tick draws.
    fn update(&self, image: &str, stage: &str, change: impl FnOnce(&mut Stage)) {
        change(self.shared.live.lock().unpoisoned().stage(image, stage));
        self.shared.changed.notify_all();
    }

    fn end(&self, image: &str, stage: &str, said: String) {
        self.change(Some(said), |live| {
            live.stages
                .retain(|one| one.line.image != image || one.line.stage != stage);
        });
    }

    /// Writes a line above the live ones.
    fn say(&self, line: String) {
        self.change(Some(line), |_| {});
    }

    fn mark(&self, sign: &str, colour: u8) -> String {
        if self.shared.colour {
            format!("\u{1b}[{colour}m{sign}\u{1b}[0m")
        } else {
            sign.to_owned()
        }
    }
}

impl Shared {
    /// Draws live lines now and then, as long as there are some.
    fn tick(&self) {
        let mut live = self.live.lock().unpoisoned();
        while !live.ended {
            let idle = |live: &mut Live| live.stages.is_empty() && !live.ended;
            live = self.changed.wait_while(live, idle).unpoisoned();
            let until = |live: &mut Live| !live.stages.is_empty() && !live.ended;
            live = self
                .changed
                .wait_timeout_while(live, TICK, until)
                .unpoisoned()
                .0;
            if !live.stages.is_empty() {
                live.draw(&[], self.colour);
            }
        }
    }
}

impl Drop for Fancy {
    fn drop(&mut self) {
        self.close();
        self.shared.live.lock().unpoisoned().ended = true;
        self.shared.changed.notify_all();
        if let Some(ticker) = self.ticker.take() {
            drop(ticker.join());
        }
    }
}

impl Reporter for Fancy {
    fn event(&self, event: &Event) {
        match event {
            Event::Started {
                image, stage, last, ..
            } => {
                self.change(None, |live| {
                    let one = live.stage(image, stage);
                    // Waiting for another process counts no longer.
                    one.since = Instant::now();
                    one.line.message.clear();
                    one.line.last = *last;
                });
            }
            Event::Cached { image, stage, .. } => {
                let said = format!("{} {image} {stage}  cached", self.mark("=", 36));
                self.end(image, stage, said);
            }
            Event::Waiting { image, stage, .. } => {
                let message = sentence(event);
                self.change(None, |live| live.stage(image, stage).line.message = message);
            }
            Event::Progress {
                image,
                stage,
                done,
                total,
                unit,
            } => {
                self.update(image, stage, |one| {
                    let before = one.line.progress.map(|progress| progress.total);
                    if before != Some(*total) {
                        one.began = Instant::now();
                    }
                    let (done, total, unit) = (*done, *total, *unit);
                    let took = Duration::ZERO;
                    one.line.progress = Some(Progress {
                        done,
                        total,
                        unit,
                        took,
                    });
                });
            }
            Event::Step { image, stage, name } => self.update(image, stage, |one| {
                one.line.progress = None;
                one.line.message = printable(name);
            }),
            Event::Line { image, stage, text } => {
                if self.verbose {
                    self.say(format!("  {image} {stage} | {}", printable(text)));
                }
            }
            Event::Finished {
                image,
                stage,
                took,
                note,
            } => {
                let note = note.as_deref().map(printable).unwrap_or_default();
                let mark = self.mark("✓", 32);
                let line = format!("{mark} {image} {stage}  {}  {note}", elapsed(*took));
                self.end(image, stage, line.trim_end().to_owned());
            }
            Event::Failed { image, stage, .. } => {
                let mark = self.mark("✗", 31);
                self.end(
                    image,
                    stage,
                    format!("{mark} {image} {stage}  {}", sentence(event)),
                );
            }
            Event::Artifact { .. } | Event::Published { .. } => self.say(sentence(event)),
            Event::Pulled { .. } => {}
            Event::Notice { .. } => self.say(sentence(event)),
            Event::Warning { .. } => {
                self.say(format!("{} {}", self.mark("!", 33), sentence(event)));
            }
        }
    }

    fn close(&self) {
        let mut live = self.shared.live.lock().unpoisoned();
        if !live.stages.is_empty() {
            live.stages.clear();
            live.draw(&[], self.shared.colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;

    #[test]
    fn stages_leave_no_line_behind() {
        let fancy = Fancy::new(false, false);
        let left = || fancy.shared.live.lock().unwrap().stages.len();
        samples::all().iter().for_each(|event| fancy.event(event));
        assert_eq!(left(), 0);
        fancy.event(&samples::all()[0]);
        assert_eq!(left(), 1);
        fancy.close();
        assert_eq!(left(), 0);
    }
}
