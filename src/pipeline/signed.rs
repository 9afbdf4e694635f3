//! How long the keys and the signed indexes of the repositories count, for `status`.

use serde::Serialize;

use crate::error::Result;
use crate::pipeline::Session;
use crate::pipeline::status::Repositories;
use crate::repository::expiry::{self, Key};
use crate::repository::verify::{self, Signed};

/// A key that expires so soon is warned of, in seconds: 30 days.
const SOON: u64 = 30 * 24 * 3600;

/// An index that expires so soon is warned of, in seconds: 2 days.
const EXPIRING: u64 = 2 * 24 * 3600;

/// A key of a repository.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyStatus {
    /// The repository, by its name in imgforge.yaml.
    pub repository: String,
    /// The key.
    #[serde(flatten)]
    pub key: Key,
}

/// The signed index of a channel.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IndexStatus {
    /// The repository, by its name in imgforge.yaml.
    pub repository: String,
    /// The channel.
    pub channel: String,
    /// Until when it counts, seconds since 1970; none where it does not say.
    pub valid_until: Option<u64>,
    /// Why nobody should trust it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl IndexStatus {
    fn of(repository: &str, index: Signed) -> Self {
        let (until, fault) = match index.result {
            Ok(until) => (until, None),
            Err(error) => (None, Some(error.message().to_owned())),
        };
        IndexStatus {
            repository: repository.to_owned(),
            channel: index.channel,
            valid_until: until.and_then(|until| until.as_second().try_into().ok()),
            fault,
        }
    }

    /// A sentence when clients refuse it.
    pub fn refused(&self, at: u64) -> Option<String> {
        let (channel, of) = (&self.channel, &self.repository);
        match (&self.fault, self.valid_until) {
            (Some(fault), _) => Some(format!("the index of {channel} in {of}: {fault}")),
            (None, Some(end)) if end <= at => Some(format!(
                "the index of {channel} in {of} has expired: `imgforge channel renew`"
            )),
            _ => None,
        }
    }

    /// A sentence when it will expire soon.
    pub fn warning(&self, at: u64) -> Option<String> {
        let left = self
            .valid_until?
            .checked_sub(at)
            .filter(|left| *left < EXPIRING)?;
        let (channel, of) = (&self.channel, &self.repository);
        let left = left / 3600;
        Some(format!(
            "the index of {channel} in {of} expires in {left} hours: publish, or `imgforge channel renew`"
        ))
    }
}

impl KeyStatus {
    /// Whether it signs for anybody no more.
    pub fn expired(&self, at: u64) -> bool {
        self.key.expires.is_some_and(|end| end <= at)
    }

    /// A sentence when it has expired or will soon.
    pub fn warning(&self, at: u64) -> Option<String> {
        let end = self
            .key
            .expires
            .filter(|end| end.saturating_sub(at) < SOON)?;
        let (key, of) = (&self.key.fingerprint, &self.repository);
        Some(match end <= at {
            true => {
                format!("the key {key} of {of} has expired: clients refuse everything it signed")
            }
            false => {
                let days = (end - at) / 86_400;
                format!(
                    "the key {key} of {of} expires in {days} days; extend it with gpg and publish, or `imgforge repo rotate-key`"
                )
            }
        })
    }
}

/// Looks at the keys that count, and at the index of each channel.
pub(super) fn look(
    session: &Session,
    repositories: &Repositories,
) -> Result<(Vec<KeyStatus>, Vec<IndexStatus>)> {
    let (mut keys, mut indexes) = (Vec::new(), Vec::new());
    for (name, (path, state)) in repositories {
        let signers = session.config.repositories[name].signers(session.repo.root());
        let signed = verify::indexes(state, &signers)?;
        indexes.extend(signed.into_iter().map(|index| IndexStatus::of(name, index)));
        let file = signers.keys.unwrap_or_else(|| path.join("imgforge.gpg"));
        let found = expiry::keys(&file).unwrap_or_default();
        keys.extend(found.into_iter().map(|key| KeyStatus {
            repository: name.clone(),
            key,
        }));
    }
    Ok((keys, indexes))
}
