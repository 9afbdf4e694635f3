//! The shared store: finished stages in a registry, which every builder of a site asks before it works.
//!
//! A key names what a stage was made of, not what it made: whoever can write to the registry could put
//! another disk under it. So each entry carries the signature of one of the site's keys over all that is
//! used of it; an entry without a good one does not exist. Nor does one that is damaged, of another key, or
//! made on another disk than this store or the shared one has: it is told, and made again.
//!
//! A registry that fails is told once, and then left alone by this command: builds become slower, and
//! stay right. See [`wire`] for what lies in the registry.

mod blob;
mod epoch;
mod fetch;
mod fits;
mod push;
mod retention;
mod wire;

pub use retention::{Inventory, Item, Retention};

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::address::OciAddress;
use crate::digest::Key;
use crate::error::{Error, Kind, Result};
use crate::gpg::{self, Keyring, Signer};
use crate::http::Limits;
use crate::mutex::Unpoisoned as _;
use crate::registry::Registry;
use crate::store::Store;
use crate::store::entry::Meta;
use crate::ui::Ui;
use crate::units::Size;
use wire::{ENTRY, INLINE_META, Manifest};

/// A registry that is silent for so long is left alone.
const LIMITS: Limits = Limits {
    stall: Duration::from_secs(30),
    connect: Duration::from_secs(10),
    retries: 2,
    pause: Duration::from_secs(1),
    redirects: 5,
};

/// What a shared store is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The repository in a registry.
    pub address: OciAddress,
    /// Whether finished stages are put there.
    pub push: bool,
    /// The file of public keys whose entries count.
    pub allowed_signers: PathBuf,
    /// The key that signs what is put there; none means this host's own.
    pub signing_key: Option<String>,
    /// The state directory, where this host's own key is.
    pub state: PathBuf,
    /// Who is told.
    pub ui: Ui,
}

/// The shared store, as one command asks it.
#[derive(Debug)]
pub struct Remote {
    settings: Settings,
    registry: Registry,
    keyring: OnceLock<Option<Keyring>>,
    signer: OnceLock<Option<Signer>>,
    known: Mutex<HashMap<Key, Known>>,
    /// What was put there, or was there when it should have been.
    there: Mutex<HashSet<Key>>,
    reads: AtomicBool,
    writes: AtomicBool,
}

/// What is known of a key.
#[derive(Debug, Clone)]
enum Known {
    /// It has no entry.
    Missing,
    /// It has one that does not count.
    Bad,
    Good(Arc<Offer>),
}

/// An entry that a trusted key has signed.
#[derive(Debug)]
struct Offer {
    meta: Meta,
    /// `meta.json`, as it was.
    text: Vec<u8>,
    manifest: Manifest,
}

impl Offer {
    /// Bytes to fetch at most.
    fn size(&self) -> u64 {
        let layers = self.manifest.layers.iter();
        layers.map(|layer| layer.size).sum()
    }
}

impl Remote {
    /// The shared store at an address. Nothing is asked yet.
    ///
    /// # Errors
    /// When there is no file of public keys, or the environment names what cannot be used.
    pub fn open(settings: Settings) -> Result<Self> {
        let signers = &settings.allowed_signers;
        if let Err(cause) = std::fs::File::open(signers) {
            return Err(Error::usage(format!(
                "{}, which has the trusted keys of the shared store, cannot be read",
                signers.display()
            ))
            .cause(cause)
            .hint(
                "`gpg --export FINGERPRINT… > FILE` writes one, of the keys of the site's builders",
            ));
        }
        Ok(Remote {
            registry: Registry::open(&settings.address, LIMITS)?,
            settings,
            keyring: OnceLock::new(),
            signer: OnceLock::new(),
            known: Mutex::default(),
            there: Mutex::default(),
            reads: AtomicBool::new(true),
            writes: AtomicBool::new(true),
        })
    }

    /// Its address.
    pub fn address(&self) -> &OciAddress {
        &self.settings.address
    }

    /// Whether it is still asked.
    fn reads(&self) -> bool {
        self.reads.load(Ordering::Relaxed)
    }

    /// The registry failed: it is not asked any more. Nor does it get anything: what is there would be
    /// written over unseen.
    fn stop_asking(&self, error: &Error) {
        self.writes.store(false, Ordering::Relaxed);
        self.give_up(&self.reads, "asking", error);
    }

    /// The registry failed: it is told once, and left alone.
    fn give_up(&self, which: &AtomicBool, what: &str, error: &Error) {
        if !which.swap(false, Ordering::Relaxed) || matches!(error.kind(), Kind::Interrupted(_)) {
            return;
        }
        let causes: String = error
            .causes()
            .iter()
            .map(|cause| format!(": {cause}"))
            .collect();
        let hint = error
            .hint_text()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        self.settings.ui.warning(format!(
            "this build continues without {what} the shared store {}: {}{causes}{hint}",
            self.address(),
            error.message()
        ));
    }

