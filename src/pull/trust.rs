//! Whose signature on an index counts, and what was seen of a repository before.
//!
//! A key is trusted because the user names it: in the command, in imgforge.yaml or in
//! virt-builder's configuration. What the command named is remembered for the next time, in
//! `STATE/repositories/ID/`. A key that only the repository itself offers is never trusted: the
//! error shows its fingerprint, to be compared with what its owner says.
//!
//! A key is trusted, not a copy of its certificate: once a day, and whenever a signature does not
//! count, the copies in the user's keyring and in the repository renew ours. So a prolonged key
//! goes on, and a revoked one ends.

use std::path::{Path, PathBuf};
use std::slice;
use std::time::Duration;

use jiff::Timestamp;

use super::page::refuse_page;
use super::place::RemoteRepository;
use super::{LARGEST_INDEX, Options, Session};
use crate::error::{Error, Kind, Result};
use crate::gpg::{self, Keyring, Signer, Signers, Verified};
use crate::http::Url;
use crate::index::IndexEntry;
use crate::repository::seen::{Mark, Newer, REPLAY, RememberedRepository, refuse_future};
use crate::repository::trust::{self, TrustSource};
use crate::store::write_atomic;
use crate::units::elapsed;

/// More than any keyring has, in bytes.
const LARGEST_KEYRING: u64 = 4 << 20;

/// The name of the public key in a repository.
pub(super) const KEY_FILE: &str = "imgforge.gpg";

/// So long a certificate is taken as it is, in seconds.
const DAY: i64 = 24 * 3600;

/// How often a text is asked for that is older than one before.
const ASKED: u32 = 4;

/// Verifies the signed text at `url` with the keys that the user trusts for this repository.
pub(super) struct Trust<'a> {
    session: &'a Session<'a>,
    place: &'a RemoteRepository,
    seen: RememberedRepository,
    keyring: Keyring,
    /// Where renewed certificates are kept; those of this host's own key are not.
    kept: Option<PathBuf>,
    /// What the command named, or an own directory had at first, to be remembered once it has proved
    /// good.
    fresh: bool,
    /// The certificates were not looked for today.
    stale: bool,
    allow_older: bool,
}

impl<'a> Trust<'a> {
    /// Finds the keys.
    pub(super) fn find(
        session: &'a Session<'a>,
        place: &'a RemoteRepository,
        options: &Options<'_>,
    ) -> Result<Self> {
        let seen = RememberedRepository::of(session.store.state(), &place.whole, session.ui)?;
        let named = Signers {
            keys: options.key.map(Path::to_owned),
            fingerprint: options.fingerprint.map(str::to_owned),
            ..Signers::default()
        };
        let by_command = named.is_named();
        let signers = named.or(place.signers.clone());
        let keyring = match (&signers.keys, signers.full_fingerprint()?) {
            (Some(_), _) => signers.keyring(None)?,
            (None, Some(fingerprint)) => match seen.remembered() {
                Some(keyring) if keyring.is_of(slice::from_ref(&fingerprint)) => keyring,
                _ => by_fingerprint(session, place, &signers, &fingerprint)?,
            },
            (None, None) => return Self::unnamed(session, place, options, seen),
        };
        let mut trust = Self::with(session, place, options, (seen, keyring), true)?;
        trust.fresh = by_command || place.signers.keys.is_none();
        let memory = trust.seen.read();
        // What is named for the first time was read just now.
        let first = trust.fresh && memory.fingerprints.is_empty();
        trust.stale = !first && now() - memory.refreshed >= DAY;
        Ok(trust)
    }

    fn with(
        session: &'a Session<'a>,
        place: &'a RemoteRepository,
        options: &Options<'_>,
        (seen, mut keyring): (RememberedRepository, Keyring),
        keep: bool,
    ) -> Result<Self> {
        let kept = keep.then(|| seen.renewed(&keyring.fingerprints));
        // An older imgforge had one name for all keys.
        let older = kept.as_ref().map(|kept| kept.with_file_name("renewed.gpg"));
        let copies = kept.iter().chain(&older).flat_map(std::fs::read);
        for copy in copies {
            keyring.renew(&[&copy])?;
        }
        Ok(Trust {
            session,
            place,
            seen,
            keyring,
            kept,
            fresh: false,
            stale: false,
            allow_older: options.allow_older,
        })
    }

