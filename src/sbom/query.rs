//! What `repo query` asks for: `openssl`, `openssl<3.5.2`, `lib*>=1.0<2`.

use std::cmp::Ordering;
use std::str::FromStr;

use super::{Kind, version};

/// A package, possibly of certain versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    name: String,
    bounds: Vec<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    relation: Relation,
    version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// The longer ones first.
const RELATIONS: &[(&str, Relation)] = &[
    ("<=", Relation::LessOrEqual),
    (">=", Relation::GreaterOrEqual),
    ("==", Relation::Equal),
    ("!=", Relation::NotEqual),
    ("<<", Relation::Less),
    (">>", Relation::Greater),
    ("<", Relation::Less),
    (">", Relation::Greater),
    ("=", Relation::Equal),
];

impl Query {
    /// Whether a package of this name, or from a source package of this name, is asked about.
    pub fn names(&self, name: &str, source: &str) -> bool {
        glob(&self.name, name) || (!source.is_empty() && glob(&self.name, source))
    }

    /// What is asked about, where that has neither stars nor bounds.
    pub fn word(&self) -> Option<&str> {
        let is_plain = self.bounds.is_empty() && !self.name.contains('*');
        is_plain.then_some(self.name.as_str())
    }

    /// Whether the version is within all bounds.
    pub fn accepts(&self, kind: Kind, installed: &str) -> bool {
        self.bounds.iter().all(|bound| {
            let order = version::compare(kind, installed, &bound.version);
            match bound.relation {
                Relation::Less => order.is_lt(),
                Relation::LessOrEqual => order.is_le(),
                Relation::Equal => order.is_eq(),
                Relation::NotEqual => order.is_ne(),
                Relation::GreaterOrEqual => order.is_ge(),
                Relation::Greater => order.is_gt(),
            }
        })
    }

    /// Whether the answer hangs on an epoch that the query does not write: `vim<9.1` does not mean
    /// `2:9.0`, which is later than `9.1` for the package manager, and perhaps not for the asker.
    pub fn hangs_on_epoch(&self, kind: Kind, installed: &str) -> bool {
        let unwritten = self
            .bounds
            .iter()
            .all(|bound| version::epoch(&bound.version).is_none());
        let Some(epoch) = version::epoch(installed).filter(|_| unwritten) else {
            return false;
        };
        let without = &installed[epoch.len() + 1..];
        self.accepts(kind, installed) != self.accepts(kind, without)
    }
}

impl FromStr for Query {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a query; write a package and a version, such as `openssl<3.5.2`"
            )
        };
        let operator = |c: char| matches!(c, '<' | '>' | '=' | '!');
        let end = text.find(operator).unwrap_or(text.len());
        let name = text[..end].trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let mut bounds = Vec::new();
        let mut rest = &text[end..];
        while !rest.is_empty() {
            let (sign, relation) = RELATIONS
                .iter()
                .find(|(sign, _)| rest.starts_with(sign))
                .ok_or_else(wrong)?;
            rest = &rest[sign.len()..];
            let end = rest.find(operator).unwrap_or(rest.len());
            let version = rest[..end].trim().trim_end_matches(',').trim_end();
            if version.is_empty() || version.contains(char::is_whitespace) {
                return Err(wrong());
            }
            bounds.push(Bound {
                relation: *relation,
                version: version.to_owned(),
            });
            rest = &rest[end..];
        }
        Ok(Query {
            name: name.to_owned(),
            bounds,
        })
    }
}

/// Whether a name fits a pattern, in which `*` stands for any text. This is no pattern of paths: a
/// `?`, `[` or `{` is itself.
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A word for an order, in tables of differences.
pub fn direction(kind: Kind, old: &str, new: &str) -> &'static str {
    match version::compare(kind, new, old) {
        Ordering::Greater => "newer",
        Ordering::Less => "older",
        Ordering::Equal => "same",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(query: &str, kind: Kind, version: &str) -> bool {
        query.parse::<Query>().unwrap().accepts(kind, version)
    }

    #[test]
    fn bounds_follow_the_package_managers_rules() {
        for (query, kind, version, expected) in [
            ("openssl<3.5.2", Kind::Deb, "3.5.1-1+deb13u1", true),
            ("openssl<3.5.2", Kind::Deb, "3.5.2-1", false),
            ("openssl<3.5.2", Kind::Deb, "3.5.2~beta1-1", true),
            ("openssl<3.5.2", Kind::Deb, "3.5.10-1", false),
            ("openssl<3.5.2", Kind::Deb, "1:3.0-1", false),
            ("openssl<1:3.5.2", Kind::Deb, "1:3.0-1", true),
            ("openssl<3.5.2", Kind::Rpm, "3.5.1-6.el9", true),
            ("openssl<3.5.2", Kind::Rpm, "3.5.2-6.el9", false),
            ("openssl<=3.5.2", Kind::Rpm, "3.5.2-6.el9", true),
            ("openssl<3.5.2-7", Kind::Rpm, "3.5.2-6.el9", true),
            ("openssl < 3.5.2", Kind::Apk, "3.5.2_rc1-r0", true),
            ("openssl >= 3.0, < 3.5.2", Kind::Deb, "2.9-1", false),
            ("openssl>=3.0<3.5.2", Kind::Deb, "3.1-1", true),
            ("openssl!=3.0", Kind::Deb, "3.0", false),
            ("openssl", Kind::Deb, "anything", true),
        ] {
            assert_eq!(accepts(query, kind, version), expected, "{query} {version}");
        }
        let query: Query = "vim<9.1".parse().unwrap();
        assert!(query.hangs_on_epoch(Kind::Deb, "2:9.0-1"));
        assert!(!query.hangs_on_epoch(Kind::Deb, "2:9.2-1"));
        assert!(!query.hangs_on_epoch(Kind::Deb, "9.0-1"));
    }

    #[test]
    fn names_may_have_stars_and_sources_count() {
        for (pattern, name, expected) in [
            ("openssl", "openssl", true),
            ("openssl", "openssl-dev", false),
            ("lib*", "libssl3", true),
            ("*ssl*", "libssl3", true),
            ("lib*3", "libssl3", true),
            ("lib*4", "libssl3", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
        let query: Query = "openssl".parse().unwrap();
        assert!(query.names("libssl3", "openssl") && !query.names("libssl3", ""));
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for text in [
            "",
            "<3",
            "openssl<",
            "openssl<>3",
            "open ssl",
            "openssl!3",
            "openssl<3 4",
        ] {
            assert!(text.parse::<Query>().is_err(), "{text}");
        }
    }
}
