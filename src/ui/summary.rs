//! What the events of a command add up to: a table of stages and one of artifacts.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use super::Event;
use super::escape::printable;
use crate::mutex::Unpoisoned as _;
use crate::units::{Size, elapsed};

/// Remembers what belongs into the final tables.
#[derive(Debug, Default)]
pub struct Summary(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    stages: Vec<Stage>,
    artifacts: Vec<Artifact>,
    published: Vec<String>,
}

#[derive(Debug)]
struct Stage {
    image: String,
    stage: String,
    /// `None`: cached.
    took: Option<Duration>,
    note: Option<String>,
}

#[derive(Debug)]
struct Artifact {
    image: String,
    kind: String,
    path: String,
    size: u64,
    sha512: String,
}

impl Summary {
    /// Remembers an event if it belongs into a table.
    pub fn take(&self, event: &Event) {
        let mut tables = self.0.lock().unpoisoned();
        match event {
            Event::Cached { image, stage, .. } => tables.stages.push(Stage {
                image: image.clone(),
                stage: stage.clone(),
                took: None,
                note: None,
            }),
            Event::Finished {
                image,
                stage,
                took,
                note,
            } => tables.stages.push(Stage {
                image: image.clone(),
                stage: stage.clone(),
                took: Some(*took),
                note: note.clone(),
            }),
            Event::Artifact {
                image,
                kind,
                path,
                size,
                sha512,
            } => {
                tables.artifacts.push(Artifact {
                    image: image.clone(),
                    kind: kind.clone(),
                    path: path.display().to_string(),
                    size: *size,
                    sha512: sha512.clone(),
                });
            }
            Event::Published {
                image,
                channel,
                revision,
                url,
            } => tables.published.push(format!(
                "{image} is revision {revision} of {channel} in {url}"
            )),
            _ => {}
        }
    }

    /// The tables as text; empty when nothing belongs into them.
    pub fn render(&self) -> String {
        let tables = self.0.lock().unpoisoned();
        let mut out = String::new();
        let stages = tables.stages.iter().map(|row| {
            let took = row.took.map_or_else(|| "cached".into(), elapsed);
            [
                row.image.clone(),
                row.stage.clone(),
                took,
                row.note.clone().unwrap_or_default(),
            ]
        });
        out.push_str(&table(
            ["IMAGE", "STAGE", "TIME", "NOTE"],
            [false, false, true, false],
            stages,
        ));
        let artifacts = tables.artifacts.iter().map(|row| {
            let size = Size::bytes(row.size).human();
            [row.image.clone(), row.kind.clone(), size, row.path.clone()]
        });
        let artifacts = table(
            ["IMAGE", "ARTIFACT", "SIZE", "FILE"],
            [false, false, true, false],
            artifacts,
        );
        if !out.is_empty() && !artifacts.is_empty() {
            out.push('\n');
        }
        out.push_str(&artifacts);
        for row in tables.artifacts.iter().filter(|row| !row.sha512.is_empty()) {
            let _ = writeln!(out, "sha512 {}  {}", row.sha512, row.path);
        }
        for line in &tables.published {
            let _ = writeln!(out, "published: {line}");
        }
        out
    }
}

/// A table with aligned columns, two spaces apart; empty without rows. Nothing in a cell drives a terminal or
/// ends its line.
pub fn table<const N: usize>(
    head: [&str; N],
    right: [bool; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows = rows.into_iter().map(|row| row.map(|cell| printable(&cell)));
    let rows: Vec<[String; N]> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(&rows);
    let width: [usize; N] = std::array::from_fn(|i| {
        all()
            .map(|row| row[i].chars().count())
            .max()
            .unwrap_or_default()
    });
    let mut out = String::new();
    for row in all() {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let pad = " ".repeat(width[i] - cell.chars().count());
            let (before, after) = if right[i] {
                (pad.as_str(), "")
            } else {
                ("", pad.as_str())
            };
            let _ = write!(line, "{before}{cell}{after}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;

    #[test]
    fn what_others_wrote_drives_no_terminal() {
        let rows =
            [["\u{1b}[2J\u{1b}]0;x\u{7}CVE-1\nfake  row", "\u{202e}b\r\t|"].map(str::to_owned)];
        let table = table(["A", "B"], [false; 2], rows);
        assert_eq!(table, "A               B\nCVE-1fake  row  b    |\n");
    }

    #[test]
    fn the_tables_show_times_sizes_and_digests() {
        let summary = Summary::default();
        samples::all().iter().for_each(|event| summary.take(event));
        insta::assert_snapshot!(summary.render(), @r"
        IMAGE  STAGE      TIME  NOTE
        web    install  cached
        web    install  12.3 s  1.2 GiB

        IMAGE  ARTIFACT     SIZE  FILE
        web    qcow2     3.0 GiB  out/web.qcow2
        sha512 c0ffee  out/web.qcow2
        published: web is revision 7 of nightly in https://images.example.org/
        ");
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(Summary::default().render(), "");
    }
}
