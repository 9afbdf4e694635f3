//! Files that people write: read as trees whose values know their places, merged, expanded, checked
//! against a schema. Every phase reports all mistakes that it finds and cuts out what is wrong, so that the
//! next one can go on. Knows the syntax, not what a recipe is.

pub mod beneath;
pub mod checker;
pub mod de;
pub mod include;
pub mod node;
pub mod parse;
pub mod problem;
pub mod source;
pub mod template;
pub mod vars;
pub mod walk;
