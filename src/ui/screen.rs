//! The live lines at the end of a terminal: how they look, and how they are drawn over the ones before.

use std::fmt::Write as _;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::Unit;
use super::plain::{pace, percent};
use crate::units;

/// The signs that a line begins with, one after the other while its stage works.
const TURNS: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// The columns of a bar, and the fewest of a message that says something.
const BAR: u64 = 10;
const MESSAGE: usize = 8;

/// What the line of one stage says.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub(super) image: String,
    pub(super) stage: String,
    pub(super) took: Duration,
    /// What the stage's last run took.
    pub(super) last: Option<Duration>,
    pub(super) progress: Option<Progress>,
    /// What the stage does now; nothing in it drives a terminal.
    pub(super) message: String,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) unit: Unit,
    /// How long work on `total` has taken.
    pub(super) took: Duration,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// What stands on the screen: the columns of each live line.
#[derive(Debug, Default)]
pub(super) struct Screen(Vec<usize>);

impl Screen {
    /// The bytes that write `said` above the live lines, and `live` over the ones before, at one time where
    /// the terminal knows how. `columns` it has now; they may have been others before.
    pub(super) fn draw(&mut self, said: &[String], live: &[String], columns: usize) -> String {
        let mut out = String::from("\u{1b}[?2026h\r");
        if let above @ 1.. = rows(&self.0, columns) {
            let _ = write!(out, "\u{1b}[{above}A");
        }
        if !said.is_empty() {
            out.push_str("\u{1b}[J");
        }
        for line in said {
            let _ = write!(out, "{line}\r\n");
        }
        for line in live {
            let _ = write!(out, "{line}\u{1b}[K\r\n");
        }
        out.push_str("\u{1b}[J\u{1b}[?2026l");
        self.0 = live.iter().map(|line| width(line)).collect();
        out
    }
}

/// The rows that lines take now. A terminal that became narrower has broken those that are too long, as tmux
/// and nearly all others do; on one that cuts them, as xterm does, lines above are written over.
fn rows(drawn: &[usize], columns: usize) -> usize {
    let each = drawn
        .iter()
        .map(|line| line.div_ceil(columns.max(1)).max(1));
    each.sum()
}

/// The columns of a text, without what colours it.
fn width(text: &str) -> usize {
    super::printable(text).width()
}

