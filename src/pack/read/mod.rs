//! Reads `.xz` files block by block: in parallel, in any order, while the bytes still arrive.
//!
//! [`Layout`] says where each block lies, [`Unpacker`] takes blocks and writes a sparse disk,
//! [`unpack`] does both for a file that is complete. Memory is bounded whatever the file claims:
//! a block is written as it is decoded, and nothing is believed before its check sum is.

mod block;
mod digest;
mod file;
mod known;
mod layout;
mod streams;
mod unpacker;

pub use file::unpack;
pub use known::{Content, Known};
pub use layout::{FOOTER_SIZE, Layout, Place};
pub use streams::streams;
pub use unpacker::{BlockDigests, ReadOptions, Seed, Unpacked, Unpacker};
