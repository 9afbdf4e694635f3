//! `imgforge deploy`: a published image on a disk, verified first, whole, and once.

mod boot;
mod device;
mod disk;
mod gpt;
mod machine;
mod medium;
mod refused;
mod reported;
pub(crate) mod world;
