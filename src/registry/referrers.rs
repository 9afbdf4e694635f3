//! Manifests about another one: its SBOM, its signatures. Registries of the specification's version 1.1 list
//! them by themselves; for all others a list is kept under the tag `sha256-HEX`
//! (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>).

use super::manifest::{Descriptor, Index, Manifest};
use super::{INDEX, LARGEST_MANIFEST, Registry};
use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::http::{Method, Reply};

/// So often a list that others write, too, is written.
const WRITES: usize = 5;

/// Whether a refusal is of this very manifest, and not of its kind: that one has no code, or one of these.
fn names_a_fault(answer: &[u8]) -> bool {
    let of_its_kind = ["UNSUPPORTED", "MANIFEST_INVALID"];
    super::refusal::words(answer).is_some_and(|words| {
        let code = words.split(':').next().unwrap_or_default();
        !of_its_kind.contains(&code)
    })
}

impl Registry {
    /// Puts manifests about `subject` there, whose blobs are there already. The subject itself may come later.
    /// Whether others can find them: some registries neither list them nor take a list.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses one of them.
    pub fn put_referrers(&self, subject: &Descriptor, about: Vec<Manifest>) -> Result<bool> {
        let digest = subject.digest();
        let digest = digest.ok_or_else(|| Error::internal("a subject has no digest"))?;
        let mut unlisted = vec![];
        for mut manifest in about {
            manifest.subject = Some(Descriptor::new(super::MANIFEST, &digest, subject.size));
            let own = manifest.descriptor();
            let bytes = manifest.bytes();
            let reference = format!("sha256:{}", Sha256::of(&bytes).as_str());
            match self.put_about(&reference, super::MANIFEST, bytes)? {
                Some(reply) if reply.header("oci-subject").is_some() => {}
                Some(_) => unlisted.push(own),
                None => return Ok(false),
            }
        }
        match unlisted.is_empty() {
            true => Ok(true),
            false => self.list(&digest, &unlisted),
        }
    }

    /// Removes what is about `subject` and `ours`, and its list, where that has nothing else.
    ///
    /// # Errors
    /// As [`Registry::delete`].
    pub fn remove_referrers(
        &self,
        subject: &Sha256,
        ours: impl Fn(&Descriptor) -> bool,
    ) -> Result<()> {
        let (gone, others): (Vec<_>, Vec<_>) = self.referrers(subject)?.into_iter().partition(ours);
        for digest in gone.iter().filter_map(Descriptor::digest) {
            self.delete(&format!("sha256:{}", digest.as_str()))?;
        }
        match others.is_empty() {
            true => self.delete(&format!("sha256-{}", subject.as_str())),
            false => Ok(()),
        }
    }

    /// Adds to the list under the tag, until it is there: who writes at the same time takes the place of
    /// what he has not read, and a registry has no better way. Whether the registry takes lists.
    fn list(&self, subject: &Sha256, more: &[Descriptor]) -> Result<bool> {
        let tag = format!("sha256-{}", subject.as_str());
        for write in 0..=WRITES {
            let there = self.ask_manifest(Method::Get, &tag, LARGEST_MANIFEST)?;
            let there = there.and_then(|reply| Index::read(&reply.body));
            let mut list = there.clone().unwrap_or_else(Index::new);
            for one in more {
                if !list.manifests.contains(one) {
                    list.manifests.push(one.clone());
                }
            }
            if there.as_ref() == Some(&list) {
                return Ok(true);
            }
            if write < WRITES && self.put_about(&tag, INDEX, list.bytes())?.is_none() {
                return Ok(false);
            }
        }
        Err(Error::stage(format!(
            "other commands keep writing {}:{tag} at the same time",
            self.address()
        ))
        .hint("the same command resumes where this one stopped; run one at a time"))
    }

    /// Puts a manifest there that only the specification's later versions have; the answer. None: the registry
    /// knows tags and manifests of images only.
    fn put_about(&self, reference: &str, kind: &str, manifest: Vec<u8>) -> Result<Option<Reply>> {
        let reply = self.offer(reference, kind, manifest)?;
        match reply.status {
            201 | 202 => Ok(Some(reply)),
            400 | 405 | 415 if !names_a_fault(&reply.body) => Ok(None),
            _ => Err(self.refused("taking a manifest", &reply)),
        }
    }

    /// What is about the manifest with a digest, by the API or the tag.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn referrers(&self, subject: &Sha256) -> Result<Vec<Descriptor>> {
        let path = format!("referrers/sha256:{}", subject.as_str());
        let request = crate::http::Request::new(Method::Get, self.base.below(&path)?);
        let reply = self.ask(&request.header("Accept", INDEX), LARGEST_MANIFEST)?;
        let listed = match reply.status {
            200 => Index::read(&reply.body),
            _ => {
                let tag = format!("sha256-{}", subject.as_str());
                let there = self.ask_manifest(Method::Get, &tag, LARGEST_MANIFEST)?;
                there.and_then(|reply| Index::read(&reply.body))
            }
        };
        Ok(listed.map(|list| list.manifests).unwrap_or_default())
    }
}
