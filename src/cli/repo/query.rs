//! `imgforge repo query`.

use std::path::Path;

use serde_json::{Value, json};

use super::super::place::{self, RepositoryArgs};
use super::super::{App, out, session};
use crate::error::Result;
use crate::repository::State;
use crate::repository::query::{self, Answer, Found, ranges};
use crate::repository::views::packages;
use crate::sbom::query::Query as Question;
use crate::time::now;
use crate::ui::summary::table;
use crate::updates::advisories::Finding;
use crate::updates::{self, Place, Settings, Subject};

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
        let advisories = advisories(app, &root, &answer)?;
        if self.json {
            return out::json(&with(&answer, advisories.as_deref()));
        }
        let rows = answer.found.iter().enumerate().map(|(number, found)| {
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
                told(advisories.as_deref().and_then(|all| all.get(number))),
            ]
        });
        let head = [
            "IMAGE",
            "REVISIONS",
            "CHANNELS",
            "PACKAGE",
            "VERSION",
            "ADVISORIES",
        ];
        match advisories {
            Some(_) => out::print(&table(head, [false; 6], rows)),
            None => {
                let rows = rows.map(|[a, b, c, d, e, _]| [a, b, c, d, e]);
                let [a, b, c, d, e, _] = head;
                out::print(&table([a, b, c, d, e], [false; 5], rows))
            }
        }
    }
}

/// The advisories about each package that was found, by those that imgforge.yaml names; nothing where it names none.
fn advisories(app: &App, root: &Path, answer: &Answer) -> Result<Option<Vec<Vec<Finding>>>> {
    let (config, below, store) = session::plain(app)?;
    let (Some(below), false) = (below, config.advisories.is_empty()) else {
        return Ok(None);
    };
    let settings = Settings::of(&config, &below, store.planned_in(), false)?;
    let state = State::read(root)?;
    let subject = |found: &Found| {
        let bill = || {
            let image = state.images.get(&found.image)?;
            let revision = image.revisions.get(found.revisions.first()?)?;
            packages::bill(root, revision).ok().flatten()
        };
        Subject {
            at: Place {
                image: found.image.clone(),
                ..Place::default()
            },
            contents: match bill() {
                // Only what was found is asked about.
                Some(mut bill) => {
                    bill.packages
                        .retain(|one| one.name == found.package && one.version == found.version);
                    Ok(bill.into())
                }
                None => Err("it has no SBOM".to_owned()),
            },
        }
    };
    let subjects: Vec<Subject> = answer.found.iter().map(subject).collect();
    let known = updates::vulnerabilities(&settings, &subjects, now())?;
    for why in known.problems {
        app.ui.warning(why);
    }
    Ok(Some(known.findings))
}

/// The answer with the advisories about each package.
fn with(answer: &Answer, advisories: Option<&[Vec<Finding>]>) -> Value {
    let mut value = json!(answer);
    for (number, findings) in advisories.unwrap_or_default().iter().enumerate() {
        value["found"][number]["advisories"] = json!(findings);
    }
    value
}

fn told(findings: Option<&Vec<Finding>>) -> String {
    let words = findings.into_iter().flatten().map(|finding| {
        let excused = match finding.excuse {
            Some(_) => ", excused",
            None => "",
        };
        format!("{} ({}{excused})", finding.id, finding.severity.name())
    });
    words.collect::<Vec<_>>().join(", ")
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
            "revisions without an SBOM cannot be searched: {list}"
        ));
    }
    if !answer.epochs.is_empty() {
        let list = answer.epochs.join(", ");
        app.ui.warning(format!(
            "these versions have an epoch, which the query does not: {list}; write it to compare with them"
        ));
    }
}
