//! The index of a layer's files, made before it is committed.

use std::path::Path;
use std::time::Instant;

use super::Run;
use crate::blame::{self, Index, Layer};
use crate::error::Result;
use crate::stage::StageId;
use crate::stage::plan::{Part, Planned};
use crate::stage::publish::commit;
use crate::store::DISK;
use crate::ui::StageUi;
use crate::units::elapsed;

impl Run<'_> {
    /// Writes the index of the disk in the draft `dir`, if the stage makes one.
    ///
    /// # Errors
    /// When it cannot be written, or on an interrupt.
    pub(super) fn index(&self, planned: &Planned, dir: &Path, ui: &StageUi) -> Result<()> {
        let disk = dir.join(DISK);
        if !planned.stage.row().makes_disk || !disk.exists() {
            return Ok(());
        }
        ui.step("listing the files");
        let began = Instant::now();
        let entry = planned
            .input
            .as_ref()
            .map(|key| self.session.store.entry(key));
        let below = entry.as_ref().and_then(|entry| entry.as_ref());
        let below = below.and_then(|entry| Index::read(entry.path()).ok().flatten());
        let blind = entry.is_some() && below.as_ref().is_none_or(|below| below.files.is_empty());
        let layer = Layer {
            blind,
            ..self.layer(planned)
        };
        let mut index = blame::index_layer(dir, &disk, layer, below, ui)?;
        if blind {
            let what = "the layer below: it has no index, so what it has counts for this one";
            index.unread.push(what.into());
        }
        index.write(dir)?;
        let (files, took) = (index.files.len(), elapsed(began.elapsed()));
        ui.line(format!("{files} files and directories listed in {took}"));
        Ok(())
    }

    fn layer(&self, planned: &Planned) -> Layer {
        let resolved = &self.plan.resolved;
        let place = match (planned.stage, &planned.part) {
            (StageId::Install, _) => {
                let install = resolved.place_of("install");
                install.or_else(|| resolved.place_of("from"))
            }
            (_, Part::Steps { .. }) => resolved.place_of("configure"),
            _ => resolved.place_of(planned.stage.name()),
        };
        Layer {
            key: planned.key.as_str().to_owned(),
            image: planned.image.clone(),
            stage: planned.label.clone(),
            place,
            commit: commit(self.session.repo.root()),
            blind: false,
            steps: vec![],
        }
    }
}
