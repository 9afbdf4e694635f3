//! The proof that an installation succeeded: the stage's key, written by the installer's last act
//! to the new disk and to a port of the guest. Nothing else counts.

use crate::distro;
use crate::error::{Error, Result};
use crate::guest::{Guestfs, Os};
use crate::runner::EVENTS_PORT;

/// Where the key is on the new disk.
const PLACE: &str = "/var/lib/imgforge/installed";

/// What the report begins with; the key follows.
const WORDS: &str = "imgforge installed ";

/// A line of shell, without any quotes, that gives the proof: true when the key is on the disk
/// below `root`. The console, the port `serial`, stands in for a port that the installer's kernel does not have.
pub fn sentinel(key: &str, root: &str, serial: &str) -> String {
    let file = format!("{}{PLACE}", root.trim_end_matches('/'));
    let dir = file.trim_end_matches("/installed");
    format!(
        "( mkdir -p {dir} && echo {key} >{file} && sync || exit 1; \
         modprobe virtio_console 2>/dev/null; cd /sys/class/virtio-ports 2>/dev/null && \
         for port in *; do grep -qx {EVENTS_PORT} $port/name && echo {WORDS}{key} >/dev/$port && exit 0; done; \
         echo {WORDS}{key} >/dev/{serial} )"
    )
}

/// What the installer has reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InstallReport {
    /// Nothing yet.
    #[default]
    None,
    /// The stage's key.
    Right,
    /// Another key.
    Wrong(String),
}

/// Reads reports out of a port's bytes, and out of the console's lines.
#[derive(Debug)]
pub struct Reports {
    key: String,
    buffer: Vec<u8>,
    seen: InstallReport,
}

/// A longer line is no report, in bytes.
const LONGEST: usize = 256;

impl Reports {
    /// Expects the stage's key.
    pub fn new(key: &str) -> Self {
        Reports {
            key: key.to_owned(),
            buffer: vec![],
            seen: InstallReport::None,
        }
    }

    /// What was reported so far. One wrong key is not made good by a right one.
    pub fn seen(&self) -> &InstallReport {
        &self.seen
    }

    /// Takes bytes of the port.
    pub fn port(&mut self, data: &[u8]) {
        for byte in data {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.buffer);
                    self.line(&String::from_utf8_lossy(&line));
                }
                _ if self.buffer.len() < LONGEST => self.buffer.push(*byte),
                _ => {}
            }
        }
    }

    /// Takes a whole line.
    pub fn line(&mut self, line: &str) {
        let Some(key) = line.trim().strip_prefix(WORDS) else {
            return;
        };
        if key == self.key {
            if self.seen == InstallReport::None {
                self.seen = InstallReport::Right;
            }
        } else {
            let key = key.chars().filter(|c| !c.is_control()).take(64).collect();
            self.seen = InstallReport::Wrong(key);
        }
    }
}

/// Compares the key on the mounted disk, and removes it: it has done its work.
///
/// # Errors
/// When it is missing or another's.
pub fn check(guest: &Guestfs, key: &str) -> Result<()> {
    if !guest.is_file(PLACE)? {
        return Err(Error::stage("the installer reported success, but its sentinel is not on the disk")
            .cause(format!("{PLACE} is missing"))
            .hint("the answers' last command must be {{ imgforge_sentinel }}, run where the new system is mounted"));
    }
    let found = guest.read_file(PLACE)?;
    let found = String::from_utf8_lossy(&found);
    if found.trim() != key {
        let found: String = found.chars().take(64).collect();
        return Err(wrong_key(found.trim()));
    }
    guest.rm_f(PLACE)?;
    Ok(())
}

/// The error of a key that is not the stage's.
pub fn wrong_key(found: &str) -> Error {
    Error::stage("the installer reported another installation's key")
        .cause(format!("it reported `{found}`"))
        .hint("write {{ imgforge_sentinel }} into the answer file: it knows the key of each build")
}

/// The name of the installed system for people, as it calls itself.
pub fn product(guest: &Guestfs, os: &Os) -> Option<String> {
    let text = guest.read_file("/etc/os-release").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let name = distro::os_release(&text, "PRETTY_NAME").unwrap_or(&os.product);
    (!name.is_empty() && name != "unknown").then(|| name.to_owned())
}

/// The partition that grows with the disk, as virt-builder names it: the root's, if it is the
/// disk's last.
///
/// # Errors
/// When the disk cannot be read.
pub fn expand(guest: &Guestfs, os: &Os) -> Result<Option<String>> {
    let is_partition = os.root.starts_with("/dev/sda") && os.root != "/dev/sda";
    let partitions = guest.list_partitions()?;
    let number = |name: &String| name.trim_start_matches("/dev/sda").parse::<u32>().ok();
    let last = partitions.iter().max_by_key(|name| number(name));
    Ok((is_partition && last == Some(&os.root)).then(|| os.root.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentinel_is_one_line_without_quotes() {
        let line = sentinel("c0ffee", "/target", "ttyS0");
        assert!(!line.contains(['\'', '"', '\\', '\n', '#']), "{line}");
        insta::assert_snapshot!(line, @"( mkdir -p /target/var/lib/imgforge && echo c0ffee >/target/var/lib/imgforge/installed && sync || exit 1; modprobe virtio_console 2>/dev/null; cd /sys/class/virtio-ports 2>/dev/null && for port in *; do grep -qx org.imgforge.0 $port/name && echo imgforge installed c0ffee >/dev/$port && exit 0; done; echo imgforge installed c0ffee >/dev/ttyS0 )");
        assert!(sentinel("c0ffee", "/", "ttyS0").contains(">/var/lib/imgforge/installed "));
    }

    #[test]
    fn only_the_right_key_is_success() {
        let mut reports = Reports::new("c0ffee");
        reports.port(b"imgforge inst");
        assert_eq!(*reports.seen(), InstallReport::None);
        reports.port(b"alled c0ffee\n");
        assert_eq!(*reports.seen(), InstallReport::Right);
        reports.line("imgforge installed deadbeef");
        assert_eq!(*reports.seen(), InstallReport::Wrong("deadbeef".into()));
        reports.line("imgforge installed c0ffee");
        assert_eq!(*reports.seen(), InstallReport::Wrong("deadbeef".into()));
    }

    #[test]
    fn a_line_that_only_mentions_it_is_no_report() {
        let mut reports = Reports::new("c0ffee");
        reports.line("+ echo imgforge installed c0ffee");
        reports.port(&[b'x'; 10_000]);
        reports.port(b"\nnothing\n");
        assert_eq!(*reports.seen(), InstallReport::None);
    }
}