/// The lines, in columns below each other, none wider, and not more of them, than there is room for. `turn`
/// grows with each time that they are drawn.
pub(super) fn layout(lines: &[Line], size: Size, turn: usize, colour: bool) -> Vec<String> {
    let room = size.columns.saturating_sub(1);
    let most = size.rows.saturating_sub(1).max(1);
    let shown = match lines.len() <= most {
        true => lines.len(),
        false => most - 1,
    };
    let heads: Vec<[String; 4]> = lines
        .iter()
        .map(|line| head(line, size.columns / 4))
        .collect();
    let widest = |at: usize| {
        heads
            .iter()
            .map(|cells| cells[at].width())
            .max()
            .unwrap_or(0)
    };
    let widths = [widest(0), widest(1), widest(2), widest(3)];
    let paint = |text: &str| match colour {
        true => format!("\u{1b}[36m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let of = |(line, cells): (&Line, &[String; 4])| {
        let sign = TURNS[turn % TURNS.len()];
        let pad = |at: usize| " ".repeat(widths[at] - cells[at].width());
        let [image, stage, took, left] = cells;
        let (of_image, of_stage, of_took, of_left) = (pad(0), pad(1), pad(2), pad(3));
        let head = format!("{image}{of_image} {stage}{of_stage}  {of_took}{took}{left}{of_left}");
        let beside = room.saturating_sub(2);
        let head = match head.width() <= beside {
            true => head,
            false => cut(head.trim_end(), beside),
        };
        let mut text = format!("{} {head}", paint(sign));
        if let Some(progress) = &line.progress {
            let (bar, far) = (bar(progress), far(progress, line.last.is_some()));
            let mut left = room.saturating_sub(width(&text) + 1);
            match left.checked_sub(1 + bar.width() + far[0].width()) {
                Some(rest) => {
                    left = rest + far[0].width();
                    let _ = write!(text, "  {}", paint(&bar));
                }
                None => text.push(' '),
            }
            for part in far {
                let Some(rest) = left.checked_sub(part.width()) else {
                    break;
                };
                left = rest;
                text.push_str(&part);
            }
        }
        let left = room.saturating_sub(width(&text) + 2);
        if !line.message.is_empty() && left >= MESSAGE {
            let _ = write!(text, "  {}", cut(&line.message, left));
        }
        text.trim_end().to_owned()
    };
    let mut out: Vec<String> = lines.iter().zip(&heads).take(shown).map(of).collect();
    if shown < lines.len() {
        out.push(cut(&format!("  … and {} more", lines.len() - shown), room));
    }
    out
}

/// Image, stage, the time that it took, and what is left; an image's name takes `most` columns.
fn head(line: &Line, most: usize) -> [String; 4] {
    [
        cut(&line.image, most.max(MESSAGE)),
        line.stage.clone(),
        clock(line.took),
        left(line.last, line.took),
    ]
}

/// A time as a clock shows it: `0:06`, `1:02:05`.
fn clock(took: Duration) -> String {
    let (minutes, seconds) = (took.as_secs() / 60, took.as_secs() % 60);
    match minutes / 60 {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{:02}:{seconds:02}", minutes % 60),
    }
}

/// What is left by the time of the last run; nothing where that is not known, or over.
fn left(last: Option<Duration>, took: Duration) -> String {
    let left = last.and_then(|last| last.checked_sub(took));
    match left.map(|left| left.as_secs()) {
        None | Some(0) => String::new(),
        Some(seconds) if seconds < 90 => format!(", ~{seconds} s left"),
        Some(seconds) => format!(", ~{} min left", (seconds + 30) / 60),
    }
}

fn bar(progress: &Progress) -> String {
    let full = u128::from(progress.done.min(progress.total)) * u128::from(BAR);
    let full = full.checked_div(progress.total.into()).unwrap_or(0) as usize;
    let head = if full < BAR as usize { ">" } else { "" };
    format!(
        "[{:<width$}]",
        format!("{}{head}", "=".repeat(full)),
        width = BAR as usize
    )
}

/// How far it is, and for bytes how fast it goes and what is left, where no earlier run says that. What matters
/// most comes first.
fn far(progress: &Progress, known: bool) -> Vec<String> {
    let (done, total) = (progress.done, progress.total);
    let mut parts = match progress.unit {
        Unit::Steps => vec![format!(" step {done} of {total}")],
        Unit::Percent | Unit::Bytes => vec![format!(" {}%", percent(done, total))],
    };
    if progress.unit == Unit::Bytes {
        parts.push(format!(" of {}", units::Size::bytes(total).human()));
        let pace = pace(done, total, progress.took);
        let pace = pace.split(", ").filter(|part| !part.is_empty());
        parts.extend(
            pace.take(if known { 1 } else { 2 })
                .map(|part| format!(", {part}")),
        );
    }
    parts
}

/// The text in at most so many columns; `…` stands for its end.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Size = Size {
        columns: 200,
        rows: 24,
    };

    fn lines() -> Vec<Line> {
        let seconds = Duration::from_secs;
        let line = |image: &str, stage: &str, took, message: &str| Line {
            image: image.into(),
            stage: stage.into(),
            took: seconds(took),
            message: message.into(),
            ..Line::default()
        };
        let mut pack = line("web", "pack", 12, "");
        pack.progress = Some(Progress {
            done: 512 << 20,
            total: 1 << 30,
            unit: Unit::Bytes,
            took: seconds(10),
        });
        let mut configure = line("database-server", "configure", 245, "packages: postgresql");
        configure.last = Some(seconds(400));
        configure.progress = Some(Progress {
            done: 2,
            total: 5,
            unit: Unit::Steps,
            took: seconds(200),
        });
        let long = "an-image-whose-name-tells-all-that-is-in-it-and-more";
        vec![
            pack,
            configure,
            line(long, "install", 3725, "waiting for 漢字漢字漢字漢字漢字"),
        ]
    }

    #[test]
    fn lines_stand_below_each_other_and_the_rest_follows_as_there_is_room() {
        let text = |columns, rows| layout(&lines(), Size { columns, rows }, 0, false).join("\n");
        insta::assert_snapshot!(text(200, 24), @r"
        ⠋ web                                                pack          0:12               [=====>    ] 50% of 1.0 GiB, 51.2 MiB/s, 10.0 s left
        ⠋ database-server                                    configure     4:05, ~3 min left  [====>     ] step 2 of 5  packages: postgresql
        ⠋ an-image-whose-name-tells-all-that-is-in-it-and-m… install    1:02:05               waiting for 漢字漢字漢字漢字漢字
        ");
        insta::assert_snapshot!(text(80, 24), @r"
        ⠋ web                  pack          0:12               [=====>    ] 50%
        ⠋ database-server      configure     4:05, ~3 min left  step 2 of 5  packages:…
        ⠋ an-image-whose-name… install    1:02:05               waiting for 漢字漢字漢…
        ");
        insta::assert_snapshot!(text(40, 24), @r"
        ⠋ web        pack          0:12  50%
        ⠋ database-… configure     4:05, ~3 mi…
        ⠋ an-image-… install    1:02:05
        ");
        insta::assert_snapshot!(text(80, 3), @r"
        ⠋ web                  pack          0:12               [=====>    ] 50%
          … and 2 more
        ");
    }

    #[test]
    fn no_line_reaches_the_end_of_the_terminal_with_or_without_colour() {
        for columns in 0..250 {
            for rows in 0..6 {
                let plain = layout(&lines(), Size { columns, rows }, 3, false);
                let coloured = layout(&lines(), Size { columns, rows }, 3, true);
                assert!(plain.len() < rows.max(2), "{rows}: {plain:?}");
                let shown: Vec<String> = coloured
                    .iter()
                    .map(|line| super::super::printable(line))
                    .collect();
                assert_eq!(shown, plain);
                let fits = |line: &String| line.width() < columns.max(6);
                assert!(plain.iter().all(fits), "{columns}: {plain:#?}");
            }
        }
        assert!(layout(&lines(), WIDE, 0, true)[0].contains("\u{1b}[36m[=====>"));
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
    fn lines_that_a_narrower_terminal_broke_are_drawn_over_too() {
        let mut screen = Screen::default();
        let line = |text: &str| vec![text.to_owned()];
        assert!(!screen.draw(&[], &line("0123456789"), 80).contains('A'));
        assert!(
            screen
                .draw(&[], &line("0123456789"), 80)
                .contains("\r\u{1b}[1A")
        );
        assert!(
            screen
                .draw(&line("said"), &[], 4)
                .contains("\r\u{1b}[3A\u{1b}[Jsaid\r\n")
        );
        assert!(!screen.draw(&[], &[], 4).contains('A'));
    }
}
