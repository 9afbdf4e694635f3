//! The table of rules: one row each, a file for each group.

mod accounts;
mod build;
mod der;
mod identity;
mod keys;
mod modes;
mod pem;
mod text;
mod tokens;
mod traces;

use std::sync::LazyLock;

use super::entry::FileEntry;
use super::rule::{Fix, Group, Matcher, Rule};

/// The rule of what could not be searched.
pub const NOT_SEARCHED: &str = "not-searched";

/// The rule of secrets whose value is known.
pub const KNOWN_SECRET: &str = "known-secret";

static KNOWN: Rule = Rule {
    name: KNOWN_SECRET,
    group: Group::Tokens,
    why: "a secret of the build would reach everyone who has the image",
    fix: Fix::Setting("do not let the step write it, or remove the file in the same step"),
    matcher: Matcher::Known,
};

static UNSEEN: Rule = Rule {
    name: NOT_SEARCHED,
    group: Group::Unseen,
    why: "nobody has looked at what is in there",
    fix: Fix::Setting("remove it, keep it in a form that can be read, or accept it with a reason"),
    matcher: Matcher::Unseen,
};

static TABLE: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let groups = [
        keys::RULES,
        tokens::RULES,
        tokens::logins::RULES,
        accounts::RULES,
        identity::RULES,
        build::RULES,
        traces::RULES,
        modes::RULES,
    ];
    let rules = groups.into_iter().flatten().copied();
    [KNOWN, UNSEEN].into_iter().chain(rules).collect()
});

/// All rules.
pub fn all() -> &'static [Rule] {
    &TABLE
}

/// The names of all rules.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().iter().map(|rule| rule.name)
}

/// The place of [`KNOWN_SECRET`] in the table.
pub(super) fn known() -> usize {
    0
}

/// The place of [`NOT_SEARCHED`] in the table.
pub(super) fn unseen() -> usize {
    1
}

/// Whether a finding about a mode is what a package may have wanted.
pub(super) fn expected_setuid(rule: &Rule, entry: &FileEntry) -> bool {
    rule.name == modes::SETUID && modes::is_well_known(entry)
}
