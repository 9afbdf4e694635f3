//! Whether this host can build, found out before anything long starts.
//!
//! [`probe`] looks at the host; the functions here judge what it saw, and do nothing else.

mod judge;
mod probe;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::gpg::keyboxd;
use crate::host::accel::Setting;
use crate::host::foreign;
use crate::host::tools::{self, Tool};
use crate::machine::{Arch, Firmware, Machine};
use crate::units::Size;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// All is well.
    Ok,
    /// Builds work, some of them worse or not at all.
    Warn,
    /// No build works.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at: a word or two.
    pub what: String,
    /// What was found: one sentence without a full stop.
    pub found: String,
    /// What to do about it: one line.
    pub fix: Option<String>,
}

impl Finding {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Finding {
            level: Level::Ok,
            what: what.into(),
            found: found.into(),
            fix: None,
        }
    }

    fn bad(level: Level, what: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Finding {
            level,
            what: what.into(),
            found: found.into(),
            fix: Some(fix.into()),
        }
    }
}

/// What the user configured, as far as the host has to fit it.
#[derive(Debug)]
pub struct Wishes<'a> {
    /// The state directory.
    pub state: &'a Path,
    /// The URI of `--connect`.
    pub connect: Option<&'a str>,
    pub(crate) accel: Setting,
    /// The configuration's `signing-key`.
    pub signing_key: Option<&'a str>,
    /// Addresses of package mirrors to ask.
    pub mirrors: &'a [String],
}

/// Looks at everything that a build needs.
pub fn examine(wishes: &Wishes<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Tool::ALL
        .into_iter()
        .map(|tool| judge::tool(tool, &tool.look()))
        .collect();
    findings.push(judge::acceleration(&wishes.accel.choose()));
    findings.push(judge::libvirt(probe::libvirt(wishes.connect)));
    findings.push(judge::libguestfs(crate::guest::library_version()));
    findings.push(judge::kernels(&probe::kernels(
        Path::new("/boot"),
        Path::new("/lib/modules"),
    )));
    findings.extend(judge::user_ids(&probe::user_ids()));
    findings.extend(probe::apart().map(judge::apart));
    findings.push(judge::firmware(probe::firmware()));
    let foreign = Arch::ALL.iter().filter(|arch| arch.is_foreign());
    findings.extend(foreign.map(|arch| judge::foreign(*arch, probe::foreign(*arch))));
    findings.push(judge::writable(wishes.state, probe::writable(wishes.state)));
    for (what, dir, need) in space_wanted(wishes.state) {
        findings.push(judge::space(what, &dir, probe::space(&dir), need));
    }
    findings.push(judge::archives(&probe::archives()));
    findings.extend(judge::keyboxd(keyboxd::configured().as_deref()));
    findings.push(judge::signing_key(
        wishes.signing_key,
        probe::signing_key(wishes.signing_key),
    ));
    findings.extend(
        wishes
            .mirrors
            .iter()
            .map(|url| judge::mirror(url, probe::mirror(url))),
    );
    findings
}

/// Directories into which builds write, with the gibibytes that they should have.
fn space_wanted(state: &Path) -> [(&'static str, PathBuf, u64); 2] {
    let cache = ["LIBGUESTFS_CACHEDIR", "TMPDIR"]
        .iter()
        .find_map(std::env::var_os)
        .map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    [
        ("space for images", state.to_owned(), 10),
        ("space for the appliance", cache, 1),
    ]
}

/// What a stage needs of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It makes or reads disks.
    Disks,
    /// It bootstraps a suite.
    Bootstrap,
    /// It makes a toolbox.
    Toolbox,
    /// It runs an installer.
    Installer,
    /// It boots guests.
    Guests,
    /// It looks into disks through libguestfs.
    Appliance,
    /// It signs.
    Signing,
}

impl Need {
    /// The programs.
    fn tools(self) -> &'static [Tool] {
        match self {
            Need::Disks => &[Tool::QemuImg, Tool::Unshare],
            Need::Bootstrap => &[
                Tool::MmDebstrap,
                Tool::Sfdisk,
                Tool::Mke2fs,
                Tool::MkfsFat,
                Tool::Mcopy,
            ],
            Need::Toolbox => &[Tool::MmDebstrap],
            Need::Installer => &[Tool::VirtInstall, Tool::Cpio, Tool::Xorriso],
            Need::Guests => &[Tool::Qemu(Arch::DEFAULT), Tool::Pasta, Tool::Libvirtd],
            Need::Appliance => &[Tool::Supermin],
            Need::Signing => &[Tool::Gpg, Tool::GpgAgent],
        }
    }
}