    /// Neither the command nor a configuration names a key.
    fn unnamed(
        session: &'a Session<'a>,
        place: &'a RemoteRepository,
        options: &Options<'_>,
        seen: RememberedRepository,
    ) -> Result<Self> {
        let found = match place.base.local().filter(|_| place.own) {
            Some(root) => {
                let key = session.config.signing_key.as_deref();
                let signer = Signer::known(key, session.store.state())?;
                let found = trust::find(&root, signer.as_ref(), &seen)?;
                if let Some((TrustSource::Stranger, ours)) = &found {
                    session.ui.warning(trust::stranger(&root, ours));
                }
                found
            }
            None => seen
                .remembered()
                .map(|keyring| (TrustSource::Remembered, keyring)),
        };
        let (source, keyring) = found.ok_or_else(|| first_use(session, place))?;
        let keep = matches!(source, TrustSource::Remembered | TrustSource::First);
        let mut trust = Self::with(session, place, options, (seen, keyring), keep)?;
        trust.fresh = source == TrustSource::First;
        trust.stale =
            source == TrustSource::Remembered && now() - trust.seen.read().refreshed >= DAY;
        Ok(trust)
    }

    /// Reads and verifies the clear-signed text at an address, which must not be older than what was
    /// there before; nothing when there is none. What the command named is remembered from now on.
    /// Whoever finds the text to be of this place, too, tells so by [`Trust::saw`].
    ///
    /// A name can stand for several servers, of which one lags behind: then it is asked again. To
    /// forbid what is `optional` is to say that it is not there.
    pub(super) fn read(&mut self, url: &Url, optional: bool) -> Result<Option<Verified>> {
        let session = self.session;
        for asked in 1.. {
            let signed = match asked {
                1 if optional => session.read_optional(url, LARGEST_INDEX)?,
                1 => session.read_known(url, LARGEST_INDEX)?,
                _ => session.read_anew(url, LARGEST_INDEX)?,
            };
            let Some(signed) = signed else { break };
            let verified = self.verify(&signed, url)?;
            let Some(seen) = self.newer_was_seen(&verified, url)? else {
                return Ok(Some(verified));
            };
            if url.local().is_some() || asked == ASKED {
                return Err(older(url, &seen));
            }
            if asked == 1 {
                self.session.ui.notice(format!(
                    "{url} is older than what was seen there before: fetching it again"
                ));
            }
        }
        Ok(None)
    }

    fn verify(&mut self, signed: &[u8], url: &Url) -> Result<Verified> {
        refuse_page(signed, url)?;
        if std::mem::take(&mut self.stale) {
            self.renew()?;
        }
        let mut verified = gpg::verify(signed, &self.keyring);
        if matches!(&verified, Err(error) if error.kind() == Kind::Gate) && self.renew()? {
            verified = gpg::verify(signed, &self.keyring);
        }
        let verified = verified.map_err(|error| match error.kind() {
            Kind::Gate => error.within(format!("{url} is not to be trusted")).hint(
                "do not use it; if its owner announced a new key, name it with --fingerprint",
            ),
            _ => error.within(format!("{url} cannot be verified")),
        })?;
        refuse_future(&url.to_string(), verified.when)?;
        Ok(verified)
    }

    /// Whether the user takes what is older than it should be.
    pub(super) fn allows_older(&self) -> bool {
        self.allow_older
    }

    /// Looks for newer copies of the certificates; whether there are any. Without a network what
    /// is known goes on to count.
    fn renew(&mut self) -> Result<bool> {
        let Some(kept) = self.kept.clone() else {
            return Ok(false);
        };
        let fingerprints = self.keyring.fingerprints.clone();
        let users = fingerprints.iter().map(|key| Keyring::of_user(key));
        let mut copies: Vec<Vec<u8>> = users.flatten().map(|copy| copy.bytes).collect();
        copies.extend(offered(self.session, self.place).ok().flatten());
        let copies: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
        let changed = self.keyring.renew(&copies)?;
        self.seen.update(|memory| {
            memory.refreshed = now();
            Ok(())
        })?;
        if changed {
            // Whoever names the same keys another time, or nobody, finds it, too.
            write_atomic(&kept, &self.keyring.bytes)?;
            if self.seen.read().fingerprints == self.keyring.fingerprints {
                self.seen.keep(&self.keyring)?;
            }
        }
        Ok(changed)
    }

    /// The newest text that was seen at this address, if this one is older.
    fn newer_was_seen(&self, verified: &Verified, url: &Url) -> Result<Option<Newer>> {
        let address = self.place.remembered_as(url)?;
        let mark = Mark::of(&address, verified.when, &verified.text);
        let newer = self.seen.read().newer(&mark);
        Ok(newer.filter(|_| !self.allow_older))
    }

