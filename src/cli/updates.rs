//! `imgforge updates`.

use std::fmt::Write as _;

use super::{App, out, place, session};
use crate::error::{Error, Kind, Result};
use crate::pipeline::updates::{Scope, look};
use crate::severity::Severity;
use crate::ui::summary::table;
use crate::units::age;
use crate::updates::{ImageUpdates, Report, Update};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the indexes of the mirrors that the images name, verifies them, and compares them\n\
                        with the packages of what channels have. No guest is started."
)]
pub(crate) struct Updates {
    /// Images to look at; default: all that channels have
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Looks at all images
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Looks only at CHANNEL
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel, conflicts_with = "built")]
    channel: Option<String>,
    /// Looks at what this host has built last, not at channels
    #[arg(long)]
    built: bool,
    /// Counts and prints only security fixes
    #[arg(long)]
    security: bool,
    /// Asks no server: takes the indexes as they were read last
    #[arg(long)]
    offline: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl Updates {
    /// Runs the verb.
    ///
    /// # Errors
    /// [`Kind::Gate`] when fixes wait, [`Kind::Stage`] when something could not be judged; both after
    /// everything was told.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        let scope = Scope {
            names: &self.names,
            channel: self.channel.as_deref(),
            built: self.built,
            offline: self.offline,
        };
        let mut report = look(&session, &scope)?;
        if self.security {
            for image in &mut report.images {
                image.updates.retain(|update| update.security);
            }
        }
        match self.json {
            true => out::json(&report)?,
            false => out::print(&text(&report))?,
        }
        warn(app, &report, self.offline);
        conclude(&report)
    }
}

/// An archive that has nothing new for so long, in seconds, has no security fixes any more, or stands still.
const STANDS: u64 = 30 * 86_400;

fn warn(app: &App, report: &Report, offline: bool) {
    if report.images.is_empty() {
        app.ui
            .warning("no channel has an image: nothing was looked at");
    }
    for suite in &report.suites {
        let made = suite.date.unwrap_or_default();
        let stood = report.at.saturating_sub(made);
        if suite.suite.ends_with("-security") && stood > STANDS {
            app.ui.warning(format!(
                "{} {} has had nothing new for {}: its release may have no support any more, or the mirror is behind",
                suite.uri,
                suite.suite,
                age(stood)
            ));
        }
        for why in &suite.refused {
            app.ui.warning(format!(
                "{} {} was read instead: {why}",
                suite.uri, suite.suite
            ));
        }
    }
    if let Some(oldest) = report.suites.iter().map(|suite| suite.fetched).min()
        && offline
    {
        let age = age(report.at.saturating_sub(oldest));
        app.ui
            .warning(format!("the oldest of the indexes was read {age} ago"));
    }
}

fn conclude(report: &Report) -> Result<()> {
    let pending = |image: &&ImageUpdates| !image.updates.is_empty();
    let pending: Vec<&ImageUpdates> = report.images.iter().filter(pending).collect();
    let unread: Vec<String> = report
        .images
        .iter()
        .flat_map(|image| {
            image
                .unread
                .iter()
                .map(|why| format!("{}: {why}", name(image)))
        })
        .chain(report.problems.iter().cloned())
        .collect();
    let (kind, said, hint) = match (pending.first(), unread.is_empty()) {
        (None, true) => return Ok(()),
        (None, false) => (
            Kind::Stage,
            "not every image could be judged".to_owned(),
            "what is missing stands above, by image; the others have no fixes waiting".to_owned(),
        ),
        (Some(first), _) => {
            let security: usize = pending.iter().map(|image| image.security()).sum();
            let (some, all) = (pending.len(), report.images.len());
            (
                Kind::Gate,
                format!("fixes wait for {some} of {all} images, {security} of them for security"),
                format!(
                    "`imgforge build {} --from install --publish` builds with them",
                    first.at.image
                ),
            )
        }
    };
    Err(Error::new(kind, said).evidence(unread).hint(hint))
}

/// An image as people name what a channel has.
fn name(image: &ImageUpdates) -> String {
    let at = &image.at;
    match at.channel.as_str() {
        "" => format!("{}:{}", at.image, at.arch),
        channel if at.canary => format!("{}:{}@{channel} (canary)", at.image, at.arch),
        channel => format!("{}:{}@{channel}", at.image, at.arch),
    }
}

fn text(report: &Report) -> String {
    let dash = |text: &str| match text {
        "" => "-".to_owned(),
        text => text.to_owned(),
    };
    let rows = report.images.iter().map(|image| {
        let revision = image.at.revision.map(|number| number.to_string());
        // What is not known must not look like none.
        let is_judged = image.unread.is_empty() && report.problems.is_empty();
        let count = |count| match (count, is_judged) {
            (0, false) => "unknown".to_owned(),
            (count, true) => count.to_string(),
            (count, false) => format!("{count}, perhaps more"),
        };
        let waits = image
            .since()
            .map(|since| age(report.at.saturating_sub(since)));
        [
            image.at.image.clone(),
            image.at.arch.clone(),
            match image.at.canary {
                true => format!("{} (canary)", image.at.channel),
                false => dash(&image.at.channel),
            },
            dash(&revision.unwrap_or_default()),
            image.packages.to_string(),
            count(image.updates.len()),
            count(image.security()),
            image.severity().map_or("-", Severity::name).to_owned(),
            dash(&waits.unwrap_or_default()),
        ]
    });
    let head = [
        "IMAGE", "ARCH", "CHANNEL", "REVISION", "PACKAGES", "UPDATES", "SECURITY", "WORST", "SINCE",
    ];
    let right = [false, false, false, true, true, true, true, false, true];
    let mut text = table(head, right, rows);
    for image in report
        .images
        .iter()
        .filter(|image| !image.updates.is_empty())
    {
        let _ = writeln!(text, "\n{}:", name(image));
        let rows = image.updates.iter().map(|update| {
            let Update {
                package,
                installed,
                available,
                replaced_by,
                suite,
                ..
            } = update;
            let kind = match (update.security, update.severity) {
                (false, _) => "".to_owned(),
                (true, Severity::Unknown) => "security".to_owned(),
                (true, severity) => format!("security, {}", severity.name()),
            };
            [
                format!("  {package}"),
                installed.clone(),
                match replaced_by {
                    Some(name) => format!("{available} ({name})"),
                    None => available.clone(),
                },
                suite.clone(),
                kind,
                update.advisories.join(" "),
            ]
        });
        let head = ["  PACKAGE", "HAS", "GETS", "SUITE", "KIND", "CLOSES"];
        text += &table(head, [false; 6], rows);
    }
    text
}
