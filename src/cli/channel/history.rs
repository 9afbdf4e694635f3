//! `imgforge channel history`.

use serde::Serialize;

use super::super::place::{self, RepositoryArgs};
use super::super::{App, out};
use crate::error::Result;
use crate::repository::State;
use crate::repository::state::{ChannelEvent, Frozen};
use crate::ui::summary::table;

#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// The image (default: all)
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only this channel
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel)]
    channel: Option<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

/// One line of the history.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Image {
        image: &'a str,
        #[serde(flatten)]
        moved: &'a ChannelEvent,
    },
    Channel {
        channel: &'a str,
        #[serde(flatten)]
        frozen: &'a Frozen,
    },
}

impl History {
    /// Prints what happened, oldest first.
    ///
    /// # Errors
    /// When there is no repository, or no such image or channel.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let state = State::read(&self.repository.path(app)?)?;
        if let Some(name) = &self.name {
            let _ = state.known_image(name)?;
        }
        if let Some(channel) = &self.channel {
            state.known_channel(channel)?;
        }
        let mut lines = self.lines(&state);
        lines.sort_by_key(|line| line.stamp().when);
        if self.json {
            return out::json(&lines);
        }
        let rows = lines.iter().map(Line::row);
        out::print(&table(
            [
                "WHEN", "CHANNEL", "IMAGE", "ARCH", "REVISION", "ACTION", "WHO", "COMMIT", "WHY",
            ],
            [false, false, false, false, true, false, false, false, false],
            rows,
        ))
    }

    fn lines<'a>(&self, state: &'a State) -> Vec<Line<'a>> {
        let wanted = |channel: &str| self.channel.as_deref().is_none_or(|only| only == channel);
        let mut lines = Vec::new();
        for image in state.images.values() {
            if self.name.as_ref().is_some_and(|only| *only != image.name) {
                continue;
            }
            let moved = image.history.iter().filter(|moved| wanted(&moved.channel));
            let image = image.name.as_str();
            lines.extend(moved.map(|moved| Line::Image { image, moved }));
        }
        for (channel, record) in state.channels.iter().filter(|(channel, _)| wanted(channel)) {
            let log = record.log.iter();
            lines.extend(log.map(|frozen| Line::Channel { channel, frozen }));
        }
        lines
    }
}

impl Line<'_> {
    fn stamp(&self) -> &crate::repository::Stamp {
        match self {
            Line::Image { moved, .. } => &moved.stamp,
            Line::Channel { frozen, .. } => &frozen.stamp,
        }
    }

    fn row(&self) -> [String; 9] {
        let stamp = self.stamp();
        let commit = stamp.commit.as_deref().map(|commit| {
            let short: String = commit.chars().take(12).collect();
            let dirty = if commit.ends_with("-dirty") {
                "-dirty"
            } else {
                ""
            };
            format!("{short}{dirty}")
        });
        let (channel, image, arch, revision, action) = match self {
            Line::Image { image, moved } => {
                let from = moved.from.as_ref().map(|from| format!(" from {from}"));
                (
                    moved.channel.as_str(),
                    *image,
                    moved.arch.as_str(),
                    moved
                        .revision
                        .map(|revision| revision.to_string())
                        .unwrap_or_default(),
                    format!("{}{}", moved.action, from.unwrap_or_default()),
                )
            }
            Line::Channel { channel, frozen } => {
                let action = if frozen.frozen { "freeze" } else { "thaw" };
                (*channel, "", "", String::new(), action.to_owned())
            }
        };
        [
            format!("{:.0}", stamp.when),
            channel.to_owned(),
            image.to_owned(),
            arch.to_owned(),
            revision,
            action,
            stamp.who.clone(),
            commit.unwrap_or_default(),
            stamp.why.clone().unwrap_or_default(),
        ]
    }
}
