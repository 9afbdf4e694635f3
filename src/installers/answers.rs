//! Answer files: what unattended installers read; the end of the file's name tells which one.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{INSTALLERS, Installer};
use crate::text::as_text;

/// The path of an answer file in a recipe repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "answers"))]
pub struct AnswerFile {
    path: String,
    installer: &'static Installer,
}

impl AnswerFile {
    /// The reference's sentence.
    pub(crate) fn about() -> String {
        let kinds = INSTALLERS
            .iter()
            .map(|one| format!("{} (`{}`)", one.name, one.end));
        let kinds = kinds.collect::<Vec<String>>().join(", ");
        let kinds = match kinds.rsplit_once(", ") {
            Some((all, last)) => format!("{all} or {last}"),
            None => kinds,
        };
        format!("Answer file: {kinds}; a strict template.")
    }

    /// Its path, relative to the repository's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Who reads it.
    pub fn installer(&self) -> &'static Installer {
        self.installer
    }
}

impl FromStr for AnswerFile {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let reads = INSTALLERS.iter().filter(|one| path.ends_with(one.end));
        let reads = reads.max_by_key(|one| one.end.len());
        let installer = reads.ok_or_else(|| {
            let kinds = INSTALLERS.iter().enumerate();
            let kinds = kinds.map(|(at, one)| {
                let ends = if at == 0 { " ends" } else { "" };
                format!("{}{ends} in `{}`", one.name, one.end)
            });
            let kinds: Vec<String> = kinds.collect();
            format!(
                "`{path}` is not an answer file; {}: rename the file",
                kinds.join(", ")
            )
        })?;
        let path = path.to_owned();
        Ok(AnswerFile { path, installer })
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
    fn the_end_of_the_name_tells_who_reads_it() {
        let reads = |path: &str| path.parse().map(|file: AnswerFile| file.installer().name);
        assert_eq!(reads("preseed/debian.cfg"), Ok("preseed"));
        assert_eq!(reads("kickstart/rocky.ks"), Ok("kickstart"));
        assert_eq!(reads("autoinstall/server.yaml"), Ok("autoinstall"));
        let error = reads("answers.txt").unwrap_err();
        let begin =
            "`answers.txt` is not an answer file; preseed ends in `.cfg`, kickstart in `.ks`, ";
        let whole = error.starts_with(begin) && error.ends_with(": rename the file");
        assert!(whole, "{error}");
    }
}
