//! One live line a stage, on a terminal.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

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
    bars: Mutex<HashMap<(String, String), ProgressBar>>,
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

    fn bar(&self, image: &str, stage: &str) -> ProgressBar {
        let mut bars = self.bars.lock().unpoisoned();
        let place = (image.to_owned(), stage.to_owned());
        bars.entry(place)
            .or_insert_with(|| {
                let bar = self.screen.add(ProgressBar::new_spinner());
                bar.set_style(style(None, self.colour));
                bar.set_prefix(format!("{image} {stage}"));
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            })
            .clone()
    }

    fn end(&self, image: &str, stage: &str) {
        let mut bars = self.bars.lock().unpoisoned();
        if let Some(bar) = bars.remove(&(image.to_owned(), stage.to_owned())) {
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
            Event::Started { image, stage, .. } => drop(self.bar(image, stage)),
            Event::Cached { image, stage, .. } => {
                self.end(image, stage);
                self.say(&format!("{} {image} {stage}  cached", self.mark("=", 36)));
            }
            Event::Waiting { image, stage, .. } => {
                self.bar(image, stage).set_message(sentence(event));
            }
            Event::Progress {
                image,
                stage,
                done,
                total,
                unit,
                ..
            } => {
                let bar = self.bar(image, stage);
                if bar.length() != Some(*total) {
                    bar.set_length(*total);
                    bar.set_style(style(Some(*unit), self.colour));
                }
                bar.set_position(*done);
            }
            Event::Step { image, stage, name } => {
                let bar = self.bar(image, stage);
                bar.unset_length();
                bar.set_style(style(None, self.colour));
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
        for (_, bar) in bars.drain() {
            bar.finish_and_clear();
        }
        drop(self.screen.clear());
    }
}

fn style(unit: Option<Unit>, colour: bool) -> ProgressStyle {
    ProgressStyle::with_template(&template(unit, colour))
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .progress_chars("=> ")
}

fn template(unit: Option<Unit>, colour: bool) -> String {
    let spinner = if colour {
        "{spinner:.cyan}"
    } else {
        "{spinner}"
    };
    let bar = if colour {
        "[{bar:20.cyan}]"
    } else {
        "[{bar:20}]"
    };
    let middle = match unit {
        None => String::new(),
        Some(Unit::Bytes) => {
            format!(
                "{bar} {{binary_bytes}} of {{binary_total_bytes}}, {{binary_bytes_per_sec}}, {{eta}} left "
            )
        }
        Some(Unit::Percent) => format!("{bar} {{percent}}% "),
        Some(Unit::Steps) => format!("{bar} {{pos}} of {{len}} "),
    };
    format!("{spinner} {{prefix}}  {{elapsed}}  {middle}{{wide_msg}}")
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
            for colour in [false, true] {
                let template = template(unit, colour);
                assert!(
                    ProgressStyle::with_template(&template).is_ok(),
                    "{template}"
                );
            }
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
