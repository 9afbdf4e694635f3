//! `imgforge repo query`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::super::place::{self, RepositoryArgs};
use super::super::{App, out, session};
use crate::error::Result;
use crate::repository::State;
use crate::repository::query::{self, Answer, Found, ranges};
use crate::repository::state::Image;
use crate::repository::views::packages;
use crate::sbom::Package;
use crate::sbom::query::Query as Question;
use crate::time::now;
use crate::ui::summary::table;
use crate::updates::advisories::Finding;
use crate::updates::{self, Place, Settings, Subject};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "PACKAGE is a name, which may have stars, with or without bounds: `openssl`,\n\
                        `openssl<3.5.2`, `lib*>=1.0<2`. Packages made from a source package of that name\n\
                        count, too. Versions are compared as dpkg, RPM or apk do.\n\
                        Where no package has the name, it is that of an advisory, such as\n\
                        CVE-2025-12345, of those that `advisories:` in imgforge.yaml names."
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
        let channel = self.channel.as_deref();
        let mut answer = query::query(&root, &self.question, channel)?;
        let mut judged = None;
        if let Some(settings) = settings(app)? {
            judged = Some(match self.question.word() {
                Some(id) if answer.found.is_empty() => {
                    advised(&settings, (&root, channel), id, &mut answer)?
                }
                _ => judge(&settings, &root, &answer)?,
            });
        }
        warn(app, &answer);
        if let Some(judged) = &judged {
            let problems = judged.problems.iter().cloned();
            problems.for_each(|why| app.ui.warning(why));
        }
        if answer.found.is_empty() {
            app.ui.notice(match judged {
                Some(_) => "no revision has such a package, or one with such an advisory",
                None => "no revision has such a package",
            });
        }
        if self.json {
            return out::json(&with(&answer, judged.as_ref()));
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
                judged
                    .as_ref()
                    .map_or_else(String::new, |all| all.told(number)),
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
        match judged {
            Some(_) => out::print(&table(head, [false; 6], rows)),
            None => {
                let rows = rows.map(|[a, b, c, d, e, _]| [a, b, c, d, e]);
                let [a, b, c, d, e, _] = head;
                out::print(&table([a, b, c, d, e], [false; 5], rows))
            }
        }
    }
}

/// What advisories say of the packages that were found.
struct Judged {
    /// Of each; none where nobody knows its packages.
    findings: Vec<Option<Vec<Finding>>>,
    /// What of the advisories could not be read: there may be more.
    problems: Vec<String>,
}

impl Judged {
    fn told(&self, number: usize) -> String {
        let findings = self.findings.get(number).and_then(Option::as_ref);
        let words = findings.into_iter().flatten().map(|finding| {
            let excused = match finding.excuse {
                Some(_) => ", excused",
                None => "",
            };
            format!("{} ({}{excused})", finding.id, finding.severity.name())
        });
        let words = words.collect::<Vec<_>>().join(", ");
        // What is not known must not look like none.
        match (
            words.is_empty(),
            findings.is_some() && self.problems.is_empty(),
        ) {
            (_, true) => words,
            (true, false) => "unknown".to_owned(),
            (false, false) => format!("{words}, perhaps more"),
        }
    }
}

/// Where the advisories are that imgforge.yaml names; nothing where it names none.
fn settings(app: &App) -> Result<Option<Settings>> {
    let (config, below, store) = session::plain(app)?;
    match below.filter(|_| !config.advisories.is_empty()) {
        Some(below) => Settings::of(&config, &below, store.planned_in(), false).map(Some),
        None => Ok(None),
    }
}

/// A revision, of whose packages those count that `wanted` has.
fn subject(root: &Path, image: &Image, number: u64, wanted: impl Fn(&Package) -> bool) -> Subject {
    let revision = image.revisions.get(&number);
    let bill = revision.and_then(|revision| packages::bill(root, revision).ok().flatten());
    Subject {
        at: Place {
            image: image.name.clone(),
            ..Place::default()
        },
        contents: match bill {
            Some(mut bill) => {
                bill.packages.retain(wanted);
                Ok(bill.into())
            }
            None => Err("it has no SBOM".to_owned()),
        },
    }
}

/// The advisories about each package that was found.
fn judge(settings: &Settings, root: &Path, answer: &Answer) -> Result<Judged> {
    let state = State::read(root)?;
    let subjects = answer.found.iter().filter_map(|found| {
        let image = state.images.get(&found.image)?;
        let is = |one: &Package| one.name == found.package && one.version == found.version;
        Some(subject(root, image, *found.revisions.first()?, is))
    });
    let subjects: Vec<Subject> = subjects.collect();
    let known = updates::vulnerabilities(settings, &subjects, now())?;
    let findings = subjects.iter().zip(known.findings);
    let findings = findings.map(|(subject, all)| subject.contents.is_ok().then_some(all));
    Ok(Judged {
        findings: findings.collect(),
        problems: known.problems,
    })
}

/// Finds the packages that have the vulnerability `id`, and adds them to the answer.
fn advised(
    settings: &Settings,
    (root, channel): (&Path, Option<&str>),
    id: &str,
    answer: &mut Answer,
) -> Result<Judged> {
    let state = State::read(root)?;
    let asked = query::offered(&state, channel)?.into_iter();
    let asked = asked.flat_map(|(image, numbers)| numbers.into_iter().map(move |it| (image, it)));
    let asked: Vec<(&Image, u64)> = asked.collect();
    let subjects = asked.iter();
    let subjects = subjects.map(|(image, number)| subject(root, image, *number, |_| true));
    let subjects: Vec<Subject> = subjects.collect();
    let known = updates::vulnerabilities(settings, &subjects, now())?;
    let mut rows: BTreeMap<(&str, Finding), Vec<u64>> = BTreeMap::new();
    for ((image, number), findings) in asked.iter().zip(known.findings) {
        let is = |finding: &Finding| finding.id == id || finding.aliases.iter().any(|it| it == id);
        for finding in findings.into_iter().filter(is) {
            let numbers = rows.entry((&image.name, finding)).or_default();
            numbers.push(*number);
        }
    }
    let mut judged = Judged {
        findings: vec![],
        problems: known.problems,
    };
    for ((name, finding), revisions) in rows {
        let Some(image) = state.images.get(name) else {
            continue;
        };
        answer.found.push(Found {
            image: name.to_owned(),
            channels: query::channels(image, &revisions),
            revisions,
            package: finding.source.clone(),
            source: finding.source.clone(),
            version: finding.installed.clone(),
        });
        judged.findings.push(Some(vec![finding]));
    }
    Ok(judged)
}

/// The answer with the advisories about each package: `null` where nobody knows them.
fn with(answer: &Answer, judged: Option<&Judged>) -> Value {
    let mut value = json!(answer);
    let Some(Judged { findings, problems }) = judged else {
        return value;
    };
    for (number, findings) in findings.iter().enumerate() {
        let known = findings.as_ref();
        let known = known.filter(|all| !all.is_empty() || problems.is_empty());
        value["found"][number]["advisories"] = json!(known);
    }
    if !problems.is_empty() {
        value["unjudged"] = json!(problems);
    }
    value
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