/// What the state directory's file system must have free before anything long starts.
const LEAST_SPACE: Size = Size::gib(1);

/// Asks quickly for what a build of an image for `machine` needs, before anything long starts; `state` is
/// the state directory.
///
/// # Errors
/// [`Kind::Host`](crate::error::Kind::Host) with everything that is missing.
pub fn preflight(needs: &BTreeSet<Need>, machine: &Machine, state: &Path) -> Result<()> {
    let arch = machine.arch;
    let bootstraps = needs.contains(&Need::Bootstrap);
    let maps_ids = bootstraps && !rustix::process::geteuid().is_root();
    let tools = needs.iter().flat_map(|need| need.tools());
    let tools = tools.map(|tool| tool.on(arch));
    tools::need(tools.chain(maps_ids.then_some(Tool::NewUidMap)))?;
    if bootstraps {
        judge::user_ids(&probe::user_ids()).map_or(Ok(()), refuse)?;
        foreign::find(arch)?;
    }
    if needs.contains(&Need::Toolbox) {
        foreign::need(arch)?;
    }
    if needs.contains(&Need::Guests) {
        tools::machine(arch)?;
        if machine.firmware() != Firmware::Bios {
            tools::uefi(arch)?;
        }
    }
    if needs.contains(&Need::Appliance) {
        crate::guest::library_version()?;
        let kernels = probe::kernels(Path::new("/boot"), Path::new("/lib/modules"));
        refuse(judge::kernels(&kernels))?;
    }
    match probe::space(state) {
        Ok(free) if free < LEAST_SPACE.as_bytes() => Err(Error::host(format!(
            "{} has {} free, and a build needs {LEAST_SPACE} at least",
            state.display(),
            Size::bytes(free).human()
        ))
        .hint("`imgforge gc --free 10GiB` makes room; --state DIR works elsewhere")),
        _ => Ok(()),
    }
}

fn refuse(finding: Finding) -> Result<()> {
    if finding.level != Level::Fail {
        return Ok(());
    }
    let error = Error::host(finding.found);
    Err(match finding.fix {
        Some(fix) => error.hint(fix),
        None => error,
    })
}

/// The findings for people: a mark, what was looked at, what was found; fixes below.
pub fn render(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|f| f.what.chars().count())
        .max()
        .unwrap_or_default();
    let mut out = String::new();
    for Finding {
        level,
        what,
        found,
        fix,
    } in findings
    {
        let mark = match level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        let _ = writeln!(out, "{mark}  {what:width$}  {found}");
        if let Some(fix) = fix {
            let _ = writeln!(out, "      {:width$}  fix: {fix}", "");
        }
    }
    out
}

/// The verdict over all findings.
///
/// # Errors
/// [`Kind::Host`](crate::error::Kind::Host) when one of them is [`Level::Fail`].
pub fn verdict(findings: &[Finding]) -> Result<()> {
    match findings
        .iter()
        .filter(|finding| finding.level == Level::Fail)
        .count()
    {
        0 => Ok(()),
        n => Err(Error::host(format!(
            "this host is not ready: {n} of {} checks failed",
            findings.len()
        ))
        .hint("each failed check above names its fix")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_drawn_with_their_fixes() {
        let findings = [
            Finding::ok("gpg", "2.2"),
            Finding::bad(
                Level::Fail,
                "kernel",
                "none",
                "apt-get install linux-image-amd64",
            ),
        ];
        insta::assert_snapshot!(render(&findings), @r"
        ok    gpg     2.2
        FAIL  kernel  none
                      fix: apt-get install linux-image-amd64
        ");
        assert_eq!(
            verdict(&findings).unwrap_err().kind(),
            crate::error::Kind::Host
        );
        assert!(verdict(&findings[..1]).is_ok());
    }

    #[test]
    fn this_host_passes_the_preflight() {
        let needs = BTreeSet::from([
            Need::Disks,
            Need::Bootstrap,
            Need::Installer,
            Need::Guests,
            Need::Appliance,
            Need::Signing,
        ]);
        for arch in Arch::ALL {
            let machine = Machine {
                arch: *arch,
                ..Machine::default()
            };
            preflight(&needs, &machine, Path::new("/var/tmp")).unwrap();
        }
    }
}
