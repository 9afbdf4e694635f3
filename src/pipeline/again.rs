//! The command line that goes on after a failed stage.

use serde::{Deserialize, Serialize};

use crate::host::exec::quote;

/// What of a build's command line matters to the command that goes on, but its images' names: words as a shell
/// gives them to a program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Again {
    /// In front of the verb.
    pub globals: Vec<String>,
    /// Behind the names.
    pub options: Vec<String>,
}

impl Again {
    /// The command that builds these images, as one types it into a shell.
    pub fn command(&self, names: &[&str]) -> String {
        let Again { globals, options } = self;
        let globals = globals.iter().map(String::as_str);
        let options = options.iter().map(String::as_str);
        let words = ["imgforge"].into_iter().chain(globals).chain(["build"]);
        let words = words.chain(names.iter().copied()).chain(options);
        words.map(quote).collect::<Vec<_>>().join(" ")
    }

    /// What an error says of it.
    pub fn sentence(&self, names: &[&str]) -> String {
        format!("`{}` goes on at this stage", self.command(names))
    }
}
