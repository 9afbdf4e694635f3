//! Comparing versions, each by the rules of its own package manager.

mod apk;
mod dpkg;
mod rpm;

use std::cmp::Ordering;

use super::Kind;

/// Compares an installed version with one that somebody wrote down.
///
/// A written version without a release (`3.5.2`) says nothing about it, by RPM's rule; dpkg's is
/// that it comes before every release of that version.
pub fn compare(kind: Kind, installed: &str, written: &str) -> Ordering {
    match kind {
        Kind::Deb | Kind::Generic => dpkg::compare(installed, written),
        Kind::Rpm => rpm::compare(installed, written),
        Kind::Apk => apk::compare(installed, written),
    }
}

/// The epoch of a version; `None` when none is written.
pub fn epoch(version: &str) -> Option<&str> {
    let (epoch, _) = version.split_once(':')?;
    let digits = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(epoch)
}

/// Splits `EPOCH:REST`; no epoch is 0.
fn split_epoch(version: &str) -> (u64, &str) {
    match epoch(version) {
        Some(digits) => (
            digits.parse().unwrap_or(u64::MAX),
            &version[digits.len() + 1..],
        ),
        None => (0, version),
    }
}

/// Compares runs of digits as numbers, however long.
fn numbers(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits[zeros..].to_vec()
    };
    let (a, b) = (strip(a), strip(b));
    a.len().cmp(&b.len()).then(a.cmp(&b))
}

/// The part of `text` whose bytes are of a class.
fn run(text: &[u8], class: impl Fn(&u8) -> bool) -> &[u8] {
    let length = text.iter().take_while(|byte| class(byte)).count();
    &text[..length]
}
