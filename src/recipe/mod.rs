//! Recipes: as written, resolved, checked.
//!
//! A file becomes a tree whose values know their places ([`node`], [`parse`]), fragments are merged below it
//! ([`include`]), variables are expanded in its values ([`vars`]), short forms of steps are made
//! long ([`desugar`]), the shape is checked against the schema ([`walk`]), and what fits becomes a
//! [`types::Recipe`] whose meaning is checked last ([`check`]). Every phase reports all it finds
//! to [`problem::Problems`] and cuts out what is wrong, so that the next one can go on.

pub mod answers;
pub mod beneath;
pub mod check;
pub mod config;
pub mod de;
pub mod desugar;
pub mod grow;
pub mod include;
pub mod node;
pub mod obeyed;
pub mod parse;
pub mod problem;
pub mod reference;
mod render;
pub mod repo;
pub mod resolve;
pub mod schema;
pub mod source;
pub mod sshkey;
pub mod template;
pub mod types;
pub mod variants;
pub mod vars;
pub mod walk;

pub use check::{NamedFile, Role};
pub use config::Config;
pub use problem::Problems;
pub use repo::{Repo, SealWords};
pub use resolve::Resolved;
pub use schema::written as json_schema;
