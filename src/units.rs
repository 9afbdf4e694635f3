//! Sizes and durations as people write them: `10GiB`, `90m`. One parser each, for YAML and CLI.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// A number of bytes, written with a unit: `512B`, `64KiB`, `10GiB`, `2GB`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "size"))]
pub struct Size(u64);

const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Size {
    /// From a number of bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Size(bytes)
    }

    /// From a number of mebibytes.
    pub const fn mib(mib: u64) -> Self {
        Size(mib << 20)
    }

    /// From a number of gibibytes.
    pub const fn gib(gib: u64) -> Self {
        Size(gib << 30)
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// For people: one decimal and the largest binary unit that fits, as in `1.9 GiB`.
    pub fn human(self) -> String {
        let (unit, factor) = *SIZE_UNITS[..4]
            .iter()
            .find(|(_, f)| self.0 >= *f)
            .unwrap_or(&("B", 1));
        if factor == 1 {
            format!("{} B", self.0)
        } else {
            format!("{:.1} {unit}", self.0 as f64 / factor as f64)
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a size; write a number and a unit, such as `10GiB` or `512MiB`"
            )
        };
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = (
            text[..split].parse::<u64>().map_err(|_| wrong())?,
            text[split..].trim_start(),
        );
        let (_, factor) = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        number.checked_mul(*factor).map(Size).ok_or_else(wrong)
    }
}

/// The largest unit that divides the size exactly, so that parsing it gives the same size again.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZE_UNITS[..4]
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// A length of time, written with a unit: `90s`, `10m`, `2h`, `7d`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "timespan"))]
pub struct Span(u64);

const SPAN_UNITS: &[(&str, u64)] = &[("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl Span {
    /// From a number of seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Span(seconds)
    }

    /// The number of seconds.
    pub const fn as_seconds(self) -> u64 {
        self.0
    }

    /// As the standard library's duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a duration; write a number and a unit, such as `90s`, `10m`, `2h` or `7d`"
            )
        };
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number = text[..split].parse::<u64>().map_err(|_| wrong())?;
        let (_, factor) = SPAN_UNITS
            .iter()
            .find(|(unit, _)| *unit == &text[split..])
            .ok_or_else(wrong)?;
        number.checked_mul(*factor).map(Span).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SPAN_UNITS
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(&("s", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

as_text!(to_string: Size Span);

/// An elapsed time for people: `0.4 s`, `12.3 s`, `4 min 05 s`.
pub fn elapsed(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds < 60 {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// An age in seconds, for people: `3 d`, `5 h`, `7 min`, `12 s`.
pub fn age(seconds: u64) -> String {
    match seconds {
        s if s >= 2 * 86_400 => format!("{} d", s / 86_400),
        s if s >= 2 * 3600 => format!("{} h", s / 3600),
        s if s >= 120 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_and_print_the_same() {
        for (text, bytes, printed) in [
            ("10GiB", 10 << 30, "10GiB"),
            ("1536MiB", 1536 << 20, "1536MiB"),
            ("2 GB", 2_000_000_000, "1953125KiB"),
            ("0B", 0, "0B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(
                (size.as_bytes(), size.to_string().as_str()),
                (bytes, printed),
                "{text}"
            );
        }
        for bad in [
            "",
            "10",
            "GiB",
            "10G",
            "10gib",
            "-1GiB",
            "1.5GiB",
            "99999999999TiB",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_parse_and_print_the_same() {
        for (text, seconds, printed) in [
            ("90s", 90, "90s"),
            ("90m", 5400, "90m"),
            ("7d", 604_800, "7d"),
            ("60m", 3600, "1h"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(
                (span.as_seconds(), span.to_string().as_str()),
                (seconds, printed),
                "{text}"
            );
        }
        for bad in ["", "90", "m", "1.5h", "1w", "10 m"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
