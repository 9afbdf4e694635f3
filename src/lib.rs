//! imgforge: golden machine images, built once, proven, published signed, run everywhere.
//!
//! # Floors
//!
//! Modules stand on floors. Each imports only from what stands below it in this list; a test reads
//! every path of the sources (`tests/it/floors.rs`).
//!
//! What is called from outside:
//!
//! * `fuzzing`: every parser of what others wrote, by name
//! * `cli`: the command line, one file a verb
//! * `sync`: keeps a cloud at what a channel has
//!
//! The build:
//!
//! * `engine`: builds on other machines, one file an engine
//! * `pipeline`: what runs for a recipe, in which order, and what is kept
//! * `stage`: the stages, each from immutable inputs to one immutable output
//! * `doctor`: whether this host can build
//! * `updates`: which images have fixes waiting
//!
//! What stages are made of:
//!
//! * `runner`: executes a recipe's steps in a guest
//! * `takeover`: plans how the running system of a machine is replaced
//! * `deploy`: writes a published image to a disk of this machine
//! * `pull`: the client of a repository
//! * `repository`: published images, signed, in a directory
//! * `git`: which commit the recipes are at, and who signed it
//! * `trees`: the files of two disks, compared
//! * `blame`: which layer, step and package every file of an image is from
//! * `sbom`: the packages of an image
//! * `recipe`: recipes and imgforge.yaml, as written, resolved, checked
//! * `targets`: the files for every place where an image runs
//! * `scan`: looks for what a build may leave behind
//! * `sysprep`: removes what must not be in clones
//! * `pack`: a disk as one `.xz`
//! * `steps`: the kinds of steps, each with everything about it
//!
//! Adapters, which know no recipe:
//!
//! * `yaml`: files for people to write: read with places, checked by a schema, all mistakes at once
//! * `console`: a guest's console, as everybody watches it
//! * `guest`: disks, opened through libguestfs
//! * `hypervisor`: guests under libvirt
//! * `toolbox`: read-only disks with programs for a guest's steps
//! * `store`: finished layers, and who owns what is unfinished
//! * `proxy`: the package mirror of guests
//! * `kit`: all that locked builds need, in one signed file
//! * `gpg`: who signs, and whose signatures count
//! * `distro`: what is known of distributions and their mirrors
//! * `installers`: unattended installers, each with everything about it
//! * `registry`: registries, by the API of OCI
//! * `http`: the one HTTP client
//! * `blockdev`: disks, written to as such
//! * `ext4`: file systems that are read without an appliance
//! * `lock`: what builds fetch, recorded, and the lock that says so beside a recipe
//! * `host`: this machine's programs, files, signals and acceleration
//!
//! Values, and what all others need:
//!
//! * `ui`: what happens, as events
//! * `index`: the index of a repository, in virt-builder's format
//! * `deployment`: which disk an image is written to, and what is a machine's own
//! * `gpt`: tables of partitions
//! * `fstab`: what a machine mounts
//! * `mutex`: locks that a thread which panicked has left
//! * `patience`: how tests wait
//! * `channels`: the rules of channels, each with everything about it
//! * `time`: the wall clock
//! * `xml`: documents by templates, in which no value becomes markup
//! * `digest`: digests, and keys of stages
//! * `holes`: where a file has data
//! * `error`: what went wrong, for whom, and what to do next
//! * `machine`: the machine that an image is made for, in every vocabulary
//! * `severity`: how bad a vulnerability is
//! * `units`: sizes and durations
//! * `access`: names of accounts, owners, permissions
//! * `address`: addresses, whose users and passwords are hidden
//! * `text`: values that are written as texts

pub mod access;
pub mod address;
pub mod blame;
pub mod blockdev;
pub mod channels;
pub mod cli;
pub mod console;
pub mod deploy;
pub mod deployment;
pub mod digest;
pub mod distro;
pub mod doctor;
pub mod engine;
pub mod error;
pub mod ext4;
pub mod fstab;
#[doc(hidden)]
pub mod fuzzing;
pub mod git;
pub mod gpg;
pub mod gpt;
pub mod guest;
pub mod holes;
pub mod host;
pub mod http;
pub mod hypervisor;
pub mod index;
pub mod installers;
pub mod kit;
pub mod lock;
pub mod machine;
mod mutex;
pub mod pack;
#[cfg(test)]
mod patience;
pub mod pipeline;
pub mod proxy;
pub mod pull;
pub mod recipe;
pub mod registry;
pub mod repository;
pub mod runner;
pub mod sbom;
pub mod scan;
pub mod severity;
pub mod stage;
pub mod steps;
pub mod store;
pub mod sync;
pub mod sysprep;
pub mod takeover;
pub mod targets;
mod text;
pub mod time;
pub mod toolbox;
pub mod trees;
pub mod ui;
pub mod units;
pub mod updates;
mod xml;
pub mod yaml;
