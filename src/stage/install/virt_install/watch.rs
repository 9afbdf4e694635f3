//! Follows an installer's guest until it ends or has to be ended.
//!
//! Disk, network, what the build's own proxy relays and new words on the console are signs of
//! life. A clock that is redrawn is not, and a prompt that waits for a human is an end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::news::News;
use super::proof::{InstallReport, Reports};
use crate::console::dead_end::is_panic;
use crate::console::mask::Mask;
use crate::console::{Console, Guest, SAMPLE, Watcher};
use crate::error::Result;
use crate::hypervisor::{DomainEvent, Outcome};
use crate::installers::{Installer, Progress};
use crate::runner::EVENTS_PORT;
use crate::ui::{StageUi, Unit};

/// How long a prompt must stand: a line may begin like one.
const PROMPT_STANDS: Duration = Duration::from_secs(2);

/// How long things may take. The values are effective: already multiplied without acceleration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The whole installation.
    pub timeout: Duration,
    /// Without any sign of life.
    pub stall: Duration,
    /// A line that only looks like a question stands still for so long.
    pub question: Duration,
}

/// Why [`Watch::run`] returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The guest ended by itself.
    Ended(Outcome),
    /// It restarted itself.
    Rebooted,
    /// Its kernel panicked.
    Panicked,
    /// The installer asks this, and waits for a human.
    Asks(String),
    /// The installer said this, and does nothing any more.
    GaveUp(String),
    /// It reported another key.
    WrongKey(String),
    /// There was no sign of life.
    Stalled,
    /// The whole time is over.
    TooLong,
}

/// What the watch needs to know.
#[derive(Debug)]
pub struct WatchConfig<'a> {
    pub(crate) installer: &'static Installer,
    /// The stage's key.
    pub key: &'a str,
    /// Where progress goes.
    pub ui: &'a StageUi,
    /// Hides the secrets.
    pub mask: &'a Mask,
    /// Time limits.
    pub limits: Limits,
    /// Where the masked console is written, if nobody else writes it.
    pub log: Option<&'a Path>,
    /// Where the screenshot is written.
    pub screen: &'a Path,
}

/// The watch over one installation.
pub struct Watch<'a> {
    config: WatchConfig<'a>,
    relayed: &'a dyn Fn() -> u64,
    reports: Reports,
    console: Console<'a, End>,
    progress: Option<Progress>,
    news: News,
    began: Instant,
    moved: u64,
    panic: Option<String>,
    prompt: Option<(String, Instant)>,
    restarting: bool,
    screenshot: bool,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("console", &self.console)
            .finish_non_exhaustive()
    }
}

impl<'a> Watch<'a> {
    /// A watch; `relayed` tells the bytes that the build's own proxy has moved for the guest.
    ///
    /// # Errors
    /// When the log cannot be made.
    pub fn new(config: WatchConfig<'a>, relayed: &'a dyn Fn() -> u64) -> Result<Self> {
        let mask = config.mask.clone();
        let mut console = Console::new(config.ui, "", "the installer", mask);
        if let Some(log) = config.log {
            console.log_to(log)?;
        }
        Ok(Watch {
            reports: Reports::new(config.key),
            config,
            relayed,
            began: console.signs.now,
            console,
            progress: None,
            news: News::default(),
            moved: 0,
            panic: None,
            prompt: None,
            restarting: false,
            screenshot: false,
        })
    }

    /// Follows the guest to its end. The caller ends a guest that did not end itself.
    ///
    /// # Errors
    /// When imgforge is interrupted.
    pub fn run(&mut self, guest: &impl Guest) -> Result<End> {
        self.began = guest.now();
        self.follow(guest)
    }

    /// What the installer reported.
    pub fn report(&self) -> &InstallReport {
        self.reports.seen()
    }

    /// The last lines of the console, without escape codes. A panic's own line comes before
    /// them where its trace is longer.
    pub fn console_tail(&self) -> Vec<String> {
        let lines = || self.console.tail().map(str::to_owned);
        let above = self
            .panic
            .clone()
            .filter(|panic| !lines().any(|line| line == *panic));
        above.into_iter().chain(lines()).collect()
    }

    /// The newest screenshot, if there is one.
    pub fn screenshot(&self) -> Option<PathBuf> {
        self.screenshot.then(|| self.config.screen.to_owned())
    }

    /// What the installer did last.
    pub fn step(&self) -> Option<&str> {
        self.progress
            .as_ref()
            .map(|progress| progress.step.as_str())
    }

    fn hear(&mut self, data: &[u8]) {
        let (lines, pending) = self.console.hear(data, self.news.is_new(data));
        let pending = self.config.installer.text(&pending).trim_end().to_owned();
        for line in &lines {
            self.line(line);
        }
        self.track_progress(&pending);
        self.track_prompt(pending);
    }

    fn line(&mut self, line: &str) {
        let line = self.config.installer.text(line);
        let line = line.trim_end();
        if line.trim().is_empty() {
            return;
        }
        if is_panic(line) {
            self.panic.get_or_insert_with(|| line.to_owned());
            self.console.mark_failed(End::Panicked);
        }
        if self.config.installer.is_deadly(line) {
            self.console
                .mark_failed(End::GaveUp(line.trim().to_owned()));
        }
        self.restarting |= line.contains("reboot: Restarting system");
        self.reports.line(line);
        self.track_progress(line);
        self.console.keep(line);
        self.console.show(line);
    }

