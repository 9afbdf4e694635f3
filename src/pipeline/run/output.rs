//! What a build hands over.

use std::path::Path;

use crate::error::{Context as _, Result};
use crate::host::outlet::{Folder, Overwrite};
use crate::pipeline::whole::Built;
use crate::stage::{Artifact, pack};
use crate::targets;
use crate::ui::{Event, Ui};

/// Makes and opens `-o DIR`, before anything runs: what the name leads to later is of no account.
pub(super) fn open(dir: &Path) -> Result<Folder> {
    let opened = std::fs::create_dir_all(dir).and_then(|()| Folder::open(dir));
    opened.doing(|| format!("opening {}", dir.display()))
}

impl Built {
    /// Copies the artifacts to `-o DIR` and tells about them.
    pub(in crate::pipeline) fn copy_artifacts(&self, ui: &Ui) -> Result<()> {
        let packed = &self.results.packed;
        let path = match &self.output {
            Some(dir) => pack::copy(packed, dir)?,
            None => packed.xz(),
        };
        ui.event(&Event::Artifact {
            image: self.plan.image().into(),
            kind: "xz".into(),
            path,
            size: packed.facts().size,
            sha512: packed.facts().sha512.clone(),
        });
        let mut all = self.results.artifacts.iter();
        all.try_for_each(|artifact| self.copy_artifact(artifact, self.plan.image(), ui))
    }

    /// Takes the container of all architectures that an earlier build made from `-o DIR`: it has no version in its
    /// name, and whoever feeds a registry from it would take it for this build's.
    pub(in crate::pipeline) fn remove_joined(&self, ui: &Ui) -> Result<()> {
        let Some(dir) = &self.output else {
            return Ok(());
        };
        let old = dir.outlet(
            targets::joined_name(self.plan.name()).as_ref(),
            Overwrite::Anything,
        )?;
        if old.remove_if(targets::is_joined)? {
            ui.notice(format!(
                "{} was an earlier build's, and is gone: this one has not all containers to join",
                old.path().display()
            ));
        }
        Ok(())
    }

    /// Copies one artifact of `image` and tells about it.
    pub(in crate::pipeline) fn copy_artifact(
        &self,
        artifact: &Artifact,
        image: &str,
        ui: &Ui,
    ) -> Result<()> {
        let Artifact { path, record } = artifact;
        let mut path = path.clone();
        let size = std::fs::metadata(&path).doing(|| format!("reading {}", path.display()))?;
        if let Some(dir) = &self.output {
            let to = dir.outlet(record.file.as_ref(), Overwrite::Anything)?;
            to.copy(&path)?;
            path = to.path().to_owned();
        }
        ui.event(&Event::Artifact {
            image: image.into(),
            kind: record.about.format.as_str().into(),
            path,
            size: size.len(),
            sha512: record.sha512.clone(),
        });
        Ok(())
    }
}
