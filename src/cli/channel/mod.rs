//! `imgforge channel`: moves channels without a build.

pub(crate) mod complete;
pub(crate) mod freeze;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod promote;
pub(crate) mod renew;
pub(crate) mod rollback;

use clap::Subcommand;

use super::place::{self, RepositoryArgs};
use super::{App, out, recipes, session};
use crate::error::{Kind, Result};
use crate::pipeline::advised;
use crate::repository::state::ChannelEvent;
use crate::repository::{Repository, Stamp};

#[derive(Debug, clap::Args)]
pub(crate) struct Channel {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with a channel. Adding something is a file in this folder, a line here and a
/// line in [`Channel::run`].
#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows what each channel has
    List(list::List),
    /// Shows what happened to an image or a channel: who, when, why
    History(history::History),
    /// Gives a channel what another one has, without a build
    Promote(promote::Promote),
    /// Gives a channel old bytes again, under a higher revision, without a build
    Rollback(rollback::Rollback),
    /// Gives all machines the canary, which a share of them has
    Complete(complete::Complete),
    /// Keeps a channel as it is until it is thawed
    Freeze(freeze::Freeze),
    /// Lets a frozen channel move again
    Thaw(freeze::Thaw),
    /// Signs all channels again, frozen ones too, before what was signed expires
    Renew(renew::Renew),
}

impl Channel {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        match &self.verb {
            Verb::List(verb) => verb.run(app),
            Verb::History(verb) => verb.run(app),
            Verb::Promote(verb) => verb.run(app),
            Verb::Rollback(verb) => verb.run(app),
            Verb::Complete(verb) => verb.run(app),
            Verb::Freeze(verb) => verb.run(app),
            Verb::Thaw(verb) => verb.run(app),
            Verb::Renew(verb) => verb.run(app),
        }
    }
}

/// An image, the channel of it that is moved, and why.
#[derive(Debug, clap::Args)]
struct ChannelArgs {
    /// The image
    #[arg(value_name = "NAME")]
    name: String,
    /// The channel (default: the repository's)
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel)]
    channel: Option<String>,
    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl ChannelArgs {
    /// Opens the repository to be changed.
    fn open(&self, app: &App) -> Result<(Repository, String, Stamp)> {
        let (repository, stamp) = self.repository.open(app, self.why.as_deref())?;
        let channel = self.channel.as_deref();
        let channel = channel.unwrap_or(repository.default_channel()).to_owned();
        Ok((repository, channel, stamp))
    }
}

/// How `check.advisories` of the image's recipe is asked.
#[derive(Debug, clap::Args)]
struct JudgeArgs {
    /// Takes the advisories of `check.advisories` as they were read last
    #[arg(long)]
    offline: bool,
    /// Sets a variable of the recipe whose `check.advisories` counts (can be repeated)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = recipes::variable)]
    vars: Vec<(String, String)>,
}

impl JudgeArgs {
    /// Has the repository ask it of what a channel gets; where it only `tells`, as a warning.
    fn judges(&self, app: &App, tells: bool, repository: Repository) -> Result<Repository> {
        let session = session::open(app)?;
        let (offline, vars) = (self.offline, self.vars.clone());
        Ok(repository.judged_by(Box::new(move |root, name, revision| {
            let judged = advised::hand_out(&session, offline, &vars, root, (name, revision));
            match judged {
                Err(error) if tells && !matches!(error.kind(), Kind::Interrupted(_)) => {
                    session.ui.warning(error.render());
                    Ok(())
                }
                judged => judged,
            }
        })))
    }
}

/// Prints what a channel has now.
pub(in crate::cli) fn print_moves(name: &str, moved: &[ChannelEvent]) -> Result<()> {
    for one in moved {
        let (channel, arch) = (&one.channel, &one.arch);
        let replaced = one
            .replaced
            .map(|replaced| format!(", instead of {replaced}"))
            .unwrap_or_default();
        let line = match one.revision {
            Some(revision) => {
                let action = one.action;
                format!("{channel}: {name} {arch} has revision {revision}{replaced} ({action})\n")
            }
            None => format!("{channel}: {name} {arch} has no revision any more{replaced}\n"),
        };
        out::print(&line)?;
    }
    Ok(())
}