    fn track_progress(&mut self, text: &str) {
        let Some(now) = self.config.installer.progress(text) else {
            return;
        };
        if self.progress.as_ref() == Some(&now) {
            return;
        }
        let same_step = self
            .progress
            .as_ref()
            .is_some_and(|before| before.step == now.step);
        if !same_step {
            self.console.step(&now.step);
        }
        if let Some(percent) = now.percent {
            self.config.ui.progress(percent.into(), 100, Unit::Percent);
        }
        self.progress = Some(now);
    }

    fn track_prompt(&mut self, pending: String) {
        let ends_open = pending.ends_with([':', '?', '>']);
        if !self.config.installer.is_prompt(&pending) && !ends_open {
            self.prompt = None;
        } else if self
            .prompt
            .as_ref()
            .is_none_or(|(before, _)| *before != pending)
        {
            let since = match self.prompt.take() {
                // A clock drawn behind a prompt leaves the prompt where it is.
                Some((before, since)) if pending.starts_with(&before) => since,
                _ => self.console.signs.now,
            };
            self.prompt = Some((pending, since));
        }
    }

    fn due(&mut self, guest: &impl Guest) -> Option<End> {
        if let InstallReport::Wrong(key) = self.reports.seen() {
            return Some(End::WrongKey(key.clone()));
        }
        if guest.crashed() {
            self.console.mark_failed(End::Panicked);
        }
        if let Some(end) = self.console.final_failure() {
            return Some(end.clone());
        }
        let signs = &self.console.signs;
        let Limits {
            timeout,
            stall,
            question,
        } = self.config.limits;
        if let Some((text, since)) = &self.prompt {
            let known = self.config.installer.is_prompt(text);
            let stands = signs.ago(*since);
            let still = stands.min(signs.quiet());
            if (known && stands > PROMPT_STANDS) || still > question {
                return Some(End::Asks(self.question(text)));
            }
        }
        self.sample(guest);
        let signs = &self.console.signs;
        if signs.ago(self.began) > timeout {
            return Some(End::TooLong);
        }
        (signs.quiet() > stall).then_some(End::Stalled)
    }

    fn sample(&mut self, guest: &impl Guest) {
        let signs = &mut self.console.signs;
        if signs
            .sample(guest, SAMPLE.min(self.config.limits.stall / 4))
            .is_none()
        {
            return;
        }
        let moved = (self.relayed)();
        if moved != std::mem::replace(&mut self.moved, moved) {
            signs.alive();
        }
        // A guest that ends by itself leaves no time for one.
        self.take_screenshot(guest);
    }

    fn take_screenshot(&mut self, guest: &impl Guest) {
        self.screenshot |= guest.screenshot(self.config.screen).is_ok();
    }

    /// What the installer asks: its last heading or sentence above the prompt.
    fn question(&self, prompt: &str) -> String {
        let lines: Vec<&str> = self.console.tail().collect();
        let is_choice = |line: &str| {
            let number = line
                .trim_start()
                .split([':', ')', '.'])
                .next()
                .unwrap_or_default();
            !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
        };
        let heading = lines.iter().rev().take(30).find(|line| {
            let line = line.trim_start();
            line.starts_with("[!") || line.starts_with("!!")
        });
        let sentence = || lines.iter().rev().find(|line| !is_choice(line));
        let above = heading.or_else(sentence).map_or("", |line| line.trim());
        let prompt = prompt.trim();
        match above.is_empty() {
            true => prompt.to_owned(),
            false => format!("{above} / {prompt}"),
        }
    }
}

impl<'a> Watcher<'a> for Watch<'a> {
    type End = End;

    const PAUSE: Duration = Duration::from_millis(250);

    fn console(&mut self) -> &mut Console<'a, End> {
        &mut self.console
    }

    fn take(&mut self, _: &impl Guest, event: DomainEvent) {
        match event {
            DomainEvent::Console(data) => self.hear(&data),
            DomainEvent::Channel { name, data } if name == EVENTS_PORT => {
                self.console.signs.alive();
                self.reports.port(&data);
            }
            DomainEvent::Channel { .. } | DomainEvent::Ended(_) => {}
        }
    }

    fn flush(&mut self) {
        if let Some(line) = self.console.finish() {
            self.line(&line);
        }
    }

    fn ended(&self, outcome: Outcome) -> End {
        match (self.console.failure(), self.reports.seen(), outcome) {
            (_, InstallReport::Wrong(key), _) => End::WrongKey(key.clone()),
            (Some(end), ..) => end.clone(),
            (_, _, Outcome::ShutDown) if self.restarting => End::Rebooted,
            (_, _, outcome) => End::Ended(outcome),
        }
    }

    fn overdue(&mut self, guest: &impl Guest) -> Option<End> {
        let end = self.due(guest);
        if end.is_some() {
            self.take_screenshot(guest);
        }
        end
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
