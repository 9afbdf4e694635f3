//! Lets virt-install create the guest, and takes the guest over.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::host::exec::{Program, Running};
use crate::hypervisor::{Domain, Expected};
use crate::ui::StageUi;
use crate::units;

/// How long virt-install may take for its own clean-up.
const LEAVE_WITHIN: Duration = Duration::from_secs(60);

/// How often a wait looks.
const POLL: Duration = Duration::from_millis(20);

/// How virt-install is run.
#[derive(Debug)]
pub struct Call<'a> {
    /// Its arguments.
    pub argv: &'a [String],
    /// Private directory for its log.
    pub scratch: &'a Path,
    /// How long it may take, with downloads.
    pub limit: Duration,
    /// Who hears what it prints.
    pub ui: &'a StageUi,
}

/// virt-install while it runs. Dropping it interrupts it, so that it removes its own files.
struct Guard(Option<Running>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            running.interrupt(LEAVE_WITHIN);
        }
    }
}

/// Runs virt-install until the guest is there, with its console and its port.
///
/// # Errors
/// When virt-install fails, takes too long, or imgforge is interrupted.
pub fn launch(call: &Call<'_>, mut expected: Expected) -> Result<Domain> {
    let mut running = Program::new("virt-install")
        .args(call.argv)
        .env("XDG_CACHE_HOME", call.scratch)
        .interrupted_with_us()
        .hint("apt install virtinst")
        .spawn()?;
    show(running.take_stdout(), call.ui);
    let mut guard = Guard(Some(running));
    let started = Instant::now();
    while !expected.has_come()? {
        if started.elapsed() > call.limit {
            return Err(Error::stage(format!(
                "virt-install did not start the installer within {}",
                units::elapsed(call.limit)
            ))
            .hint("raise `timeout:` of the recipe's `virt-install:`, or check the network"));
        }
        if let Some(Some(status)) = guard.0.as_mut().map(Running::try_status).transpose()? {
            let said = guard.0.take().map(|running| running.stderr_tail());
            // It ends when the guest is created; a moment later the guest is there.
            if !(status.success() && arrives(&mut expected)?) {
                return Err(explain(&said.unwrap_or_default()));
            }
        }
        std::thread::sleep(POLL);
    }
    let domain = expected.adopt()?;
    finish(&mut guard);
    Ok(domain)
}

/// Waits a little for a guest that virt-install has created.
fn arrives(expected: &mut Expected) -> Result<bool> {
    let deadline = Instant::now() + LEAVE_WITHIN;
    while Instant::now() < deadline {
        if expected.has_come()? {
            return Ok(true);
        }
        std::thread::sleep(POLL);
    }
    Ok(false)
}

/// virt-install has nothing to do any more: it removes what it made for the start, and ends.
fn finish(guard: &mut Guard) {
    let deadline = Instant::now() + LEAVE_WITHIN;
    while let Some(running) = guard.0.as_mut() {
        if !matches!(running.try_status(), Ok(None)) || Instant::now() > deadline {
            guard.0 = None;
        }
        std::thread::sleep(POLL);
    }
}

fn show(stdout: ChildStdout, ui: &StageUi) {
    let ui = ui.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout)
            .split(b'\n')
            .map_while(|line| line.ok())
        {
            let line = String::from_utf8_lossy(&line);
            // Its progress bars begin the line again and again.
            let line = line.rsplit('\r').find(|part| !part.trim().is_empty());
            if let Some(line) = line {
                ui.line(format!("virt-install: {}", line.trim_end()));
            }
        }
    });
}

