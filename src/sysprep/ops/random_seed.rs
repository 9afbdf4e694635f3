pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "random-seed",
    "Remove random seeds",
    "Removes the seeds that would give clones equal random numbers, and the secret with which \
     systemd encrypts credentials.",
    &[
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
    ],
)
.ours()
.gone(&[
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
]);
