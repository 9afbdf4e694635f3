//! `imgforge kit import`.

use std::path::{Path, PathBuf};

use crate::cli::{App, out, recipes, session};
use crate::error::{Context as _, Error, Result};
use crate::gpg::Signers;
use crate::kit::Kit;
use crate::pipeline::kit::{self, Added, Target};
use crate::pipeline::whole;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It goes into the recipe repository of the working directory; where there is none, the\n\
                  directory becomes one. `imgforge build NAME --locked --offline` builds then."
)]
pub(crate) struct Import {
    /// The kit
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The public key of who exported it; default: `store: {allowed-signers: …}` of imgforge.yaml
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Only the key with this fingerprint counts
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<String>,
    /// Replaces files of the recipe repository that are others than the kit's
    #[arg(long)]
    overwrite: bool,
}

impl Import {
    pub(super) fn run(&self, app: &App) -> Result<()> {
        let repo = recipes::find(app)?;
        let root = match &repo {
            Some(repo) => repo.root().to_owned(),
            None => Path::new(".")
                .canonicalize()
                .doing(|| "finding the working directory".into())?,
        };
        let configured = repo.map(|repo| repo.config()).transpose()?;
        let allowed = configured.and_then(|config| config.store.allowed_signers);
        let signers = Signers {
            keys: self.key.clone(),
            fingerprint: self.fingerprint.clone(),
            ..Signers::default()
        };
        let signers = signers.or(Signers {
            keys: allowed.map(|file| root.join(file)),
            ..Signers::default()
        });
        if !signers.is_named() {
            return Err(Error::usage("no trusted key is set for kits")
                .hint("--key FILE names the public key of who exported it"));
        }
        let kit = Kit::open(&self.file, &signers.keyring(None)?)?;
        let locks = kit::locks(&kit)?;
        let target = Target {
            root: &root,
            overwrite: self.overwrite,
        };
        let imported = target.write(&kit)?;
        if imported.own_config {
            app.ui.warning(
                "imgforge.yaml stays as it is here: what it says of mirrors and variables may give other stages",
            );
        }
        let session = session::open(app)?;
        let Added { new, damaged } = kit::import(&session, &kit, &locks)?;
        if damaged > 0 {
            app.ui.notice(format!(
                "{damaged} downloads were damaged on this host: they are the kit's again"
            ));
        }
        let images = kit.manifest.images.iter();
        let images: Vec<&str> = images.map(|image| whole::name(&image.name)).collect();
        out::print(&format!(
            "{} files of recipes and {new} downloads are new, signed by {}\n\
             `imgforge build {} --locked --offline` builds\n",
            imported.written.len(),
            kit.signer,
            images.join(" ")
        ))
    }
}
