//! What a failed installation says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::proof;
use super::watch::End;
use crate::error::Error;
use crate::hypervisor::Outcome;
use crate::units;

/// Everything that is known about a failed installation.
#[derive(Debug)]
pub struct Failure<'a> {
    /// How it ended.
    pub end: &'a End,
    /// The effective limit of the whole installation.
    pub timeout: Duration,
    /// The effective limit without a sign of life.
    pub stall: Duration,
    /// By how much the limits were multiplied.
    pub factor: u32,
    /// What the installer did last, by its own words.
    pub step: Option<&'a str>,
    /// Why libvirt lost the guest, if it did.
    pub lost: Option<&'a str>,
    /// The last lines of the console.
    pub console: Vec<String>,
    /// The console's log.
    pub log: &'a Path,
    /// The newest screenshot.
    pub screenshot: Option<PathBuf>,
}

/// What a console shows when something is wrong that has a known remedy.
const TROUBLES: &[(&[&str], &str)] = &[
    (
        &[
            "Out of memory",
            "System is deadlocked on memory",
            "Initramfs unpacking failed",
            "Low memory",
            "low memory",
            "insufficient memory",
            "Not enough memory",
            "not enough memory",
            "of memory to install",
            "No space left on device (28)",
        ],
        "the installer needs more memory: raise `machine: {memory: …}` of the recipe (2GiB is enough for most, \
         4GiB for Ubuntu's ISO)",
    ),
    (
        &[
            "No space left on device",
            "Disk is full",
            "not enough free space",
        ],
        "the system needs a larger disk: raise `machine: {disk: …}` of the recipe",
    ),
    (
        &[
            "Bad archive mirror",
            "failed to download a file",
            "Network autoconfiguration failed",
            "Couldn't resolve host",
            "Could not resolve",
            "Failed to retrieve",
            "failed to fetch",
            "Curl error",
        ],
        "the installer could not fetch what it needs: check `mirrors:` and `machine: {network: …}` of the recipe, \
         and http_proxy",
    ),
];

/// The error of a failed installation, with its evidence.
pub fn error(failure: Failure<'_>) -> Error {
    let Failure { end, console, .. } = &failure;
    let within = failure
        .step
        .map_or(String::new(), |step| format!(" (it was at: {step})"));
    let scaled = match failure.factor {
        1 => String::new(),
        n => format!(", {n} times the recipe's value, without hardware acceleration"),
    };
    let unproven = "without reporting success";
    let message = match end {
        End::Ended(Outcome::ShutDown) => format!("the installer switched the guest off {unproven}"),
        End::Rebooted | End::Ended(Outcome::Rebooted) => {
            format!("the installer restarted the guest {unproven}")
        }
        End::Ended(Outcome::Crashed) => "the installer's guest crashed".into(),
        End::Ended(Outcome::Destroyed) => "the installer's guest was ended from outside".into(),
        End::Ended(Outcome::Failed) => "the hypervisor lost the installer's guest".into(),
        End::Panicked => "the installer's kernel panicked".into(),
        End::Asks(what) => format!("the installer waits for a human; it asks: {what}"),
        End::GaveUp(what) => format!("the installer gave up: {what}"),
        End::WrongKey(found) => proof::wrong_key(found).message().to_owned(),
        End::Stalled => format!(
            "the installer hangs: no disk, network or console activity for {}{scaled}",
            units::elapsed(failure.stall)
        ),
        End::TooLong => format!(
            "the installation did not end within {}{scaled}",
            units::elapsed(failure.timeout)
        ),
    };
    let mut error = Error::stage(format!("{message}{within}"));
    if let End::WrongKey(found) = end {
        error = error.cause(format!("it reported `{found}`"));
    }
    if let Some(lost) = failure.lost {
        error = error.cause(lost);
    }
    let mut seen = format!("the console's log is {}", failure.log.display());
    if let Some(path) = &failure.screenshot {
        seen += &format!(", the screen {}", path.display());
    }
    let hint = trouble(console).unwrap_or_else(|| usual_hint(end));
    error.cause(seen).evidence(failure.console).hint(hint)
}

fn trouble(console: &[String]) -> Option<&'static str> {
    let says = |words: &[&str]| {
        let said = |line: &String| words.iter().any(|words| line.contains(words));
        console.iter().any(said)
    };
    let known = TROUBLES.iter().find(|(words, _)| says(words));
    known.map(|(_, hint)| *hint)
}

