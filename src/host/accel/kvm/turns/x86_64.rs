//! On x86: in real mode.

use kvm_bindings::kvm_regs;
use kvm_ioctls::{Error, VcpuExit, VcpuFd, VmFd};

use super::{CODE_AT, TURNS};

/// `dec ecx; jnz -4; hlt`.
pub(super) const CODE: &[u8] = &[0x66, 0x49, 0x75, 0xfc, 0xf4];

/// Readies a new processor.
pub(super) fn prepare(_vm: &VmFd, cpu: &VcpuFd) -> Result<(), Error> {
    let mut segments = cpu.get_sregs()?;
    segments.cs.base = 0;
    segments.cs.selector = 0;
    cpu.set_sregs(&segments)
}

/// Puts it before the loop.
pub(super) fn rewind(cpu: &VcpuFd) -> Result<(), Error> {
    cpu.set_regs(&kvm_regs {
        rip: CODE_AT,
        rcx: u64::from(TURNS),
        rflags: 2,
        ..kvm_regs::default()
    })
}

/// Runs the loop to its end.
pub(super) fn run(cpu: &mut VcpuFd) -> Result<(), String> {
    match cpu.run() {
        Ok(VcpuExit::Hlt) => {}
        other => return Err(format!("the loop ended with {other:?}")),
    }
    match cpu.get_regs() {
        Ok(regs) if regs.rcx == 0 => Ok(()),
        _ => Err("the loop counted wrong".into()),
    }
}
