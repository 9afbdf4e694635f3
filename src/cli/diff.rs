//! `imgforge diff`.

use std::collections::BTreeMap;
use std::path::Path;

use super::place::RepositoryArgs;
use super::{App, out, session};
use crate::error::{Error, Result};
use crate::pipeline::{self, Options};
use crate::repository::State;
use crate::repository::views::packages;
use crate::sbom::diff::{self, Diff};
use crate::sbom::{Contents, Kind, Package};
use crate::stage::StageId;
use crate::store::epoch::Mode;
use crate::ui::summary::table;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "An image is NAME@REV or NAME@CHANNEL for what is published, and NAME for what this\n\
                        host has built; of several architectures NAME:ARCH@CHANNEL or NAME:ARCH."
)]
pub(crate) struct DiffImages {
    /// The old image
    #[arg(value_name = "A")]
    old: String,
    /// The new image
    #[arg(value_name = "B")]
    new: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

/// What is compared.
struct Side {
    arch: String,
    kind: Kind,
    packages: Vec<Package>,
    config: Option<BTreeMap<String, String>>,
}

impl DiffImages {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let (old, new) = (self.side(app, &self.old)?, self.side(app, &self.new)?);
        if old.arch != new.arch {
            let said = format!(
                "{} is for {}, and {} for {}",
                self.old, old.arch, self.new, new.arch
            );
            return Err(Error::usage(said).hint("name two of one architecture"));
        }
        let mut differences = diff::packages(new.kind, &old.packages, &new.packages);
        match (&old.config, &new.config) {
            (Some(old), Some(new)) => differences.config = diff::config(old, new),
            _ => app
                .ui
                .warning("one of them has no list of its configuration files"),
        }
        match self.json {
            true => out::json(&differences),
            false => out::print(&text(&differences)),
        }
    }

    fn side(&self, app: &App, name: &str) -> Result<Side> {
        match name.split_once('@') {
            Some((name, at)) => published(&self.repository.path(app)?, name, at),
            None => built(app, name),
        }
    }
}

fn published(root: &Path, name: &str, at: &str) -> Result<Side> {
    let state = State::read(root)?;
    let (plain, arch) = match name.split_once(':') {
        Some((plain, arch)) => (plain, Some(arch)),
        None => (name, None),
    };
    let missing = |what: String| {
        Error::usage(what).hint(format!(
            "`imgforge channel history {plain}` shows its revisions"
        ))
    };
    let image = state
        .images
        .get(plain)
        .ok_or_else(|| missing(format!("{} has no image `{plain}`", root.display())))?;
    let fits = |other: &str| arch.is_none_or(|arch| arch == other);
    let number = match (at.parse::<u64>(), image.channels.get(at)) {
        (Ok(number), _) => Some(number),
        (Err(_), placement) => {
            let current = placement.into_iter().flat_map(|it| &it.current);
            let current: Vec<_> = current.filter(|(arch, _)| fits(arch)).collect();
            if current.len() > 1 {
                let names = current
                    .iter()
                    .map(|(arch, _)| format!("{plain}:{arch}@{at}"));
                let names: Vec<String> = names.collect();
                return Err(
                    Error::usage(format!("{name}@{at} has several architectures"))
                        .hint(format!("name one of {}", names.join(", "))),
                );
            }
            current.first().map(|(_, number)| **number)
        }
    };
    let revision = number
        .and_then(|number| image.revisions.get(&number))
        .filter(|revision| !revision.pending && fits(&revision.arch))
        .ok_or_else(|| missing(format!("`{name}` has no revision or channel `{at}`")))?;
    if revision.removed.is_some() {
        return Err(missing(format!(
            "the files of {name}@{at} are gone: it was pruned"
        )));
    }
    let (kind, packages) = packages::of_revision(root, revision)?
        .ok_or_else(|| missing(format!("{name}@{at} has no SBOM")))?;
    Ok(Side {
        arch: revision.arch.clone(),
        kind,
        packages,
        config: packages::config(root, revision),
    })
}

fn built(app: &App, name: &str) -> Result<Side> {
    let session = session::open(app)?;
    let plan = pipeline::plan(&session, &Options::default(), name, Mode::Look)?;
    let sealed = plan
        .stages
        .iter()
        .find(|planned| planned.stage == StageId::Seal);
    let entry = sealed.and_then(|planned| session.store.entry(&planned.key));
    let contents = entry
        .and_then(|entry| Contents::read(entry.path()))
        .ok_or_else(|| {
            Error::usage(format!("{name} is not built as its recipe is now")).hint(format!(
                "`imgforge build {name}`, or name a revision: {name}@3"
            ))
        })?;
    Ok(Side {
        arch: plan.resolved.recipe.machine.arch.as_str().to_owned(),
        kind: contents.kind,
        packages: contents.packages,
        config: Some(contents.config),
    })
}

fn text(diff: &Diff) -> String {
    if diff.is_empty() {
        return "no difference\n".into();
    }
    let row = |package: &Package, old: &str, new: &str| {
        [
            package.name.clone(),
            package.arch.clone(),
            old.to_owned(),
            new.to_owned(),
        ]
    };
    let mut rows: Vec<[String; 4]> = diff
        .changed
        .iter()
        .map(|one| {
            [
                one.name.clone(),
                one.arch.clone(),
                one.old.clone(),
                one.new.clone(),
            ]
        })
        .collect();
    rows.extend(
        diff.removed
            .iter()
            .map(|package| row(package, &package.version, "-")),
    );
    rows.extend(
        diff.added
            .iter()
            .map(|package| row(package, "-", &package.version)),
    );
    rows.sort();
    let mut text = table(["PACKAGE", "ARCH", "OLD", "NEW"], [false; 4], rows);
    let config = &diff.config;
    let files = [
        ("changed", &config.changed),
        ("added", &config.added),
        ("removed", &config.removed),
    ];
    let files = files
        .into_iter()
        .flat_map(|(how, files)| files.iter().map(move |file| [file.clone(), how.to_owned()]));
    let files = table(["FILE", "HOW"], [false; 2], files);
    if !text.is_empty() && !files.is_empty() {
        text.push('\n');
    }
    text + &files
}
