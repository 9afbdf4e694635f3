//! How bad a vulnerability is: in a word, or by CVSS 3 (<https://www.first.org/cvss/v3-1/specification-document>).

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

    /// A word, a number, or a vector of CVSS 3.
    fn from_str(text: &str) -> Result<Self, ()> {
        let word = text.trim_end_matches('*').to_ascii_lowercase();
        Ok(match word.as_str() {
            "critical" => Severity::Critical,
            "high" | "important" => Severity::High,
            "medium" | "moderate" => Severity::Medium,
            "low" | "minor" => Severity::Low,
            "negligible" | "unimportant" | "none" => Severity::Negligible,
            _ => match text.parse::<f64>().ok().or_else(|| cvss_3(text)) {
                Some(score) if (0.0..=10.0).contains(&score) => Severity::of_score(score),
                _ => return Err(()),
            },
        })
    }
}

/// The base score of a vector.
fn cvss_3(vector: &str) -> Option<f64> {
    let metrics = vector
        .strip_prefix("CVSS:3.1/")
        .or(vector.strip_prefix("CVSS:3.0/"))?;
    let metric = |name: &str| {
        let mut parts = metrics.split('/').filter_map(|part| part.split_once(':'));
        parts
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    };
    let changed = metric("S")? == "C";
    let pick = |value: &str, table: &[(&str, f64)]| {
        let row = table.iter().find(|(name, _)| *name == value);
        row.map(|(_, weight)| *weight)
    };
    let low = if changed { 0.68 } else { 0.62 };
    let high = if changed { 0.5 } else { 0.27 };
    let exploitability =
        8.22 * pick(
            metric("AV")?,
            &[("N", 0.85), ("A", 0.62), ("L", 0.55), ("P", 0.2)],
        )? * pick(metric("AC")?, &[("L", 0.77), ("H", 0.44)])?
            * pick(metric("PR")?, &[("N", 0.85), ("L", low), ("H", high)])?
            * pick(metric("UI")?, &[("N", 0.85), ("R", 0.62)])?;
    let loss = |name: &str| pick(metric(name)?, &[("N", 0.0), ("L", 0.22), ("H", 0.56)]);
    let base = 1.0 - (1.0 - loss("C")?) * (1.0 - loss("I")?) * (1.0 - loss("A")?);
    let impact = match changed {
        false => 6.42 * base,
        true => 7.52 * (base - 0.029) - 3.25 * (base - 0.02).powi(15),
    };
    if impact <= 0.0 {
        return Some(0.0);
    }
    let whole = if changed { 1.08 } else { 1.0 } * (impact + exploitability);
    Some((whole.min(10.0) * 10.0 - 1e-6).ceil() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors with the scores that FIRST's examples give them.
    #[test]
    fn vectors_have_the_scores_of_the_specification() {
        for (vector, score) in [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
            ("CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),
            ("CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L", 4.2),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
            ("CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ] {
            assert_eq!(cvss_3(vector), Some(score), "{vector}");
        }
        assert_eq!(cvss_3("CVSS:3.1/AV:N"), None);
        assert_eq!("9.8".parse(), Ok(Severity::Critical));
        assert_eq!("low**".parse(), Ok(Severity::Low));
        assert_eq!("Moderate".parse(), Ok(Severity::Medium));
        assert_eq!("not yet assigned".parse::<Severity>(), Err(()));
        assert!(Severity::Critical > Severity::High && Severity::Low > Severity::Unknown);
    }
}
