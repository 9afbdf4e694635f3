//! Recipes: as written, resolved, checked.

pub mod types;
