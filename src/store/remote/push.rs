//! From this store into the shared one: blobs first, the manifest last, which is what others see.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::blob::{CUT, Ready, cuts, pack};
use super::epoch::epoch_tag;
use super::wire::{Descriptor, INLINE_ALL, Manifest};
use super::{Known, Remote, human};
use crate::digest::Key;
use crate::error::{Context as _, Error, Kind, Result};
use crate::gpg::{self, Sign, Signer};
use crate::mutex::Unpoisoned as _;
use crate::store::entry::Meta;
use crate::store::ledger::Ledger;
use crate::store::{DISK, Entry, Store};

impl Store {
    /// Puts a finished stage into the shared store, if it is one that takes something, and with it what it
    /// builds on, and `needs`, the disk that it was made of. What fails is told, and nobody's fault.
    ///
    /// # Errors
    /// When imgforge is interrupted.
    pub fn share_out(&self, entry: &Entry, needs: Option<&Key>, ledger: &Ledger) -> Result<()> {
        let Some(remote) = self.remote().filter(|remote| remote.settings.push) else {
            return Ok(());
        };
        let put = || match needs {
            None => self.put_chain(remote, entry, None, ledger),
            Some(key) => match self.entry(key) {
                // What was made of other bytes fits nobody who fetches these.
                Some(below) if self.put_chain(remote, &below, None, ledger)? => {
                    self.put_chain(remote, entry, Some(&below), ledger)
                }
                _ => Ok(false),
            },
        };
        match put() {
            Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => return Err(error),
            Err(error) => remote.give_up(&remote.writes, "putting anything into", &error),
            Ok(_) => {}
        }
        Ok(())
    }

    /// Puts an entry there, after those below it; whether it is there now, with these bytes.
    fn put_chain(
        &self,
        remote: &Remote,
        entry: &Entry,
        made_of: Option<&Entry>,
        ledger: &Ledger,
    ) -> Result<bool> {
        let key = &entry.meta.key;
        if !remote.writes.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if remote.there.lock().unpoisoned().contains(key) {
            return Ok(true);
        }
        if let Some(parent) = &entry.meta.parent {
            let Some(below) = self.entry(parent) else {
                return Ok(false);
            };
            if !self.put_chain(remote, &below, None, ledger)? {
                return Ok(false);
            }
        }
        let is_bad = matches!(remote.known.lock().unpoisoned().get(key), Some(Known::Bad));
        // Who was first has the key: what builds on it was made on those bytes.
        if !is_bad && remote.registry.has_manifest(key.as_str())? {
            remote.known.lock().unpoisoned().remove(key);
            if let Known::Good(offer) = remote.look(key) {
                // One that does not fit the disk below gives way.
                if let Ok(fits) = self.fits(remote, &offer) {
                    let same = fits && offer.meta.disk == entry.meta.disk;
                    if same {
                        remote.there.lock().unpoisoned().insert(key.clone());
                    }
                    return Ok(same);
                }
            }
            // Nothing is written over that could not be seen.
            if !remote.reads() {
                return Ok(false);
            }
        }
        let scratch = self.draft(ledger)?;
        let Some(sent) = remote.put(entry, made_of, scratch.path())? else {
            return Ok(false);
        };
        remote.there.lock().unpoisoned().insert(key.clone());
        remote.known.lock().unpoisoned().remove(key);
        let Meta { image, stage, .. } = &entry.meta;
        let (size, to) = (human(sent), remote.address());
        remote.settings.ui.notice(format!(
            "put the {stage} stage of {image} into {to}, {size}"
        ));
        Ok(true)
    }
}

