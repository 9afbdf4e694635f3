//! When the keys of a repository expire: clients refuse what an expired key signed.

use serde::Serialize;

use super::agent::gpg;
use crate::error::Result;
use crate::host::temporary::Temporary;

/// A key that clients trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Fingerprint of the primary key.
    pub fingerprint: String,
    /// When it can sign no more, seconds since 1970; none: never.
    pub expires: Option<u64>,
}

/// Reads exported public keys.
///
/// # Errors
/// When gpg fails.
pub fn keys(exported: &[u8]) -> Result<Vec<Key>> {
    let home = Temporary::new()?;
    let listing = gpg(Some(home.path()))
        .args([
            "--no-autostart",
            "--no-keyring",
            "--with-colons",
            "--fixed-list-mode",
            "--show-keys",
        ])
        .on_foreign_file()
        .input(exported)
        .text()?;
    Ok(parse(&listing))
}

/// A certificate signs until its primary key expires, or the last of its parts that can sign.
fn parse(listing: &str) -> Vec<Key> {
    struct Draft {
        fingerprint: String,
        primary: Option<u64>,
        signers: Vec<Option<u64>>,
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let expires = field(6).parse::<u64>().ok();
        let signs = field(11).contains('s') && !matches!(field(1), "r" | "i");
        match (field(0), drafts.last_mut()) {
            ("pub", _) => drafts.push(Draft {
                fingerprint: String::new(),
                primary: expires,
                signers: if signs { vec![expires] } else { vec![] },
            }),
            ("sub", Some(draft)) if signs => draft.signers.push(expires),
            ("fpr", Some(draft)) if draft.fingerprint.is_empty() => {
                draft.fingerprint = field(9).to_owned();
            }
            _ => {}
        }
    }
    let end = |draft: &Draft| {
        let forever = draft.signers.iter().any(Option::is_none);
        let last = draft.signers.iter().flatten().max().copied();
        let signers = if forever { None } else { last };
        [draft.primary, signers].into_iter().flatten().min()
    };
    drafts
        .iter()
        .map(|draft| Key {
            fingerprint: draft.fingerprint.clone(),
            expires: end(draft),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_ends_with_its_primary_key_or_its_last_signing_part() {
        let key = |primary: &str, caps: &str, sub: &str| {
            format!(
                "pub:u:255:22:AA:1:{primary}::::{caps}:{caps}:::::ed25519:::0:\nfpr:::::::::ONE:\nsub:u:255:22:BB:1:{sub}:::::s:::::ed25519::\nfpr:::::::::SUB:\n"
            )
        };
        for (primary, caps, sub, expected) in [
            ("", "scSC", "", None),
            ("500", "scSC", "", Some(500)),
            ("500", "cC", "300", Some(300)),
            ("", "cC", "300", Some(300)),
            ("", "scSC", "300", None),
            ("200", "cC", "300", Some(200)),
        ] {
            let found = parse(&key(primary, caps, sub));
            assert_eq!(
                found,
                [Key {
                    fingerprint: "ONE".into(),
                    expires: expected
                }],
                "{primary} {caps} {sub}"
            );
        }
    }
}
