//! The integration tests, one binary.

mod guest;
mod hypervisor;
mod phony;
mod toy;
