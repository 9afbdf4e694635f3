//! `imgforge kit export`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::{App, out, recipes, session};
use crate::error::{Error, Result};
use crate::gpg::{self, Signer};
use crate::host::outlet::Outlet;
use crate::kit::is_kit;
use crate::pipeline::kit;
use crate::units::Size;

/// The largest file of which it is asked whether it is a public key, in bytes.
const LARGEST_KEY: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Importing the kit needs the public key: --key-file writes it. Bring it there on\n\
                  another way than the kit."
)]
pub(crate) struct Export {
    /// Images, each of which has a lock
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All images of the recipe repository
    #[arg(long)]
    all: bool,
    /// The file to write; an earlier kit gives way to it
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Writes the public key of the signature to FILE
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Replaces any other files of these names, too
    #[arg(long)]
    overwrite: bool,
    /// Sets a variable (can be repeated)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = recipes::variable)]
    vars: Vec<(String, String)>,
}

impl Export {
    pub(super) fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        let names = session::names(&session, &self.names, self.all)?;
        let signer = match &session.config.signing_key {
            Some(key) => Signer::configured(key)?,
            None => {
                session.store.prepare()?;
                Signer::own(session.store.state(), &app.ui)?
            }
        };
        let key = signer.public_key()?;
        let (to, key_file) = self.outlets(&key)?;
        let made = kit::export(&session, &self.vars, &names, &signer, &to)?;
        if let Some(file) = key_file {
            file.write(&key)?;
        }
        for warning in &made.warnings {
            app.ui.warning(warning.clone());
        }
        let kit::Exported {
            files,
            contents,
            bytes,
            ..
        } = made;
        out::print(&format!(
            "{}: {} images, {files} files of recipes, {contents} downloads, {}\n",
            self.output.display(),
            names.len(),
            Size::bytes(bytes).human()
        ))
    }

    /// Where kit and key go.
    fn outlets(&self, key: &[u8]) -> Result<(Outlet, Option<Outlet>)> {
        let to = self.outlet(&self.output, "no kit", is_kit)?;
        let Some(file) = &self.key_file else {
            return Ok((to, None));
        };
        let own = gpg::fingerprints_of(key)?;
        let is_same = |mut found: &File| {
            let mut bytes = vec![];
            let read = found.by_ref().take(LARGEST_KEY).read_to_end(&mut bytes);
            read.is_ok() && gpg::fingerprints_of(&bytes).is_ok_and(|found| found == own)
        };
        let file = self.outlet(file, "not the key that signs", is_same)?;
        match file.real() == to.real() {
            true => Err(
                Error::usage(format!("{} is both kit and key", self.output.display()))
                    .hint("--key-file writes the public key: name another file"),
            ),
            false => Ok((to, Some(file))),
        }
    }

    fn outlet(
        &self,
        path: &Path,
        is_none: &str,
        is_former: impl FnOnce(&File) -> bool,
    ) -> Result<Outlet> {
        match self.overwrite {
            true => Outlet::of(path),
            false => Outlet::renewing(
                path,
                is_none,
                "name another file, or replace it: --overwrite",
                is_former,
            ),
        }
    }
}
