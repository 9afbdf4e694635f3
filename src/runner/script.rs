//! The guest's half, embedded, and the quoting that its shell needs.

use crate::steps;

/// The starter that is injected; everything else comes on the job's disk.
pub(super) const START: &str = include_str!("guest/start.sh");

/// Where the starter is in the guest.
pub(super) const START_PATH: &str = "/usr/lib/imgforge/runner";

/// Files of the runner proper, relative to its directory.
pub(super) const RUNNER: &[(&str, &str)] = &[
    ("lib/common.sh", include_str!("guest/lib/common.sh")),
    ("lib/facts.sh", include_str!("guest/lib/facts.sh")),
    ("lib/packages.sh", include_str!("guest/lib/packages.sh")),
    ("lib/place.sh", include_str!("guest/lib/place.sh")),
    ("lib/runner.sh", include_str!("guest/lib/runner.sh")),
    ("lib/secrets.sh", include_str!("guest/lib/secrets.sh")),
    ("lib/step.sh", include_str!("guest/lib/step.sh")),
];

/// Files of an image's own first-boot steps, relative to their directory.
pub(super) const INSTANCE: &[(&str, &str)] = &[
    ("lib/common.sh", include_str!("guest/lib/common.sh")),
    ("lib/enable.sh", include_str!("guest/lib/enable.sh")),
    ("lib/instance.sh", include_str!("guest/lib/instance.sh")),
    ("lib/packages.sh", include_str!("guest/lib/packages.sh")),
    ("lib/step.sh", include_str!("guest/lib/step.sh")),
    (
        "init/imgforge-instance.service",
        include_str!("guest/init/imgforge-instance.service"),
    ),
    (
        "init/imgforge-instance.sh",
        include_str!("guest/init/imgforge-instance.sh"),
    ),
];

/// The actions that run in a process of their own, one script a kind of step.
pub(super) fn actions() -> impl Iterator<Item = (String, &'static str)> {
    let scripts = steps::scripts().into_iter();
    scripts.map(|(word, text)| (format!("actions/{word}.sh"), text))
}

/// A name as a part of an environment variable's: `my-name` becomes `MY_NAME`.
pub(super) fn variable(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}
