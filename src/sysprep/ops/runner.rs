pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "runner",
    "Remove imgforge's runner",
    "Removes what configured the guest at its first boot. Steps that the recipe wants at the \
     first boot of every machine stay.",
    &[
        "/usr/lib/imgforge",
        "/var/lib/imgforge-runner",
        "/etc/systemd/system/imgforge-runner.service",
        "/etc/systemd/system/imgforge-start.service",
        "/etc/systemd/system/*.wants/imgforge-runner.service",
        "/etc/systemd/system/*.wants/imgforge-start.service",
        "/etc/init.d/imgforge",
        "/etc/init.d/imgforge-runner",
        "/etc/rc?.d/[SK]??imgforge",
        "/etc/rc?.d/[SK]??imgforge-runner",
        "/etc/runlevels/default/imgforge",
        // What a build's guest has only for its time.
        "/etc/systemd/system.conf.d/zz-imgforge.conf",
        "/etc/systemd/system/*.service.d/zz-imgforge.conf",
        "/etc/needrestart/conf.d/zz-imgforge.conf",
    ],
)
.ours()
.gone(&[
    "usr/lib/imgforge/runner",
    "etc/systemd/system/imgforge-runner.service",
    "etc/rc2.d/S99imgforge",
    "etc/systemd/system.conf.d/zz-imgforge.conf",
    "etc/systemd/system/sshd.service.d/zz-imgforge.conf",
    "etc/needrestart/conf.d/zz-imgforge.conf",
])
.stay(&[
    "etc/init.d/imgforge-instance",
    "etc/systemd/system/imgforge-instance.service",
    "usr/lib/imgforge-instance/steps",
]);
