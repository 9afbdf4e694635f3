//! `imgforge completions`.

use clap::ValueEnum;

use super::out;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Shells with completion scripts.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

impl Completions {
    /// Prints the script.
    pub(crate) fn run(&self) -> Result<()> {
        let mut script = Vec::new();
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        clap_complete::generate(shell, &mut super::command(), "imgforge", &mut script);
        out::print(&String::from_utf8_lossy(&script))
    }
}
