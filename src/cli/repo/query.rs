//! `imgforge repo query`.

use super::super::place::{self, RepositoryArgs};
use super::super::{App, out};
use crate::error::Result;
use crate::repository::query::{self, Answer, ranges};
use crate::sbom::query::Query as Question;
use crate::ui::summary::table;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "PACKAGE is a name, which may have stars, with or without bounds: `openssl`,\n\
                        `openssl<3.5.2`, `lib*>=1.0<2`. Packages made from a source package of that name\n\
                        count, too. Versions are compared as dpkg, RPM or apk do."
)]
pub(crate) struct Query {
    /// What to look for
    #[arg(value_name = "PACKAGE")]
    question: Question,
    /// Looks only at what CHANNEL has now
    #[arg(long, value_name = "CHANNEL", value_parser = place::channel)]
    channel: Option<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Query {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let root = self.repository.path(app)?;
        let answer = query::query(&root, &self.question, self.channel.as_deref())?;
        warn(app, &answer);
        if self.json {
            return out::json(&answer);
        }
        let rows = answer.found.iter().map(|found| {
            let channels = found
                .channels
                .iter()
                .map(|(channel, numbers)| format!("{channel} {}", ranges(numbers)));
            [
                found.image.clone(),
                ranges(&found.revisions),
                channels.collect::<Vec<_>>().join(", "),
                found.package.clone(),
                found.version.clone(),
            ]
        });
        let head = ["IMAGE", "REVISIONS", "CHANNELS", "PACKAGE", "VERSION"];
        out::print(&table(head, [false; 5], rows))
    }
}

/// What the answer cannot know must not look like a no.
fn warn(app: &App, answer: &Answer) {
    let unknown = answer.unknown.iter();
    let unknown: Vec<String> = unknown
        .map(|(name, numbers)| format!("{name} {}", ranges(numbers)))
        .collect();
    if !unknown.is_empty() {
        let list = unknown.join(", ");
        app.ui.warning(format!(
            "nothing is known of revisions without an SBOM: {list}"
        ));
    }
    if !answer.epochs.is_empty() {
        let list = answer.epochs.join(", ");
        app.ui.warning(format!(
            "these versions have an epoch, which the query does not: {list}; write it to compare with them"
        ));
    }
}
