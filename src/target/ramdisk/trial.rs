//! Boots a ramdisk as its machines do: without a disk, with its minimum of memory, over HTTP.

use std::path::Path;
use std::time::Duration;

use super::initrd::{self, Member};
use crate::error::{Context as _, Error, Result};
use crate::host::accel::Accel;
use crate::host::exec::Program;
use crate::hypervisor::patience;
use crate::target::{Part, Proven, Site, proven};
use crate::units::Size;

/// What tells, in the guest, what became of it.
const SCRIPT: &str = include_str!("../../../firstboot/ramdisk/trial.sh");

/// Starts the script when the system is up.
const UNIT: &str =
    "[Unit]\nAfter=multi-user.target\n\n[Service]\nExecStart=/bin/sh /imgforge.trial\n";

/// Where the unit goes.
const UNIT_AT: &str = "imgforge.d/etc/systemd/system/imgforge-trial.service";

/// Makes the system start it.
const WANTED: &str = "[Unit]\nWants=imgforge-trial.service\n";
const WANTED_AT: &str = "imgforge.d/etc/systemd/system/multi-user.target.d/imgforge-trial.conf";

/// Where the guest finds the files: an address that only QEMU knows.
const SERVER: &str = "10.0.2.100";

/// How long a boot may take with hardware acceleration.
const LIMIT: Duration = Duration::from_secs(240);

/// How many lines of the console an error shows.
const SHOWN: usize = 25;

/// What is booted.
#[derive(Debug)]
pub(super) struct Boot<'a> {
    /// Names of kernel and initrd in the site's directory.
    pub(super) files: [&'a str; 2],
    /// The command line without an address.
    pub(super) cmdline: &'a str,
    /// The memory, in MiB.
    pub(super) memory: u64,
    /// Whether the image has systemd.
    pub(super) systemd: bool,
    /// Whether the kernel has a driver for virtio's network cards.
    pub(super) virtio: bool,
}

/// Boots, and lets the system tell that it runs on its complete root.
pub(super) fn boot(site: &Site<'_>, boot: &Boot<'_>) -> Result<Proven> {
    site.ui
        .step(format!("booting it with {} MiB and no disk", boot.memory));
    let token = uuid::Uuid::new_v4().simple().to_string();
    let whole = |path: &Path| std::path::absolute(path).doing(|| "finding the files".into());
    let (dir, scratch) = (whole(site.dir)?, whole(site.scratch)?);
    let [kernel, initrd] = boot.files.map(|name| dir.join(name));
    let tried = scratch.join("trial.initrd");
    append(&initrd, &extra(&token, boot.systemd)?, &tried)?;
    let console = scratch.join("console.log");
    std::fs::write(&console, "").doing(|| format!("writing {}", console.display()))?;
    let inside = site.source.guests();
    let ran = machine(site, boot, &kernel, &tried, &console).run();
    drop(inside);
    let said = std::fs::read(&console).doing(|| format!("reading {}", console.display()))?;
    std::fs::remove_file(&tried).doing(|| format!("removing {}", tried.display()))?;
    let failed = judge(&String::from_utf8_lossy(&said), &token, boot.memory);
    let failed = failed.map_err(|error| match ran {
        Ok(()) => error,
        Err(cause) => error.cause(cause),
    })?;
    for unit in failed {
        site.ui
            .ui()
            .warning(format!("{unit} fails where there is no disk"));
    }
    let memory = Size::mib(boot.memory).human();
    Ok(proven(
        Part::Booted,
        format!("a machine with {memory} and no disk"),
    ))
}

/// The units that failed, if the system came up.
fn judge(console: &str, token: &str, memory: u64) -> Result<Vec<String>> {
    let lines: Vec<&str> = console
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    let word = format!("imgforge-trial: {token} ");
    let told = lines
        .iter()
        .filter_map(|line| Some(line.split_once(&word)?.1));
    let (failed, state): (Vec<&str>, Vec<&str>) =
        told.partition(|line| line.starts_with("failed "));
    let up = ["running on overlay;", "degraded on overlay;"];
    if state
        .iter()
        .any(|line| up.iter().any(|up| line.starts_with(up)))
    {
        return Ok(failed
            .iter()
            .map(|line| line["failed ".len()..].to_owned())
            .collect());
    }
    let shown = lines.iter().rev().filter(|line| !line.trim().is_empty());
    let shown: Vec<String> = shown.take(SHOWN).map(|line| readable(line)).collect();
    Err(Error::gate(format!(
        "the ramdisk does not boot with {memory} MiB and no disk"
    ))
    .evidence(shown.into_iter().rev())
    .hint("`targets: {ramdisk: {memory: 512MiB}}` gives its system more memory"))
}

