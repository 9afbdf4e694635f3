//! `imgforge schema`.

use super::out;
use crate::error::Result;
use crate::recipe::{reference, schema};

/// The arguments of `imgforge schema`.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// The schema of imgforge.yaml instead of a recipe's
    #[arg(long)]
    config: bool,
    /// Prints the reference for people: docs/recipe.md
    #[arg(long, hide = true)]
    markdown: bool,
}

impl Schema {
    /// Prints the JSON schema, for editors.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn run(&self) -> Result<()> {
        if self.markdown {
            return out::print(&reference::render());
        }
        if self.config {
            out::json(schema::config())
        } else {
            out::json(&schema::written())
        }
    }
}
