//! The guest's half, embedded, and the quoting that its shell needs.

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
    ("ansible/imgforge.py", include_str!("../steps/ansible.py")),
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

/// The actions that run in a process of their own.
pub(super) const ACTIONS: &[(&str, &str)] = &[
    ("actions/ansible.sh", include_str!("../steps/ansible.sh")),
    (
        "actions/cloud-init.sh",
        include_str!("../steps/cloud-init.sh"),
    ),
    ("actions/files.sh", include_str!("../steps/files.sh")),
    ("actions/packages.sh", include_str!("../steps/packages.sh")),
    ("actions/puppet.sh", include_str!("../steps/puppet.sh")),
    (
        "actions/repository.sh",
        include_str!("../steps/repository.sh"),
    ),
    ("actions/shell.sh", include_str!("../steps/shell.sh")),
    ("actions/system.sh", include_str!("../steps/system.sh")),
    ("actions/upgrade.sh", include_str!("../steps/upgrade.sh")),
    ("actions/users.sh", include_str!("../steps/users.sh")),
];

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
