//! `imgforge pull`: from a published image to a verified disk, whatever the server does.

mod basics;
mod delta;
mod faults;
mod later;
mod renewal;
pub(crate) mod replay;
mod rotation;
mod seed;
mod stock;
mod tls;
mod trust;
pub(crate) mod world;