impl Remote {
    /// Sends the files of an entry, then its manifest; how many bytes went. None where it must stay here.
    fn put(&self, entry: &Entry, made_of: Option<&Entry>, scratch: &Path) -> Result<Option<u64>> {
        let Entry { path, meta } = entry;
        if meta.disk.is_none() && path.join(DISK).exists() {
            // An earlier imgforge made it; nobody could compare it.
            return Ok(None);
        }
        // What cannot be signed is not sent.
        if self.signer()?.is_none() {
            return Ok(None);
        }
        let (mut parts, mut inlined, mut sent) = (vec![], 0, 0);
        for name in files(path)? {
            let file = path.join(&name);
            let size = file.metadata().doing(|| format!("reading {name}"))?.len();
            for cut in cuts(size, CUT) {
                let ready = pack(&file, cut, scratch)?;
                sent += self.send(&ready)?;
                let mut part = ready.part(&name);
                inlined += part.data.as_ref().map_or(0, Vec::len) as u64;
                part.data = part.data.filter(|_| inlined <= INLINE_ALL);
                parts.push(Descriptor::part(&part));
            }
        }
        let text = std::fs::read(path.join("meta.json")).doing(|| "reading meta.json".into())?;
        let (_, empty) = Descriptor::empty();
        for bytes in [&text[..], empty] {
            self.registry.push_bytes(bytes)?;
        }
        let mut manifest = Manifest::entry(&meta.key, Descriptor::meta(&text), parts);
        if let (None, Some(below)) = (&meta.disk, made_of.map(Entry::meta)) {
            let disk = below.disk.as_ref();
            let disk = disk.ok_or_else(|| Error::internal("a layer that was put has no digest"))?;
            manifest = manifest.of_disk(&below.key, &disk.chain);
        }
        self.put_signed(meta.key.as_str(), manifest)?;
        // Who comes late with an older one takes nobody's newer one away.
        if let Some((of, epoch)) = meta.inputs.without_epoch()
            && self.epoch(&of).is_none_or(|newest| newest < epoch)
        {
            self.put_signed(&epoch_tag(&of), Manifest::epoch(&of, epoch))?;
        }
        Ok(Some(sent))
    }

    fn send(&self, ready: &Ready) -> Result<u64> {
        let was_sent = self
            .registry
            .push_blob(&ready.digest, &ready.file, ready.size)?;
        Ok(if was_sent { ready.size } else { 0 })
    }

    /// Signs a manifest, and puts it under its tag.
    fn put_signed(&self, tag: &str, mut manifest: Manifest) -> Result<()> {
        let signer = self
            .signer()?
            .ok_or_else(|| Error::internal("nobody signs"))?;
        let text = signed(signer, &manifest.statement())?;
        manifest.sign(text);
        self.registry.put_manifest(tag, manifest.bytes())
    }

    /// Who signs.
    fn signer(&self) -> Result<Option<&Signer>> {
        if let Some(signer) = self.signer.get() {
            return Ok(signer.as_ref());
        }
        let signer = match &self.settings.signing_key {
            Some(key) => Signer::configured(key)?,
            None => Signer::own(&self.settings.state, &self.settings.ui)?,
        };
        // Before anything is packed and sent: whoever signs it, nobody might take it.
        self.counts(&signed(&signer, "imgforge shared store 1\n")?)?;
        Ok(self.signer.get_or_init(|| Some(signer)).as_ref())
    }

    /// What nobody would take is not sent.
    fn counts(&self, signed: &str) -> Result<()> {
        let Some(keyring) = self.keyring() else {
            return Err(Error::usage("no trusted key of the shared store is set"));
        };
        gpg::verify(signed.as_bytes(), keyring).map(drop).map_err(|error| {
            let file = self.settings.allowed_signers.display();
            error.within("the site's builders would not accept what this host signs").hint(format!(
                "name a key of {file} as `signing-key:`, or add this host's: `gpg --export FINGERPRINT >> {file}`"
            ))
        })
    }
}

/// A text, clear-signed.
fn signed(signer: &Signer, text: &str) -> Result<String> {
    let signed = signer.sign(&[(Sign::Clear, text.as_bytes())])?;
    let signed = signed.into_iter().next().unwrap_or_default();
    String::from_utf8(signed)
        .map_err(|cause| Error::internal("a signature is not text").cause(cause))
}

/// The files of an entry, by their paths below it, sorted.
fn files(dir: &Path) -> Result<Vec<String>> {
    let (mut found, mut left) = (vec![], vec![PathBuf::new()]);
    while let Some(below) = left.pop() {
        let at = dir.join(&below);
        for entry in std::fs::read_dir(&at).doing(|| format!("reading {}", at.display()))? {
            let entry = entry.doing(|| format!("reading {}", at.display()))?;
            let name = below.join(entry.file_name());
            let kind = entry
                .file_type()
                .doing(|| format!("reading {}", name.display()))?;
            let text = name.to_str().map(str::to_owned);
            match (kind.is_dir(), kind.is_file(), text) {
                (true, ..) => left.push(name),
                (_, true, Some(text)) if super::wire::is_below(&text) => found.push(text),
                (_, true, Some(text)) if ["meta.json", "used"].contains(&text.as_str()) => {}
                _ => {
                    let what = format!("{} is not a file that can be shared", name.display());
                    return Err(Error::internal(what));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}
