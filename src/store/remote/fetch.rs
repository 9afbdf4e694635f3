//! From the shared store into this one: whole and right, or not at all.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::blob::unpack;
use super::wire::Part;
use super::{Offer, Remote, human};
use crate::digest::Key;
use crate::error::{Context as _, Error, Kind, Result};
use crate::host::{interrupt, space};
use crate::registry::Fetched;
use crate::store::Store;
use crate::store::ledger::Ledger;
use crate::store::lock::Lock;
use crate::ui::{StageUi, Unit};

/// How often a lock is asked for.
const AGAIN: Duration = Duration::from_millis(100);

/// Why an entry did not come.
enum Miss {
    /// What the shared store has is not what was signed.
    Wrong(String),
    /// It could not be read, or not be written here.
    Failed(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Miss::Failed(error)
    }
}

impl Store {
    /// Brings the result of `key`, and the disks below it, from the shared store; false when it could not
    /// come, which was told: it counts as missing from now on.
    ///
    /// # Errors
    /// When this store cannot be written, or imgforge is interrupted.
    pub fn bring(&self, key: &Key, ledger: &Ledger, ui: &StageUi) -> Result<bool> {
        let Some(remote) = self.remote() else {
            return Ok(self.is_here(key));
        };
        if self.is_here(key) {
            return Ok(true);
        }
        let Some(offer) = remote.good(key) else {
            return Ok(false);
        };
        // Without a lock of its own: who builds on the parent may wait for this one.
        if let Some(parent) = &offer.meta.parent
            && !self.bring(parent, ledger, ui)?
        {
            let parent = parent.short();
            remote.refuse(
                key,
                &format!("the layer {parent} below it could not be fetched"),
            );
            return Ok(false);
        }
        let Some(_lock) = self.lock_unless_here(key)? else {
            return Ok(true);
        };
        let why = match self.take(remote, &offer, ledger, ui) {
            Ok(()) => {
                let (image, stage) = (&offer.meta.image, &offer.meta.stage);
                let (size, from) = (human(offer.size()), remote.address());
                ui.ui().notice(format!(
                    "fetched the {stage} stage of {image} from {from}, {size}"
                ));
                return Ok(true);
            }
            Err(Miss::Failed(error)) if matches!(error.kind(), Kind::Interrupted(_)) => {
                return Err(error);
            }
            Err(Miss::Failed(error)) => {
                remote.stop_asking(&error);
                "it did not come".to_owned()
            }
            Err(Miss::Wrong(why)) => why,
        };
        remote.refuse(key, &why);
        Ok(false)
    }

    /// Waits until nobody else brings or makes an entry; none where it is here then.
    fn lock_unless_here(&self, key: &Key) -> Result<Option<Lock>> {
        loop {
            if self.is_here(key) {
                return Ok(None);
            }
            if let Some(lock) = self.try_lock(key) {
                return Ok((!self.is_here(key)).then_some(lock));
            }
            interrupt::check()?;
            std::thread::sleep(AGAIN);
        }
    }

    fn take(
        &self,
        remote: &Remote,
        offer: &Offer,
        ledger: &Ledger,
        ui: &StageUi,
    ) -> Result<(), Miss> {
        let parts = offer.manifest.parts().map_err(Miss::Wrong)?;
        let draft = self.draft(ledger)?;
        let (mut done, total) = (0, offer.size());
        ui.step("fetching");
        for part in &parts {
            let to = draft.path().join(part.name);
            if let Some(dir) = to.parent() {
                std::fs::create_dir_all(dir).doing(|| format!("making {}", dir.display()))?;
            }
            space::check(draft.path())?;
            let progress = |at| ui.progress(done + at, total, Unit::Bytes);
            if !self.take_part(remote, part, &to, &progress)? {
                let why = format!("a part of its {} is missing or changed", part.name);
                return Err(Miss::Wrong(why));
            }
            done += part.size;
        }
        match draft.adopt(self, &offer.meta, &offer.text)? {
            true => Ok(()),
            false => Err(Miss::Wrong("its disk is not the one that it says".into())),
        }
    }

    /// Appends a part to its file, compared with its digest before; false when it is another one.
    fn take_part(
        &self,
        remote: &Remote,
        part: &Part<'_>,
        to: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<bool> {
        if let Some(data) = &part.data {
            return unpack(part, data.as_slice(), to);
        }
        // Two entries may have the same blob.
        let name = Key::parse(part.digest.as_str());
        let name = name.ok_or_else(|| Error::internal("a digest is not a digest"))?;
        let _lock = self.lock(&name, |_| {})?;
        let blob = self.part(&name);
        let fetched = remote
            .registry
            .fetch_blob(&part.digest, part.size, &blob, &mut |at| progress(at))?;
        if fetched != Fetched::Whole {
            return Ok(false);
        }
        let reading = || format!("reading {}", blob.display());
        let whole = unpack(part, File::open(&blob).doing(reading)?, to);
        drop(std::fs::remove_file(&blob));
        whole
    }
}