/// A line of a console without what only a terminal understands.
fn readable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).collect()
}

/// What lies over the root in a trial.
fn extra(token: &str, systemd: bool) -> Result<Vec<u8>> {
    let script = SCRIPT.replacen("#!/bin/sh\n", &format!("#!/bin/sh\ntoken={token}\n"), 1);
    let file = |path: &str, mode: u32, text: &str| Member {
        path: path.to_owned(),
        mode,
        bytes: text.as_bytes().to_vec(),
    };
    let mut all = vec![file("imgforge.d/imgforge.trial", 0o755, &script)];
    if systemd {
        all.push(file(UNIT_AT, 0o644, UNIT));
        all.push(file(WANTED_AT, 0o644, WANTED));
    }
    initrd::plain(&all)
}

/// One archive more behind an initrd.
fn append(initrd: &Path, archive: &[u8], to: &Path) -> Result<()> {
    use std::io::Write as _;
    let doing = || format!("writing {}", to.display());
    let size = std::fs::copy(initrd, to).doing(doing)?;
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(to)
        .doing(doing)?;
    file.write_all(&[0; 3][..super::cpio::padding(size)])
        .doing(doing)?;
    file.write_all(archive).doing(doing)
}

fn machine(
    site: &Site<'_>,
    boot: &Boot<'_>,
    kernel: &Path,
    initrd: &Path,
    console: &Path,
) -> Program {
    let accel = site.source.accel();
    let mut cmdline = format!(
        "{} console=ttyS0 panic=1 imgforge.base=http://{SERVER}/",
        boot.cmdline
    );
    if accel == Accel::Tcg {
        // On a busy host the kernel takes QEMU's timer for a broken one.
        cmdline += " no_timer_check";
        for arg in patience::kernel_args(accel) {
            cmdline += &format!(" {arg}");
        }
    }
    if !boot.systemd {
        cmdline += " init=/imgforge.trial";
    }
    let card = if boot.virtio {
        "virtio-net-pci"
    } else {
        "e1000"
    };
    Program::new("qemu-system-x86_64")
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        // With several processors, QEMU's translator aborts now and then, as in `crate::guest`; on a
        // busy host a kernel with an HPET waits for timer interrupts that do not come.
        .args(["-machine", "q35,hpet=off", "-smp", "1"])
        .args(match accel {
            Accel::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Accel::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        })
        .args(["-m", &format!("{}M", boot.memory)])
        .args(["-device", "virtio-rng-pci"])
        // Each connection to that address is given to a web server of its own; nothing else
        // can be reached.
        .args([
            "-netdev",
            &format!("user,id=net,restrict=on,guestfwd=tcp:{SERVER}:80-cmd:busybox httpd -i -h ."),
        ])
        .args(["-device", &format!("{card},netdev=net,romfile=")])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", &cmdline])
        .dir(site.dir)
        .timeout(LIMIT * accel.time_factor())
        .hint("`imgforge doctor` says whether guests can be run here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_system_on_its_own_root_has_booted() {
        let good = "x\r\nimgforge-trial: t failed a.service\r\nimgforge-trial: t degraded on overlay;[ 9.1] sysrq: Power Off\r\n";
        assert_eq!(judge(good, "t", 512).unwrap(), ["a.service"]);
        assert!(
            judge("imgforge-trial: t running on overlay;", "t", 1)
                .unwrap()
                .is_empty()
        );
        for bad in [
            "",
            "imgforge-trial: u running on overlay;",
            "imgforge-trial: t running on rootfs;",
            "imgforge-trial: t maintenance on overlay;",
            "[ 1.0] imgforge: stopped: not enough memory",
        ] {
            let error = judge(bad, "t", 512).unwrap_err();
            assert_eq!(error.kind().exit_code(), 4, "{bad}");
        }
        let error = judge("[ 1.0] imgforge: stopped: no card", "t", 512).unwrap_err();
        assert!(error.evidence_lines()[0].contains("no card"));
    }
}
