//! Verifying what is signed: only the text that the signature covers comes back.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Keyring;
use super::agent::gpg;
use super::memo::Memo;
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
    /// When it was signed, to the second.
    pub when: Timestamp,
}

/// Verifies a clear-signed text: a key counts whose certificate is in `keyring`, and whose primary
/// key is one of its fingerprints.
///
/// # Errors
/// When the text is not signed by exactly one of them, or that one is expired or revoked.
pub fn verify(signed: &[u8], keyring: &Keyring) -> Result<Verified> {
    let mut all = verify_all(&[signed], keyring)?;
    all.pop()
        .unwrap_or_else(|| Err(Error::internal("gpg was not asked")))
}

/// Verifies a clear-signed text that several keys may have signed, as archives of packages are:
/// one signature by a certificate in `keyring` is enough, and none may be wrong. Returns what it
/// covers. All that is in the file counts, so nobody else may write to it.
///
/// # Errors
/// When nobody in the keyring has signed it, or it was changed.
pub fn verify_any(signed: &[u8], keyring: &Path) -> Result<String> {
    if !signed.starts_with(BEGIN.as_bytes()) {
        return Err(Error::gate("this is not a clear-signed text"));
    }
    let doing = || "verifying a signature".to_owned();
    let certificates = std::fs::read(keyring).doing(|| format!("reading {}", keyring.display()))?;
    let home = Home::new(&certificates)?;
    let (file, text) = (home.path("signed"), home.path("text"));
    std::fs::write(&file, signed).doing(doing)?;
    let gpg = home.gpg().arg("--output").arg(&text);
    let run = gpg.arg("--decrypt").arg(&file).run();
    let status = std::fs::read_to_string(home.path("status")).unwrap_or_default();
    if status.is_empty() {
        run?;
    }
    let has = |word: &str| {
        let line = format!("[GNUPG:] {word} ");
        status.lines().any(|found| found.starts_with(&line))
    };
    if has("BADSIG") {
        return Err(Error::gate("the signature is wrong: the text was changed"));
    }
    // Keys that are not known here, or have expired, may have signed it, too.
    let of_text = |line: &str| {
        line.starts_with("[GNUPG:] VALIDSIG ") && line.split(' ').nth(10) == Some(OF_TEXT)
    };
    if !(has("GOODSIG") && status.lines().any(of_text)) {
        return Err(
            Error::gate("none of the keys that signed it is trusted here")
                .cause(format!("the trusted keys are in {}", keyring.display())),
        );
    }
    let bytes = std::fs::read(&text).doing(doing)?;
    String::from_utf8(bytes)
        .map_err(|cause| Error::gate("the signed text is not UTF-8").cause(cause))
}

/// Verifies many clear-signed texts with one `gpg`; the results are in their order.
///
/// # Errors
/// When `gpg` cannot be run.
pub fn verify_all(signed: &[&[u8]], keyring: &Keyring) -> Result<Vec<Result<Verified>>> {
    let unsigned = || Error::gate("this is not a clear-signed text");
    let is_signed = |text: &[u8]| text.starts_with(BEGIN.as_bytes());
    let doing = || "verifying signatures".to_owned();
    // A key that ends while imgforge runs counts a minute longer at most.
    static GOOD: Memo<Verified> = Memo::new();
    let minute = (Timestamp::now().as_second() / 60).to_be_bytes();
    let keys = keyring.fingerprints.join(" ");
    let inputs = |number: usize| [signed[number], &keyring.bytes, keys.as_bytes(), &minute];

    let mut left = Vec::new();
    let mut verified: Vec<Result<Verified>> = Vec::new();
    for (number, text) in signed.iter().enumerate() {
        let known = GOOD.known(&inputs(number));
        if known.is_none() && is_signed(text) {
            left.push(number);
        }
        verified.push(known.ok_or_else(unsigned));
    }
    if left.is_empty() {
        return Ok(verified);
    }
    let home = Home::new(&keyring.bytes)?;
    for number in &left {
        let file = home.path(&format!("{number}.asc"));
        std::fs::write(file, signed[*number]).doing(doing)?;
    }
    let mut result = Ok(());
    while !left.is_empty() {
        let status = home.path("status");
        drop(std::fs::remove_file(&status));
        let files = left.iter().map(|number| format!("{number}.asc"));
        let run = home
            .gpg()
            .on_foreign_content(30 + u32::try_from(left.len()).unwrap_or(u32::MAX / 2))
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
            verified[*number] =
                judge(report, OF_TEXT, &keyring.fingerprints).and_then(|(fingerprint, when)| {
                    let bytes = std::fs::read(home.path(&number.to_string())).doing(doing)?;
                    let text = String::from_utf8(bytes).map_err(|cause| {
                        Error::gate("the signed text is not UTF-8").cause(cause)
                    })?;
                    Ok(Verified {
                        text,
                        fingerprint,
                        when,
                    })
                });
            if let Ok(good) = &verified[*number] {
                GOOD.keep(&inputs(*number), good.clone());
            }
        }
        left.drain(..reports.len().min(left.len()));
    }
    result.map(|()| verified)
}

