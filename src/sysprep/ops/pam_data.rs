pub(super) static OPERATION: super::Operation = super::Operation::removes_files(
    "pam-data",
    "Remove the state of PAM",
    "Removes failed logins and console locks.",
    &[
        "/var/run/console/*",
        "/var/run/faillock/*",
        "/var/run/sepermit/*",
        "/run/console/*",
        "/run/faillock/*",
        "/run/sepermit/*",
        "/var/lib/faillock/*",
    ],
)
.gone(&["run/faillock/ann"]);
