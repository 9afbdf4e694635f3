//! Alpine's versions: numbers, a letter, suffixes such as `_rc1` and `_p2`, a release `-r3`.

use std::cmp::Ordering;

use super::{numbers, run};

/// Suffixes in their order; those before the empty one come before the version itself.
const SUFFIXES: &[&str] = &[
    "alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p",
];

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let split = |text: &str| match text.rsplit_once("-r") {
        Some((version, release)) => (version.to_owned(), release.to_owned()),
        None => (text.to_owned(), String::new()),
    };
    let ((version_a, release_a), (version_b, release_b)) = (split(a), split(b));
    let words = |text: &str| text.split('_').map(str::to_owned).collect::<Vec<_>>();
    let (words_a, words_b) = (words(&version_a), words(&version_b));
    plain(&words_a[0], &words_b[0])
        .then_with(|| suffixes(&words_a[1..], &words_b[1..]))
        .then_with(|| numbers(release_a.as_bytes(), release_b.as_bytes()))
}

/// Numbers, then at most one letter. After the first, numbers with a leading zero are decimals.
fn plain(a: &str, b: &str) -> Ordering {
    let split = |text: &str| {
        let numbers = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        (numbers.to_owned(), text[numbers.len()..].to_owned())
    };
    let ((a, letter_a), (b, letter_b)) = (split(a), split(b));
    let (mut parts_a, mut parts_b) = (a.split('.'), b.split('.'));
    let mut first = true;
    loop {
        let (one, two) = (parts_a.next(), parts_b.next());
        let (Some(one), Some(two)) = (one, two) else {
            return one
                .is_some()
                .cmp(&two.is_some())
                .then(letter_a.cmp(&letter_b));
        };
        let digits = |text: &str| run(text.as_bytes(), u8::is_ascii_digit).to_vec();
        let (one, two) = (digits(one), digits(two));
        let decimal = |number: &[u8]| number.first() == Some(&b'0') && number.len() > 1;
        let order = match !first && (decimal(&one) || decimal(&two)) {
            true => one.cmp(&two),
            false => numbers(&one, &two),
        };
        if order.is_ne() {
            return order;
        }
        first = false;
    }
}

fn suffixes(a: &[String], b: &[String]) -> Ordering {
    for at in 0..a.len().max(b.len()) {
        let read = |list: &[String]| {
            let word = list.get(at).map_or("", String::as_str);
            let name = word.trim_end_matches(|c: char| c.is_ascii_digit());
            let rank = SUFFIXES.iter().position(|known| *known == name);
            (
                rank.unwrap_or(SUFFIXES.len()),
                word[name.len()..].to_owned(),
            )
        };
        let ((rank_a, number_a), (rank_b, number_b)) = (read(a), read(b));
        let numbers = || numbers(number_a.as_bytes(), number_b.as_bytes());
        let order = rank_a.cmp(&rank_b).then_with(numbers);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_apk_says() {
        let ascending = [
            "0.1.0_alpha",
            "0.1.0_alpha2",
            "0.1.0_beta",
            "0.1.0_pre1",
            "0.1.0_rc1",
            "0.1.0_rc1_p1",
            "0.1.0",
            "0.1.0-r1",
            "0.1.0-r10",
            "0.1.0_git20200101",
            "0.1.0_p1",
            "0.1.0a",
            "0.1.0.1",
            "0.1.3",
            "0.9",
            "0.10",
            "3.5.1-r0",
            "3.5.2-r0",
            "10.2",
        ];
        // 04 is a decimal here.
        assert_eq!(compare("1.04", "1.1"), Ordering::Less);
        for pair in ascending.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("1.2.3-r1", "1.2.3-r1"), Ordering::Equal);
    }
}
