//! deb-version(7): epoch, upstream version, revision; `~` sorts before everything, the end included.

use std::cmp::Ordering;

use super::{numbers, run, split_epoch};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, a), (epoch_b, b)) = (split_epoch(a), split_epoch(b));
    let (version_a, revision_a) = a.rsplit_once('-').unwrap_or((a, ""));
    let (version_b, revision_b) = b.rsplit_once('-').unwrap_or((b, ""));
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| part(version_a.as_bytes(), version_b.as_bytes()))
        .then_with(|| part(revision_a.as_bytes(), revision_b.as_bytes()))
}

/// Where a character that is no digit sorts; the end and digits are 0.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None | Some(b'0'..=b'9') => 0,
        Some(b'~') => -1,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}

/// Texts and numbers in turn.
fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let text_a = run(a, |byte| !byte.is_ascii_digit());
        let text_b = run(b, |byte| !byte.is_ascii_digit());
        let longest = text_a.len().max(text_b.len());
        let texts = (0..longest)
            .map(|at| weight(text_a.get(at)).cmp(&weight(text_b.get(at))))
            .find(|order| order.is_ne());
        if let Some(order) = texts {
            return order;
        }
        (a, b) = (&a[text_a.len()..], &b[text_b.len()..]);
        let number_a = run(a, u8::is_ascii_digit);
        let number_b = run(b, u8::is_ascii_digit);
        let order = numbers(number_a, number_b);
        if order.is_ne() {
            return order;
        }
        (a, b) = (&a[number_a.len()..], &b[number_b.len()..]);
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    /// Ascending; neighbours in one row are equal.
    const ASCENDING: &[&[&str]] = &[
        &["0~~"],
        &["0~"],
        &["0", "0-0", "00", "0:0"],
        &["0-1"],
        &["0a"],
        &["0+"],
        &["1.0~rc1-1"],
        &["1.0~rc1-1+b1"],
        &["1.0", "1.00", "1.0-0"],
        &["1.0-1~bpo12+1"],
        &["1.0-1"],
        &["1.0-1+b1"],
        &["1.0-1+b10"],
        &["1.0-1+deb12u1"],
        &["1.0-1.1"],
        &["1.0-2"],
        &["1.0-10"],
        &["1.0a-1"],
        &["1.0+dfsg-1"],
        &["1.0.1-1"],
        &["3.0.9-1"],
        &["3.0.11-1~deb12u2"],
        &["3.5.2"],
        &["3.5.2-1"],
        &["20240101000000000000000000000000001"],
        &["20240101000000000000000000000000002"],
        &["1:0~"],
        &["1:0.5"],
        &["2:0"],
    ];

    #[test]
    fn versions_sort_as_dpkg_says() {
        let flat: Vec<(usize, &str)> = ASCENDING
            .iter()
            .enumerate()
            .flat_map(|(rank, row)| row.iter().map(move |version| (rank, *version)))
            .collect();
        for (rank_a, a) in &flat {
            for (rank_b, b) in &flat {
                assert_eq!(compare(a, b), rank_a.cmp(rank_b), "{a} and {b}");
            }
        }
    }

    /// dpkg itself, asked about neighbours in the list above.
    #[test]
    fn dpkg_agrees() {
        let flat: Vec<&str> = ASCENDING.concat();
        for pair in flat.windows(2) {
            let relation = match compare(pair[0], pair[1]) {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            Program::new("dpkg")
                .args(["--compare-versions", pair[0], relation, pair[1]])
                .run()
                .unwrap();
        }
    }
}
