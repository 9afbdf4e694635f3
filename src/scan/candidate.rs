//! What a scan may have found: only when every package database was read is it known which files
//! are packages' own.

use super::owned::{Digests, Owned};
use super::rule::Matcher;
use super::{Finding, rules};

/// A finding that may still turn out to be a package's own.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Number of its rule in the table.
    pub(super) rule: usize,
    pub(super) path: String,
    pub(super) detail: String,
    /// Of the file's content, if a package could know it.
    pub(super) digests: Option<Digests>,
    /// Not even in a package's file.
    pub(super) anyway: bool,
}

impl Candidate {
    fn counts(&self, owned: &Owned) -> bool {
        if self.anyway {
            return true;
        }
        // Without packages nobody can vouch for a setuid program, nor against it.
        let unknown = self.digests.is_none() || owned.is_empty();
        let setuid = matches!(rules::all()[self.rule].matcher, Matcher::Mode(_));
        !(owned.vouches_for(self.digests.as_ref()) || setuid && unknown)
    }

    fn finding(&self) -> Finding {
        let rule = &rules::all()[self.rule];
        Finding {
            rule: rule.name.into(),
            path: self.path.clone(),
            detail: self.detail.clone(),
            why: rule.why.into(),
            fix: rule.fix.at(&self.path),
        }
    }
}

/// The findings among the candidates, by rule and path, each once.
pub(super) fn findings(candidates: &[Candidate], owned: &Owned) -> Vec<Finding> {
    let counting = candidates.iter().filter(|each| each.counts(owned));
    let mut findings: Vec<Finding> = counting.map(Candidate::finding).collect();
    findings.sort();
    findings.dedup();
    findings
}
