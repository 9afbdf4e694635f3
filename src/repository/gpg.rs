//! Verifying what is signed: only the text that the signature covers comes back.

use std::path::Path;

use super::agent::gpg;
use crate::error::{Context as _, Error, Result};

/// How every signed entry point begins: clients need exactly one armour header.
const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: ";

/// Text and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the signature covers; `gpg` has removed blanks at the end of lines.
    pub text: String,
    /// Fingerprint of the key, or subkey, that signed.
    pub fingerprint: String,
}

/// Verifies a clear-signed text with the certificates in `keyring`, all of which are trusted.
///
/// # Errors
/// When the text is not signed by exactly one of them, or that one is expired or revoked.
pub fn verify(signed: &[u8], keyring: &Path) -> Result<Verified> {
    let begins = signed.starts_with(BEGIN.as_bytes());
    if !begins {
        return Err(Error::gate("this is not a clear-signed text"));
    }
    let doing = || "verifying a signature".to_owned();
    let keyring = std::path::absolute(keyring).doing(doing)?;
    let home = tempfile::Builder::new()
        .prefix("imgforge-")
        .tempdir()
        .doing(doing)?;
    let status_file = home.path().join("status");
    let result = gpg(Some(home.path()))
        .args([
            "--no-autostart",
            "--no-auto-check-trustdb",
            "--trust-model",
            "always",
        ])
        .args(["--no-default-keyring", "--keyring"])
        .arg(&keyring)
        .arg("--status-file")
        .arg(&status_file)
        .args(["--output", "-", "--decrypt"])
        .input(signed)
        .output();
    let status = std::fs::read_to_string(&status_file).unwrap_or_default();
    let fingerprint = judge(&status)?;
    let text = String::from_utf8(result?)
        .map_err(|cause| Error::gate("the signed text is not UTF-8").cause(cause))?;
    Ok(Verified { text, fingerprint })
}

/// Reads gpg's status lines: exactly one good signature, and nothing against it.
fn judge(status: &str) -> Result<String> {
    const AGAINST: &[(&str, &str)] = &[
        ("BADSIG", "the signature is wrong: the text was changed"),
        ("REVKEYSIG", "the key that signed is revoked"),
        ("EXPKEYSIG", "the key that signed has expired"),
        ("EXPSIG", "the signature has expired"),
        (
            "NO_PUBKEY",
            "the key that signed is not among the trusted ones",
        ),
        ("ERRSIG", "the signature cannot be checked"),
        ("FAILURE", "gpg could not check the signature"),
    ];
    let lines: Vec<Vec<&str>> = status
        .lines()
        .filter_map(|line| Some(line.strip_prefix("[GNUPG:] ")?.split(' ').collect()))
        .collect();
    let count = |word: &str| lines.iter().filter(|line| line[0] == word).count();
    if let Some((_, why)) = AGAINST.iter().find(|(word, _)| count(word) > 0) {
        return Err(Error::gate(*why));
    }
    let valid = lines
        .iter()
        .find(|line| line[0] == "VALIDSIG")
        .and_then(|line| line.get(1));
    match valid {
        Some(key) if count("NEWSIG") == 1 && count("GOODSIG") == 1 && count("VALIDSIG") == 1 => {
            Ok((*key).to_owned())
        }
        _ => Err(Error::gate("there is not exactly one good signature")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_signature_is_needed_and_nothing_against_it() {
        let good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG AA me\n[GNUPG:] VALIDSIG FPR 2026\n";
        assert_eq!(judge(good).unwrap(), "FPR");
        for (status, expected) in [
            (String::new(), "not exactly one"),
            (good.repeat(2), "not exactly one"),
            (good.replace("GOODSIG", "EXPKEYSIG"), "has expired"),
            (good.replace("GOODSIG", "REVKEYSIG"), "is revoked"),
            (good.replace("GOODSIG", "BADSIG"), "was changed"),
            (
                format!("{good}[GNUPG:] NEWSIG\n[GNUPG:] NO_PUBKEY BB\n"),
                "not among the trusted",
            ),
            ("VALIDSIG FPR".into(), "not exactly one"),
        ] {
            let error = judge(&status).unwrap_err();
            assert!(error.message().contains(expected), "{error}: {status}");
        }
    }

    #[test]
    fn what_is_not_signed_is_refused_before_gpg_sees_it() {
        for text in [
            "",
            "[a]\n",
            "\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n",
        ] {
            let error = verify(text.as_bytes(), Path::new("/nonexistent")).unwrap_err();
            assert!(
                error.message().contains("not a clear-signed text"),
                "{error}"
            );
        }
    }
}
