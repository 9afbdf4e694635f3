//! On 64-bit ARM: in EL1, without translation of addresses.

use kvm_bindings::{
    KVM_REG_ARM_CORE, KVM_REG_ARM64, KVM_REG_SIZE_U64, kvm_regs, kvm_vcpu_init, user_pt_regs,
};
use kvm_ioctls::{Error, VcpuExit, VcpuFd, VmFd};

use super::{CODE_AT, MEMORY, TURNS};

/// `nop; subs w1, w1, #1; b.ne -4; str w1, [x2]`: `wfi` would wait in the kernel. KVM goes on behind the
/// store when it is called again, wherever the processor is then: it leaves the first one out.
pub(super) const CODE: &[u8] = &[
    0x1f, 0x20, 0x03, 0xd5, 0x21, 0x04, 0x00, 0x71, 0xe1, 0xff, 0xff, 0x54, 0x41, 0x00, 0x00, 0xb9,
];

/// Where the loop stores its counter at the end: nothing is there, so KVM returns.
const NOWHERE: u64 = MEMORY as u64;

/// Readies a new processor.
pub(super) fn prepare(vm: &VmFd, cpu: &VcpuFd) -> Result<(), Error> {
    let mut kind = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut kind)?;
    cpu.vcpu_init(&kind)
}

/// Puts it before the loop.
pub(super) fn rewind(cpu: &VcpuFd) -> Result<(), Error> {
    let general = std::mem::offset_of!(kvm_regs, regs) + std::mem::offset_of!(user_pt_regs, regs);
    let pc = std::mem::offset_of!(kvm_regs, regs) + std::mem::offset_of!(user_pt_regs, pc);
    for (offset, value) in [
        (general + 8, u64::from(TURNS)),
        (general + 16, NOWHERE),
        (pc, CODE_AT),
    ] {
        // Registers are numbered by the 32-bit words before them.
        let core = u64::from(KVM_REG_ARM_CORE) | (offset / 4) as u64;
        let id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | core;
        cpu.set_one_reg(id, &value.to_le_bytes())?;
    }
    Ok(())
}

/// Runs the loop to its end.
pub(super) fn run(cpu: &mut VcpuFd) -> Result<(), String> {
    match cpu.run() {
        Ok(VcpuExit::MmioWrite(NOWHERE, [0, 0, 0, 0])) => Ok(()),
        Ok(VcpuExit::MmioWrite(NOWHERE, _)) => Err("the loop counted wrong".into()),
        other => Err(format!("the loop ended with {other:?}")),
    }
}
