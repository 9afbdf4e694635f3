//! imgforge: golden machine images, built once, proven, published signed, run everywhere.

mod address;
pub mod cli;
pub mod digest;
pub mod distro;
pub mod doctor;
pub mod error;
pub mod fstab;
#[doc(hidden)]
pub mod fuzzing;
pub mod git;
pub mod gpg;
pub mod guest;
pub mod host;
pub mod http;
pub mod hypervisor;
pub mod index;
pub mod pack;
#[cfg(test)]
mod patience;
pub mod pipeline;
pub mod proxy;
pub mod pull;
pub mod recipe;
pub mod repository;
pub mod runner;
pub mod sbom;
pub mod scan;
pub mod share;
pub mod stage;
pub mod store;
pub mod sync;
pub mod sysprep;
pub mod target;
pub mod time;
pub mod toolbox;
pub mod ui;
pub mod units;
