//! `imgforge kit export`.

use std::path::PathBuf;

use crate::cli::{App, out, recipes, session};
use crate::error::Result;
use crate::gpg::Signer;
use crate::host::outlet::Outlet;
use crate::pipeline::kit;
use crate::units::Size;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Whoever imports the kit needs the public key: --key-file writes it. Bring it there on\n\
                  another way than the kit."
)]
pub(crate) struct Export {
    /// Images, each of which has a lock
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All images of the recipe repository
    #[arg(long)]
    all: bool,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Writes the public key of the signature to FILE
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
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
        let made = kit::export(&session, &self.vars, &names, &signer, &self.output)?;
        if let Some(file) = &self.key_file {
            Outlet::of(file)?.write(&signer.public_key()?)?;
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
}
