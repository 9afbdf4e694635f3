//! `upgrade`: the newest version of every package.

use super::kind::{About, Form, Kind, Scope, Translated};
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Upgrade;

pub(super) const ABOUT: About = About {
    script: Some(include_str!("upgrade.sh")),
    ..About::new(Form::Word)
};

impl Kind for Upgrade {
    fn title(&self) -> String {
        "upgrade".into()
    }

    fn translate(&self, _: Scope<'_>) -> Result<Option<Translated>> {
        Ok(Some(Translated::default()))
    }
}
