//! What is made for steps beside their guest's disk, and kept in the store.

use std::path::Path;
use std::sync::Arc;

use super::Request;
use crate::error::Result;
use crate::lock::{Fetching, Record};
use crate::store::inputs::{Inputs, LOCK};
use crate::store::lock::Lock;
use crate::store::{Entry, Facts, Meta};

/// An entry that is in use: it stays in the store as long as this lives.
#[derive(Debug)]
pub struct Kept {
    pub(super) entry: Entry,
    _lock: Lock,
}

impl Kept {
    /// The directory of the entry.
    pub fn path(&self) -> &Path {
        self.entry.path()
    }
}

/// The entry that is made of `inputs`, from the store or by `make`, which fills a draft, and writes down what
/// it fetches for it: as what is called `beside` in the record of the stage, whose lock binds it. Another
/// process that makes the same one is waited for.
///
/// # Errors
/// When the store cannot be written, or as `make`.
pub fn kept<F: Facts>(
    request: &Request<'_>,
    (image, beside): (&str, &str),
    mut inputs: Inputs,
    make: impl FnOnce(&Inputs, &Path, &Fetching) -> Result<F>,
) -> Result<Kept> {
    let locked = request.fetching.locked();
    let locked = locked.map(|locked| locked.beside(beside)).transpose()?;
    if let Some(locked) = &locked {
        inputs.input(LOCK, &locked.digest());
    }
    let fetching = Fetching::new(locked.map(Arc::new));
    let kept = entry(request, image, inputs, |inputs, draft| {
        let made = fetching.judge(make(inputs, draft, &fetching))?;
        fetching.write(draft, true)?;
        Ok(made)
    })?;
    // Who finds it in the store needs the same files.
    let record = Record::read(kept.path())?.unwrap_or_default();
    request.fetching.beside(beside, record);
    Ok(kept)
}

fn entry<F: Facts>(
    request: &Request<'_>,
    image: &str,
    inputs: Inputs,
    make: impl FnOnce(&Inputs, &Path) -> Result<F>,
) -> Result<Kept> {
    let (store, key) = (request.store, inputs.key()?);
    // Two steps of a job may want the same: who uses an entry cannot have it for himself.
    if store.entry(&key).is_some() {
        let _lock = store.share(&key)?;
        if let Some(entry) = store.entry(&key) {
            entry.touch();
            return Ok(Kept { entry, _lock });
        }
    }
    let lock = store.lock(&key, |pid| {
        let stage = F::STAGE;
        request.ui.step(format!(
            "waiting for process {pid}, which makes the same {stage}"
        ));
    })?;
    let entry = match store.entry(&key) {
        Some(entry) => {
            entry.touch();
            entry
        }
        None => {
            let began = std::time::Instant::now();
            let draft = store.draft(request.ledger)?;
            let facts = make(&inputs, draft.path())?;
            let meta = Meta::new(key, image, F::STAGE, inputs, began);
            draft.commit_over(store, meta, facts)?.entry().clone()
        }
    };
    let _lock = lock.downgrade()?;
    Ok(Kept { entry, _lock })
}
