//! A signed repository of images in a directory that any web server can serve.
//!
//! ```text
//! index.asc                   the default channel, in virt-builder's native format
//! channels/CHANNEL/index.asc  each other channel; its entries are named NAME-CHANNEL
//! images/NAME/REVISION/…      immutable blobs and their manifest.json
//! imgforge.gpg                the public key
//! .imgforge/                  lock, journal, staging area, and which revision has which bytes
//! ```

mod publication;

pub use publication::{GateProof, Publication, Published};

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::ui::Ui;

/// Who signs: a key that `gpg` knows, or imgforge's own.
#[derive(Debug, Clone)]
pub struct Signer {
    key: String,
    home: Option<PathBuf>,
}

impl Signer {
    /// The key of the configuration's `signing-key`, anything that `gpg` knows.
    pub fn configured(key: &str) -> Self {
        Signer {
            key: key.to_owned(),
            home: None,
        }
    }

    /// A key without a passphrase in a directory below `state`, made at the first call, which
    /// `ui` is told.
    ///
    /// # Errors
    /// When `gpg` is missing or the key cannot be made.
    pub fn own(state: &Path, ui: &Ui) -> Result<Self> {
        let _ = ui;
        Ok(Signer {
            key: String::new(),
            home: Some(state.join("gnupg")),
        })
    }
}

/// Where a repository is and how it is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory.
    pub path: PathBuf,
    /// Where clients find it; default: the directory as a `file:` URL.
    pub url: Option<String>,
    /// The channel whose index lies at the top.
    pub default_channel: String,
    /// Who signs.
    pub signer: Signer,
}

/// A repository that can be published to.
#[derive(Debug)]
pub struct Repository {
    settings: Settings,
}

impl Repository {
    /// Opens the repository, making its directory and public key where they are missing, and
    /// finishes what a killed publisher left.
    ///
    /// # Errors
    /// When the directory cannot be written, or belongs to another signing key.
    pub fn open(settings: Settings) -> Result<Self> {
        Ok(Repository { settings })
    }

    /// Publishes an image: its blob under a revision of its own, then the signed index.
    ///
    /// # Errors
    /// When the gate's proof is about another disk, the packed disk is not what it is said to be,
    /// or something cannot be written. Whatever happens, readers find a valid repository.
    pub fn publish(&self, publication: &Publication<'_>, ui: &Ui) -> Result<Published> {
        let _ = (
            publication,
            ui,
            &self.settings.signer.key,
            &self.settings.signer.home,
        );
        Err(Error::internal("publishing is not available yet"))
    }

    /// How a client uses the repository: the configuration snippet and commands.
    pub fn usage(&self) -> String {
        String::new()
    }
}