    /// An entry that cannot be used is told, and counts as missing.
    fn refuse(&self, key: &Key, why: &str) {
        let mut known = self.known.lock().unpoisoned();
        known.insert(key.clone(), Known::Bad);
        drop(known);
        self.settings.ui.warning(format!(
            "what the shared store {} has as {} is not used: {why}",
            self.address(),
            key.short()
        ));
    }

    /// The entry of a key, asked for once.
    fn look(&self, key: &Key) -> Known {
        // What could not be fetched any more is not there.
        if !self.reads() {
            return Known::Missing;
        }
        if let Some(known) = self.known.lock().unpoisoned().get(key) {
            return known.clone();
        }
        let found = match self.registry.manifest(key.as_str()) {
            Ok(found) => found,
            Err(error) => {
                self.stop_asking(&error);
                return Known::Missing;
            }
        };
        let known = match found.map(|bytes| self.judge(key, &bytes)) {
            None => Known::Missing,
            Some(Ok(Some(offer))) => Known::Good(Arc::new(offer)),
            Some(Ok(None)) => return Known::Missing,
            Some(Err(why)) => {
                self.refuse(key, &why);
                Known::Bad
            }
        };
        self.known
            .lock()
            .unpoisoned()
            .insert(key.clone(), known.clone());
        known
    }

    fn good(&self, key: &Key) -> Option<Arc<Offer>> {
        match self.look(key) {
            Known::Good(offer) => Some(offer),
            Known::Missing | Known::Bad => None,
        }
    }

    /// Reads an entry; an error says why it does not count, none comes back where nobody can tell.
    fn judge(&self, key: &Key, bytes: &[u8]) -> Result<Option<Offer>, String> {
        let manifest = Manifest::read(bytes, ENTRY, key)?;
        if !self.is_signed(&manifest)? {
            return Ok(None);
        }
        manifest.parts()?;
        let text = match manifest.config.data()? {
            Some(text) => text,
            None => match self.meta(&manifest)? {
                Some(text) => text,
                None => return Ok(None),
            },
        };
        let meta: Meta = serde_json::from_slice(&text)
            .map_err(|cause| format!("its facts do not fit this version of imgforge: {cause}"))?;
        // The inputs, too, are what the key is made of.
        if meta.key != *key || meta.inputs.key().ok().as_ref() != Some(key) {
            return Err("its facts are those of another key".into());
        }
        Ok(Some(Offer {
            meta,
            text,
            manifest,
        }))
    }

    /// `meta.json`, where it is too large for the manifest.
    fn meta(&self, manifest: &Manifest) -> Result<Option<Vec<u8>>, String> {
        let most = INLINE_META * 64;
        if manifest.config.size > most {
            return Err("its facts are too long".into());
        }
        let digest = manifest.config.digest()?;
        match self.registry.read_blob(&digest, most) {
            Ok(found) => found
                .map(Some)
                .ok_or_else(|| "its facts are missing or changed".into()),
            Err(error) => {
                self.stop_asking(&error);
                Ok(None)
            }
        }
    }

    /// Whether one of the keys that count has signed a manifest; an error says what is wrong with the
    /// signature, false comes back where nobody can tell.
    fn is_signed(&self, manifest: &Manifest) -> Result<bool, String> {
        let signature = manifest.signature().ok_or("it has no signature")?;
        let Some(keyring) = self.keyring() else {
            return Ok(false);
        };
        match gpg::verify(signature.as_bytes(), keyring) {
            Ok(verified) if verified.text.trim_end() == manifest.statement().trim_end() => Ok(true),
            Ok(_) => Err("its signature is of something else".into()),
            Err(error) if matches!(error.kind(), Kind::Gate) => Err(error.message().to_owned()),
            Err(error) => {
                self.stop_asking(&error);
                Ok(false)
            }
        }
    }

    fn keyring(&self) -> Option<&Keyring> {
        let read = || match Keyring::of_file(&self.settings.allowed_signers, None) {
            Ok(keyring) => Some(keyring),
            Err(error) => {
                self.stop_asking(&error);
                None
            }
        };
        self.keyring.get_or_init(read).as_ref()
    }
}

impl Store {
    /// The same store, which asks a shared one for what it does not have.
    #[must_use]
    pub fn with_remote(mut self, remote: Arc<Remote>) -> Self {
        self.remote = Some(remote);
        self
    }

    /// The shared store that it asks.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_deref()
    }

    /// Forgets what the shared store did not have: others may have made it meanwhile.
    pub fn ask_anew(&self) {
        if let Some(remote) = self.remote() {
            let mut known = remote.known.lock().unpoisoned();
            known.retain(|_, known| !matches!(known, Known::Missing));
        }
    }

    /// Whether the result of `key` is here, not only in the shared store.
    pub fn is_here(&self, key: &Key) -> bool {
        self.entry(key).is_some()
    }
}

/// Reads what is no entry, for the fuzzer.
pub(crate) fn shared_entry(bytes: &[u8]) {
    let key = Key::of(b"");
    if let Ok(manifest) = Manifest::read(bytes, ENTRY, &key) {
        drop((manifest.statement(), manifest.config.data()));
        drop(manifest.parts());
    }
}

/// So many bytes, for people.
fn human(bytes: u64) -> String {
    Size::bytes(bytes).human()
}
