//! The integration tests, one binary.

mod guest;
mod phony;
