//! What a killed imgforge left behind, found by what the ledger knows, and ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use uuid::Uuid;

use crate::error::{Context as _, Error, Result};
use crate::host::ours;
use crate::store::ledger::Item;

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// Clears one item of a ledger whose owner is gone; says what was done.
///
/// # Errors
/// When a process does not end or a directory cannot be removed: keep the item then.
pub fn sweep(item: &Item) -> Result<Vec<String>> {
    item.check()?;
    match item {
        Item::Domain { name, uuid } => sweep_domain(name, *uuid),
        Item::Process { pid, start } => Ok(sweep_process(*pid, *start)?.into_iter().collect()),
        Item::Scratch { path } => Ok(sweep_scratch(path)?.into_iter().collect()),
    }
}

/// Removes a directory or file of ours, if it is there; says what was done.
///
/// # Errors
/// When it cannot be removed.
pub fn sweep_scratch(path: &Path) -> Result<Option<String>> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(None),
    };
    removed.doing(|| format!("removing {}", path.display()))?;
    Ok(Some(format!("removed {}", path.display())))
}

/// Ends the QEMU processes of a domain and removes its log; says what was done.
///
/// # Errors
/// When a process does not end.
pub fn sweep_domain(name: &str, uuid: Uuid) -> Result<Vec<String>> {
    let ended = end_qemu(uuid, None)?;
    remove_logs(name);
    if !ended.is_empty() {
        // A daemon that runs on notes the end in the log, which makes it anew.
        std::thread::sleep(Duration::from_millis(300));
        remove_logs(name);
    }
    let say = |pid: Pid| format!("ended the guest {name} (process {})", pid.as_raw_nonzero());
    Ok(ended.into_iter().map(say).collect())
}

/// Kills the QEMU processes of a domain, as [`own_qemu`] knows them, and waits for their end.
pub(super) fn end_qemu(uuid: Uuid, daemon: Option<u32>) -> Result<Vec<Pid>> {
    let processes = own_qemu(uuid, daemon);
    for pid in &processes {
        end_process(*pid)?;
    }
    Ok(processes)
}

/// Ends the process group of `pid` if that is still the process that started at `start`
/// (see [`start_time`]); says what was done.
///
/// # Errors
/// When the process does not end.
pub fn sweep_process(pid: u32, start: u64) -> Result<Option<String>> {
    let Some(leader) = Pid::from_raw(pid as i32) else {
        return Ok(None);
    };
    if start_time(pid) != Some(start) {
        return Ok(None);
    }
    end(leader, || {
        let _ = match getpgid(Some(leader)) {
            Ok(group) if group == leader => kill_process_group(leader, Signal::KILL),
            _ => kill_process(leader, Signal::KILL),
        };
    })?;
    Ok(Some(format!("ended the process {pid}")))
}

/// When a process started, in clock ticks since boot: with the process id, its identity.
pub fn start_time(pid: u32) -> Option<u64> {
    stat(pid, STARTED)
}

/// Fields of proc(5)'s `stat`, by their numbers there.
const PARENT: usize = 4;
const STARTED: usize = 22;

fn stat<T: FromStr>(pid: u32, field: usize) -> Option<T> {
    parse(
        &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?,
        field,
    )
}

/// The second field may hold blanks and parentheses.
fn parse<T: FromStr>(stat: &str, field: usize) -> Option<T> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(field - 3)?.parse().ok()
}

/// QEMU processes whose command line carries `uuid` as the machine's.
pub fn qemu_processes(uuid: Uuid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return vec![];
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|cmdline| has_uuid(&cmdline, &uuid.to_string()))
        })
        .filter_map(Pid::from_raw)
        .collect()
}

/// Of those the ones that libvirt started for us: anybody can give a process such words. They are below
/// our own `daemon`; any other starts them as this user. What a daemon of root's that is gone has
/// left, was nobody's.
pub(super) fn own_qemu(uuid: Uuid, daemon: Option<u32>) -> Vec<Pid> {
    let nobody = match ours::me() {
        // As `confine.sh` has them.
        0 => [0x7000_0000 + (uuid.as_fields().0 & 0xff_ffff), 65534].to_vec(),
        _ => vec![],
    };
    let mut processes = qemu_processes(uuid);
    processes.retain(|pid| {
        let pid = pid.as_raw_nonzero().get() as u32;
        let mut up = std::iter::successors(Some(pid), |pid| stat(*pid, PARENT));
        match (daemon, user(pid)) {
            (Some(daemon), _) => up.any(|pid| pid == daemon),
            (None, user) => user.is_some_and(|user| user == ours::me() || nobody.contains(&user)),
        }
    });
    processes
}