fn usual_hint(end: &End) -> &'static str {
    match end {
        End::Asks(_) => {
            "answer it in the answer file; installers stop for questions that it leaves open or answers wrongly"
        }
        End::WrongKey(_) => {
            "write {{ imgforge_sentinel }} into the answer file: it knows the key of each build"
        }
        End::Ended(Outcome::ShutDown) | End::Rebooted | End::Ended(Outcome::Rebooted) => {
            "the answers' last command must be {{ imgforge_sentinel }}, joined by && to what must work before it"
        }
        End::Stalled => {
            "raise `stall:` of the recipe's `virt-install:` if the installer only needs longer"
        }
        End::TooLong => {
            "raise `timeout:` of the recipe's `virt-install:` if the installer only needs longer"
        }
        _ => {
            "the last lines and the log say more; `imgforge attach NAME` shows a running installer"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(end: &End, factor: u32, console: &[&str]) -> String {
        let failure = Failure {
            end,
            timeout: Duration::from_secs(5400 * u64::from(factor)),
            stall: Duration::from_secs(600 * u64::from(factor)),
            factor,
            step: Some("Installing the base system"),
            lost: None,
            console: console.iter().map(|line| (*line).to_owned()).collect(),
            log: Path::new("/state/logs/web/install-console.log"),
            screenshot: Some("/state/logs/web/install-screen.png".into()),
        };
        error(failure).render()
    }

    #[test]
    fn every_end_says_what_happened_and_what_to_do() {
        let all = [
            render(&End::Stalled, 6, &[]),
            render(&End::TooLong, 1, &[]),
            render(
                &End::Asks("[!!] Partition disks / Prompt: '?' for help>".into()),
                1,
                &["last"],
            ),
            render(&End::Rebooted, 1, &[]),
            render(&End::Ended(Outcome::ShutDown), 1, &[]),
            render(&End::Panicked, 1, &["Out of memory: Killed process 1"]),
            render(&End::WrongKey("deadbeef".into()), 1, &[]),
            render(&End::GaveUp("Pane is dead".into()), 1, &["Curl error (28)"]),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        error: the installer hangs: no disk, network or console activity for 60 min 00 s, 6 times the recipe's value, without hardware acceleration (it was at: Installing the base system)
        caused by: the console's log is /state/logs/web/install-console.log, the screen /state/logs/web/install-screen.png
        hint: raise `stall:` of the recipe's `virt-install:` if the installer only needs longer

        error: the installation did not end within 90 min 00 s (it was at: Installing the base system)
        caused by: the console's log is /state/logs/web/install-console.log, the screen /state/logs/web/install-screen.png
        hint: raise `timeout:` of the recipe's `virt-install:` if the installer only needs longer

        error: the installer waits for a human; it asks: [!!] Partition disks / Prompt: '?' for help> (it was at: Installing the base system)
        caused by: the console's log is /state/logs/web/install-console.log, the screen /state/logs/web/install-screen.png
          | last
        hint: answer it in the answer file; installers stop for questions that it leaves open or answers wrongly

        error: the installer restarted the guest without reporting success (it was at: Installing the base system)
        caused by: the console's log is /state/logs/web/install-console.log, the screen /state/logs/web/install-screen.png
        hint: the answers' last command must be {{ imgforge_sentinel }}, joined by && to what must work before it

        error: the installer switched the guest off without reporting success (it was at: Installing the base system)
        caused by: the console's log is /state/logs/web/install-console.log, the screen /state/logs/web/install-screen.png
        hint: the answers' last command must be {{ imgforge_sentinel }}, joined by && to what must work before it

        error: the installer's kernel panicked (it was at: Installing the base system)
        caused by: the console's log is /state/logs/web/install-console.log, the screen /state/logs/web/install-screen.png
          | Out of memory: Killed process 1
        hint: the installer needs more memory: raise `machine: {memory: …}` of the recipe (2GiB is enough for most, 4GiB for Ubuntu's ISO)

        error: the installer reported another installation's key (it was at: Installing the base system)
        caused by: it reported `deadbeef`
        caused by: the console's log is /state/logs/web/install-console.log, the screen /state/logs/web/install-screen.png
        hint: write {{ imgforge_sentinel }} into the answer file: it knows the key of each build

        error: the installer gave up: Pane is dead (it was at: Installing the base system)
        caused by: the console's log is /state/logs/web/install-console.log, the screen /state/logs/web/install-screen.png
          | Curl error (28)
        hint: the installer could not fetch what it needs: check `mirrors:` and `machine: {network: …}` of the recipe, and http_proxy
        ");
    }
}
