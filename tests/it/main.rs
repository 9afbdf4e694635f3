//! The integration tests, one binary.

mod answers;
mod cli;
mod disk_seal;
mod gate;
mod guest;
mod http;
mod hypervisor;
mod index;
mod layers;
mod layers_vm;
mod pack;
mod packaging;
mod phony;
mod pipeline;
mod pull;
mod recipe;
mod repository;
mod runner;
mod runner_vm;
mod scan;
mod server;
mod sysprep;
mod toy;
mod unpack;
mod virt_install;
mod whole;
