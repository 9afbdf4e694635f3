//! The integration tests, one binary.

mod guest;
mod hypervisor;
mod pack;
mod phony;
mod repository;
mod runner;
mod toy;
