//! Registries: docker-registry itself, and ways to it that break.

mod again;
mod build;
mod client;
mod consume;
mod make;
mod others;
mod pushed;
mod refused;
mod retention;
mod site;
mod store;
