//! `imgforge deploy`: a published image on a disk, verified first, whole, and once.

mod disk;
mod gpt;
mod refused;
pub(crate) mod world;
