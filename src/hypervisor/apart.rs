//! A network for one guest that has none of this host's own services.
//!
//! QEMU is started in a network namespace of its own, by [`private`](super::private)'s program in its
//! place or, in a user's session, by the one of [`emulator`]. [`Pasta`] connects that namespace to the
//! host's network, and ports of its loopback to the same ones of the host's: imgforge's proxy. Where the host
//! has no route, and where a guest shall reach nothing else, a [door](super::door) does the second alone.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::error::{Context as _, Error, Result};
use crate::host::confine;
use crate::host::exec::{self, Program, Running};
use crate::host::interrupt;
use crate::host::tools::{self, Tool};
use crate::machine::Arch;

/// How long pasta may take; 0.1 s is usual.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(10);

/// What pasta takes for the host's name server, on whatever address of the host that is.
const NAMES: &str = "169.254.1.1";

/// What a session's daemon starts in place of QEMU.
const APART: &str = include_str!("apart.sh");

/// Connects one guest. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Pasta {
    running: Running,
    /// Ends the thread that is pasta's parent.
    _parent: mpsc::Sender<()>,
}

impl Pasta {
    /// Connects the network namespace of the process `qemu`, as its user. `ports` are of this host's
    /// loopback. It needs a host that [has a route](has_route).
    ///
    /// # Errors
    /// When pasta is missing or refuses.
    pub(super) fn start(qemu: Pid, ports: &[u16]) -> Result<Pasta> {
        tools::need([Tool::Pasta])?;
        let process = PathBuf::from(format!("/proc/{}", qemu.as_raw_nonzero()));
        let owner = fs::metadata(&process)
            .doing(|| "looking for the guest's process".into())?
            .uid();
        let (running, parent) = spawn_from_a_lasting_thread(command(qemu, owner, ports))?;
        let mut pasta = Pasta {
            running,
            _parent: parent,
        };
        pasta.wait(&process.join("net"), ports)?;
        Ok(pasta)
    }

    fn wait(&mut self, net: &Path, ports: &[u16]) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !is_ready(net, ports) {
            interrupt::check()?;
            let how = match self.running.try_status()? {
                Some(_) => "ended at once",
                None if Instant::now() > deadline => "does not come up",
                None => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            let said = self.running.stderr_tail();
            let lines = said.lines().filter(|line| !line.contains("to syslog"));
            return Err(Error::host(format!("the guest gets no network: pasta {how}"))
                .evidence(lines)
                .hint("it needs /dev/net/tun (modprobe tun), and the right to make user name spaces"));
        }
        Ok(())
    }
}

fn command(qemu: Pid, owner: u32, ports: &[u16]) -> Program {
    let program = match rustix::process::geteuid().as_raw() == owner {
        true => Program::new("pasta"),
        false => Program::new("pasta").as_user(owner),
    };
    let numbers: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports = match numbers[..] {
        [] => "none".to_owned(),
        _ => numbers.join(","),
    };
    program
        .args(["--foreground", "--quiet", "--config-net", "--no-map-gw"])
        .args(["--dns-forward", NAMES, "--tcp-ns", &ports])
        .args([
            "--tcp-ports",
            "none",
            "--udp-ports",
            "none",
            "--udp-ns",
            "none",
        ])
        .arg(qemu.as_raw_nonzero().to_string())
}

/// Whether the namespace has its card, and listens on `ports`. `net` is its directory in proc(5).
fn is_ready(net: &Path, ports: &[u16]) -> bool {
    let text = |name: &str| fs::read_to_string(net.join(name)).unwrap_or_default();
    let card = |line: &str| {
        let name = line.split_once(':').map(|(name, _)| name.trim());
        name.is_some_and(|name| name != "lo")
    };
    let listening = text("tcp");
    let heard = |port: &u16| {
        let local = format!(":{port:04X}");
        listening.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().take(4).collect();
            matches!(words[..], [_, at, _, "0A"] if at.ends_with(&local))
        })
    };
    text("dev").lines().any(card) && ports.iter().all(heard)
}

