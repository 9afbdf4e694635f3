//! The stages of the pipeline; one file or folder each.

pub mod install;
