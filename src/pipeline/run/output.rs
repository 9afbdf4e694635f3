//! What a build hands over.

use std::path::Path;

use super::Run;
use crate::error::{Context as _, Result};
use crate::host::outlet::{Folder, Over};
use crate::stage::Artifact;
use crate::stage::pack::{self, Packed};
use crate::store::Layer;
use crate::ui::Event;

/// Makes and opens `-o DIR`, before anything runs: what the name leads to later is of no account.
pub(super) fn open(dir: &Path) -> Result<Folder> {
    let opened = std::fs::create_dir_all(dir).and_then(|()| Folder::open(dir));
    opened.doing(|| format!("opening {}", dir.display()))
}

impl Run<'_> {
    /// Copies the artifacts to `-o DIR` and tells about them.
    pub(in crate::pipeline) fn copy_artifacts(
        &self,
        packed: &Layer<Packed>,
        artifacts: &[Artifact],
    ) -> Result<()> {
        let path = match &self.output {
            Some(dir) => pack::copy(packed, dir)?,
            None => packed.xz(),
        };
        self.session.ui.event(&Event::Artifact {
            image: self.plan.image().into(),
            kind: "xz".into(),
            path,
            size: packed.facts().size,
            sha512: packed.facts().sha512.clone(),
        });
        for Artifact { path, record } in artifacts {
            let mut path = path.clone();
            let size = std::fs::metadata(&path).doing(|| format!("reading {}", path.display()))?;
            if let Some(dir) = &self.output {
                let to = dir.outlet(record.file.as_ref(), Over::Anything)?;
                to.copy(&path)?;
                path = to.path().to_owned();
            }
            self.session.ui.event(&Event::Artifact {
                image: self.plan.image().into(),
                kind: record.about.get("format").cloned().unwrap_or_default(),
                path,
                size: size.len(),
                sha512: record.sha512.clone(),
            });
        }
        Ok(())
    }
}