/// Verifies a file by the armoured signature beside it; returns the fingerprint of the key.
///
/// # Errors
/// As [`verify`].
pub fn verify_detached(file: &Path, signature: &[u8], keyring: &Keyring) -> Result<String> {
    let doing = || "verifying a signature".to_owned();
    let file = std::path::absolute(file).doing(doing)?;
    let home = Home::new(&keyring.bytes)?;
    let path = home.path("signature");
    std::fs::write(&path, signature).doing(doing)?;
    let run = home.gpg().arg("--verify").arg(&path).arg(&file).run();
    let status = std::fs::read_to_string(home.path("status")).unwrap_or_default();
    if status.is_empty() {
        run?;
    }
    judge(&status, OF_BYTES, &keyring.fingerprints).map(|(fingerprint, _)| fingerprint)
}

/// A key directory of its own, with a keyring.
struct Home {
    dir: Temporary,
}

impl Home {
    fn new(certificates: &[u8]) -> Result<Self> {
        super::keyboxd::refuse()?;
        let home = Home {
            dir: Temporary::new()?,
        };
        let armoured = certificates.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----");
        let binary = armoured.then(|| {
            let gpg = gpg(Some(home.dir.path())).arg("--dearmor");
            gpg.input(certificates).output()
        });
        let binary = binary.transpose()?;
        std::fs::write(
            home.path("keyring"),
            binary.as_deref().unwrap_or(certificates),
        )
        .doing(|| "writing a keyring".into())?;
        Ok(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What it reads may be small, and inflate.
    fn gpg(&self) -> Program {
        gpg(Some(self.dir.path()))
            .on_foreign_file()
            .args(["--no-autostart", "--no-auto-check-trustdb"])
            .args([
                "--trust-model",
                "always",
                "--no-default-keyring",
                "--keyring",
            ])
            .arg(self.path("keyring"))
            .arg("--status-file")
            .arg(self.path("status"))
    }
}

const NOT_TRUSTED: &str = "the key that signed is not among the trusted ones";

/// The classes of signatures, as gpg shows them: of a text, which is what a clear-signed one has, and
/// of bytes, which lies beside a file. gpg verifies either in the other's place.
const OF_TEXT: &str = "01";
const OF_BYTES: &str = "00";

/// Reads gpg's status lines: exactly one good signature, of this class and of a certificate whose
/// primary key counts, and nothing against it. Returns whose it is, and when it was made.
fn judge(status: &str, class: &str, primary_keys: &[String]) -> Result<(String, Timestamp)> {
    const AGAINST: &[(&str, &str)] = &[
        ("BADSIG", "the signature is wrong: the text was changed"),
        ("REVKEYSIG", "the key that signed is revoked"),
        ("EXPKEYSIG", "the key that signed has expired"),
        ("EXPSIG", "the signature has expired"),
        ("NO_PUBKEY", NOT_TRUSTED),
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
    let valid = lines.iter().find(|line| line[0] == "VALIDSIG");
    let valid = valid.and_then(|line| {
        let when = Timestamp::from_second(line.get(3)?.parse().ok()?).ok()?;
        Some((line[1].to_owned(), when, *line.get(9)?, *line.get(10)?))
    });
    match valid {
        Some((_, _, found, _)) if found != class => Err(Error::gate(
            "the signature is of another kind: it was made for something else",
        )),
        Some((key, when, _, primary))
            if count("NEWSIG") == 1 && count("GOODSIG") == 1 && count("VALIDSIG") == 1 =>
        {
            let counts = primary_keys.iter().any(|key| key == primary);
            counts
                .then_some((key, when))
                .ok_or_else(|| Error::gate(NOT_TRUSTED))
        }
        _ => Err(Error::gate("there is not exactly one good signature")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_signature_is_needed_and_nothing_against_it() {
        let good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG AA me\n[GNUPG:] VALIDSIG FPR 2026-01-01 1767225600 0 4 0 22 10 01 PRIMARY\n";
        let (key, when) = judge(good, OF_TEXT, &["PRIMARY".into()]).unwrap();
        assert_eq!((key.as_str(), when.as_second()), ("FPR", 1_767_225_600));
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
            (good.replace(" PRIMARY", ""), "not exactly one"),
            (good.replace(" 01 ", " 00 "), "of another kind"),
            (good.replace("PRIMARY", "OTHER"), "not among the trusted"),
            (good.replace("PRIMARY", "FPR"), "not among the trusted"),
        ] {
            let error = judge(&status, OF_TEXT, &["PRIMARY".into()]).unwrap_err();
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
            let error = verify(text.as_bytes(), &Keyring::default()).unwrap_err();
            assert!(
                error.message().contains("not a clear-signed text"),
                "{error}"
            );
        }
    }
}
