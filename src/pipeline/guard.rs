//! No secret of a recipe gets into the store or a log: every commit is searched first.

use std::fs::File;
use std::path::Path;

use crate::console::mask::Mask;
use crate::error::{Context as _, Error, Result};
use crate::recipe::Resolved;
use crate::recipe::secrets;
use crate::scan::{self, Known};
use crate::stage;
use crate::store::DISK;
use crate::ui::StageUi;

/// What a stage is about to leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard<'a> {
    /// The recipe.
    pub(super) resolved: &'a Resolved,
    /// The state directory, with the keys of Puppet's agents.
    pub(super) state: &'a Path,
    /// The draft of the entry.
    pub(super) draft: &'a Path,
    /// The logs of the image's build.
    pub(super) logs: &'a Path,
    /// Where progress goes.
    pub(super) ui: &'a StageUi,
}

impl Guard<'_> {
    /// Searches the draft with its disk, free space included, and the logs.
    ///
    /// # Errors
    /// [`Kind::Gate`](crate::error::Kind::Gate) when a secret is in one of them; a log is masked
    /// then, as it stays.
    pub(super) fn check(&self) -> Result<()> {
        let Some((known, mask)) = self.secrets()? else {
            return Ok(());
        };
        self.logs_only(&known, &mask)?;
        for file in std::fs::read_dir(self.draft)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = file.path();
            if !path.is_file() {
                continue;
            }
            let mut content = File::open(&path).doing(|| format!("reading {}", path.display()))?;
            let names = scan::search(&mut content, &known.everywhere())
                .doing(|| format!("reading {}", path.display()))?;
            if let Some(name) = names.first() {
                return Err(found(name, &format!("in {}", path.display())));
            }
            if path.file_name().is_some_and(|name| name == DISK) {
                self.ui.step("looking for secrets on the disk");
                let names = scan::raw_bytes(&path, "qcow2", &known, self.draft, self.ui)?;
                if let Some((name, at)) = names.first() {
                    return Err(found(name, &format!("at byte {at} of the disk")));
                }
            }
        }
        Ok(())
    }

    /// Masks the logs of a stage that has failed.
    pub(super) fn mask_logs(&self) {
        if let Ok(Some((known, mask))) = self.secrets() {
            // The stage's own failure is what the user has to hear of.
            drop(self.logs_only(&known, &mask));
        }
    }

    fn logs_only(&self, known: &Known, mask: &Mask) -> Result<()> {
        let mut found = None;
        for file in std::fs::read_dir(self.logs).into_iter().flatten().flatten() {
            let path = file.path();
            let doing = || format!("reading {}", path.display());
            if !path.is_file() {
                continue;
            }
            let names = scan::search(&mut File::open(&path).doing(doing)?, &known.everywhere());
            if let Some(name) = names.doing(doing)?.into_iter().next() {
                let text = std::fs::read(&path).doing(doing)?;
                let mut masked = mask.bytes(&text);
                let still = scan::search(&mut masked.as_slice(), &known.everywhere());
                if !still.doing(doing)?.is_empty() {
                    masked =
                        b"(removed: it held a secret in a form that cannot be masked)\n".to_vec();
                }
                std::fs::write(&path, masked).doing(doing)?;
                found.get_or_insert((name, path));
            }
        }
        match found {
            None => Ok(()),
            Some((name, path)) => Err(Error::gate(format!(
                "the secret `{name}` was in the log {}",
                path.display()
            ))
            .cause("it is masked there now")
            .hint("do not let the step print it in another form than its own")),
        }
    }

    /// What to look for. A stage that has no secrets could not leave one.
    fn secrets(&self) -> Result<Option<(Known, Mask)>> {
        let Resolved { recipe, root, .. } = self.resolved;
        let values = secrets::hidden(recipe, root, self.state);
        let known = stage::check::known(&values);
        Ok((!known.is_empty()).then(|| (known, Mask::new(&values))))
    }
}

fn found(name: &str, place: &str) -> Error {
    Error::gate(format!("the secret `{name}` is in the result of the stage"))
        .cause(format!("it was found {place}"))
        .cause("secrets reach the guest's memory only; what holds one is not kept")
        .hint("do not let the step write it, or remove the file in the same step")
}