/// Who started it, whatever rights it has: root's may come with the program.
fn user(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().next()?.parse().ok()
}

fn has_uuid(cmdline: &[u8], uuid: &str) -> bool {
    let args: Vec<&[u8]> = cmdline.split(|byte| *byte == 0).collect();
    args.windows(2)
        .any(|pair| pair[0] == b"-uuid" && pair[1].eq_ignore_ascii_case(uuid.as_bytes()))
}

/// Ends the children of a process and waits for their end.
pub(super) fn end_children(pid: u32) -> Result<()> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| Pid::from_raw(child.parse().ok()?))
        .try_for_each(end_process)
}

fn end_process(pid: Pid) -> Result<()> {
    end(pid, || {
        let _ = kill_process(pid, Signal::KILL);
    })
}

fn end(pid: Pid, kill: impl Fn()) -> Result<()> {
    let raw = pid.as_raw_nonzero().get() as u32;
    let started = start_time(raw);
    let deadline = Instant::now() + GONE_WITHIN;
    kill();
    while start_time(raw) == started && started.is_some() && !is_zombie(raw) {
        if Instant::now() > deadline {
            return Err(Error::host(format!("process {raw} does not end"))
                .hint("it may wait for a disk; run `imgforge gc` again later"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.trim_start().starts_with('Z')))
        .unwrap_or(true)
}

/// libvirt keeps the log of a transient domain for ever.
pub(super) fn remove_logs(name: &str) {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".cache")));
    let session = cache.map(|cache| cache.join("libvirt/qemu/log"));
    for dir in [Some(PathBuf::from("/var/log/libvirt/qemu")), session]
        .into_iter()
        .flatten()
    {
        drop(fs::remove_file(dir.join(format!("{name}.log"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;
    use std::io::Read as _;

    #[test]
    fn the_start_time_survives_a_hostile_process_name() {
        let tail = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        let parse = |stat: &str| parse::<u64>(stat, STARTED);
        assert_eq!(parse(&format!("7 (a) b (c)) {tail}")), Some(4242));
        assert_eq!(parse("7 (x) S 1"), None);
        assert!(start_time(std::process::id()).is_some());
    }

    #[test]
    fn only_the_machines_own_uuid_counts() {
        let uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        let line = |text: &str| text.replace(' ', "\0").into_bytes();
        assert!(has_uuid(&line(&format!("qemu -uuid {uuid} -m 1")), uuid));
        assert!(!has_uuid(&line(&format!("grep {uuid}")), uuid));
        assert!(!has_uuid(&line("qemu -uuid"), uuid));
    }

    /// Whoever can start a program gives it any words.
    #[test]
    fn what_another_user_calls_so_is_no_qemu_of_ours() {
        let uuid = Uuid::new_v4();
        // It starts nothing, which would have the same words for a moment.
        let words = ["-c", "echo up; kill -STOP $$; exit", "x", "-uuid"];
        let start = |program: Program| {
            let program = program.args(words).arg(uuid.to_string());
            let mut running = program.spawn().unwrap();
            // It has its user by then.
            let mut up = [0; 3];
            running.take_stdout().read_exact(&mut up).unwrap();
            (Pid::from_raw(running.id() as i32).unwrap(), running)
        };
        let (own, running) = start(Program::new("sh"));
        let other = (ours::me() == 0).then(|| start(Program::new("sh").as_user(12345)));
        let all = 1 + other.iter().count();
        assert_eq!(qemu_processes(uuid).len(), all);
        assert_eq!(own_qemu(uuid, None), [own]);
        assert_eq!(own_qemu(uuid, Some(running.id())), [own]);
        assert_eq!(own_qemu(uuid, Some(std::process::id())).len(), all);
    }

    #[test]
    fn scratch_is_removed_once_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (scratch, kept, link) = (
            dir.path().join("s"),
            dir.path().join("k"),
            dir.path().join("l"),
        );
        fs::create_dir_all(scratch.join("deep")).unwrap();
        fs::create_dir(&kept).unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        for path in [scratch, link] {
            assert!(sweep_scratch(&path).unwrap().is_some());
            assert_eq!(sweep_scratch(&path).unwrap(), None);
        }
        assert!(kept.is_dir());
    }

    #[test]
    fn a_process_is_ended_only_when_its_start_time_matches() {
        let mut running = Program::new("sleep").arg("infinity").spawn().unwrap();
        let start = start_time(running.id()).unwrap();
        assert_eq!(sweep_process(running.id(), start + 1).unwrap(), None);
        assert!(running.try_status().unwrap().is_none());
        assert!(sweep_process(running.id(), start).unwrap().is_some());
        assert!(running.try_status().unwrap().is_some());
    }
}
