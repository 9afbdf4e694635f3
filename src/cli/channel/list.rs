//! `imgforge channel list`.

use serde::Serialize;

use super::super::place::RepositoryArgs;
use super::super::{App, out};
use crate::channels::Canary;
use crate::error::Result;
use crate::repository::state::{Channel, Image};
use crate::repository::{Stamp, State};
use crate::ui::summary::table;
use crate::units::Size;

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only this channel
    #[arg(value_name = "CHANNEL")]
    channel: Option<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row {
    channel: String,
    default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen: Option<Stamp>,
    images: Vec<Placed>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Placed {
    name: String,
    entry: String,
    arch: String,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<Canary>,
    image_version: String,
    size: u64,
    sha512: String,
    #[serde(flatten)]
    since: Option<Stamp>,
}

impl List {
    /// Prints the channels of the repository.
    ///
    /// # Errors
    /// When there is no repository, or no such channel.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let state = State::read(&self.repository.path(app)?)?;
        if let Some(channel) = &self.channel {
            state.known_channel(channel)?;
        }
        let wanted = |name: &str| self.channel.as_deref().is_none_or(|only| only == name);
        let channels = state.channels.iter().filter(|(name, _)| wanted(name));
        let rows: Vec<Row> = channels.map(|(name, one)| row(&state, name, one)).collect();
        if self.json {
            return out::json(&rows);
        }
        for row in &rows {
            if let Some(stamp) = &row.frozen {
                let why = stamp.why.as_deref().unwrap_or_default();
                let (who, when) = (&stamp.who, stamp.when);
                out::print(&format!(
                    "{} is frozen since {when} by {who}: {why}\n",
                    row.channel
                ))?;
            }
        }
        let lines = rows
            .iter()
            .flat_map(|row| row.images.iter().map(|one| one.line(&row.channel)));
        out::print(&table(
            [
                "CHANNEL", "ENTRY", "ARCH", "REVISION", "CANARY", "SIZE", "SINCE",
            ],
            [false, false, false, true, false, true, false],
            lines,
        ))
    }
}

impl Placed {
    fn line(&self, channel: &str) -> [String; 7] {
        let canary = |canary: Canary| format!("{} for {}", canary.revision, canary.share);
        let since = self.since.as_ref();
        [
            channel.to_owned(),
            self.entry.clone(),
            self.arch.clone(),
            self.revision.to_string(),
            self.canary.map(canary).unwrap_or_default(),
            Size::bytes(self.size).human(),
            since
                .map(|stamp| format!("{:.0}", stamp.when))
                .unwrap_or_default(),
        ]
    }
}

fn row(state: &State, name: &str, channel: &Channel) -> Row {
    let images = state.placements(name).flat_map(|(image, placement)| {
        let numbers = placement.current.iter();
        numbers.filter_map(move |(arch, revision)| placed(state, image, name, arch, *revision))
    });
    Row {
        channel: name.to_owned(),
        default: name == state.default_channel,
        frozen: channel.frozen.clone(),
        images: images.collect(),
    }
}

fn placed(state: &State, image: &Image, channel: &str, arch: &str, number: u64) -> Option<Placed> {
    let revision = image.revisions.get(&number)?;
    let placement = image.channels.get(channel)?;
    let came = image.came(channel, arch, number);
    Some(Placed {
        name: image.name.clone(),
        entry: state.entry_id(&image.name, channel),
        arch: arch.to_owned(),
        revision: number,
        canary: placement.canary.get(arch).copied(),
        image_version: revision.image_version.clone(),
        size: revision.size,
        sha512: revision.sha512.clone(),
        since: came.map(|moved| moved.stamp.clone()),
    })
}
