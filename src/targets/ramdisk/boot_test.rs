//! Boots a ramdisk as its machines do: without a disk, with its minimum of memory, over HTTP.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use uuid::Uuid;

use super::initrd::{self, Member};
use crate::error::{Context as _, Error, Result};
use crate::host::confine::{self, Confined};
use crate::host::exec::{self, Program};
use crate::host::tools::{self, Tool};
use crate::hypervisor::patience;
use crate::mutex::Unpoisoned as _;
use crate::targets::{CheckKind, PassedCheck, TargetContext, proven};
use crate::ui::printable;
use crate::units::Size;

/// What tells, in the guest, what became of it.
const SCRIPT: &str = include_str!("boot_test.sh");

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

/// How many lines of the boot test's own are heard.
const HEARD: usize = 1000;

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
pub(super) fn boot(site: &TargetContext<'_>, boot: &Boot<'_>) -> Result<PassedCheck> {
    site.ui
        .step(format!("booting it with {} MiB and no disk", boot.memory));
    let token = Uuid::new_v4().simple().to_string();
    let whole = |path: &Path| std::path::absolute(path).doing(|| "finding the files".into());
    let (dir, scratch) = (whole(site.dir)?, whole(site.scratch)?);
    let [kernel, initrd] = boot.files.map(|name| dir.join(name));
    let tried = scratch.join("boot-test.initrd");
    append(&initrd, &extra(&token, boot.systemd)?, &tried)?;
    let uuid = Uuid::new_v4().to_string();
    let tool = Tool::Qemu(site.machine.arch);
    tools::need([tool])?;
    let qemu = exec::find(tool.program()).unwrap_or_default();
    let qemu = Confined::new(&qemu, &scratch, &uuid, &[])?;
    let console = Arc::new(Mutex::new(Console::new(&token)));
    let said = Arc::clone(&console);
    let inside = site
        .source
        .guests(site.source.accel().on(site.machine.arch));
    let ran = machine(site, boot, &kernel, &tried, Program::at(qemu.program()))
        .args(["-uuid", &uuid])
        .lines(move |line| said.lock().unpoisoned().take(line));
    drop((inside, qemu));
    std::fs::remove_file(&tried).doing(|| format!("removing {}", tried.display()))?;
    let console = console.lock().unpoisoned();
    let failed = judge(&console, boot.memory);
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
        CheckKind::Booted,
        format!("a machine with {memory} and no disk"),
    ))
}

/// What is kept of a console, however much its guest writes.
#[derive(Debug)]
struct Console {
    /// What the boot test's lines begin with.
    word: String,
    reports: Vec<String>,
    last: VecDeque<String>,
}

impl Console {
    fn new(token: &str) -> Self {
        Console {
            word: format!("imgforge-trial: {token} "),
            reports: vec![],
            last: VecDeque::new(),
        }
    }

    fn take(&mut self, line: &str) {
        if let Some((_, report)) = line.split_once(&self.word)
            && self.reports.len() < HEARD
        {
            self.reports.push(report.to_owned());
        }
        if !line.trim().is_empty() {
            self.last.push_back(printable(line));
            if self.last.len() > SHOWN {
                self.last.pop_front();
            }
        }
    }
}

/// The units that failed, if the system came up.
fn judge(console: &Console, memory: u64) -> Result<Vec<String>> {
    let reports = console.reports.iter().map(String::as_str);
    let (failed, state): (Vec<&str>, Vec<&str>) =
        reports.partition(|line| line.starts_with("failed "));
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
    Err(Error::gate(format!(
        "the ramdisk does not boot with {memory} MiB and no disk"
    ))
    .evidence(&console.last)
    .hint("`targets: {ramdisk: {memory: 512MiB}}` gives its system more memory"))
}

/// What lies over the root in a boot test.
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
    site: &TargetContext<'_>,
    boot: &Boot<'_>,
    kernel: &Path,
    initrd: &Path,
    qemu: Program,
) -> Program {
    let arch = site.machine.arch;
    let accel = site.source.accel().on(arch);
    let mut cmdline = format!(
        "{} console={} panic=1 imgforge.base=http://{SERVER}/",
        boot.cmdline, arch.serial
    );
    if accel.is_emulated() {
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
    qemu.args(["-sandbox", confine::SANDBOX_OF_PARENTS])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        // With several processors, QEMU's translator aborts now and then, as in `crate::guest`; on a
        // busy host a kernel with an HPET waits for timer interrupts that do not come.
        .args(["-machine", arch.machine_properties, "-smp", "1"])
        .args(accel.qemu_arguments(arch))
        .args(["-m", &format!("{}M", boot.memory)])
        .args(["-device", "virtio-rng-pci"])
        // Each connection to that address is given to a web server of its own; nothing else
        // can be reached.
        .args([
            "-netdev",
            &format!("user,id=net,restrict=on,guestfwd=tcp:{SERVER}:80-cmd:busybox httpd -i -h ."),
        ])
        .args(["-device", &format!("{card},netdev=net,romfile=")])
        .args(["-serial", "stdio"])
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

    fn judged(console: &str) -> Result<Vec<String>> {
        let mut kept = Console::new("t");
        console.lines().for_each(|line| kept.take(line));
        judge(&kept, 512)
    }

    #[test]
    fn only_a_system_on_its_own_root_has_booted() {
        let good = "x\r\nimgforge-trial: t failed a.service\r\nimgforge-trial: t degraded on overlay;[ 9.1] sysrq: Power Off\r\n";
        assert_eq!(judged(good).unwrap(), ["a.service"]);
        assert!(
            judged("imgforge-trial: t running on overlay;")
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
            let error = judged(bad).unwrap_err();
            assert_eq!(error.kind().exit_code(), 4, "{bad}");
        }
        let error = judged("[ 1.0] imgforge: stopped: no card").unwrap_err();
        assert!(error.evidence_lines()[0].contains("no card"));
    }

    #[test]
    fn of_a_guest_that_writes_without_end_the_last_lines_are_kept() {
        let mut kept = Console::new("t");
        for number in 0..100_000 {
            kept.take(&format!("imgforge-trial: t failed {number}"));
        }
        assert_eq!((kept.reports.len(), kept.last.len()), (HEARD, SHOWN));
        let error = judge(&kept, 512).unwrap_err();
        assert!(error.evidence_lines()[SHOWN - 1].ends_with(" 99999"));
    }
}
