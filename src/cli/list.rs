//! `imgforge list`.

use serde::Serialize;

use super::{App, out, recipes};
use crate::error::Result;
use crate::recipe::types::{Base, Install};
use crate::ui::summary::table;

#[derive(Debug, clap::Args)]
pub(crate) struct List {
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
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let repo = recipes::open(app)?;
        let (mut rows, mut wrong) = (vec![], None);
        for name in repo.names()? {
            match repo.load(&name, &[]) {
                Ok(resolved) => rows.push(Row {
                    name,
                    base: base(&resolved.base),
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

fn base(base: &Base) -> String {
    match base {
        Base::Layer(name) => format!("from {name}"),
        Base::Published(published) => format!("from {}", published.image),
        Base::Install(Install::Bootstrap(method)) => format!("bootstrap {}", method.suite),
        Base::Install(Install::VirtInstall(method)) => format!("virt-install {}", method.os),
        Base::Install(Install::Import(_)) => "import".into(),
    }
}
