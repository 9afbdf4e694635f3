//! KVM: the processor itself, through `/dev/kvm`; measured, not assumed.
//!
//! `/dev/kvm` may exist, open, create machines, and then interpret them at a thousandth of the
//! processor's speed; QEMU and libguestfs hang on such a host. So a loop is run and timed, in a
//! child process, because the call that runs it may not return.

mod turns;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::{Accel, Backend, Choice, Unusable};
use crate::host::exec::Program;

pub(super) const BACKEND: Backend = Backend {
    name: "kvm",
    emulated: false,
    time_factor: 1,
    libvirt_type: "kvm",
    libvirt_cpu: |_| vec![("mode", "host-passthrough"), ("migratable", "off")],
    qemu: "kvm",
    qemu_cpu: |_| "host",
    guestfs: None,
    device: Some("kvm"),
    probe: Some(probe),
};

const DEVICE: &str = "/dev/kvm";

/// What helps where there is no device.
const ABSENT: &str =
    "turn on virtualization in the firmware, or nested virtualization in the cloud";

/// What helps where there is one that runs no machine, or runs it slowly: another hypervisor plays it.
const NESTED: &str =
    "turn on nested virtualization on the outer host, where this one is a virtual machine itself";

/// The hidden command whose process runs [`probe_child`].
pub const PROBE_COMMAND: &str = "__probe-kvm";

/// Slower than this is no acceleration. A processor does some 3000 million turns a second, and
/// the entry into the machine costs it some ten thousand of them; an interpreter does 2 million.
const USEFUL_TURNS_A_SECOND: u64 = 40_000_000;

/// Tries, so that a busy machine gets a quiet moment.
const ROUNDS: u32 = 8;

/// How long the child may take; an interpreting host needs a quarter of a second.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// Measures in a child process: this executable with [`PROBE_COMMAND`].
fn probe() -> Result<String, Unusable> {
    let executable = std::env::current_exe().unwrap_or_else(|_| "imgforge".into());
    measure(
        Path::new(DEVICE),
        Program::at(executable).arg(PROBE_COMMAND),
    )
}

/// Chooses between KVM and QEMU's translator by what another child measures.
pub fn probe_with(child: Program) -> Choice {
    let found = measure(Path::new(DEVICE), child);
    super::best([(Accel::Kvm, Some(found)), (Accel::Tcg, None)])
}

/// What the child measured, if that is acceleration; else why it is none.
fn measure(device: &Path, child: Program) -> Result<String, Unusable> {
    let shown = device.display();
    if let Err(cause) = OpenOptions::new().read(true).write(true).open(device) {
        let (why, fix) = match cause.kind() {
            std::io::ErrorKind::NotFound => (format!("{shown} does not exist"), ABSENT),
            std::io::ErrorKind::PermissionDenied => (
                format!("{shown} is not open to this user (the group kvm is)"),
                "sudo adduser \"$USER\" kvm, and log in again",
            ),
            _ => (format!("{shown} does not open ({cause})"), ABSENT),
        };
        return Err(Unusable { why, fix });
    }
    let useless = |what: String| Unusable {
        why: format!("{shown} {what}: useless"),
        fix: NESTED,
    };
    let Ok(answer) = child.timeout(PROBE_WITHIN).text() else {
        return Err(useless("hangs or fails when it runs a machine".into()));
    };
    let speed = parse(&answer).map_err(|why| useless(format!("cannot run a machine ({why})")))?;
    let measured = format!("executes {} million loop turns a second", millions(speed));
    match speed < USEFUL_TURNS_A_SECOND {
        true => Err(useless(format!(
            "{measured}, where a processor does some 3000 million"
        ))),
        false => Ok(format!("{shown} {measured}")),
    }
}

/// The child's side: measures and prints `TURNS NANOSECONDS`, or `failed: WHY`.
pub fn probe_child() -> ExitCode {
    let enough = Duration::from_secs(u64::from(turns::TURNS)) / USEFUL_TURNS_A_SECOND as u32;
    let mut line = String::new();
    let _ = match turns::fastest(ROUNDS, enough / 4) {
        Ok(took) => write!(line, "{} {}", turns::TURNS, took.as_nanos()),
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
        let found = measure(
            Path::new("/dev/null"),
            Program::new("sh").args(["-c", script]),
        );
        super::super::best([(Accel::Kvm, Some(found)), (Accel::Tcg, None)])
    }

    #[test]
    fn what_was_measured_decides() {
        for (script, accel, reason) in [
            (
                "echo 20000 16666666",
                Accel::Tcg,
                "/dev/null executes 1.2 million loop turns a second, where a processor does \
                 some 3000 million: useless, using tcg",
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
            // The firmware of this machine has nothing to do with a device that is there.
            let fix = if accel == Accel::Tcg { NESTED } else { "" };
            assert_eq!(choice.fix, fix, "{script}");
        }
    }

    #[test]
    fn a_machine_that_never_returns_does_not_hang_the_probe() {
        assert_eq!(with("exec sleep infinity").accel, Accel::Tcg);
    }

    #[test]
    fn without_a_device_nothing_is_run() {
        let found = measure(Path::new("/dev/no-kvm"), Program::new("no-such-program"));
        let Unusable { why, fix } = found.unwrap_err();
        assert_eq!((why.as_str(), fix), ("/dev/no-kvm does not exist", ABSENT));
    }
}
