//! Kits: made of what this host has, and taken in where there is no network.

mod export;
mod import;

pub use export::{Exported, export};
pub use import::{Added, Imported, Target, import, locks};
