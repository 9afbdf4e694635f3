//! What people say about the machine that an image becomes: its disk, and what is its own.

mod rule;

pub use rule::{Conditions, Disk, DiskRule, Transport};
