//! What a repository's page tells its readers to type for a target.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Format;
use crate::host::exec::quote;

/// What a person types for one program.
#[derive(Debug, Clone, Serialize)]
pub struct Command {
    /// The program, as people call it.
    pub client: &'static str,
    /// A sentence above the commands.
    pub note: Option<String>,
    /// The commands; `None` where the image has no file for the program.
    pub text: Option<String>,
}

/// What a channel offers of an image for one architecture.
#[derive(Debug, Clone)]
pub struct Offered<'a> {
    /// The image's name.
    pub name: &'a str,
    /// Its name in lists of all channels.
    pub entry: String,
    /// The URL of the channel's simplestreams.
    pub streams: String,
    /// The URL of the image's catalogue for Vagrant.
    pub boxes: String,
    /// Size of the disk as a guest sees it, in bytes.
    pub virtual_size: u64,
    /// The artifacts, by name.
    pub files: Vec<OfferedFile<'a>>,
}

/// An artifact that a channel offers.
#[derive(Debug, Clone)]
pub struct OfferedFile<'a> {
    /// Where it is.
    pub url: String,
    /// SHA-256, in hex.
    pub sha256: &'a str,
    /// What is known of it, as [`Description::words`](super::Description::words) has it.
    pub about: &'a BTreeMap<String, String>,
}

impl<'a> Offered<'a> {
    /// The first artifact of a format for a target.
    pub(super) fn file(&self, target: &str, format: Format) -> Option<&OfferedFile<'a>> {
        let mut all = self.files.iter();
        all.find(|file| file.is(format) && file.about.get("target").is_some_and(|it| it == target))
    }
}

impl OfferedFile<'_> {
    /// Whether it is in this format.
    pub(super) fn is(&self, format: Format) -> bool {
        let word = self.about.get("format");
        word.is_some_and(|word| word == format.as_str())
    }

    /// The commands that download and verify it as `to`.
    pub(super) fn download(&self, to: &str) -> String {
        let (url, sha256) = (quote(&self.url), self.sha256);
        format!("curl -fL {url} -o {to}\necho '{sha256}  {to}' | sha256sum -c")
    }
}
