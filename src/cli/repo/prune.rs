//! `imgforge repo prune`.

use jiff::Timestamp;

use super::super::place::RepositoryArgs;
use super::super::{App, out};
use crate::error::Result;
use crate::repository::{self, Fate, Policy, PruneCandidate};
use crate::units::{Size, Span};

#[derive(Debug, clap::Args)]
pub(crate) struct Prune {
    /// Keeps the last N images of each channel (default: the recipe's `keep`, or 10)
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// Keeps everything that a channel had in the last D days
    #[arg(long, value_name = "D", default_value_t = 30)]
    keep_days: u32,
    /// How long a download may take: files stay so long after nothing names them
    #[arg(long, value_name = "TIME", default_value = "24h")]
    grace: Span,
    /// Does it; without this it is only shown
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Prune {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let policy = Policy {
            keep: self.keep,
            window: Span::seconds(u64::from(self.keep_days) * 86_400),
            grace: self.grace,
        };
        let candidates = if self.yes {
            let (repository, stamp) = self.repository.open(app, None)?;
            repository.prune(&policy, true, &stamp)?
        } else {
            let root = self.repository.path(app)?;
            repository::prune_candidates(&root, &policy, Timestamp::now())?
        };
        for one in &candidates {
            out::print(&line(one, self.yes))?;
        }
        let removed = candidates.iter().filter(|one| one.fate == Fate::Remove);
        let size = Size::bytes(removed.map(|one| one.size).sum()).human();
        out::print(&match (candidates.is_empty(), self.yes) {
            (true, _) => "nothing to remove\n".to_owned(),
            (false, true) => format!("{size} freed\n"),
            (false, false) => format!("this would free {size}; --yes does it\n"),
        })
    }
}

fn line(candidate: &PruneCandidate, done: bool) -> String {
    let numbers: Vec<String> = candidate.revisions.iter().map(u64::to_string).collect();
    let (name, numbers) = (&candidate.name, numbers.join(", "));
    let size = Size::bytes(candidate.size).human();
    match (candidate.fate, done) {
        (Fate::Retire(until), true) => {
            format!(
                "{name} {numbers}: is in no list any more; its files ({size}) stay until \
                 {until:.0}\n"
            )
        }
        (Fate::Retire(until), false) => {
            format!(
                "{name} {numbers}: leaves every list; its files ({size}) stay until {until:.0}\n"
            )
        }
        (Fate::Remove, true) => format!("{name} {numbers}: removed, {size}\n"),
        (Fate::Remove, false) => format!("{name} {numbers}: would be removed, {size}\n"),
    }
}
