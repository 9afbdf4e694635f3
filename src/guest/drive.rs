//! What a session is started with.

use std::path::Path;

use crate::host::accel::Accel;
use crate::ui::StageUi;

/// A disk of a session.
#[derive(Debug, Clone, Copy)]
pub struct Drive<'a> {
    /// The image file.
    pub path: &'a Path,
    /// `raw` or `qcow2`; never guessed, as a guest chooses what a raw disk looks like.
    pub format: &'a str,
    /// Whether the file must not change.
    pub readonly: bool,
}

impl<'a> Drive<'a> {
    /// One that is written to.
    pub fn writable(path: &'a Path, format: &'a str) -> Self {
        Drive {
            readonly: false,
            ..Drive::readonly(path, format)
        }
    }

    /// One that must not change.
    pub fn readonly(path: &'a Path, format: &'a str) -> Self {
        Drive {
            path,
            format,
            readonly: true,
        }
    }
}

/// What a session is started with.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The disks, `/dev/sda` first. Writable ones pass discards on.
    pub drives: &'a [Drive<'a>],
    /// What runs the appliance.
    pub accel: Accel,
    /// Who hears about progress and the appliance's messages.
    pub ui: Option<&'a StageUi>,
}