/// Whether this host has a default route.
pub(super) fn has_route() -> bool {
    let v4 = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let zero = |word: Option<&str>| word.is_some_and(|word| word.bytes().all(|b| b == b'0'));
    let v4 = v4.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        zero(words.next()) && zero(words.nth(5))
    });
    v4 || v6.lines().any(|line| {
        let mut words = line.split_whitespace();
        zero(words.next()) && zero(words.next()) && line.split_whitespace().last() != Some("lo")
    })
}

/// The QEMU of an architecture: what it is called, and where it is.
///
/// # Errors
/// When it is not installed.
pub(super) fn qemu(arch: Arch) -> Result<(&'static str, PathBuf)> {
    let tool = Tool::Qemu(arch);
    tools::need([tool])?;
    let program = tool.program();
    Ok((program, exec::find(program).unwrap_or_default()))
}

/// What a session's libvirt daemon starts in place of QEMU. Its path stays the same, as libvirt
/// keeps by it what it learnt about QEMU; its bytes change with QEMU, so that libvirt asks again.
///
/// # Errors
/// When QEMU is not installed, or the user's cache directory cannot be written.
pub(super) fn emulator(arch: Arch) -> Result<PathBuf> {
    let (name, qemu) = qemu(arch)?;
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let dir = cache
        .filter(|dir| dir.is_absolute())
        .or(home)
        .ok_or_else(|| Error::host("HOME is not set").hint("libvirt needs it, too"))?
        .join("imgforge");
    let file = dir.join(name);
    let written = text(&qemu).and_then(|text| write_emulator(&file, &text));
    written.doing(|| format!("writing {}", file.display()))?;
    Ok(file)
}

fn text(qemu: &Path) -> std::io::Result<String> {
    let found = fs::metadata(qemu)?;
    let quoted = exec::quote(&qemu.to_string_lossy());
    let text = APART.replace("@QEMU@", &quoted);
    Ok(text.replace("@VERSION@", &confine::version(&found)?))
}

/// Writes what is started in place of QEMU, unless it is there, and beside it pasta's name server as a
/// resolv.conf(5).
pub(super) fn write_emulator(file: &Path, text: &str) -> std::io::Result<()> {
    if fs::read(file).is_ok_and(|bytes| bytes == text.as_bytes()) {
        return Ok(());
    }
    let dir = file.parent().unwrap_or(file);
    fs::create_dir_all(dir)?;
    let new = tempfile::TempDir::new_in(dir)?;
    // Another guest may read it just now.
    let names = new.path().join("resolv.conf");
    fs::write(&names, format!("nameserver {NAMES}\n"))?;
    fs::rename(names, dir.join("resolv.conf"))?;
    let program = new.path().join("program");
    exec::write_program(&program, text).map_err(std::io::Error::other)?;
    fs::rename(program, file)
}

/// The parent-death signal comes when the *thread* that started a program ends, so a program
/// that is shared by threads gets one of its own.
pub(super) fn spawn_from_a_lasting_thread(program: Program) -> Result<(Running, mpsc::Sender<()>)> {
    let (stop, stopped) = mpsc::channel::<()>();
    let (started, result) = mpsc::channel();
    std::thread::Builder::new()
        .name("parent".into())
        .spawn(move || {
            drop(started.send(program.spawn()));
            let _ = stopped.recv();
        })
        .doing(|| "starting a thread".into())?;
    let running = result
        .recv()
        .map_err(|_| Error::internal("the thread of a program died"))??;
    Ok((running, stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_the_name_servers_reads_all_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let (program, names) = (dir.path().join("qemu"), dir.path().join("resolv.conf"));
        write_emulator(&program, "one").unwrap();
        let before = fs::metadata(&names).unwrap().ino();
        write_emulator(&program, "another").unwrap();
        assert_ne!(fs::metadata(&names).unwrap().ino(), before);
    }
}
