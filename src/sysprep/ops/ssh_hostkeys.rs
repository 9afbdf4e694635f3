use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "ssh-hostkeys",
    "Remove the SSH host keys",
    "Removes the host keys. On Debian and its kin, whose server does not make missing ones, a \
     unit of the image makes them at the first boot.",
    run,
)
.gone(&[
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
])
.stay(&["etc/ssh/sshd_config", "usr/sbin/sshd"]);

const UNIT: &str = "/etc/systemd/system/imgforge-ssh-hostkeys.service";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/imgforge-ssh-hostkeys.service";
const SCRIPT: &str = "/etc/init.d/imgforge-ssh-hostkeys";

const UNIT_TEXT: &str = "\
[Unit]
Description=SSH host keys of this machine
Documentation=man:ssh-keygen(1)
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key
Before=ssh.service ssh.socket sshd.service sshd-keygen.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
";

const SCRIPT_TEXT: &str = "\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          imgforge-ssh-hostkeys
# Required-Start:    $local_fs
# Required-Stop:
# Default-Start:     S
# Default-Stop:
# Short-Description: SSH host keys of this machine
### END INIT INFO
[ \"$1\" != start ] || /usr/bin/ssh-keygen -A
";

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.remove(&["/etc/ssh/*_host_*"])?;
    let guest = root.guest;
    if !root.is_deb() || !guest.is_file("/usr/sbin/sshd")? {
        return Ok(());
    }
    if guest.is_dir("/usr/lib/systemd/system")? || guest.is_dir("/lib/systemd/system")? {
        root.install(UNIT, UNIT_TEXT, 0o644)?;
        guest.mkdir_p("/etc/systemd/system/multi-user.target.wants")?;
        return root.link(WANTED, "../imgforge-ssh-hostkeys.service");
    }
    if guest.is_dir("/etc/rcS.d")? {
        root.install(SCRIPT, SCRIPT_TEXT, 0o755)?;
        // Everything of runlevel S is done before the server of the next one starts.
        return root.link(
            "/etc/rcS.d/S99imgforge-ssh-hostkeys",
            "../init.d/imgforge-ssh-hostkeys",
        );
    }
    Ok(())
}
