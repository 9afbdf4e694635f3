pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "cloud-init",
    "Make cloud-init start anew",
    "Removes cloud-init's state of the build machine, its logs and the network configuration \
     that it wrote, so that it treats every clone as new. A seed in the image stays.",
    &[
        "/var/lib/cloud/data",
        "/var/lib/cloud/handlers",
        "/var/lib/cloud/instance",
        "/var/lib/cloud/instances",
        "/var/lib/cloud/scripts/per-boot/*",
        "/var/lib/cloud/scripts/per-instance/*",
        "/var/lib/cloud/scripts/per-once/*",
        "/var/lib/cloud/sem",
        "/var/log/cloud-init.log",
        "/var/log/cloud-init-output.log",
        "/etc/netplan/50-cloud-init.yaml",
        "/etc/network/interfaces.d/50-cloud-init",
        "/etc/network/interfaces.d/50-cloud-init.cfg",
        "/etc/systemd/network/10-cloud-init-*.network",
        "/etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
        "/etc/ssh/sshd_config.d/50-cloud-init.conf",
        "/etc/udev/rules.d/70-persistent-net.rules",
    ],
)
.ours()
.gone(&[
    "var/lib/cloud/instances/i-1/sem/x",
    "etc/netplan/50-cloud-init.yaml",
])
.stay(&[
    "etc/netplan/01-site.yaml",
    "var/lib/cloud/seed/nocloud/user-data",
]);
