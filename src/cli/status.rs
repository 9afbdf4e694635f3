//! `imgforge status`.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{App, out, place, session};
use crate::address::OciAddress;
use crate::error::{Error, Result};
use crate::host::outlet::Outlet;
use crate::pipeline::status::{ImageStatus, PlaceStatus, StatusReport, report};
use crate::pipeline::{metrics, whole};
use crate::ui::summary::table;
use crate::units::age;

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Images to look at; default: all
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Looks only at CHANNEL
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel)]
    channel: Option<String>,
    /// Writes metrics for Prometheus to FILE, at once
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// Also asks the shared store, that of imgforge.yaml or the one at ADDRESS
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1)]
    remote: Option<Option<OciAddress>>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Runs the verb. Nothing but the metrics is written.
    ///
    /// # Errors
    /// [`Kind::Gate`](crate::error::Kind::Gate) when something drifted, after everything was told.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let mut session = session::open(app)?;
        if let Some(asked) = &self.remote {
            session::share(&mut session, asked.as_ref())?;
        }
        let report = report(&session, &self.names, self.channel.as_deref())?;
        if let Some(path) = &self.metrics {
            write_metrics(path, &metrics::render(&report))?;
        }
        if self.json {
            out::json(&report)?;
        } else {
            out::print(&text(&report))?;
        }
        let warnings = report.keys.iter().filter_map(|key| key.warning(report.at));
        warnings.for_each(|warning| app.ui.warning(warning));
        let warnings = report
            .indexes
            .iter()
            .filter_map(|index| index.warning(report.at));
        warnings.for_each(|warning| app.ui.warning(warning));
        if !report.drifted() {
            return Ok(());
        }
        let drifted: Vec<&ImageStatus> = report
            .images
            .iter()
            .filter(|image| !image.drift.is_empty())
            .collect();
        let refused = report
            .indexes
            .iter()
            .filter_map(|index| index.refused(report.at));
        let refused: Vec<String> = refused.collect();
        if !refused.is_empty() {
            return Err(
                Error::gate("clients would refuse what a repository has signed")
                    .evidence(refused)
                    .hint("`imgforge repo verify` shows what else is wrong"),
            );
        }
        if drifted.is_empty() {
            return Err(Error::gate("a key of a repository has expired")
                .hint("extend it with gpg and publish again"));
        }
        let lines = drifted.iter().flat_map(|image| {
            image
                .drift
                .iter()
                .map(|what| format!("{}: {what}", image.image))
        });
        Err(Error::gate(format!(
            "{} of {} images drifted",
            drifted.len(),
            report.images.len()
        ))
        .evidence(lines)
        .hint(hint(&drifted)))
    }
}

/// What to do about the first image that drifted.
fn hint(drifted: &[&ImageStatus]) -> String {
    let planned = |image: &&&ImageStatus| image.made && image.unplanned.is_none();
    if let Some(made) = drifted.iter().find(planned) {
        let name = whole::name(&made.image);
        return format!("`imgforge build {name} --publish` brings it up to date");
    }
    if let Some(hint) = drifted.iter().find_map(|image| image.unplanned.clone()) {
        return hint;
    }
    let places = drifted.iter().flat_map(|orphan| {
        let name = whole::name(&orphan.image);
        orphan
            .places
            .iter()
            .map(move |place| format!("{name}@{}", place.revision))
    });
    let revision = places.take(1).collect::<String>();
    format!(
        "let a recipe make it again, or remove it: `imgforge repo yank {revision} --why TEXT`, and \
         again while the channel has an older one"
    )
}

/// Readable for node_exporter, complete at every moment.
fn write_metrics(path: &std::path::Path, text: &str) -> Result<()> {
    // Its name is not *.prom until then, which the collector would read half-written.
    Outlet::of(path)?.write(text.as_bytes())
}

fn text(report: &StatusReport) -> String {
    let rows = report.images.iter().flat_map(|image| {
        let version = image.version.clone().unwrap_or_else(|| "-".into());
        let build = match (image.rebuild.len(), image.fetch.len(), &image.version) {
            (_, _, None) => "-".to_owned(),
            (0, 0, _) => "built".to_owned(),
            (0, fetch, _) => format!("{fetch} to fetch"),
            (run, 0, _) => format!("{run} to run"),
            (run, fetch, _) => format!("{run} to run, {fetch} to fetch"),
        };
        let row =
            move |channel: String, revision: String, age: String, commit: String, state: &str| {
                [
                    image.image.clone(),
                    version.clone(),
                    build.clone(),
                    channel,
                    revision,
                    age,
                    commit,
                    state.to_owned(),
                ]
            };
        let mut rows: Vec<[String; 8]> = image
            .places
            .iter()
            .map(|place| {
                row(
                    place.channel.clone(),
                    place.revision.to_string(),
                    age(report.at.saturating_sub(place.created)),
                    commit(place),
                    state(place),
                )
            })
            .collect();
        if rows.is_empty() {
            let none = || "-".to_owned();
            rows.push(row(none(), none(), none(), none(), "not published"));
        }
        rows
    });
    let head = [
        "IMAGE", "RECIPE", "STORE", "CHANNEL", "REVISION", "AGE", "COMMIT", "STATE",
    ];
    let mut text = table(
        head,
        [false, false, false, false, true, true, false, false],
        rows,
    );
    for image in &report.images {
        for place in &image.places {
            for note in &place.notes {
                let (image, channel, arch) = (&image.image, &place.channel, &place.arch);
                let _ = writeln!(text, "{image} in {channel} for {arch}: {note}");
            }
        }
    }
    for image in report
        .images
        .iter()
        .filter(|image| !image.rebuild.is_empty())
    {
        let _ = writeln!(text, "\n{} would run:", image.image);
        for stage in &image.rebuild {
            let _ = writeln!(text, "  {:<24} {}", stage.stage, stage.why.join("; "));
        }
    }
    text
}

fn state(place: &PlaceStatus) -> &'static str {
    match (place.current, &place.frozen) {
        (true, None) => "current",
        (true, Some(_)) => "current, frozen",
        (false, Some(_)) => "frozen",
        (false, None) if place.on_trial => "canary",
        (false, None) => "behind",
    }
}

fn commit(place: &PlaceStatus) -> String {
    let commit = place.commit.as_deref().unwrap_or("-");
    let (hash, dirty) = commit
        .strip_suffix("-dirty")
        .map_or((commit, ""), |hash| (hash, "-dirty"));
    format!("{}{dirty}", hash.get(..12).unwrap_or(hash))
}
