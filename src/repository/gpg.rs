//! Verifying what is signed: only the text that the signature covers comes back.

use std::path::{Path, PathBuf};

use super::agent::gpg;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::temporary::Temporary;

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
    let mut all = verify_all(&[signed], keyring)?;
    all.pop()
        .unwrap_or_else(|| Err(Error::internal("gpg was not asked")))
}

/// Verifies many clear-signed texts with one `gpg`; the results are in their order.
///
/// # Errors
/// When `gpg` cannot be run or the keyring cannot be read.
pub fn verify_all(signed: &[&[u8]], keyring: &Path) -> Result<Vec<Result<Verified>>> {
    let unsigned = || Error::gate("this is not a clear-signed text");
    let is_signed = |text: &[u8]| text.starts_with(BEGIN.as_bytes());
    if !signed.iter().any(|text| is_signed(text)) {
        return Ok(signed.iter().map(|_| Err(unsigned())).collect());
    }
    let doing = || "verifying signatures".to_owned();
    let home = Home::new(keyring)?;
    for (number, text) in signed.iter().enumerate() {
        if is_signed(text) {
            std::fs::write(home.path(&format!("{number}.asc")), text).doing(doing)?;
        }
    }
    let numbers = (0..signed.len()).filter(|number| is_signed(signed[*number]));
    let mut result = Ok(());
    let mut left: Vec<usize> = numbers.collect();
    let mut verified: Vec<Result<Verified>> = signed.iter().map(|_| Err(unsigned())).collect();
    while !left.is_empty() {
        let status = home.path("status");
        drop(std::fs::remove_file(&status));
        let files = left.iter().map(|number| format!("{number}.asc"));
        let run = home
            .gpg()
            .args(["--multifile", "--decrypt"])
            .args(files)
            .dir(home.dir.path())
            .run();
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        // Some failures end gpg before it comes to the other files.
        let reports: Vec<&str> = status.split("[GNUPG:] FILE_START ").skip(1).collect();
        if reports.is_empty() {
            result = run;
            break;
        }
        for (number, report) in left.iter().zip(&reports) {
            verified[*number] = judge(report).and_then(|fingerprint| {
                let bytes = std::fs::read(home.path(&number.to_string())).doing(doing)?;
                let text = String::from_utf8(bytes)
                    .map_err(|cause| Error::gate("the signed text is not UTF-8").cause(cause))?;
                Ok(Verified { text, fingerprint })
            });
        }
        left.drain(..reports.len().min(left.len()));
    }
    result.map(|()| verified)
}

/// Verifies a file by the armoured signature beside it; returns the fingerprint of the key.
///
/// # Errors
/// As [`verify`].
pub fn verify_detached(file: &Path, signature: &[u8], keyring: &Path) -> Result<String> {
    let doing = || "verifying a signature".to_owned();
    let file = std::path::absolute(file).doing(doing)?;
    let home = Home::new(keyring)?;
    let path = home.path("signature");
    std::fs::write(&path, signature).doing(doing)?;
    let run = home.gpg().arg("--verify").arg(&path).arg(&file).run();
    let status = std::fs::read_to_string(home.path("status")).unwrap_or_default();
    if status.is_empty() {
        run?;
    }
    judge(&status)
}

/// A key directory of its own, which trusts a keyring.
struct Home {
    dir: Temporary,
    keyring: PathBuf,
}

impl Home {
    fn new(keyring: &Path) -> Result<Self> {
        let doing = || format!("reading {}", keyring.display());
        let mut keyring = std::path::absolute(keyring).doing(doing)?;
        let bytes = std::fs::read(&keyring).doing(doing)?;
        let dir = Temporary::new()?;
        if bytes.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----") {
            let binary = gpg(Some(dir.path()))
                .arg("--dearmor")
                .input(bytes)
                .output()?;
            keyring = dir.path().join("keyring");
            std::fs::write(&keyring, binary).doing(doing)?;
        }
        Ok(Home { dir, keyring })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn gpg(&self) -> Program {
        gpg(Some(self.dir.path()))
            .args(["--no-autostart", "--no-auto-check-trustdb"])
            .args([
                "--trust-model",
                "always",
                "--no-default-keyring",
                "--keyring",
            ])
            .arg(&self.keyring)
            .arg("--status-file")
            .arg(self.path("status"))
    }
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
