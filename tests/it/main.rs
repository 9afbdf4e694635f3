//! The integration tests, one binary.

mod guest;
mod phony;
mod hypervisor;
mod toy;
