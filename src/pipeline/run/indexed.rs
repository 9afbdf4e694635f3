//! The index of a layer's files, made before it is committed.

use std::path::Path;
use std::time::Instant;

use super::Run;
use crate::address;
use crate::blame::{self, Index, Layer};
use crate::error::Result;
use crate::lock::Record;
use crate::recipe::types::{Base, ImageSource, Install};
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
        let (below, blind) = self.below_of(planned, dir);
        let record = Record::read(dir).ok().flatten().unwrap_or_default();
        let layer = Layer {
            blind: blind.is_some(),
            ..self.layer(planned)
        };
        let mut index = blame::index_layer(dir, &disk, layer, below, &record.fetched, ui)?;
        index.unread.extend(blind);
        index.write(dir)?;
        let (files, took) = (index.files.len(), elapsed(began.elapsed()));
        ui.line(format!("{files} files and directories listed in {took}"));
        Ok(())
    }

    /// The index of the disk below, nothing of a disk that is made from nothing; and, in a sentence, why
    /// that does not tell what the disk below has.
    fn below_of(&self, planned: &Planned, dir: &Path) -> (Option<Index>, Option<String>) {
        let (what, read) = match &planned.input {
            Some(key) => {
                let entry = self.session.store.entry(key);
                let read = entry.map_or(Ok(None), |entry| Index::read(entry.path()));
                ("the layer", read)
            }
            None => ("the published image", blame::take_parent(dir)),
        };
        let published = matches!(self.plan.base, Base::Published(_));
        let is_above = planned.input.is_some() || planned.stage == StageId::Install && published;
        let (below, why) = match read {
            Ok(Some(below)) if !below.files.is_empty() => return (Some(below), None),
            Ok(None) if !is_above => return (None, None),
            Ok(below) => (below, "it has no index of its files".to_owned()),
            Err(error) => (None, error.render().trim_end().to_owned()),
        };
        let stage = &planned.label;
        let told = format!("{what} below: {why}, so what it has counts for the {stage} stage");
        (below, Some(told))
    }

    /// Where the disk was fetched from that the stage begins with.
    fn origin(&self, planned: &Planned) -> Option<String> {
        let url = match &self.plan.base {
            _ if planned.stage != StageId::Install => return None,
            Base::Published(pin) => pin.image.url.to_string(),
            Base::Install(Install::Import(ImageSource::Download { url, .. })) => url.to_string(),
            Base::Layer(_) | Base::Install(_) => return None,
        };
        Some(address::hide(&url).into_owned())
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
            origin: self.origin(planned),
            blind: false,
            steps: vec![],
        }
    }
}
