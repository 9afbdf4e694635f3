//! The part of a channel's machines that gets a new revision first.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::text::as_text;

/// A share of all machines, written as `10%` or `0.5%`; kept in hundredths of a percent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "share"))]
pub struct Share(u16);

impl Share {
    /// Every machine.
    pub const ALL: Share = Share(10_000);

    /// Parses the number before the `%`.
    ///
    /// # Errors
    /// When it is no number from 0 to 100 with at most two decimals.
    pub fn parse_percent(number: &str) -> Result<Self, String> {
        let wrong = || format!("`{number}%` is not a share; write `10%` or `0.5%`");
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
        if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 2 {
            return Err(wrong());
        }
        let hundredths = format!("{whole}{decimals:0<2}");
        match hundredths.parse() {
            Ok(share @ 0..=10_000) => Ok(Share(share)),
            _ => Err(wrong()),
        }
    }

    /// The number before the `%`.
    pub fn percent(self) -> String {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => whole.to_string(),
            (whole, part) => format!("{whole}.{part:02}")
                .trim_end_matches('0')
                .to_owned(),
        }
    }

    /// Whether a machine belongs to the share that gets `revision` of `image` first: the same
    /// answer for ever, another choice of machines for each revision, and a machine that is in a
    /// share is in every larger one.
    pub fn includes(self, machine_id: &str, image: &str, revision: u64) -> bool {
        let text = format!("{}\0{image}\0{revision}", machine_id.trim());
        let digest = Sha256::digest(text.as_bytes());
        let number = digest[..8]
            .iter()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        number % 10_000 < u64::from(self.0)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%') {
            Some(number) => Share::parse_percent(number.trim_end()),
            None => Err(format!("`{text}` is not a share; write `10%` or `0.5%`")),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

as_text!(to_string: Share);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_parse_and_print_the_same() {
        for (text, printed) in [
            ("10%", "10%"),
            ("0.5%", "0.5%"),
            ("100%", "100%"),
            ("0%", "0%"),
            ("12.50 %", "12.5%"),
            ("3.05%", "3.05%"),
        ] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), printed);
        }
        for bad in [
            "", "10", "%", "101%", "-1%", "1.234%", "1e1%", "100.01%", ".5%",
        ] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_share_has_about_that_many_machines_and_grows_by_adding_some() {
        let count = |share: &str| {
            let share: Share = share.parse().unwrap();
            (0..10_000)
                .filter(|id| share.includes(&format!("{id:032x}\n"), "web-node", 7))
                .count()
        };
        assert_eq!((count("0%"), count("100%")), (0, 10_000));
        let tenth = count("10%");
        assert!((900..1100).contains(&tenth), "{tenth}");
        let (small, large) = (Share(1000), Share(2000));
        for id in 0..1000 {
            let id = format!("{id:032x}");
            assert!(
                !small.includes(&id, "a", 1) || large.includes(&id, "a", 1),
                "{id}"
            );
        }
        let other = (0..10_000)
            .filter(|id| {
                let id = format!("{id:032x}");
                small.includes(&id, "web-node", 7) && small.includes(&id, "web-node", 8)
            })
            .count();
        assert!(other < 200, "another revision, other machines: {other}");
    }

    #[test]
    fn the_choice_never_changes() {
        // Clients of every version must choose alike.
        let machines = [
            "4f5e6d7c8b9a0f1e2d3c4b5a69788796",
            "00000000000000000000000000000000",
        ];
        let shares = machines.map(|id| {
            (0..=100)
                .find(|percent| Share(percent * 100).includes(id, "web-node", 7))
                .unwrap()
        });
        assert_eq!(shares, [58, 66]);
    }
}
