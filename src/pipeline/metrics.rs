//! What `status` knows, for Prometheus: a text file as node_exporter's textfile collector reads it.

use std::fmt::{Display, Write as _};

use super::status::{StatusReport, WaitingFixes};

/// Writes the exposition format, version 0.0.4.
pub fn render(report: &StatusReport) -> String {
    let mut page = Page {
        text: String::new(),
        family: "",
    };
    published(&mut page, report);
    builds(&mut page, report);
    page.family(
        "imgforge_key_expiry_timestamp_seconds",
        "gauge",
        "When a repository's key expires; missing: never.",
    );
    for key in &report.keys {
        if let Some(end) = key.key.expires {
            page.sample(
                &[
                    ("repository", &key.repository),
                    ("fingerprint", &key.key.fingerprint),
                ],
                end,
            );
        }
    }
    page.family(
        "imgforge_store_bytes",
        "gauge",
        "Bytes that the store of layers allocates.",
    );
    page.sample(&[], report.store);
    page.family(
        "imgforge_status_timestamp_seconds",
        "gauge",
        "When this was written.",
    );
    page.sample(&[], report.at);
    page.text
}

/// One number of a place in a channel.
type OfPlace = (
    &'static str,
    &'static str,
    fn(&super::status::PlaceStatus, u64) -> u64,
);

const PLACES: &[OfPlace] = &[
    (
        "imgforge_image_revision",
        "Revision that a channel has.",
        |place, _| place.revision,
    ),
    (
        "imgforge_image_age_seconds",
        "Age of that revision.",
        |place, at| at.saturating_sub(place.created),
    ),
    (
        "imgforge_image_published_timestamp_seconds",
        "Since when the channel has it.",
        |place, _| place.since,
    ),
    (
        "imgforge_image_size_bytes",
        "Bytes to download.",
        |place, _| place.size,
    ),
    (
        "imgforge_image_virtual_size_bytes",
        "Bytes of its disk.",
        |place, _| place.virtual_size,
    ),
    (
        "imgforge_image_current",
        "1 when it is what the recipe makes now.",
        |place, _| u64::from(place.current),
    ),
    (
        "imgforge_image_on_trial",
        "1 when a share of the machines gets what the recipe makes now.",
        |place, _| u64::from(place.on_trial),
    ),
    (
        "imgforge_channel_frozen",
        "1 when the channel is frozen.",
        |place, _| u64::from(place.frozen.is_some()),
    ),
];

/// One number of the fixes that wait for what a channel has.
type OfFixes = (&'static str, &'static str, fn(&WaitingFixes, u64) -> u64);

const FIXES: &[OfFixes] = &[
    (
        "imgforge_pending_fixes",
        "Packages of which the mirrors have newer versions.",
        |fixes, _| fixes.updates,
    ),
    (
        "imgforge_pending_security_fixes",
        "How many of them are security fixes.",
        |fixes, _| fixes.security,
    ),
    (
        "imgforge_pending_fixes_age_seconds",
        "Since when the oldest of them waits; 0 when none does.",
        |fixes, at| fixes.since.map_or(0, |since| at.saturating_sub(since)),
    ),
    (
        "imgforge_pending_fixes_looked_timestamp_seconds",
        "When the mirrors were looked at.",
        |fixes, _| fixes.at,
    ),
    (
        "imgforge_pending_fixes_unjudged",
        "What could not be judged then; the others say too little as long as it is not 0.",
        |fixes, _| fixes.unread,
    ),
];

fn published(page: &mut Page, report: &StatusReport) {
    for (name, help, value) in FIXES {
        page.family(name, "gauge", help);
        for image in &report.images {
            for place in &image.places {
                let labels = [
                    ("repository", &*place.repository),
                    ("channel", &place.channel),
                    ("image", &image.image),
                    ("arch", &place.arch),
                ];
                if let Some(fixes) = &place.fixes {
                    page.sample(&labels, value(fixes, report.at));
                }
            }
        }
    }

    for (name, help, value) in PLACES {
        page.family(name, "gauge", help);
        for image in &report.images {
            for place in &image.places {
                let labels = [
                    ("repository", &*place.repository),
                    ("channel", &place.channel),
                    ("image", &image.image),
                    ("arch", &place.arch),
                ];
                page.sample(&labels, value(place, report.at));
            }
        }
    }
    page.family(
        "imgforge_image_drift",
        "gauge",
        "1 when recipe, store and channels differ.",
    );
    for image in &report.images {
        page.sample(
            &[("image", &image.image)],
            u8::from(!image.drift.is_empty()),
        );
    }
    page.family(
        "imgforge_image_stages_to_run",
        "gauge",
        "Stages that a build would run.",
    );
    for image in &report.images {
        page.sample(&[("image", &image.image)], image.rebuild.len());
    }
}

/// One number of a stage's record.
type OfStage = (
    &'static str,
    &'static str,
    &'static str,
    fn(&super::records::Stage) -> f64,
);

const STAGES: &[OfStage] = &[
    (
        "imgforge_stage_duration_seconds",
        "gauge",
        "Seconds of a stage's last run on this host.",
        |stage| stage.seconds,
    ),
    (
        "imgforge_stage_duration_seconds_total",
        "counter",
        "Seconds of all runs of a stage.",
        |stage| stage.seconds_total,
    ),
    (
        "imgforge_stage_runs_total",
        "counter",
        "Runs of a stage to its end.",
        |stage| stage.runs as f64,
    ),
    (
        "imgforge_stage_cache_hits_total",
        "counter",
        "Times that the store had a stage's result.",
        |stage| stage.hits as f64,
    ),
    (
        "imgforge_stage_failures_total",
        "counter",
        "Failures of a stage.",
        |stage| stage.failures as f64,
    ),
];

fn builds(page: &mut Page, report: &StatusReport) {
    for (name, kind, help, value) in STAGES {
        page.family(name, kind, help);
        for image in &report.images {
            for (stage, record) in &image.record.stages {
                page.sample(&[("image", &image.image), ("stage", stage)], value(record));
            }
        }
    }
    page.family(
        "imgforge_builds_total",
        "counter",
        "Builds that came to their end, and that failed.",
    );
    for image in &report.images {
        page.sample(
            &[("image", &image.image), ("result", "ok")],
            image.record.built,
        );
        page.sample(
            &[("image", &image.image), ("result", "failed")],
            image.record.failed,
        );
    }
    page.family(
        "imgforge_build_last_success_timestamp_seconds",
        "gauge",
        "When a build came to its end last.",
    );
    for image in report
        .images
        .iter()
        .filter(|image| image.record.last_built > 0)
    {
        page.sample(&[("image", &image.image)], image.record.last_built);
    }
}

/// A page in the making, with the family of the next samples at its end.
struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let name = self.family;
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{}\"", escape(value)))
            .collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}
