//! `imgforge size`.

use std::path::PathBuf;

use super::place::RepositoryArgs;
use super::{App, image, out};
use crate::blame::page::page;
use crate::blame::size::{By, sizes, tree};
use crate::error::Result;
use crate::host::outlet::Outlet;
use clap::ValueEnum as _;

/// What a terminal gets: so many levels, and parts of at least one in so many of all.
const DEPTH: usize = 2;
const LEAST: u64 = 200;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "IMAGE is NAME for what this host has built, NAME@REV or NAME@CHANNEL for what is\n\
                        published. SIZE is what files take on the disk. PACKED is an estimate: the packed\n\
                        file's size, shared out by SIZE."
)]
pub(crate) struct ImageSize {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// What the files are summed up by
    #[arg(long, value_name = "PART", default_value = "step")]
    by: By,
    /// Writes a page with a treemap to FILE
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    html: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl ImageSize {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let files = image::files(app, &self.repository, &self.image)?;
        let all = sizes(&files.index, self.by, "/", files.packed);
        if self.json {
            return out::json(&all);
        }
        let Some(file) = &self.html else {
            return out::print(&tree(&all, DEPTH, LEAST));
        };
        let by = self.by.to_possible_value();
        let by = by.as_ref().map_or("part", |value| value.get_name());
        let page = page(&self.image, by, &all)?;
        Outlet::of(file)?.write(page.as_bytes())
    }
}
