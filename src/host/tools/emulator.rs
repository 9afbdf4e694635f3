//! Whether QEMU can be what guests are.

use std::time::Duration;

use super::{Tool, install_line};
use crate::error::{Error, Result};
use crate::host::exec::Program;
use crate::machine::Arch;

/// How long QEMU may take to list its machines: under a second, where nothing else runs.
const LIST_LIMIT: Duration = Duration::from_secs(180);

/// Asks whether QEMU for an architecture has the machine of its guests.
///
/// # Errors
/// [`Kind::Host`](crate::error::Kind::Host) when it has not, or does not run.
pub fn machine(arch: Arch) -> Result<()> {
    let emulator = Tool::Qemu(arch).program();
    let asked = Program::new(emulator).args(["-machine", "help"]);
    let help = asked.timeout(LIST_LIMIT).text();
    has_machine(
        arch,
        &help.map_err(|cause| Error::host(format!("`{emulator}` does not run")).cause(cause))?,
    )
}

/// Looks for the machine in what QEMU lists: a line each, which begins with the name.
fn has_machine(arch: Arch, help: &str) -> Result<()> {
    let (emulator, machine) = (Tool::Qemu(arch).program(), arch.machine);
    let mut named = help.lines().map(|line| line.split_whitespace().next());
    if named.any(|name| name == Some(machine)) {
        return Ok(());
    }
    Err(Error::host(format!(
        "`{emulator}` has no machine `{machine}`, which guests of {} are",
        arch.as_str()
    ))
    .hint(format!(
        "`{emulator} -machine help` lists those of the one on PATH; the distribution's has it: {}",
        install_line(&[arch.qemu_package])
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_without_the_machine_is_told_apart() {
        for arch in Arch::ALL {
            machine(*arch).unwrap();
        }
        let help = "Supported machines are:\nvirt-2.6   QEMU 2.6\nnone       empty machine\n";
        let error = has_machine(Arch::Aarch64, help).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Host);
        let text = "`qemu-system-aarch64` has no machine `virt`, which guests of aarch64 are";
        assert_eq!(error.to_string(), text);
        let hint = error.hint_text().unwrap();
        assert!(hint.ends_with("apt-get install qemu-system-arm"), "{hint}");
        let help = "virt       ARM Virtual Machine (alias of virt-10.0)\n";
        has_machine(Arch::Aarch64, help).unwrap();
    }
}
