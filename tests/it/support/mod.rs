//! The harness: a world to run imgforge in, made-up guests and servers, and the bound on guests.

pub(crate) mod cpio;
pub(crate) mod grub;
#[path = "../../../src/patience.rs"]
pub(crate) mod patience;
pub(crate) mod phony;
pub(crate) mod program;
pub(crate) mod registry;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod slots;
pub(crate) mod toy;
pub(crate) mod tunnels;
pub(crate) mod world;

pub(crate) use program::{
    IMGFORGE, Run, Said, external, imgforge, imgforge_by_the_door, imgforge_with_guests, tool,
    under,
};
pub(crate) use world::{World, names, processes, stages_to};
