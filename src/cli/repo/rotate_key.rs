//! `imgforge repo rotate-key`.

use super::super::place::RepositoryArgs;
use super::super::{App, out};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct RotateKey {
    /// The new key, anything that gpg knows (default: a new one of imgforge's own)
    #[arg(value_name = "KEY", conflicts_with_all = ["finish", "cancel"])]
    key: Option<String>,
    /// Ends the rotation: everything is signed by the new key alone
    #[arg(long)]
    finish: bool,
    /// Takes the rotation back: what the new key has signed goes, and that key need not be there
    #[arg(long, conflicts_with = "finish")]
    cancel: bool,
    /// What the second index is called, index-SUFFIX.asc (default: the date)
    #[arg(long, value_name = "SUFFIX", conflicts_with_all = ["finish", "cancel"])]
    suffix: Option<String>,
    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl RotateKey {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let (repository, stamp) = self.repository.open(app, self.why.as_deref())?;
        if self.finish {
            let done = repository.finish_rotation(&stamp)?;
            return out::print(&format!(
                "everything is signed by {} now, and {} is kept too\n\
                 write `signing-key: {}` in imgforge.yaml unless the key is imgforge's own\n",
                done.to, done.index, done.to
            ));
        }
        if self.cancel {
            let gone = repository.cancel_rotation(&stamp)?;
            return out::print(&format!(
                "{} is not signed by {} any more, and was removed; {} continues to sign\n",
                gone.index, gone.to, gone.from
            ));
        }
        let today = jiff::Zoned::now().strftime("%Y%m%d").to_string();
        let suffix = self.suffix.as_deref().unwrap_or(&today);
        let begun = repository.rotate(self.key.as_deref(), suffix, &stamp)?;
        out::print(&format!(
            "the indexes lie under a second URL, too, signed by {}:\n    \
                 uri={}\n    \
                 key {}\n\
             tell your users; when they have changed over: `imgforge repo rotate-key --finish`\n",
            begun.to, begun.index, begun.key
        ))
    }
}
