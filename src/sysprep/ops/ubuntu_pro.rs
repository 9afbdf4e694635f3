pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "ubuntu-pro",
    "Detach from Ubuntu Pro",
    "Removes the token and the credentials of an attached Ubuntu Pro machine, and the package \
     sources that need them. Machines made from the image attach with a token of their own.",
    &[
        "/var/lib/ubuntu-advantage/private/*",
        "/var/lib/ubuntu-advantage/machine-id",
        "/var/lib/ubuntu-advantage/machine-token.json",
        "/var/lib/ubuntu-advantage/status.json",
        "/var/lib/ubuntu-pro/private/*",
        "/etc/apt/auth.conf.d/90ubuntu-advantage",
        "/etc/apt/sources.list.d/ubuntu-esm-*",
        "/etc/apt/sources.list.d/ubuntu-fips*",
        "/etc/apt/sources.list.d/ubuntu-ros*",
        "/etc/apt/sources.list.d/ubuntu-realtime-kernel.*",
        "/etc/apt/sources.list.d/ubuntu-cc-eal.*",
        "/etc/apt/sources.list.d/ubuntu-cis.*",
        "/etc/apt/sources.list.d/ubuntu-usg.*",
        "/etc/apt/sources.list.d/ubuntu-anbox-cloud.*",
    ],
)
.ours()
.gone(&[
    "var/lib/ubuntu-advantage/private/machine-token.json",
    "etc/apt/sources.list.d/ubuntu-esm-apps.sources",
]);
