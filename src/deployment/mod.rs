//! What people say about the machine that an image becomes: its disk, and what is its own.

mod machine;
mod rule;

pub use machine::{Card, Cidr, HostName, Ip, Mac, MachineFile, Only, OwnFile, Seed, Ssh, is_ipv4};
pub use rule::{Conditions, Disk, DiskRule, Transport};
