//! The integration tests, one binary.

mod cli;
mod guest;
mod hypervisor;
mod pack;
mod phony;
mod recipe;
mod repository;
mod runner;
mod sysprep;
mod toy;
