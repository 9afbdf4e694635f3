//! What a build hands over.

use super::Run;
use crate::error::{Context as _, Result};
use crate::host::outlet::Outlet;
use crate::stage::Artifact;
use crate::stage::pack::{self, Packed};
use crate::store::Layer;
use crate::ui::Event;

impl Run<'_> {
    /// Copies the artifacts to `-o DIR` and tells about them.
    pub(in crate::pipeline) fn copy_artifacts(
        &self,
        packed: &Layer<Packed>,
        artifacts: &[Artifact],
    ) -> Result<()> {
        let path = match &self.options.output {
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
        for artifact in artifacts {
            let mut path = artifact.path.clone();
            if let Some(dir) = &self.options.output {
                let to = dir.join(&artifact.name);
                Outlet::of(&to)?.copy(&path)?;
                path = to;
            }
            let size = std::fs::metadata(&path).doing(|| format!("reading {}", path.display()))?;
            self.session.ui.event(&Event::Artifact {
                image: self.plan.image().into(),
                kind: artifact.about.get("format").cloned().unwrap_or_default(),
                path,
                size: size.len(),
                sha512: artifact.sha512.clone(),
            });
        }
        Ok(())
    }
}
