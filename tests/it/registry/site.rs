//! A registry, and the builders of a site that share their stores by it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use imgforge::digest::Key;
use imgforge::gpg::Signer;
use imgforge::store::inputs::Inputs;
use imgforge::store::ledger::Ledger;
use imgforge::store::remote::{Remote, Settings};
use imgforge::store::{DISK, Entry, Facts, Meta, Store};
use imgforge::ui::{Event, Reporter, StageUi, Ui};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::names;
use crate::support::registry::{Kind, Service};
use crate::support::relay::Relay;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plain {
    pub(super) said: String,
}

impl Facts for Plain {
    const STAGE: &'static str = "seal";
}

/// As [`Plain`], of a version that nobody has written.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Newer {
    pub(super) said: String,
}

impl Facts for Newer {
    const STAGE: &'static str = "seal";
    const VERSION: u32 = 2;
}

/// Keeps what people are told.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<String>>>);

impl Reporter for Heard {
    fn event(&self, event: &Event) {
        if let Event::Warning { text } | Event::Notice { text } = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

/// A registry, and the key whose entries count.
pub(super) struct Site {
    pub(super) dir: TempDir,
    pub(super) service: Service,
    pub(super) relay: Relay,
    pub(super) signers: PathBuf,
}

/// A builder of the site.
pub(super) struct Builder {
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    pub(super) heard: Heard,
}

impl Site {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let service = Service::start(&dir.path().join("registry"), Kind::default());
        let signers = dir.path().join("signers.gpg");
        let relay = Relay::to(service.address());
        let site = Site {
            dir,
            service,
            relay,
            signers,
        };
        let key = Signer::own(&site.dir.path().join("a"), &Ui::silent()).unwrap();
        std::fs::write(&site.signers, key.public_key().unwrap()).unwrap();
        site
    }

    /// A command of the builder `name`, which asks anew what the registry has.
    pub(super) fn builder(&self, name: &str) -> Builder {
        self.builder_with(name, name, name != "reader")
    }

    pub(super) fn builder_with(&self, name: &str, signs: &str, push: bool) -> Builder {
        let store = Store::new(self.dir.path().join(name));
        store.prepare().unwrap();
        let heard = Heard::default();
        let remote = Remote::open(Settings {
            address: format!("oci://{}/imgforge", self.relay.address)
                .parse()
                .unwrap(),
            push,
            allowed_signers: self.signers.clone(),
            signing_key: None,
            state: self.dir.path().join(signs),
            ui: Ui::new(heard.clone()),
        });
        Builder {
            ledger: Ledger::open(store.state()).unwrap(),
            store: store.with_remote(Arc::new(remote.unwrap())),
            heard,
        }
    }

    /// The manifest of a tag, and its digest.
    pub(super) fn manifest(&self, tag: &str) -> (Value, Vec<u8>) {
        let bytes = self
            .service
            .client("imgforge")
            .manifest(tag)
            .unwrap()
            .unwrap();
        (serde_json::from_slice(&bytes).unwrap(), bytes)
    }

    /// As a registry does that keeps tags for some time only.
    pub(super) fn lose(&self, key: &Key) {
        let tags = "registry/data/docker/registry/v2/repositories/imgforge/_manifests/tags";
        let tag = self.dir.path().join(tags).join(key.as_str());
        std::fs::remove_dir_all(tag).unwrap();
    }

    /// The file of the first blob of an entry.
    pub(super) fn blob(&self, key: &Key) -> PathBuf {
        let (manifest, _) = self.manifest(key.as_str());
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        self.service.blob(digest.trim_start_matches("sha256:"))
    }
}

impl Builder {
    pub(super) fn commit(&self, name: &str, parent: Option<&Key>, disk: &[u8]) -> Entry {
        self.commit_of(Inputs::new(name, 1), name, parent, disk)
    }

    pub(super) fn commit_of(
        &self,
        inputs: Inputs,
        name: &str,
        parent: Option<&Key>,
        disk: &[u8],
    ) -> Entry {
        let meta = Meta {
            parent: parent.cloned(),
            ..Meta::new(inputs.key().unwrap(), name, "seal", inputs, Instant::now())
        };
        let draft = self.store.draft(&self.ledger).unwrap();
        std::fs::write(draft.path().join(DISK), disk).unwrap();
        std::fs::create_dir(draft.path().join("lists")).unwrap();
        std::fs::write(draft.path().join("lists/packages"), name).unwrap();
        let facts = Plain { said: name.into() };
        draft
            .commit(&self.store, meta, facts)
            .unwrap()
            .entry()
            .clone()
    }

    /// Something that is no disk, which says `said`.
    pub(super) fn report(&self, name: &str, said: &str) -> Entry {
        let inputs = Inputs::new(name, 1);
        let meta = Meta::new(inputs.key().unwrap(), name, "seal", inputs, Instant::now());
        let draft = self.store.draft(&self.ledger).unwrap();
        std::fs::write(draft.path().join("report.json"), said).unwrap();
        let facts = Plain { said: said.into() };
        let layer = draft.commit(&self.store, meta, facts).unwrap();
        layer.entry().clone()
    }

    pub(super) fn put(&self, entry: &Entry) {
        self.store.share_out(entry, None, &self.ledger).unwrap();
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.store.has::<Plain>(key).unwrap()
    }

    /// As a build does: what a plan takes has to come.
    pub(super) fn bring(&self, key: &Key) -> bool {
        let ui: StageUi = Ui::silent().stage("x", "seal");
        self.has(key) && self.store.bring(key, &self.ledger, &ui).unwrap()
    }

    pub(super) fn said(&self) -> String {
        self.heard.0.lock().unwrap().join("\n")
    }

    /// Nothing came, nothing is left, and one warning has these words.
    #[track_caller]
    pub(super) fn misses(&self, key: &Key, words: &str) {
        assert!(!self.bring(key), "{words}");
        assert!(!self.has(key) && !self.store.is_here(key), "{words}");
        let said = self.said();
        assert!(said.contains(words), "no `{words}` in {said}");
        assert_eq!(said.matches("is not used").count(), 1, "{said}");
        let left = names(&self.store.state().join("store"));
        let drafts = left.iter().filter(|name| name.starts_with(".draft"));
        assert_eq!(drafts.count(), 0, "{left:?}");
    }
}

/// No two pieces of it alike.
pub(super) fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Changes one byte in the middle.
pub(super) fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
