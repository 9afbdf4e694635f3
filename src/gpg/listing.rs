//! What gpg lists of keys, with `--with-colons`.

use jiff::Timestamp;

use super::agent::gpg;
use crate::error::{Error, Result};
use crate::host::temporary::Temporary;

/// Fingerprints of the primary keys in an exported keyring.
pub(crate) fn fingerprints_of(exported: &[u8]) -> Result<Vec<String>> {
    Ok(parse_fingerprints(&listing(exported)?))
}

pub(super) fn listing(exported: &[u8]) -> Result<String> {
    let home = Temporary::new()?;
    gpg(Some(home.path()))
        .args(["--no-autostart", "--no-keyring", "--with-colons"])
        .args(["--fixed-list-mode", "--show-keys"])
        .on_foreign_file()
        .input(exported)
        .text()
}

pub(super) fn parse_fingerprints(listing: &str) -> Vec<String> {
    let mut primary = false;
    let mut found = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[0] {
            "pub" => primary = true,
            "fpr" if std::mem::take(&mut primary) => {
                found.extend(fields.get(9).map(|&fingerprint| fingerprint.to_owned()));
            }
            _ => {}
        }
    }
    found
}

/// The end of the primary key, or of the signing key that lasts longest, whichever is first.
fn parse_expiry(listing: &str) -> Option<Timestamp> {
    let end = |text: &str| {
        let seconds = text.parse().ok()?;
        Timestamp::from_second(seconds).ok()
    };
    let (mut primary, mut signing) = (None, Vec::new());
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let (Some(expires), Some(can)) = (fields.get(6), fields.get(11)) else {
            continue;
        };
        if fields[0] == "pub" {
            primary = end(expires);
        }
        // Small letters are what this key itself can do.
        if matches!(fields[0], "pub" | "sub") && can.contains('s') {
            signing.push(end(expires));
        }
    }
    let never = signing.is_empty() || signing.contains(&None);
    let signing = signing.into_iter().flatten().max().filter(|_| !never);
    primary.into_iter().chain(signing).min()
}

/// Refuses a key whose signature every reader would refuse, before anything is signed.
pub(super) fn refuse_ended(key: &str, fingerprint: &str, listing: &str) -> Result<()> {
    if listing.lines().any(|line| line.starts_with("pub:r:")) {
        return Err(Error::host(format!("the key `{key}` is revoked"))
            .hint("name another one as `signing-key:`, and publish to a new repository with it"));
    }
    match parse_expiry(listing).filter(|end| *end <= Timestamp::now()) {
        Some(end) => Err(
            Error::host(format!("the key `{key}` has expired at {end:.0}")).hint(format!(
                "`gpg --quick-set-expire {fingerprint} 1y`, for a subkey with '*' behind it"
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
        assert_eq!(parse_fingerprints(listing), ["ONE", "TWO"]);
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
            let found = refuse_ended("me", "ONE", &listing(validity, expires));
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
        ] {
            let expected = expected.map(|end| Timestamp::from_second(end).unwrap());
            assert_eq!(parse_expiry(&listing), expected, "{listing}");
        }
    }
}
