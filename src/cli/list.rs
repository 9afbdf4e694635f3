//! `imgforge list`.

use serde::Serialize;

use super::{App, out, recipes};
use crate::error::Result;
use crate::recipe::types::{Install, Parent};
use crate::ui::summary::table;

/// The arguments of `imgforge list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    base: String,
    summary: String,
}

impl List {
    /// Prints the images of the recipe repository.
    ///
    /// # Errors
    /// When there is no repository here, or it has a wrong recipe (the others are printed).
    pub fn run(&self, app: &App) -> Result<()> {
        let repo = recipes::open(app)?;
        let (mut rows, mut wrong) = (vec![], None);
        for name in repo.names()? {
            match repo.load(&name, &[]) {
                Ok(resolved) => rows.push(Row {
                    name,
                    base: base(
                        resolved.recipe.from.as_ref(),
                        resolved.recipe.install.as_ref(),
                    ),
                    summary: resolved.recipe.summary,
                }),
                Err(error) => {
                    app.ui.warning(format!(
                        "the recipe of {name} is wrong: {}",
                        error.message()
                    ));
                    wrong = wrong.or(Some(error));
                }
            }
        }
        if self.json {
            out::json(&rows)?;
        } else {
            let rows = rows
                .into_iter()
                .map(|row| [row.name, row.base, row.summary]);
            out::print(&table(["NAME", "BASE", "SUMMARY"], [false; 3], rows))?;
        }
        wrong.map_or(Ok(()), Err)
    }
}

fn base(from: Option<&Parent>, install: Option<&Install>) -> String {
    match (from, install) {
        (Some(Parent::Recipe(name)), _) => format!("from {name}"),
        (Some(Parent::Published(published)), _) => format!("from {}", published.image),
        (None, Some(Install::Bootstrap(bootstrap))) => format!("bootstrap {}", bootstrap.suite),
        (None, Some(Install::VirtInstall(install))) => format!("virt-install {}", install.os),
        (None, Some(Install::Import(_))) => "import".into(),
        (None, None) => String::new(),
    }
}
