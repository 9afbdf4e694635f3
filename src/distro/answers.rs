//! Answer files: what unattended installers read, of a kind that the file's name tells.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// What an answer file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// debian-installer's.
    Preseed,
    /// Anaconda's.
    Kickstart,
    /// subiquity's.
    Autoinstall,
}

impl AnswerKind {
    /// Every kind.
    pub const ALL: [AnswerKind; 3] = [
        AnswerKind::Preseed,
        AnswerKind::Kickstart,
        AnswerKind::Autoinstall,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            AnswerKind::Preseed => "preseed",
            AnswerKind::Kickstart => "kickstart",
            AnswerKind::Autoinstall => "autoinstall",
        }
    }

    /// The end of its files' names.
    pub fn end(self) -> &'static str {
        match self {
            AnswerKind::Preseed => ".cfg",
            AnswerKind::Kickstart => ".ks",
            AnswerKind::Autoinstall => ".yaml",
        }
    }
}

/// The path of an answer file in a recipe repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "answers"))]
pub struct AnswerFile {
    path: String,
    kind: AnswerKind,
}

impl AnswerFile {
    /// Its path, relative to the repository's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> AnswerKind {
        self.kind
    }
}

impl FromStr for AnswerFile {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let mut kinds = AnswerKind::ALL.into_iter();
        let kind = kinds
            .find(|kind| path.ends_with(kind.end()))
            .ok_or_else(|| {
                format!(
                    "`{path}` is not an answer file; preseed ends in `.cfg`, kickstart in `.ks`, \
                 autoinstall in `.yaml`: rename the file"
                )
            })?;
        let path = path.to_owned();
        Ok(AnswerFile { path, kind })
    }
}

impl fmt::Display for AnswerFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

as_text!(to_string: AnswerFile);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_name_tells_the_kind() {
        let kind = |path: &str| path.parse().map(|file: AnswerFile| file.kind());
        assert_eq!(kind("preseed/debian.cfg"), Ok(AnswerKind::Preseed));
        assert_eq!(kind("kickstart/rocky.ks"), Ok(AnswerKind::Kickstart));
        assert_eq!(kind("autoinstall/server.yaml"), Ok(AnswerKind::Autoinstall));
        assert!(kind("answers.txt").is_err());
    }
}
