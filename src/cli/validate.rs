//! `imgforge validate`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{App, out, recipes};
use crate::address;
use crate::error::Result;
use crate::recipe::{Repo, Resolved, Role, secrets};
use crate::targets;

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// Images, or files of recipes, fragments or imgforge.yaml; default: all of them
    #[arg(value_name = "NAME|FILE")]
    files: Vec<PathBuf>,
    /// Sets a variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = recipes::variable)]
    var: Vec<(String, String)>,
}

impl Validate {
    /// Reads recipes and everything that they name; touches no host.
    ///
    /// # Errors
    /// With all mistakes.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let file = self.files.iter().find(|word| word.is_file());
        let repo = match (self.files.first(), file) {
            (None, _) => recipes::open(app)?,
            (Some(word), None) => match recipes::find(app)? {
                Some(repo) => repo,
                None => Repo::around(word)?,
            },
            (_, Some(file)) => {
                let (repo, alone) = recipes::open_around(app, file)?;
                if alone {
                    app.ui.notice(format!(
                        "{} is not in a recipe repository: its folder is used as one, and the \
                         files that it names are looked for there",
                        file.display()
                    ));
                }
                repo
            }
        };
        let files = self.files.iter().map(|word| repo.file_of(word));
        let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
        let problems = match files.is_empty() {
            true => repo.validate_all(&self.var)?,
            false => repo.validate_files(&files, &self.var)?,
        };
        problems.check()?;
        for Resolved { recipe, root, .. } in self.resolved(&repo, &files)? {
            let name = &recipe.name;
            for refused in targets::refused_names(&recipe.targets, name) {
                app.ui.warning(format!("{name}: {refused}"));
            }
            for (secret, file) in secrets::absent_files(&recipe, &root) {
                app.ui.warning(format!(
                    "{name}: the file of the secret `{secret}` is not on this host, and a build needs it: {}",
                    file.display()
                ));
            }
        }
        for place in self.passwords(&repo, files)? {
            app.ui.warning(format!(
                "{place}: an address with a password, which everybody can see who reads the \
                 recipe; the site's mirrors belong into imgforge.yaml, and what a step needs into \
                 `secrets:`"
            ));
        }
        match self.files.len() {
            0 => out::print(&format!("{} images: all good\n", repo.names()?.len())),
            n => out::print(&format!("{n} files: all good\n")),
        }
    }

    /// The recipes that are asked about.
    fn resolved(&self, repo: &Repo, files: &[PathBuf]) -> Result<Vec<Resolved>> {
        let mut all = vec![];
        let files: Vec<PathBuf> = files.iter().flat_map(|it| it.canonicalize()).collect();
        // Of named files, others' mistakes are nobody's business.
        let names = match repo.names() {
            Err(_) if !files.is_empty() => vec![],
            names => names?,
        };
        for name in names {
            let own = || repo.file_of(Path::new(&name)).ok()?.canonicalize().ok();
            if files.is_empty() || own().is_some_and(|own| files.contains(&own)) {
                all.push(repo.load(&name, &self.var)?);
            }
        }
        Ok(all)
    }

    /// Where recipes and fragments have passwords in addresses, as `FILE:LINE`.
    fn passwords(&self, repo: &Repo, mut files: Vec<PathBuf>) -> Result<BTreeSet<String>> {
        if files.is_empty() {
            for name in repo.names()? {
                let named = repo.load(&name, &self.var)?.files;
                let ours = named
                    .into_iter()
                    .filter(|file| matches!(file.role, Role::Recipe | Role::Include));
                files.extend(ours.map(|file| file.path));
            }
        }
        let mut places = BTreeSet::new();
        for file in &files {
            let text = super::read_named(file)?;
            let shown = file.strip_prefix(repo.root()).unwrap_or(file).display();
            let lines = (1..).zip(text.lines());
            let found = lines.filter(|(_, line)| address::has_password(line));
            places.extend(found.map(|(number, _)| format!("{shown}:{number}")));
        }
        Ok(places)
    }
}
