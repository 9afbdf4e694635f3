//! One live line a stage, on a terminal.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::plain::sentence;
use super::{Event, Reporter, Unit, printable, write_line};
use crate::mutex::Unpoisoned as _;
use crate::units::elapsed;

/// Draws live lines; finished stages scroll up.
#[derive(Debug)]
pub struct Fancy {
    verbose: bool,
    colour: bool,
    screen: MultiProgress,
    bars: Mutex<HashMap<(String, String), Live>>,
}

/// The line of a stage.
#[derive(Debug, Clone)]
struct Live {
    bar: ProgressBar,
    /// What the stage's last run took.
    last: Option<Duration>,
}

impl Fancy {
    /// Draws lines of guests and programs too when `verbose`, and colours when `colour`.
    pub fn new(verbose: bool, colour: bool) -> Self {
        let bars = Mutex::default();
        Fancy {
            verbose,
            colour,
            screen: MultiProgress::new(),
            bars,
        }
    }

    fn live(&self, image: &str, stage: &str, last: Option<Duration>) -> Live {
        let mut bars = self.bars.lock().unpoisoned();
        let place = (image.to_owned(), stage.to_owned());
        bars.entry(place)
            .or_insert_with(|| {
                let bar = self.screen.add(ProgressBar::new_spinner());
                bar.set_style(style(None, self.colour, last));
                bar.set_prefix(format!("{image} {stage}"));
                bar.enable_steady_tick(Duration::from_millis(120));
                Live { bar, last }
            })
            .clone()
    }

    fn end(&self, image: &str, stage: &str) {
        let mut bars = self.bars.lock().unpoisoned();
        if let Some(Live { bar, .. }) = bars.remove(&(image.to_owned(), stage.to_owned())) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
    }

    /// Writes a line above the live ones.
    fn say(&self, line: &str) {
        self.screen.suspend(|| write_line(line));
    }

    fn mark(&self, sign: &str, colour: u8) -> String {
        if self.colour {
            format!("\u{1b}[{colour}m{sign}\u{1b}[0m")
        } else {
            sign.to_owned()
        }
    }
}

impl Reporter for Fancy {
    fn event(&self, event: &Event) {
        match event {
            Event::Started {
                image, stage, last, ..
            } => drop(self.live(image, stage, *last)),
            Event::Cached { image, stage, .. } => {
                self.end(image, stage);
                self.say(&format!("{} {image} {stage}  cached", self.mark("=", 36)));
            }
            Event::Waiting { image, stage, .. } => {
                let Live { bar, .. } = self.live(image, stage, None);
                bar.set_message(sentence(event));
            }
            Event::Progress {
                image,
                stage,
                done,
                total,
                unit,
                ..
            } => {
                let Live { bar, last } = self.live(image, stage, None);
                if bar.length() != Some(*total) {
                    bar.set_length(*total);
                    bar.set_style(style(Some(*unit), self.colour, last));
                }
                bar.set_position(*done);
            }
            Event::Step { image, stage, name } => {
                let Live { bar, last } = self.live(image, stage, None);
                bar.unset_length();
                bar.set_style(style(None, self.colour, last));
                bar.set_message(printable(name));
            }
            Event::Line { image, stage, text } => {
                if self.verbose {
                    self.say(&format!("  {image} {stage} | {}", printable(text)));
                }
            }
            Event::Finished {
                image,
                stage,
                took,
                note,
            } => {
                self.end(image, stage);
                let note = note.as_deref().map(printable).unwrap_or_default();
                let line = format!(
                    "{} {image} {stage}  {}  {note}",
                    self.mark("✓", 32),
                    elapsed(*took)
                );
                self.say(line.trim_end());
            }
            Event::Failed { image, stage, .. } => {
                self.end(image, stage);
                self.say(&format!(
                    "{} {image} {stage}  {}",
                    self.mark("✗", 31),
                    sentence(event)
                ));
            }
            Event::Artifact { .. } | Event::Published { .. } => self.say(&sentence(event)),
            Event::Pulled { .. } => {}
            Event::Notice { .. } => self.say(&sentence(event)),
            Event::Warning { .. } => {
                self.say(&format!("{} {}", self.mark("!", 33), sentence(event)));
            }
        }
    }

    fn close(&self) {
        let mut bars = self.bars.lock().unpoisoned();
        for (_, Live { bar, .. }) in bars.drain() {
            bar.finish_and_clear();
        }
        drop(self.screen.clear());
    }
}

fn style(unit: Option<Unit>, colour: bool, last: Option<Duration>) -> ProgressStyle {
    ProgressStyle::with_template(&template(unit, colour, last.is_some()))
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key(
            "left",
            move |state: &ProgressState, out: &mut dyn fmt::Write| {
                // A line that cannot be written is drawn again at once.
                let _ = out.write_str(&left(last, state.elapsed()));
            },
        )
        .progress_chars("=> ")
}

/// What is left by the time of the last run; nothing where that is not known, or over.
fn left(last: Option<Duration>, took: Duration) -> String {
    match last
        .and_then(|last| last.checked_sub(took))
        .map(|left| left.as_secs())
    {
        None | Some(0) => String::new(),
        Some(seconds) if seconds < 90 => format!(", ~{seconds} s left"),
        Some(seconds) => format!(", ~{} min left", (seconds + 30) / 60),
    }
}

/// `known`: the line says already what is left.
fn template(unit: Option<Unit>, colour: bool, known: bool) -> String {
    let spinner = if colour {
        "{spinner:.cyan}"
    } else {
        "{spinner}"
    };
    // Short enough for 80 columns: without a message, and with a name of 12 letters.
    let bar = if colour {
        "[{bar:10.cyan}]"
    } else {
        "[{bar:10}]"
    };
    let middle = match unit {
        None => String::new(),
        Some(Unit::Bytes) => {
            let left = if known { "" } else { ", {eta} left" };
            format!("{bar} {{percent}}% of {{binary_total_bytes}}, {{binary_bytes_per_sec}}{left} ")
        }
        Some(Unit::Percent) => format!("{bar} {{percent}}% "),
        Some(Unit::Steps) => format!("{bar} {{pos}} of {{len}} "),
    };
    format!("{spinner} {{prefix}}  {{elapsed}}{{left}}  {middle}{{wide_msg}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;

    #[test]
    fn every_template_is_valid() {
        for unit in [
            None,
            Some(Unit::Bytes),
            Some(Unit::Percent),
            Some(Unit::Steps),
        ] {
            for (colour, known) in [(false, false), (true, true), (true, false)] {
                let template = template(unit, colour, known);
                assert!(
                    ProgressStyle::with_template(&template).is_ok(),
                    "{template}"
                );
            }
        }
    }

    #[test]
    fn the_time_left_is_that_of_the_last_run() {
        let seconds = Duration::from_secs;
        for (last, took, said) in [
            (None, 10, ""),
            (Some(100), 0, ", ~2 min left"),
            (Some(100), 11, ", ~89 s left"),
            (Some(3600), 60, ", ~59 min left"),
            (Some(100), 100, ""),
            (Some(100), 500, ""),
        ] {
            assert_eq!(left(last.map(seconds), seconds(took)), said);
        }
    }

    #[test]
    fn stages_leave_no_line_behind() {
        let fancy = Fancy::new(false, false);
        samples::all().iter().for_each(|event| fancy.event(event));
        assert!(fancy.bars.lock().unwrap().is_empty());
        fancy.event(&samples::all()[0]);
        fancy.close();
        assert!(fancy.bars.lock().unwrap().is_empty());
    }
}
