//! `imgforge init`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{App, out};
use crate::error::{Context as _, Error, Result};
use crate::installers::INSTALLERS;

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Directory of the new recipe repository; made if need be
    #[arg(value_name = "DIR")]
    place: PathBuf,
}

/// What a new recipe repository contains, beside a folder for each kind of answers.
const FILES: &[(&str, &str)] = &[
    ("imgforge.yaml", include_str!("init/imgforge.yaml")),
    ("recipes/_base/debian.yaml", include_str!("init/base.yaml")),
    ("recipes/example.yaml", include_str!("init/example.yaml")),
    ("firstboot/motd.sh", include_str!("init/motd.sh")),
    (".gitignore", include_str!("init/gitignore")),
];

impl Init {
    /// Makes the files that are not there yet.
    ///
    /// # Errors
    /// When the directory is a recipe repository already, or cannot be written.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let dir = &self.place;
        if dir.join("imgforge.yaml").exists() {
            return Err(
                Error::usage(format!("{} is a recipe repository already", dir.display()))
                    .hint(format!("imgforge -C {} list", dir.display())),
            );
        }
        // An empty file keeps a folder in git.
        let folders = INSTALLERS.iter();
        let folders = folders.map(|one| (format!("{}/.gitkeep", one.name), ""));
        let files = FILES.iter().map(|(name, text)| ((*name).to_owned(), *text));
        for (name, text) in files.chain(folders) {
            if !create(&dir.join(&name), text)? {
                app.ui
                    .notice(format!("{} is left as it was", dir.join(&name).display()));
            }
        }
        out::print(&format!(
            "{dir} is a recipe repository now. Next:\n\
             \n  cd {dir}\n  imgforge validate\n  imgforge build example\n",
            dir = dir.display()
        ))
    }
}

/// Whether the file was made; one that exists is never touched.
fn create(path: &Path, text: &str) -> Result<bool> {
    let doing = || format!("making {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).doing(doing)?;
    }
    match std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)
    {
        Ok(mut file) => file.write_all(text.as_bytes()).doing(doing).map(|()| true),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => Err(cause).doing(doing),
    }
}
