//! What a stage reads is what its key names.

use std::path::Path;

use super::Run;
use crate::error::Result;
use crate::lock::Fetching;
use crate::recipe::Resolved;
use crate::stage::plan::Planned;
use crate::stage::{Context, StageId};
use crate::store::files::Files;
use crate::ui::StageUi;

impl Run<'_> {
    /// Lets a stage work with the files of its key, and asks afterwards whether they stayed so.
    pub(super) fn with_files<F>(
        &self,
        planned: &Planned,
        dir: &Path,
        work: impl FnOnce(&Files) -> Result<F>,
    ) -> Result<F> {
        let is_root = rustix::process::geteuid().is_root();
        // A daemon of the host gives its guests' disks to its own user.
        let links = !is_root
            || !matches!(planned.stage, StageId::Install)
            || !self.plan.runs_an_installer()
            || self.session.host.connection()?.is_private();
        let (read, root) = (planned.inputs.read(), self.session.repo.root());
        let files = Files::take(read, root, dir.join("inputs"), links)?;
        let facts = work(&files)?;
        files.unchanged()?;
        Ok(facts)
    }

    /// What the stage works with.
    pub(super) fn context<'c>(
        &'c self,
        planned: &Planned,
        ui: &'c StageUi,
        dir: &'c Path,
        logs: &'c Path,
        files: &'c Files,
        fetching: &'c Fetching,
    ) -> Context<'c> {
        let resolved: &Resolved = &self.plan.resolved;
        let label = planned.label.clone();
        Context {
            ui,
            resolved,
            files,
            config: &self.session.config,
            fetching,
            host: &self.session.host,
            dir,
            logs,
            label,
            key: planned.key.clone(),
            seed: planned.seed(),
            version: self.plan.version(),
        }
    }
}
