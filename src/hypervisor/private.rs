//! A libvirt daemon of our own, for root on a host where none runs.
//!
//! It lives in a mount namespace, so that it sees none of the host's domains and networks, and
//! in a process namespace, so that the kernel ends it and every QEMU with it the moment its
//! first process dies: at our end, however that comes.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::{self, Program, Running};
use crate::host::{confine, interrupt, listening};
use crate::hypervisor::{apart, sweep};
use crate::machine::Arch;
use crate::store::ledger::{Item, Ledger, Record};

/// How long the daemon may take to answer; 0.2 s is usual.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// No network ports, no passwords: the socket is in a directory of mode 0700.
const DAEMON_CONF: &str = r#"listen_tls = 0
listen_tcp = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
log_outputs = "3:file:/var/log/libvirt/daemon.log"
"#;

/// QEMU is root to libvirt, and nobody in truth, see [`confine`]: no owner changes, no cgroups, no log daemon.
const QEMU_CONF: &str = r#"user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"#;

/// Runs as the first process of the namespaces, and reaps: `$1` is the private directory, where programs
/// can be started then, and `$2` the daemon. Images and virt-install's boot files under /var/lib/libvirt stay visible.
/// virt-install has nowhere to put those where Debian's system daemon, whose package makes the
/// directory, is not installed.
/// libvirtd does not start without its default user, though it is told to use another, and Debian
/// creates that user with the system daemon's package only: here it is another name of root.
const INIT: &str = r#"set -e
exec >&2
mount --bind "$1" "$1"
mount -o remount,bind,exec "$1"
for list in passwd:0::/:/usr/sbin/nologin group:; do
  if ! getent "${list%%:*}" libvirt-qemu >/dev/null; then
    { cat "/etc/${list%%:*}"; echo "libvirt-qemu:x:0:${list#*:}"; } >"$1/${list%%:*}"
    mount --bind "$1/${list%%:*}" "/etc/${list%%:*}"
  fi
done
[ -d /var/lib/libvirt/boot ] || install -d -m 0711 /var/lib/libvirt/boot
for kept in images boot; do
  if [ -d "/var/lib/libvirt/$kept" ]; then
    mkdir -p "$1/lib/$kept"
    mount --rbind "/var/lib/libvirt/$kept" "$1/lib/$kept"
  fi
done
for pair in etc:/etc/libvirt run:/run/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
  mkdir -p "${pair#*:}"
  mount --rbind "$1/${pair%%:*}" "${pair#*:}"
done
"$2" --pid-file /run/libvirt/daemon.pid &
wait $!
"#;

/// The running daemon. Dropping it ends it and all its guests.
#[derive(Debug)]
pub struct Daemon {
    /// The process outside of the namespace; dropping it kills the group.
    running: Running,
    dir: PathBuf,
    /// Private keys of imgforge's own, which no guest's QEMU sees.
    keys: PathBuf,
    uri: String,
    _record: Record,
    /// Ends the thread that is the daemon's parent.
    _parent: mpsc::Sender<()>,
}

impl Daemon {
    /// Starts one with its files below `dir`, and waits until it listens.
    ///
    /// # Errors
    /// When no daemon is installed, the namespaces are refused, or it does not come up.
    pub fn start(dir: &Path, ledger: &Ledger) -> Result<Daemon> {
        let program = exec::find("libvirtd")
            .or_else(|| exec::find("virtqemud"))
            .ok_or_else(|| {
                Error::host("no libvirt daemon runs, and none is installed")
                    .hint("install it: apt install libvirt-daemon")
            })?;
        let base = dir.join("libvirt");
        write_config(&base)
            .doing(|| format!("preparing a libvirt daemon in {}", base.display()))?;
        let (running, parent) = apart::spawn_from_a_lasting_thread(command(&base, &program))?;
        let start = sweep::start_time(running.id()).unwrap_or_default();
        let record = ledger.record(&Item::Process {
            pid: running.id(),
            start,
        })?;
        let name = if program.ends_with("virtqemud") {
            "virtqemud-sock"
        } else {
            "libvirt-sock"
        };
        let socket = base.join("run").join(name);
        let mut daemon = Daemon {
            running,
            uri: format!("qemu:///system?socket={}", socket.display()),
            dir: base,
            keys: ledger.state().join("gnupg"),
            _record: record,
            _parent: parent,
        };
        daemon.wait_for(&socket)?;
        Ok(daemon)
    }

    /// The process that all of it is below.
    pub(super) fn id(&self) -> u32 {
        self.running.id()
    }

    /// The URI that reaches this daemon, from any process of this user.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// What it starts in place of the QEMU of an architecture: [`confine`]'s program. A guest names it, as
    /// QEMU may be installed, or replaced, while the daemon runs.
    ///
    /// # Errors
    /// When QEMU is not installed, or the file cannot be written.
    pub(super) fn emulator(&self, arch: Arch) -> Result<PathBuf> {
        let (name, qemu) = apart::qemu(arch)?;
        let file = self.dir.join(name);
        let runtime = self.dir.parent().unwrap_or(&self.dir);
        let text = confine::for_daemon(&qemu, runtime, &self.keys);
        let written = text.and_then(|text| apart::write_emulator(&file, &text));
        written.doing(|| format!("writing {}", file.display()))?;
        Ok(file)
    }

    /// Adds to an error what the daemon said last.
    pub fn explain(&self, error: Error) -> Error {
        let log = std::fs::read(self.dir.join("log/daemon.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let said = format!("{}\n{log}", self.running.stderr_tail());
        let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
        error.evidence(lines[lines.len().saturating_sub(8)..].iter().copied())
    }

    fn wait_for(&mut self, socket: &Path) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        listening::wait(socket, || {
            interrupt::check()?;
            let how = match self.running.try_status()? {
                Some(_) => "ended at once",
                None if Instant::now() > deadline => "does not come up",
                None => return Ok(()),
            };
            let error = Error::host(format!("the private libvirt daemon {how}"));
            Err(self.explain(error.hint(
                "start the host's own (systemctl start libvirtd), or run as an ordinary user",
            )))
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The first process of the namespace is gone only when all others are.
        drop(sweep::end_children(self.running.id()));
    }
}

fn write_config(base: &Path) -> std::io::Result<()> {
    for dir in ["etc", "run", "lib", "cache", "log"] {
        std::fs::create_dir_all(base.join(dir))?;
    }
    std::fs::write(base.join("etc/libvirtd.conf"), DAEMON_CONF)?;
    std::fs::write(base.join("etc/virtqemud.conf"), DAEMON_CONF)?;
    std::fs::write(base.join("etc/qemu.conf"), QEMU_CONF)
}

fn command(base: &Path, program: &Path) -> Program {
    Program::new("sh")
        .in_namespaces(&["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["-c", INIT, "imgforge-libvirt"])
        .arg(base)
        .arg(program)
        // systemd-machined would take the namespace's process ids for the host's.
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
        .hint("namespaces need the right CAP_SYS_ADMIN; start the host's own libvirtd instead")
}
