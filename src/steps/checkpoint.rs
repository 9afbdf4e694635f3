//! `checkpoint`: where the pipeline begins another part of `configure`; no guest hears of it.

use super::kind::{About, Form, Kind, Scope, Translated};
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Checkpoint;

pub(super) const ABOUT: About = About {
    keeps: true,
    only_builds: Some([
        "a `checkpoint` in `instance` keeps nothing",
        "remove it: these steps run on machines made from the image",
    ]),
    ..About::new(Form::Word)
};

impl Kind for Checkpoint {
    fn title(&self) -> String {
        "checkpoint".into()
    }

    fn translate(&self, _: Scope<'_>) -> Result<Option<Translated>> {
        Ok(None)
    }
}
