//! Removes the seeds that would give clones equal random numbers, and the secret with which
//! systemd encrypts credentials.

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "random-seed",
    heading: "Remove random seeds",
    default: true,
    doc: "Removes the seeds that would give clones equal random numbers, and the secret with which systemd encrypts credentials.",
    run: Run::Files(run),
};

const PATHS: &[&str] = &[
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    "/var/lib/urandom/random-seed",
    "/var/lib/random-seed",
    "/var/lib/misc/random-seed",
    "/var/lib/seedrng/*",
    "/boot/efi/loader/random-seed",
    "/boot/loader/random-seed",
    "/efi/loader/random-seed",
    "/root/.rnd",
];

fn run(site: &mut GuestRoot<'_>) -> Result<()> {
    site.remove(PATHS)
}
