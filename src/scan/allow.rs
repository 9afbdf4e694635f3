//! Findings that a recipe accepts, each with a reason.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, glob};

/// A leftover accepted on purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Allow {
    /// The scan's rule.
    pub rule: String,
    /// The path that it may match; default: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Why it is accepted.
    pub reason: String,
}

/// A finding that the recipe accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Accepted {
    /// The rule that found it.
    pub rule: String,
    /// Where it is.
    pub path: String,
    /// Why the recipe accepts it.
    pub reason: String,
}

/// Findings, divided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What nobody accepts.
    pub refused: Vec<Finding>,
    /// What the recipe accepts.
    pub accepted: Vec<Accepted>,
    /// Entries of `check.allow` that accepted nothing: rule and path.
    pub unused: Vec<String>,
}

/// Divides findings into what `allow` accepts and what it does not.
pub fn judge(findings: Vec<Finding>, allow: &[Allow]) -> Verdict {
    let mut used = vec![false; allow.len()];
    let mut verdict = Verdict::default();
    for finding in findings {
        let accepting = allow.iter().position(|allow| accepts(allow, &finding));
        match accepting {
            Some(index) => {
                used[index] = true;
                verdict.accepted.push(Accepted {
                    rule: finding.rule,
                    path: finding.path,
                    reason: allow[index].reason.clone(),
                });
            }
            None => verdict.refused.push(finding),
        }
    }
    let unused = allow.iter().zip(used).filter(|(_, used)| !used);
    verdict.unused = unused
        .map(|(allow, _)| match &allow.path {
            Some(path) => format!("{} {path}", allow.rule),
            None => allow.rule.clone(),
        })
        .collect();
    verdict
}

fn accepts(allow: &Allow, finding: &Finding) -> bool {
    allow.rule == finding.rule
        && allow
            .path
            .as_ref()
            .is_none_or(|path| *path == finding.path || glob::matches(path, &finding.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_accepted_by_rule_and_path_with_its_reason() {
        let finding = |rule: &str, path: &str| Finding {
            rule: rule.into(),
            path: path.into(),
            detail: String::new(),
            why: String::new(),
            fix: String::new(),
        };
        let allow = |rule: &str, path: Option<&str>, reason: &str| Allow {
            rule: rule.into(),
            path: path.map(Into::into),
            reason: reason.into(),
        };
        let findings = vec![
            finding("private-key", "/etc/site/a.key"),
            finding("private-key", "/root/b.key"),
            finding("setuid-file", "/usr/bin/tool"),
        ];
        let verdict = judge(
            findings,
            &[
                allow("private-key", Some("/etc/site/*"), "the site's own"),
                allow("setuid-file", None, "needed"),
                allow("jwt", Some("/x"), "never"),
            ],
        );
        let refused: Vec<_> = verdict.refused.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(refused, ["/root/b.key"]);
        let reasons: Vec<_> = verdict.accepted.iter().map(|a| a.reason.as_str()).collect();
        assert_eq!(reasons, ["the site's own", "needed"]);
        assert_eq!(verdict.unused, ["jwt /x"]);
    }
}
