//! `reboot`: the runner itself restarts the guest.

use super::kind::{About, Form, Kind, Scope, Translated};
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Reboot;

pub(super) const ABOUT: About = About::new(Form::Word);

impl Kind for Reboot {
    fn title(&self) -> String {
        "reboot".into()
    }

    fn translate(&self, _: Scope<'_>) -> Result<Option<Translated>> {
        Ok(Some(Translated::default()))
    }
}
