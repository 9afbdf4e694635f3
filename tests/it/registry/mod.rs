//! Registries: docker-registry itself, and ways to it that break.

mod build;
mod client;
mod site;
mod store;
