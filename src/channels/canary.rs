//! `canary: 10%`: a share of the machines tries a new revision before all others get it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arrival, Note, Placed, Rule, Share};
use crate::error::Result;

/// How many machines try a new revision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "Share", inline)]
pub struct CanaryRule(pub Share);

/// A revision that a share of the machines gets first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Canary {
    pub(crate) revision: u64,
    /// How many machines get it.
    pub share: Share,
}

impl Rule for CanaryRule {
    const EXAMPLE: &str = "10%";

    /// What everybody has is no canary; neither is a channel's first revision.
    fn admit(&self, arrival: &Arrival<'_>) -> Result<Option<Share>> {
        let tried = arrival.replaces.is_some() && !arrival.same;
        Ok(tried.then_some(self.0))
    }

    fn note(_rule: Option<&Self>, placed: &Placed) -> Option<Note> {
        placed.canary.map(|canary| Note {
            tag: "canary",
            text: format!("{} % of the machines get revision", canary.share.percent()),
            revision: Some(canary.revision),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_revision_is_tried_where_another_one_is() {
        let rule = CanaryRule("10%".parse().unwrap());
        let arrival = |replaces, same| Arrival {
            replaces,
            same,
            ..Arrival::SAMPLE
        };
        let share = |arrival: &Arrival<'_>| rule.admit(arrival).unwrap();
        assert_eq!(share(&arrival(Some(4), false)), Some(rule.0));
        assert_eq!(share(&arrival(Some(4), true)), None);
        assert_eq!(share(&arrival(None, false)), None);
    }
}
