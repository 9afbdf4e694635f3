//! Removes the seeds that would give clones equal random numbers, and the secret with which
//! systemd encrypts credentials.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "random-seed",
    heading: "Remove random seeds",
    default: true,
    doc: "Removes the seeds that would give clones equal random numbers, and the secret with which systemd encrypts credentials.",
    run: Run::Remove(PATHS),
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
