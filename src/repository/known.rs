//! What a repository has, for those who name something else.

use super::state::{Image, State};
use crate::error::{Error, Result};
use crate::text::nearest;

impl State {
    /// The record of an image.
    ///
    /// # Errors
    /// When there is none; a name like it is told.
    pub fn known_image(&self, name: &str) -> Result<&Image> {
        self.images.get(name).ok_or_else(|| {
            let known = || self.images.keys().map(String::as_str);
            let error = Error::usage(format!("the repository has no image `{name}`"));
            error.hint(instead(
                name,
                known(),
                "`imgforge channel list` shows what there is",
            ))
        })
    }

    /// Refuses the name of a channel that the repository does not have.
    ///
    /// # Errors
    /// When it has none of this name; one like it is told.
    pub fn known_channel(&self, channel: &str) -> Result<()> {
        if self.channels.contains_key(channel) {
            return Ok(());
        }
        let names: Vec<&str> = self.channels.keys().map(String::as_str).collect();
        let all = format!("it has {}", names.join(", "));
        let error = Error::usage(format!("the repository has no channel `{channel}`"));
        Err(error.hint(instead(channel, names.into_iter(), &all)))
    }
}

impl Image {
    /// What to try instead of a revision that this image does not have.
    pub(super) fn other_revisions(&self) -> String {
        const SHOWN: usize = 12;
        let there = self.revisions.iter().rev();
        let there = there.filter(|(_, revision)| revision.offered());
        let mut numbers: Vec<String> = there.map(|(number, _)| number.to_string()).collect();
        let more = numbers.len() > SHOWN;
        numbers.truncate(SHOWN);
        let all = numbers.join(", ");
        match (numbers.is_empty(), more) {
            (true, _) => format!(
                "`imgforge channel history {}` shows those it had",
                self.name
            ),
            (false, false) => format!("it has {all}"),
            (false, true) => {
                let name = &self.name;
                format!("it has {all} and older ones: `imgforge channel history {name}`")
            }
        }
    }
}

/// The name that was meant, if one is like it.
fn instead<'a>(name: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => otherwise.to_owned(),
    }
}
