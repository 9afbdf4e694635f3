//! Hardware acceleration: measured, not assumed.
//!
//! `/dev/kvm` may exist, open, create machines, and then interpret them at a thousandth of the
//! processor's speed; QEMU and libguestfs hang on such a host. So a loop is run and timed, in a
//! child process, because the call that runs it may not return.

mod kvm;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::exec::Program;

/// The hidden command whose process runs [`probe_child`].
pub const PROBE_COMMAND: &str = "__probe-kvm";

/// Slower than this is no acceleration. A processor does some 3000 million turns a second, and
/// the entry into the machine costs it some ten thousand of them; an interpreter does 2 million.
const USEFUL_TURNS_A_SECOND: u64 = 40_000_000;

/// Tries, so that a busy machine gets a quiet moment.
const ROUNDS: u32 = 8;

/// How long the child may take; an interpreting host needs a quarter of a second.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// The processor, through `/dev/kvm`.
    Kvm,
    /// QEMU's translator; every time limit is multiplied by 6.
    Tcg,
}

impl Accel {
    /// By how much limits written for hardware acceleration grow.
    pub fn time_factor(self) -> u32 {
        match self {
            Accel::Kvm => 1,
            Accel::Tcg => 6,
        }
    }

    /// As QEMU calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        }
    }
}

/// What runs the guests' instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// What the measurement says.
    #[default]
    Auto,
    /// The processor, without a measurement.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Setting::Auto),
            "kvm" => Ok(Setting::Kvm),
            "tcg" => Ok(Setting::Tcg),
            _ => Err(format!("`{text}` is not one of `auto`, `kvm`, `tcg`")),
        }
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Setting::Auto => "auto",
            Setting::Kvm => "kvm",
            Setting::Tcg => "tcg",
        })
    }
}

impl Setting {
    /// Decides; only [`Setting::Auto`] measures.
    pub fn choose(self) -> Choice {
        let asked = |accel| Choice {
            accel,
            reason: format!("{self} was asked for"),
        };
        match self {
            Setting::Auto => probe(),
            Setting::Kvm => asked(Accel::Kvm),
            Setting::Tcg => asked(Accel::Tcg),
        }
    }
}

/// The acceleration to use, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What to use.
    pub accel: Accel,
    /// A sentence for `doctor`, without a full stop.
    pub reason: String,
}

/// Measures `/dev/kvm` in a child process: this executable with [`PROBE_COMMAND`].
pub fn probe() -> Choice {
    let executable = std::env::current_exe().unwrap_or_else(|_| "imgforge".into());
    probe_with(Program::at(executable).arg(PROBE_COMMAND))
}

/// Measures with another child; tests put a fake one here.
pub fn probe_with(child: Program) -> Choice {
    probe_device(Path::new("/dev/kvm"), child)
}

fn probe_device(device: &Path, child: Program) -> Choice {
    let tcg = |why: String| Choice {
        accel: Accel::Tcg,
        reason: format!("{} {why}, using tcg", device.display()),
    };
    if let Err(cause) = OpenOptions::new().read(true).write(true).open(device) {
        return tcg(match cause.kind() {
            std::io::ErrorKind::NotFound => "does not exist".into(),
            std::io::ErrorKind::PermissionDenied => {
                "is not open to this user (the group kvm is)".into()
            }
            _ => format!("does not open ({cause})"),
        });
    }
    let Ok(answer) = child.timeout(PROBE_WITHIN).text() else {
        return tcg("hangs or fails when it runs a machine: useless".into());
    };
    match parse(&answer) {
        Err(why) => tcg(format!("cannot run a machine ({why}): useless")),
        Ok(speed) if speed < USEFUL_TURNS_A_SECOND => tcg(format!(
            "executes {} million loop turns a second: useless",
            millions(speed)
        )),
        Ok(speed) => Choice {
            accel: Accel::Kvm,
            reason: format!(
                "{} executes {} million loop turns a second, using kvm",
                device.display(),
                millions(speed)
            ),
        },
    }
}

/// The child's side: measures and prints `TURNS NANOSECONDS`, or `failed: WHY`.
pub fn probe_child() -> ExitCode {
    let enough = Duration::from_secs(u64::from(kvm::TURNS)) / USEFUL_TURNS_A_SECOND as u32;
    let mut line = String::new();
    let _ = match kvm::fastest(ROUNDS, enough / 4) {
        Ok(took) => write!(line, "{} {}", kvm::TURNS, took.as_nanos()),
        Err(why) => write!(line, "failed: {why}"),
    };
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Loop turns a second.
fn parse(answer: &str) -> Result<u64, String> {
    let strange = || format!("the probe said `{answer}`");
    if let Some(why) = answer.strip_prefix("failed: ") {
        return Err(why.to_owned());
    }
    let (turns, nanoseconds) = answer.split_once(' ').ok_or_else(strange)?;
    let turns: u64 = turns.parse().map_err(|_| strange())?;
    let nanoseconds: u64 = nanoseconds.parse().map_err(|_| strange())?;
    Ok(turns.saturating_mul(1_000_000_000) / nanoseconds.max(1))
}

fn millions(turns: u64) -> String {
    let millions = turns as f64 / 1e6;
    if millions < 10.0 {
        format!("{millions:.1}")
    } else {
        format!("{millions:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(script: &str) -> Choice {
        probe_device(
            Path::new("/dev/null"),
            Program::new("sh").args(["-c", script]),
        )
    }

    #[test]
    fn what_was_measured_decides() {
        for (script, accel, reason) in [
            (
                "echo 20000 16666666",
                Accel::Tcg,
                "/dev/null executes 1.2 million loop turns a second: useless, using tcg",
            ),
            (
                "echo 20000 25000",
                Accel::Kvm,
                "/dev/null executes 800 million loop turns a second, using kvm",
            ),
            (
                "echo failed: Input/output error",
                Accel::Tcg,
                "/dev/null cannot run a machine (Input/output error): useless, using tcg",
            ),
            (
                "echo nonsense",
                Accel::Tcg,
                "/dev/null cannot run a machine (the probe said `nonsense`): useless, using tcg",
            ),
            (
                "kill -SEGV $$",
                Accel::Tcg,
                "/dev/null hangs or fails when it runs a machine: useless, using tcg",
            ),
        ] {
            let choice = with(script);
            assert_eq!(
                (choice.accel, choice.reason.as_str()),
                (accel, reason),
                "{script}"
            );
        }
    }

    #[test]
    fn a_machine_that_never_returns_does_not_hang_the_probe() {
        assert_eq!(with("exec sleep infinity").accel, Accel::Tcg);
    }

    #[test]
    fn without_a_device_nothing_is_run() {
        let choice = probe_device(Path::new("/dev/no-kvm"), Program::new("no-such-program"));
        assert_eq!(choice.reason, "/dev/no-kvm does not exist, using tcg");
    }

    #[test]
    fn a_setting_that_is_not_auto_is_obeyed_unmeasured() {
        assert_eq!(Setting::Kvm.choose().accel, Accel::Kvm);
        assert_eq!(
            "tcg".parse::<Setting>().unwrap().choose().reason,
            "tcg was asked for"
        );
        assert!("KVM".parse::<Setting>().is_err());
    }
}
