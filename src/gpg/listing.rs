//! What gpg lists of keys, with `--with-colons`.

use jiff::Timestamp;
use serde::Serialize;

use super::agent::gpg;
use super::memo::Memo;
use crate::error::{Error, Result};
use crate::host::temporary::Temporary;

/// A certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Fingerprint of the primary key.
    pub fingerprint: String,
    /// When it can sign no more, seconds since 1970; none: never.
    pub expires: Option<u64>,
    #[serde(skip)]
    revoked: bool,
}

/// Reads exported public keys.
///
/// # Errors
/// When gpg fails.
pub fn keys(exported: &[u8]) -> Result<Vec<Key>> {
    Ok(parse(&listing(exported)?))
}

/// Fingerprints of the primary keys in an exported keyring.
pub(crate) fn fingerprints_of(exported: &[u8]) -> Result<Vec<String>> {
    Ok(fingerprints(keys(exported)?))
}

pub(super) fn fingerprints(keys: Vec<Key>) -> Vec<String> {
    keys.into_iter().map(|key| key.fingerprint).collect()
}

/// What has expired meanwhile is not read from it: [`parse`] has the time itself.
pub(super) fn listing(exported: &[u8]) -> Result<String> {
    static LISTINGS: Memo<String> = Memo::new();
    LISTINGS.answer(&[exported], || {
        let home = Temporary::new()?;
        gpg(Some(home.path()))
            .args(["--no-autostart", "--no-keyring", "--with-colons"])
            .args(["--fixed-list-mode", "--show-keys"])
            .on_foreign_file()
            .input(exported)
            .text()
    })
}

/// The certificates of a listing. One signs until its primary key expires, or the last of its parts
/// that can sign.
pub(super) fn parse(listing: &str) -> Vec<Key> {
    #[derive(Default)]
    struct Draft {
        key: Key,
        signers: Vec<Option<u64>>,
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let expires = field(6).parse::<u64>().ok();
        // Small letters are what this key itself can do.
        let signs = field(11).contains('s') && !matches!(field(1), "r" | "i");
        if field(0) == "pub" {
            drafts.push(Draft::default());
        }
        let Some(Draft { key, signers }) = drafts.last_mut() else {
            continue;
        };
        match field(0) {
            "pub" => (key.expires, key.revoked) = (expires, field(1) == "r"),
            "fpr" if key.fingerprint.is_empty() => field(9).clone_into(&mut key.fingerprint),
            _ => {}
        }
        if matches!(field(0), "pub" | "sub") && signs {
            signers.push(expires);
        }
    }
    let ended = |Draft { mut key, signers }: Draft| {
        let forever = signers.iter().any(Option::is_none);
        let last = signers.into_iter().flatten().max().filter(|_| !forever);
        key.expires = key.expires.into_iter().chain(last).min();
        key
    };
    drafts.into_iter().map(ended).collect()
}

/// Refuses a key whose signature every reader would refuse, before anything is signed.
pub(super) fn refuse_ended(name: &str, key: &Key) -> Result<()> {
    if key.revoked {
        return Err(Error::host(format!("the key `{name}` is revoked"))
            .hint("name another one as `signing-key:`, and publish to a new repository with it"));
    }
    let end = key.expires.and_then(|end| i64::try_from(end).ok());
    let end = end.and_then(|end| Timestamp::from_second(end).ok());
    match end.filter(|end| *end <= Timestamp::now()) {
        Some(end) => Err(
            Error::host(format!("the key `{name}` has expired at {end:.0}")).hint(format!(
                "`gpg --quick-set-expire {} 1y`, for a subkey with '*' behind it",
                key.fingerprint
            )),
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_primary_keys() {
        let listing = "tru::1:1:0:3:1:5\npub:u:255:22:AA:1::::::scSC:::::ed25519:::0:\n\
                       fpr:::::::::ONE:\nuid:u::::1::X::me::::::::::0:\n\
                       sub:u:255:18:BB:1::::::e:::::cv25519::\nfpr:::::::::SUB:\n\
                       pub:u:255:22:CC:1::::::scSC:::::ed25519:::0:\nfpr:::::::::TWO:\n";
        assert_eq!(fingerprints(parse(listing)), ["ONE", "TWO"]);
    }

    #[test]
    fn a_key_that_readers_refuse_is_refused_before() {
        let listing = |validity: &str, expires: &str| {
            format!("pub:{validity}:255:22:A:1:{expires}::u:::scSC:\nfpr:::::::::ONE:\n")
        };
        for (validity, expires, expected) in [
            ("u", "", None),
            ("u", "4102444800", None),
            ("e", "1577923200", Some("has expired at 2020-01-02")),
            ("r", "", Some("is revoked")),
        ] {
            let found = refuse_ended("me", &parse(&listing(validity, expires))[0]);
            match (found, expected) {
                (Ok(()), None) => {}
                (Err(error), Some(text)) => assert!(error.message().contains(text), "{error}"),
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn a_key_ends_when_it_can_sign_no_more() {
        let primary =
            |expires: &str, can: &str| format!("pub:u:255:22:A:1:{expires}::u:::{can}:\n");
        let sub = |expires: &str, can: &str| format!("sub:u:255:22:B:1:{expires}:::::{can}:\n");
        for (listing, expected) in [
            (primary("", "scSC"), None),
            (primary("500", "scSC"), Some(500)),
            (primary("500", "cSC") + &sub("300", "s"), Some(300)),
            (
                primary("500", "cSC") + &sub("300", "s") + &sub("400", "s"),
                Some(400),
            ),
            (
                primary("500", "cSC") + &sub("", "s") + &sub("400", "e"),
                Some(500),
            ),
            (primary("", "cSC") + &sub("300", "s"), Some(300)),
            (primary("", "scSC") + &sub("300", "s"), None),
            (primary("200", "cSC") + &sub("300", "s"), Some(200)),
            (
                primary("500", "cSC") + &sub("300", "s") + &sub("", "s").replace(":u:", ":r:"),
                Some(300),
            ),
        ] {
            assert_eq!(parse(&listing)[0].expires, expected, "{listing}");
        }
    }
}
