//! How long the keys and the signed indexes of the repositories count, for `status`.

use serde::Serialize;

use crate::error::Result;
use crate::gpg::{self, Key};
use crate::pipeline::Session;
use crate::pipeline::status::Repositories;
use crate::repository::verify::{self, Signed};
use crate::repository::{place, trust};
use crate::time::now;

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
    #[serde(flatten)]
    pub(crate) key: Key,
}

/// The signed index of a channel, or the signed list of an image's revisions; of the lists only
/// those that clients refuse, or soon will.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IndexStatus {
    /// The repository, by its name in imgforge.yaml.
    pub repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<String>,
    /// The image whose revisions are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Until when it counts, seconds since 1970; none where it does not say.
    pub valid_until: Option<u64>,
    /// Why nobody should trust it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl IndexStatus {
    fn of(repository: &str, index: Signed) -> Self {
        let (until, fault) = match index.result {
            Ok(claims) => (claims.valid_until, None),
            Err(error) => (None, Some(error.message().to_owned())),
        };
        IndexStatus {
            repository: repository.to_owned(),
            channel: index.channel,
            image: index.image,
            valid_until: until.and_then(|until| until.as_second().try_into().ok()),
            fault,
        }
    }

    fn what(&self) -> String {
        let of = &self.repository;
        match (&self.channel, &self.image) {
            (Some(channel), _) => format!("the index of {channel} in {of}"),
            (None, image) => {
                let image = image.as_deref().unwrap_or_default();
                format!("the list of {image}'s revisions in {of}")
            }
        }
    }

    /// A sentence when clients refuse it.
    pub fn refused(&self, at: u64) -> Option<String> {
        let what = self.what();
        match (&self.fault, self.valid_until) {
            (Some(fault), _) => Some(format!("{what}: {fault}")),
            (None, Some(end)) if end <= at => {
                Some(format!("{what} has expired: `imgforge channel renew`"))
            }
            _ => None,
        }
    }

    /// A sentence when it will expire soon.
    pub fn warning(&self, at: u64) -> Option<String> {
        let left = self
            .valid_until?
            .checked_sub(at)
            .filter(|left| *left < EXPIRING)?;
        let what = self.what();
        let left = left / 3600;
        Some(format!(
            "{what} expires in {left} hours: publish, or `imgforge channel renew`"
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
        Some(if end <= at {
            format!("the key {key} of {of} has expired: clients refuse everything it signed")
        } else {
            let days = (end - at) / 86_400;
            format!(
                "the key {key} of {of} expires in {days} days; extend it with gpg and publish, or `imgforge repo rotate-key`"
            )
        })
    }
}

/// Looks at the keys that count, and at the index of each channel.
pub(super) fn look(
    session: &Session,
    repositories: &Repositories,
) -> Result<(Vec<KeyStatus>, Vec<IndexStatus>)> {
    let (mut keys, mut indexes) = (Vec::new(), Vec::new());
    for (name, state) in repositories {
        let place = place::find(&session.config, session.repo.root(), Some(name))?;
        let signers = place.trusted(&session.config, session.store.state(), &session.ui)?;
        let signed = verify::indexes(state, &signers)?;
        let lists = verify::lists(state, &signers)?;
        let mut all = signed.iter().chain(&lists);
        if !signed.is_empty() && all.all(|one| one.result.is_ok()) {
            let seen = place.seen(session.store.state(), &session.ui)?;
            trust::proved(&signers, &seen, &session.ui);
        }
        indexes.extend(signed.into_iter().map(|index| IndexStatus::of(name, index)));
        let lists = lists.into_iter().map(|list| IndexStatus::of(name, list));
        let at = now();
        indexes.extend(lists.filter(|list| list.refused(at).or(list.warning(at)).is_some()));
        let offered = state.read_file("imgforge.gpg").ok();
        let found = signers.keyring(offered.as_deref());
        let found = found.and_then(|keyring| gpg::keys(&keyring.bytes));
        let found = found.unwrap_or_default();
        keys.extend(found.into_iter().map(|key| KeyStatus {
            repository: name.clone(),
            key,
        }));
    }
    Ok((keys, indexes))
}
