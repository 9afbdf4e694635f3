//! How bad a vulnerability is: in a word, or by CVSS (<https://www.first.org/cvss/>).

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad a vulnerability is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nobody has said.
    #[default]
    Unknown,
    /// It hardly matters.
    Negligible,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Unknown => "unknown",
            Severity::Negligible => "negligible",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// By the score of CVSS.
    fn of_score(score: f64) -> Self {
        match score {
            score if score >= 9.0 => Severity::Critical,
            score if score >= 7.0 => Severity::High,
            score if score >= 4.0 => Severity::Medium,
            score if score > 0.0 => Severity::Low,
            _ => Severity::Negligible,
        }
    }
}

impl FromStr for Severity {
    type Err = ();

    /// A word, a number, or a vector of CVSS 2, 3 or 4.
    fn from_str(text: &str) -> Result<Self, ()> {
        let word = text.trim_end_matches('*').to_ascii_lowercase();
        Ok(match word.as_str() {
            "critical" => Severity::Critical,
            "high" | "important" => Severity::High,
            "medium" | "moderate" => Severity::Medium,
            "low" | "minor" => Severity::Low,
            "negligible" | "unimportant" | "none" => Severity::Negligible,
            _ => match text.parse::<f64>() {
                Ok(score) if (0.0..=10.0).contains(&score) => Severity::of_score(score),
                Ok(_) => return Err(()),
                Err(_) => of_vector(text)?,
            },
        })
    }
}

/// Metrics without which a vector has no score, by what it begins with.
const NEEDED: &[(&str, &[&str])] = &[
    (
        "CVSS:4.0/",
        &[
            "AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA",
        ],
    ),
    ("CVSS:3.", &["AV", "AC", "PR", "UI", "S", "C", "I", "A"]),
    ("", &["AV", "AC", "Au", "C", "I", "A"]),
];

/// By a vector of CVSS; the second version has no word for the worst.
fn of_vector(vector: &str) -> Result<Severity, ()> {
    let version = NEEDED.iter().find(|(start, _)| vector.starts_with(start));
    let has = |metric: &&str| {
        let mut all = vector.split('/').filter_map(|part| part.split_once(':'));
        all.any(|(name, _)| name == *metric)
    };
    if !version.is_some_and(|(_, needed)| needed.iter().all(has)) {
        return Err(());
    }
    let vector: cvss::Cvss = vector.parse().map_err(drop)?;
    Ok(match vector.severity() {
        cvss::Severity::None => Severity::Negligible,
        cvss::Severity::Low => Severity::Low,
        cvss::Severity::Medium => Severity::Medium,
        cvss::Severity::High => Severity::High,
        cvss::Severity::Critical => Severity::Critical,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors with the words that FIRST's examples, and Red Hat's records, give their scores.
    #[test]
    fn vectors_have_the_severity_of_the_specification() {
        for (vector, severity) in [
            (
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
                Severity::Critical,
            ),
            (
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N",
                Severity::Medium,
            ),
            (
                "CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N",
                Severity::Low,
            ),
            (
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",
                Severity::High,
            ),
            (
                "CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N",
                Severity::Negligible,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                Severity::Critical,
            ),
            (
                "CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                Severity::High,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N",
                Severity::Negligible,
            ),
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C", Severity::High),
            ("AV:N/AC:M/Au:N/C:N/I:P/A:N", Severity::Medium),
        ] {
            assert_eq!(vector.parse(), Ok(severity), "{vector}");
        }
        for nonsense in [
            "CVSS:3.1/AV:N",
            "CVSS:9.0/AV:N/AC:L",
            "CVSS:4.0/AV:N",
            "AV:N",
            "not yet assigned",
            "11",
            "NaN",
        ] {
            assert_eq!(nonsense.parse::<Severity>(), Err(()), "{nonsense}");
        }
        assert_eq!("9.8".parse(), Ok(Severity::Critical));
        assert_eq!("low**".parse(), Ok(Severity::Low));
        assert_eq!("Moderate".parse(), Ok(Severity::Medium));
        assert!(Severity::Critical > Severity::High && Severity::Low > Severity::Unknown);
    }
}
