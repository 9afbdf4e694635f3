//! `imgforge schema`.

use super::out;
use crate::error::Result;
use crate::recipe::{reference, schema};
use crate::{deploy, sysprep, targets};

#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    /// The schema of imgforge.yaml instead of a recipe's
    #[arg(long)]
    config: bool,
    /// The schema of the machine files of `deploy disk` instead of a recipe's
    #[arg(long, conflicts_with = "config")]
    machine: bool,
    /// Prints the reference for people: docs/recipe.md
    #[arg(long, hide = true)]
    markdown: bool,
    /// Prints the table of docs/targets.md
    #[arg(long, hide = true)]
    targets: bool,
}

impl Schema {
    /// Prints the JSON schema, for editors.
    pub(crate) fn run(&self) -> Result<()> {
        if self.markdown {
            let page = reference::render() + &sysprep::markdown();
            return out::print(&page);
        }
        if self.targets {
            return out::print(&targets::markdown());
        }
        if self.machine {
            out::json(&deploy::schema())
        } else if self.config {
            out::json(schema::config())
        } else {
            out::json(&schema::written())
        }
    }
}