    /// Refuses what is of another repository than what was here before, and remembers when the text
    /// at an address was signed, and by which transaction, and whose key that was. Another channel's, which is refused, is none of this address: its
    /// time would shut out the right one.
    pub(super) fn saw(&mut self, verified: &Verified, url: &Url) -> Result<()> {
        let address = self.place.remembered_as(url)?;
        let mark = Mark::of(&address, verified.when, &verified.text);
        self.seen.take(&[mark], None, self.allow_older)?;
        if std::mem::take(&mut self.fresh) {
            self.seen.remember(&self.keyring, self.session.ui)?;
        }
        Ok(())
    }

    /// Compares an entry's revision with what was seen before: an old index with a good signature
    /// must not bring old images back.
    pub(super) fn no_older(&self, entry: &IndexEntry) -> Result<()> {
        let name = format!("{}/{}", entry.id, entry.arch);
        if self.seen.read().seen.get(&name) == Some(&entry.revision) {
            return Ok(());
        }
        self.seen.update(|memory| {
            let seen = memory.seen.insert(name, entry.revision).unwrap_or_default();
            if entry.revision >= seen || self.allow_older {
                return Ok(());
            }
            Err(Error::gate(format!(
                "`{}` has gone back from revision {seen} to {}",
                entry.id, entry.revision
            ))
            .cause(REPLAY)
            .hint("ask the repository's owner; --allow-older takes it all the same"))
        })
    }
}

/// An old text. Servers that copy a repository lag for hours; what is older for longer is no lag.
fn older(url: &Url, newer: &Newer) -> Error {
    let Newer { when, said, of } = newer;
    let age = now() - when.as_second();
    let shown = elapsed(Duration::from_secs(age.max(0).unsigned_abs()));
    let error = Error::gate(format!(
        "{url} {said}, and a newer one, of {of}, was seen before"
    ));
    let error = error.cause(REPLAY);
    match (url.local(), age < DAY) {
        (None, true) => error.cause(format!("it was asked for {ASKED} times")).hint(format!(
            "the newer one is {shown} old: if one server of several lags behind, the same command \
             works later, or with the address of another; if that lasts for a day, ask the \
             repository's owner; `imgforge pull --allow-older` takes it all the same"
        )),
        (_, true) => error.hint(
            "ask the repository's owner; `imgforge pull --allow-older` takes it all the same",
        ),
        (_, false) => error.hint(format!(
            "the newer one is {shown} old, longer than a server lags behind: ask the repository's \
             owner; `imgforge pull --allow-older` takes it all the same"
        )),
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// The key with this fingerprint: of the user's own keyring, and as the repository offers it.
fn by_fingerprint(
    session: &Session<'_>,
    place: &RemoteRepository,
    signers: &Signers,
    fingerprint: &str,
) -> Result<Keyring> {
    let there = match Keyring::of_user(fingerprint) {
        Ok(_) => offered(session, place).ok().flatten(),
        Err(_) => offered(session, place)?,
    };
    signers.keyring(there.as_deref()).map_err(|error| {
        if there.is_some() {
            return error.hint("somebody else may have signed it: ask the repository's owner");
        }
        Error::usage(format!("there is no key {fingerprint}"))
            .cause(format!(
                "neither in gpg's keyring nor at {}{KEY_FILE}",
                place.base
            ))
            .hint("name the file that has it: --key FILE")
    })
}

/// The key that the repository offers for this index: the one that it changes over to has another
/// name until the old one is gone.
fn offered(session: &Session<'_>, place: &RemoteRepository) -> Result<Option<Vec<u8>>> {
    let read = |name: &str| {
        let url = place.base.join(name)?;
        session.read_optional(&url, LARGEST_KEYRING)
    };
    if let Some(suffix) = place.suffix()
        && let Some(key) = read(&format!("imgforge-{suffix}.gpg"))?
    {
        return Ok(Some(key));
    }
    read(KEY_FILE)
}

fn first_use(session: &Session<'_>, place: &RemoteRepository) -> Error {
    let error = Error::gate(format!(
        "cannot verify the signature of {}: no trusted key is set",
        place.index
    ));
    let offered = offered(session, place).ok().flatten();
    match offered.and_then(|bytes| Keyring::read(&bytes, None).ok()) {
        Some(keyring) => {
            let keys = keyring.fingerprints.join(" and ");
            error
                .cause(format!(
                    "it offers the key {keys}, which anybody could have put there"
                ))
                .hint(format!(
                    "if its owner confirms this key: --fingerprint {}, once, or `fingerprint:` in \
                     imgforge.yaml",
                    keyring.fingerprints.first().map_or("FP", String::as_str)
                ))
        }
        None => error
            .hint("name the file of its public key, once: --key FILE, or `key:` in imgforge.yaml"),
    }
}
