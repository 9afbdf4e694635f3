//! The machine that runs imgforge: programs, signals, acceleration, files.

pub mod accel;
mod attributes;
pub mod confine;
mod disk_copy;
pub mod diskfile;
pub mod durable;
pub mod exec;
pub mod foreign;
pub mod imagefile;
pub mod interrupt;
pub mod layers;
pub mod listening;
pub(crate) mod lock;
pub mod memory;
pub mod namespace;
pub mod opened;
pub mod others;
pub mod ours;
pub mod outlet;
pub mod qemu_img;
pub mod space;
pub mod sparse;
pub mod statedir;
pub mod taken;
pub mod temporary;
pub mod tools;
pub mod vmdk;
