//! `imgforge show`.

use std::fmt::Write as _;

use super::{App, out, recipes};
use crate::address;
use crate::error::{Context as _, Result};

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Image
    name: String,
    /// Prints the recipe as one file, each value with the place it comes from
    #[arg(long)]
    resolved: bool,
    /// Prints the resolved recipe as JSON
    #[arg(long, conflicts_with = "resolved")]
    json: bool,
    /// Sets a variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = recipes::variable)]
    var: Vec<(String, String)>,
}

impl Show {
    /// Prints a recipe, as written or resolved.
    ///
    /// # Errors
    /// When there is no such recipe, or it is wrong.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let repo = recipes::open(app)?;
        // As written, it is the same file for every architecture.
        let images = repo.named(&self.name);
        let name = match self.resolved || self.json {
            true => &self.name,
            false => &images[0],
        };
        let resolved = repo.load(name, &self.var)?;
        if self.resolved {
            return out::print(&address::hide(&resolved.render()));
        }
        if self.json {
            let mut recipe = serde_json::json!(resolved.recipe);
            address::hide_all(&mut recipe);
            return out::json(&recipe);
        }
        let file = &resolved.file;
        let text = std::fs::read_to_string(file).doing(|| format!("reading {}", file.display()))?;
        let mut shown = format!("# {}\n{text}", file.display());
        let _ = writeln!(shown, "\n# Files that it is made of:");
        for named in &resolved.files {
            let path = named
                .path
                .strip_prefix(&resolved.root)
                .unwrap_or(&named.path);
            let _ = writeln!(shown, "#   {}", path.display());
        }
        out::print(&shown)
    }
}
