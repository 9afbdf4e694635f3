//! Whether an entry of the shared store goes with what is here.
//!
//! A key has other bytes at every builder that makes it. So an entry tells the bytes that it was made on, or
//! of, and one that was made of others is none.

use super::wire::Manifest;
use super::{Offer, Remote};
use crate::digest::Key;
use crate::store::Store;
use crate::store::chain::Bytes;
use crate::store::entry::{self, Facts, Meta};

impl Manifest {
    /// As made of the disk of a layer, by its chain: a key may have other bytes elsewhere.
    pub(super) fn of_disk(mut self, layer: &Key, chain: &str) -> Self {
        self.annotations.made_of = Some(format!("{layer} {chain}"));
        self
    }

    /// The layer whose disk it was made of, with the digest of that one's chain.
    pub(super) fn made_of(&self) -> Result<Option<(Key, &str)>, String> {
        let Some(text) = &self.annotations.made_of else {
            return Ok(None);
        };
        let pair = text.split_once(' ');
        let pair = pair.and_then(|(layer, chain)| Some((Key::parse(layer)?, chain)));
        pair.map(Some)
            .ok_or_else(|| "it does not say of which disk it was made".to_owned())
    }
}

impl Store {
    /// Whether the shared store has a result of the stage that reports `F`, which could come here.
    pub(in crate::store) fn is_offered<F: Facts>(&self, key: &Key) -> bool {
        let Some(remote) = self.remote() else {
            return false;
        };
        // What is here in another shape stays.
        if self.entries().join(key.as_str()).exists() {
            return false;
        }
        let Some(offer) = remote.good(key) else {
            return false;
        };
        let judged = entry::reads::<F>(&offer.meta, &offer.text).map_err(|why| why.to_string());
        match judged.and_then(|()| self.fits(remote, &offer)) {
            Ok(fits) => fits,
            Err(why) => {
                remote.refuse(key, &why);
                false
            }
        }
    }

    /// Whether the disk that an entry of the shared store was made on, or of, is the one here, or the one
    /// that would come along. Where nobody can tell, nothing is wrong with the entry.
    pub(super) fn fits(&self, remote: &Remote, offer: &Offer) -> Result<bool, String> {
        let Meta { parent, disk, .. } = &offer.meta;
        let (own, below) = match (disk, parent) {
            (Some(own), None) => (own, None),
            (Some(own), Some(parent)) => match self.disk_of(remote, parent)? {
                Some(below) => (own, Some(below)),
                None => return Ok(false),
            },
            (None, Some(_)) => return Err("it does not name the disk below it".into()),
            (None, None) => {
                let Some((key, chain)) = offer.manifest.made_of()? else {
                    return Ok(true);
                };
                return match self.disk_of(remote, &key)? {
                    Some(found) if found.chain == chain => Ok(true),
                    Some(_) => Err("it was made of another disk than the one that is used".into()),
                    None => Ok(false),
                };
            }
        };
        let below = below.as_ref().map(|below| below.chain.as_str());
        match *own == Bytes::new(own.file.clone(), below) {
            true => Ok(true),
            false => Err("it was made on another disk than the one below it".into()),
        }
    }

    /// The digests of a layer's disk: of the one here, else of the one in the shared store; none where
    /// that cannot be asked.
    fn disk_of(&self, remote: &Remote, key: &Key) -> Result<Option<Bytes>, String> {
        let disk = match self.entry(key) {
            Some(entry) => entry.meta.disk,
            None => match remote.good(key) {
                Some(offer) if self.fits(remote, &offer)? => offer.meta.disk.clone(),
                Some(_) => return Ok(None),
                None if !remote.reads() => return Ok(None),
                None => {
                    let key = key.short();
                    return Err(format!(
                        "the layer {key} that it builds on is neither here nor in the shared store"
                    ));
                }
            },
        };
        disk.map(Some)
            .ok_or_else(|| "the disk below it is unknown".into())
    }
}
