//! rpm-version(7): epoch, version, release; `~` sorts before the end, `^` after it.

use std::cmp::Ordering;

use super::{numbers, run, split_epoch};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, a), (epoch_b, b)) = (split_epoch(a), split_epoch(b));
    let split = |text: &str| match text.rsplit_once('-') {
        Some((version, release)) => (version.to_owned(), Some(release.to_owned())),
        None => (text.to_owned(), None),
    };
    let ((version_a, release_a), (version_b, release_b)) = (split(a), split(b));
    let releases = || match (&release_a, &release_b) {
        (Some(a), Some(b)) => part(a.as_bytes(), b.as_bytes()),
        _ => Ordering::Equal,
    };
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| part(version_a.as_bytes(), version_b.as_bytes()))
        .then_with(releases)
}

fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let separator = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'~' | b'^');
    loop {
        a = &a[run(a, separator).len()..];
        b = &b[run(b, separator).len()..];
        match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            // After the end, but before whatever else follows.
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() != y.is_ascii_digit() => {
                // A number is newer than a word.
                return x.is_ascii_digit().cmp(&y.is_ascii_digit());
            }
            (Some(x), _) if x.is_ascii_digit() => {
                let (one, two) = (run(a, u8::is_ascii_digit), run(b, u8::is_ascii_digit));
                let order = numbers(one, two);
                if order.is_ne() {
                    return order;
                }
                (a, b) = (&a[one.len()..], &b[two.len()..]);
            }
            _ => {
                let (one, two) = (
                    run(a, u8::is_ascii_alphabetic),
                    run(b, u8::is_ascii_alphabetic),
                );
                let order = one.cmp(two);
                if order.is_ne() {
                    return order;
                }
                (a, b) = (&a[one.len()..], &b[two.len()..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    /// Pairs with the order that rpm gives them.
    const PAIRS: &[(&str, &str, Ordering)] = &[
        ("1.0", "1.0", Ordering::Equal),
        ("1.0", "2.0", Ordering::Less),
        ("2.0.1a", "2.0.1", Ordering::Greater),
        ("5.5p1", "5.5p2", Ordering::Less),
        ("5.5p10", "5.5p1", Ordering::Greater),
        ("10xyz", "10.1xyz", Ordering::Less),
        ("xyz10", "xyz10.1", Ordering::Less),
        ("xyz.4", "8", Ordering::Less),
        ("5.5p2", "5.6p1", Ordering::Less),
        ("6.0.rc1", "6.0", Ordering::Greater),
        ("10b2", "10a1", Ordering::Greater),
        ("1.0aa", "1.0a", Ordering::Greater),
        ("10.0001", "10.0001", Ordering::Equal),
        ("10.0001", "10.1", Ordering::Equal),
        ("4.999.9", "5.0", Ordering::Less),
        ("20101121", "20101122", Ordering::Less),
        ("2_0", "2.0", Ordering::Equal),
        ("a+", "a_", Ordering::Equal),
        ("1.0~rc1", "1.0", Ordering::Less),
        ("1.0~rc1", "1.0~rc2", Ordering::Less),
        ("1.0~rc1~git123", "1.0~rc1", Ordering::Less),
        ("1.0^", "1.0", Ordering::Greater),
        ("1.0^git1", "1.0^git2", Ordering::Less),
        ("1.0^git1", "1.01", Ordering::Less),
        ("1.0^20160101", "1.0.1", Ordering::Less),
        ("1.0~rc1^git1", "1.0~rc1", Ordering::Greater),
        ("1.0^git1~pre", "1.0^git1", Ordering::Less),
    ];

    #[test]
    fn versions_sort_as_rpm_says() {
        for (a, b, order) in PAIRS {
            assert_eq!(compare(a, b), *order, "{a} and {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} and {a}");
        }
        for (a, b, order) in [
            ("1:1.0-1", "2.0-1", Ordering::Greater),
            ("0:1.0-1", "1.0-1", Ordering::Equal),
            ("3.0.7-27.el9", "3.0.7-6.el9", Ordering::Greater),
            ("3.0.7-27.el9", "3.0.7", Ordering::Equal),
            ("3.0.7-27.el9", "3.0.8", Ordering::Less),
        ] {
            assert_eq!(compare(a, b), order, "{a} and {b}");
        }
    }

    /// rpm itself, asked about all of the list above at once.
    #[test]
    fn rpm_agrees() {
        let calls: String = PAIRS
            .iter()
            .map(|(a, b, _)| format!("print(rpm.vercmp('{a}', '{b}') .. '\\n');"))
            .collect();
        let said = Program::new("rpm")
            .args(["--eval", &format!("%{{lua: {calls}}}")])
            .text()
            .unwrap();
        let said: Vec<i32> = said
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        let ours: Vec<i32> = PAIRS.iter().map(|(a, b, _)| compare(a, b) as i32).collect();
        assert_eq!(said, ours);
    }
}
