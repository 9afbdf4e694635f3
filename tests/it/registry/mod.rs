//! Registries: docker-registry itself, and ways to it that break.

mod client;