/// What virt-install complains about, what that means, and what to do.
const COMPLAINTS: &[(&str, &str, &str)] = &[
    (
        "The URL could not be accessed",
        "the install tree cannot be read",
        "check `media: {location: …}`, the network and http_proxy; `imgforge doctor` asks the mirrors",
    ),
    (
        "Could not find an installable distribution",
        "there is no install tree at the recipe's location",
        "check `media: {location: …}`: an install tree has .treeinfo (Fedora, RHEL), or \
         dists/SUITE/main/installer-ARCH (Debian); for an ISO image write `media: {iso: …}`",
    ),
    (
        "Couldn't find kernel for install tree",
        "the media have no installer's kernel",
        "check `media:` of the recipe; `media: {boot: {kernel: …, initrd: …}}` names the files themselves",
    ),
    (
        "Couldn't acquire file",
        "a file of the media cannot be read",
        "check `media:` of the recipe",
    ),
    (
        "Cannot allocate memory",
        "this host has not enough free memory for the guest",
        "lower `machine: {memory: …}`, or end other programs",
    ),
    (
        "cannot set up guest memory",
        "this host has not enough free memory for the guest",
        "lower `machine: {memory: …}`, or end other programs",
    ),
    (
        "Network not found",
        "libvirt has no such network",
        "`virsh net-list --all` shows the networks; `machine: {network: user}` needs none",
    ),
    (
        "is not active",
        "the libvirt network is not started",
        "`virsh net-start NAME` starts it; `machine: {network: user}` needs none",
    ),
    (
        "Cannot get interface MTU",
        "the host has no such bridge",
        "`ip link show type bridge` lists the bridges; `machine: {network: user}` needs none",
    ),
    (
        "unrecognized arguments",
        "virt-install does not know an argument",
        "check `extra-args:` of the recipe's `virt-install:`",
    ),
    (
        "Permission denied",
        "libvirt may not read a file or use a device of the installation",
        "an ordinary user's guests run under qemu:///session: leave --connect away",
    ),
    (
        "No space left on device",
        "there is no space for the installer's files",
        "virt-install copies kernel and initrd below /var/lib/libvirt/boot",
    ),
];

/// virt-install's last words as an error.
fn explain(said: &str) -> Error {
    let known = COMPLAINTS.iter().find(|(words, ..)| said.contains(words));
    let (message, hint) = known.map_or(
        (
            "virt-install could not start the installer",
            "check `media:` and `extra-args:` of the recipe's `virt-install:`",
        ),
        |(_, message, hint)| (*message, *hint),
    );
    // Its advice at the end is about a domain that is not there.
    let lines = said
        .lines()
        .map(str::trim_end)
        .take_while(|line| !line.starts_with("Domain installation does not appear"))
        .filter(|line| !line.is_empty() && !line.starts_with("WARNING"));
    Error::stage(message).evidence(lines).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_say_what_to_do_next() {
        insta::assert_snapshot!(explain("ERROR    Error validating install location: Could not find an \
            installable distribution at URL 'http://a.example/x': The URL could not be accessed, maybe you \
            mistyped?\n\nThe location must be the root directory of an install tree.\n").render(), @r"
            error: the install tree cannot be read
              | ERROR    Error validating install location: Could not find an installable distribution at URL 'http://a.example/x': The URL could not be accessed, maybe you mistyped?
              | The location must be the root directory of an install tree.
            hint: check `media: {location: …}`, the network and http_proxy; `imgforge doctor` asks the mirrors
            ");
        insta::assert_snapshot!(explain("WARNING  Requested memory 256 MiB is less\nERROR    internal error: \
            qemu unexpectedly closed the monitor: cannot set up guest memory 'pc.ram': Cannot allocate memory\n\
            Domain installation does not appear to have been successful.\nIf it was, restart\n").render(), @r"
            error: this host has not enough free memory for the guest
              | ERROR    internal error: qemu unexpectedly closed the monitor: cannot set up guest memory 'pc.ram': Cannot allocate memory
            hint: lower `machine: {memory: …}`, or end other programs
            ");
        let other = explain("ERROR    something new\n");
        assert_eq!(other.evidence_lines(), ["ERROR    something new"]);
    }
}
