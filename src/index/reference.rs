//! `[REPO#]NAME[@REV]`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MAX_REVISION, is_id};
use crate::text::as_text;

/// An image in a repository, as a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "reference"))]
pub struct Reference {
    /// A repository of imgforge.yaml or of virt-builder's configuration, an address or a directory.
    pub repository: Option<String>,
    /// The image's name.
    pub name: String,
    /// The revision, if it has to be a certain one.
    pub revision: Option<u64>,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("{why}; write [REPO#]NAME[@REV], such as `main#web-node@7`");
        let (repository, rest) = match text.rsplit_once('#') {
            Some(("", _)) => return Err(wrong("there is nothing before the `#`")),
            Some((repository, rest)) => (Some(repository.to_owned()), rest),
            None => (None, text),
        };
        let (name, revision) = match rest.split_once('@') {
            Some((name, number)) => {
                let digits = number.bytes().all(|b| b.is_ascii_digit());
                let revision = number.parse().ok().filter(|n| digits && *n <= MAX_REVISION);
                let revision = revision
                    .ok_or_else(|| wrong(&format!("`{number}` is not the number of a revision")))?;
                (name, Some(revision))
            }
            None => (rest, None),
        };
        if !is_id(name) {
            return Err(wrong(&format!("`{name}` is not the name of an image")));
        }
        Ok(Reference {
            repository,
            name: name.to_owned(),
            revision,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(repository) = &self.repository {
            write!(f, "{repository}#")?;
        }
        f.write_str(&self.name)?;
        self.revision
            .map_or(Ok(()), |revision| write!(f, "@{revision}"))
    }
}

as_text!(to_string: Reference);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_parse_and_print_the_same() {
        for text in [
            "web",
            "main#web",
            "web@7",
            "https://h:8/a/index.asc#web-1.x@12",
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let reference: Reference = "https://me@h/x#web@3".parse().unwrap();
        assert_eq!(reference.repository.as_deref(), Some("https://me@h/x"));
        assert_eq!(
            (reference.name.as_str(), reference.revision),
            ("web", Some(3))
        );
        for bad in [
            "",
            "#web",
            "main#",
            "web@",
            "web@x",
            "web@-1",
            "web@+1",
            "a b",
            "web@9999999999999999999",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
