//! One JSON object a line on standard error; docs/events.md is its documentation.

use serde::Serialize;

use super::{Event, Reporter, write_line};
use crate::error::{Error, Kind};

/// Version of the format; grows when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// Draws JSON lines.
#[derive(Debug)]
pub struct Json;

impl Reporter for Json {
    fn event(&self, event: &Event) {
        write_line(&line(jiff::Timestamp::now(), event));
    }
}

#[derive(Serialize)]
struct Line<'a, T> {
    version: u32,
    time: String,
    #[serde(flatten)]
    event: &'a T,
}

/// One line of the format, without its end.
pub fn line(now: jiff::Timestamp, event: &impl Serialize) -> String {
    let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    serde_json::to_string(&Line {
        version: VERSION,
        time,
        event,
    })
    .unwrap_or_default()
}

/// The last line of a command that failed.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "error", rename_all = "kebab-case")]
pub struct Failure<'a> {
    kind: &'static str,
    message: &'a str,
    causes: &'a [String],
    evidence: &'a [String],
    hint: Option<&'a str>,
    resume: Option<&'a str>,
    exit_code: u8,
}

impl<'a> Failure<'a> {
    /// The error as the format has it.
    pub fn new(error: &'a Error) -> Self {
        Failure {
            kind: match error.kind() {
                Kind::Stage | Kind::Breach => "stage",
                Kind::Usage => "usage",
                Kind::Host => "host",
                Kind::Gate => "gate",
                Kind::Internal => "internal",
                Kind::Interrupted(_) => "interrupted",
            },
            message: error.message(),
            causes: error.causes(),
            evidence: error.evidence_lines(),
            hint: error.hint_text(),
            resume: error.resume_text(),
            exit_code: error.kind().exit_code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;

    fn fields(line: &str) -> Vec<String> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).unwrap();
        object.keys().cloned().collect()
    }

    #[test]
    fn a_line_has_version_time_and_event_first() {
        let now = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(
            line(now, &samples::all()[2]),
            r#"{"version":1,"time":"2023-11-14T22:13:20.000Z","event":"waiting","image":"web","stage":"install","pid":4242}"#
        );
        let error = Error::host("`xz` is missing")
            .cause("not on PATH")
            .hint("install it");
        assert_eq!(
            line(now, &Failure::new(&error)),
            r#"{"version":1,"time":"2023-11-14T22:13:20.000Z","event":"error","kind":"host","message":"`xz` is missing","causes":["not on PATH"],"evidence":[],"hint":"install it","resume":null,"exit-code":3}"#
        );
    }

    #[test]
    fn the_documentation_names_every_event_and_field() {
        let docs = include_str!("../../docs/events.md");
        let now = jiff::Timestamp::now();
        let error = Error::host("x");
        let mut lines: Vec<String> = samples::all()
            .iter()
            .map(|event| line(now, event))
            .collect();
        lines.push(line(now, &Failure::new(&error)));
        for line in lines {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            let name = event["event"].as_str().unwrap();
            let section = docs
                .split("\n## ")
                .find(|section| section.starts_with(&format!("`{name}`")))
                .unwrap_or_else(|| panic!("docs/events.md has no section `{name}`"));
            for field in fields(&line) {
                let common = ["version", "time", "event"].contains(&field.as_str());
                let place = if common { docs } else { section };
                assert!(
                    place.contains(&format!("`{field}`")),
                    "docs/events.md: {name}.{field}"
                );
            }
        }
    }
}
