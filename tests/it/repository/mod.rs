//! A repository as the stock virt-builder sees it, whatever happens to its publishers.

mod channels;
mod clients;
mod commits;
mod copies;
mod crash;
mod day300;
mod destination;
mod forged;
mod keyed;
mod keys;
mod mistakes;
mod older;
mod parents;
mod planted;
mod publish;
mod readonly;
mod retired;
mod rotations;
pub(crate) mod site;
mod soak;
mod trusted;
mod verbs;
mod verify;
mod vouched;
mod whole;
mod whom;
pub(crate) mod world;
