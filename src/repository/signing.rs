//! What a transaction signs, verified as clients do before anybody sees it.

use std::borrow::Cow;

use jiff::Timestamp;

use super::rotate::second_path;
use super::transaction::{ExpectedIndex, Transaction};
use super::views::ViewFile;
use super::{below, broken_index, journal};
use crate::error::{Error, Result};
use crate::gpg::{Keyring, Sign, Signer, Signers, verify_all};
use crate::index::{self, Claims};

/// The path of a text, and when it was signed.
pub(super) type SignedText = (String, Timestamp);

impl Transaction<'_> {
    /// Signs what is to be signed, and verifies it.
    pub(super) fn signed(
        &self,
        files: &[ViewFile],
        indexes: &ExpectedIndex,
    ) -> Result<(Vec<journal::Replacement>, Vec<SignedText>)> {
        let wanted: Vec<(&ViewFile, &[u8])> = files
            .iter()
            .filter(|file| file.sign != Sign::No)
            .filter_map(|file| Some((file, file.bytes.as_deref()?)))
            .collect();
        self.repository.step("sign");
        let batch: Vec<(Sign, &[u8])> = wanted.iter().map(|(f, bytes)| (f.sign, *bytes)).collect();
        let signatures = self.signer.sign(&batch)?;
        let clear: Vec<(&ViewFile, &[u8])> = wanted
            .iter()
            .zip(&signatures)
            .filter(|((file, _), _)| file.sign == Sign::Clear)
            .map(|((file, _), signed)| (*file, signed.as_slice()))
            .collect();
        let made = self.verify_clear(&self.signer, &clear, indexes)?;

        let mut signatures = signatures.into_iter();
        let mut changes = Vec::new();
        for file in files {
            let plain = (file.path.clone(), file.bytes.clone());
            if file.sign == Sign::No || file.bytes.is_none() {
                changes.push(plain);
                continue;
            }
            let signature = signatures.next();
            let signature = signature.ok_or_else(|| Error::internal("a file is not signed"))?;
            match file.sign {
                Sign::Clear => changes.push((file.path.clone(), Some(signature))),
                Sign::Detached | Sign::No => {
                    // A file beside a blob is there already, and never written again.
                    let there = below::read(&self.repository.root, &file.path)?;
                    if there != file.bytes {
                        changes.push(plain);
                    }
                    changes.push((format!("{}.asc", file.path), Some(signature)));
                }
            }
        }
        Ok((changes, made))
    }

    /// The public keys of second URLs that are not there, nor among `files`.
    pub(super) fn lost_keys(&self, files: &[ViewFile]) -> Result<Vec<ViewFile>> {
        let mut lost = Vec::new();
        let signing = self.keys.seconds.iter().filter(|one| one.resting.is_none());
        for second in signing {
            let path = format!("imgforge-{}.gpg", second.suffix);
            let there = below::read(&self.repository.root, &path).ok().flatten();
            let is_right = |key: Vec<u8>| Keyring::read(&key, Some(&second.fingerprint)).is_ok();
            if there.is_some_and(is_right) || files.iter().any(|file| file.path == path) {
                continue;
            }
            let signer = self.signer.with_key(&second.fingerprint, second.own);
            lost.push(ViewFile::new(&path, signer.public_key()?));
        }
        Ok(lost)
    }

    /// The files that clients verify, under their second URLs, signed by those URLs' keys, and when;
    /// `signed` and `made` are the first ones.
    pub(super) fn second_indexes(
        &self,
        files: &[ViewFile],
        signed: &[journal::Replacement],
        made: &[SignedText],
    ) -> Result<(Vec<journal::Replacement>, Vec<SignedText>)> {
        let (mut changes, mut all_made) = (Vec::new(), Vec::new());
        for second in &self.keys.seconds {
            let to = |file: &ViewFile| second_path(&file.path, &second.suffix);
            let indexes: Vec<(&ViewFile, String)> = files
                .iter()
                .filter_map(|file| Some((file, to(file)?)))
                .collect();
            let under = |made: &[SignedText]| {
                let under =
                    |(path, when): &SignedText| Some((second_path(path, &second.suffix)?, *when));
                made.iter().filter_map(under).collect::<Vec<_>>()
            };
            if second.fingerprint == self.keys.main {
                all_made.extend(under(made));
                for (file, to) in indexes {
                    let same = signed.iter().find(|(path, _)| *path == file.path);
                    changes.extend(same.map(|(_, bytes)| (to, bytes.clone())));
                }
                continue;
            }
            if let Some(why) = &second.resting {
                let suffix = &second.suffix;
                self.repository.ui.warning(format!(
                    "index-{suffix}.asc is not signed: its key cannot sign: {why}; \
                     `imgforge repo rotate-key --cancel` ends that rotation"
                ));
                continue;
            }
            let signer = self.signer.with_key(&second.fingerprint, second.own);
            let text = |file: &ViewFile| file.bytes.clone().unwrap_or_default();
            let texts: Vec<Vec<u8>> = indexes.iter().map(|(file, _)| text(file)).collect();
            let batch = texts.iter().map(|text| (Sign::Clear, text.as_slice()));
            let signatures = signer.sign(&batch.collect::<Vec<_>>())?;
            let pairs = indexes.iter().zip(&signatures);
            let clear: Vec<(&ViewFile, &[u8])> = pairs
                .map(|((file, _), signed)| (*file, signed.as_slice()))
                .collect();
            all_made.extend(under(&self.verify_clear(
                &signer,
                &clear,
                &ExpectedIndex::new(),
            )?));
            let paths = indexes.into_iter().map(|(_, to)| to);
            changes.extend(paths.zip(signatures.into_iter().map(Some)));
        }
        Ok((changes, all_made))
    }

    fn verify_clear(
        &self,
        signer: &Signer,
        signed: &[(&ViewFile, &[u8])],
        indexes: &ExpectedIndex,
    ) -> Result<Vec<SignedText>> {
        if signed.is_empty() {
            return Ok(vec![]);
        }
        let mut made = Vec::new();
        let texts: Vec<&[u8]> = signed.iter().map(|(_, bytes)| *bytes).collect();
        let results = verify_all(&texts, &*self.keyring(signer)?)?;
        for ((file, bytes), result) in signed.iter().zip(results) {
            let path = self.repository.root.join(&file.path);
            let verified = result.map_err(|error| {
                error.within(format!(
                    "the new {} does not verify with the repository's public key",
                    path.display()
                ))
            })?;
            let changed = || {
                let path = path.display();
                Error::internal(format!("the signed {path} does not say what was written"))
            };
            let meant = String::from_utf8_lossy(file.bytes.as_deref().unwrap_or_default());
            if !verified
                .text
                .lines()
                .map(str::trim_end)
                .eq(meant.lines().map(str::trim_end))
            {
                return Err(changed());
            }
            if let Some((claims, entries)) = indexes.get(&file.path) {
                if Claims::parse(&verified.text) != *claims {
                    return Err(changed());
                }
                let read = |text: &str| index::parse(text).and_then(|all| index::check(&all));
                // virt-builder parses the file itself, others what the signature covers.
                for text in [&String::from_utf8_lossy(bytes), verified.text.as_str()] {
                    let back = read(text).map_err(|problems| broken_index(&path, &problems))?;
                    if back != *entries {
                        return Err(changed());
                    }
                }
            }
            made.push((file.path.clone(), verified.when));
        }
        Ok(made)
    }

    /// The keys that readers will use.
    fn keyring(&self, signer: &Signer) -> Result<Cow<'_, Keyring>> {
        let repository = self.repository;
        let unchanged = self.fingerprint == repository.fingerprint;
        if unchanged && signer.is(&self.signer) {
            return repository.trusted().map(Cow::Borrowed);
        }
        // The other key of a rotation: it must be among the allowed ones, too; a fingerprint alone
        // says only which key counts until then.
        let public = signer.public_key()?;
        let keyring = match &repository.signers.keys {
            Some(file) => Signers::of_file(file).keyring(Some(&public)),
            None => Keyring::read(&public, None),
        };
        keyring.map(Cow::Owned)
    }
}
