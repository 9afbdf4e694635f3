//! The stages of the pipeline; one file or folder each.

pub mod check;
pub mod configure;
pub mod install;
