//! `imgforge diff`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::place::RepositoryArgs;
use super::{App, image, out};
use crate::blame::{Index, changes};
use crate::error::{Error, Result};
use crate::repository::views::packages;
use crate::sbom::diff::{self, Diff};
use crate::sbom::{Contents, Kind, Package};
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
    files: Option<Index>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    differences: &'a Diff,
    /// The files that differ, by what made them so; nothing where one image has no index of its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'a [changes::Group]>,
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
        let files = old.files.as_ref().zip(new.files.as_ref());
        let groups = files.map(|(old, new)| changes::groups(old, new));
        if self.json {
            return out::json(&Printed {
                differences: &differences,
                files: groups.as_deref(),
            });
        }
        let mut parts = vec![text(&differences)];
        if let Some(groups) = groups.filter(|groups| !groups.is_empty()) {
            // Files can differ where no package and no configuration file does.
            parts.retain(|_| !differences.is_empty());
            parts.push(changes::text(&groups));
        }
        out::print(&parts.join("\n"))
    }

    fn side(&self, app: &App, name: &str) -> Result<Side> {
        match name.split_once('@') {
            Some((name, at)) => published(app, &self.repository, name, at),
            None => built(app, name),
        }
    }
}

fn published(app: &App, repository: &RepositoryArgs, name: &str, at: &str) -> Result<Side> {
    let (root, revision) = image::revision(app, repository, name, at)?;
    let (kind, packages) = packages::of_revision(&root, &revision)?.ok_or_else(|| {
        let plain = name.split(':').next().unwrap_or(name);
        Error::usage(format!("{name}@{at} has no SBOM")).hint(format!(
            "`imgforge channel history {plain}` shows its revisions"
        ))
    })?;
    Ok(Side {
        arch: revision.arch.clone(),
        kind,
        packages,
        config: packages::config(&root, &revision),
        // What is damaged is no index: the packages can be compared still.
        files: packages::files(&root, &revision).ok().flatten(),
    })
}

fn built(app: &App, name: &str) -> Result<Side> {
    let (session, plan) = image::planned(app, name)?;
    let entry = image::sealed(&session, &plan).ok_or_else(|| image::not_built(name))?;
    let contents = Contents::read(entry.path()).ok_or_else(|| image::not_built(name))?;
    Ok(Side {
        arch: plan.resolved.recipe.machine.arch.as_str().to_owned(),
        kind: contents.kind,
        packages: contents.packages,
        config: Some(contents.config),
        files: Index::read(entry.path()).ok().flatten(),
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
