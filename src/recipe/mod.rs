//! Recipes: as written, resolved, checked.
//!
//! A file becomes a tree whose values know their places ([`crate::yaml`]), fragments
//! are merged below it, variables are expanded in its values, short forms of steps are made long
//! ([`desugar`]), the shape is checked against the schema ([`crate::yaml::walk`]), and what fits becomes a
//! [`types::Recipe`] whose meaning is checked last ([`check`]). Every phase reports all it finds
//! to [`Problems`] and cuts out what is wrong, so that the next one can go on.

pub mod check;
pub mod config;
pub mod desugar;
pub mod engine;
pub mod obeyed;
pub mod reference;
mod render;
pub mod repo;
pub mod resolve;
pub mod schema;
pub mod secrets;
pub mod types;
pub mod variants;

pub use crate::yaml::checker::{NamedFile, Role};
pub use crate::yaml::problem::Problems;
pub use config::Config;
pub use engine::{EngineConfig, SlurmConfig};
pub use repo::Repo;
pub use resolve::Resolved;
pub use schema::written as json_schema;
