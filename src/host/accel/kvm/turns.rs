//! A counting loop in a tiny machine, through KVM_RUN. A processor's own part is a file of [`turns`](self).
#![allow(
    unsafe_code,
    reason = "the guest's memory is a mapping that KVM is told about by address"
)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
mod others;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::ptr;
use std::time::{Duration, Instant};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

#[cfg(target_arch = "aarch64")]
use aarch64 as processor;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
use others as processor;
#[cfg(target_arch = "x86_64")]
use x86_64 as processor;

/// Turns of the loop in one round: 10 microseconds of a real processor.
pub(super) const TURNS: u32 = 20_000;

/// Where the code is in the guest's memory.
const CODE_AT: u64 = 0x1000;

/// The guest's memory, in bytes: KVM takes whole pages, which have up to 64 KiB on ARM.
const MEMORY: usize = 0x10000;

struct Memory(*mut u8);

impl Memory {
    fn new() -> Result<Self, String> {
        // SAFETY: a fresh private mapping at an address of the kernel's choice.
        let page = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                MEMORY,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }
        .map_err(|cause| cause.to_string())?
        .cast::<u8>();
        let code = processor::CODE;
        // SAFETY: the code ends inside the mapping, which nothing else refers to.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), page.add(CODE_AT as usize), code.len()) };
        Ok(Memory(page))
    }

    fn give_to(&self, vm: &VmFd) -> Result<(), kvm_ioctls::Error> {
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY as u64,
            userspace_addr: self.0 as u64,
        };
        // SAFETY: the mapping outlives the machine: `fastest` drops it last.
        unsafe { vm.set_user_memory_region(region) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, not used afterwards.
        let _ = unsafe { munmap(self.0.cast(), MEMORY) };
    }
}

/// The fastest of up to `rounds` runs of the loop; stops at the first that is under `enough`.
pub(super) fn fastest(rounds: u32, enough: Duration) -> Result<Duration, String> {
    let memory = Memory::new()?;
    let (vm, mut cpu) = machine(&memory).map_err(|cause| cause.to_string())?;
    let mut best = Duration::MAX;
    for _ in 0..rounds {
        best = best.min(round(&mut cpu)?);
        if best < enough {
            break;
        }
    }
    drop((cpu, vm));
    Ok(best)
}

fn machine(memory: &Memory) -> Result<(VmFd, VcpuFd), kvm_ioctls::Error> {
    let vm = Kvm::new()?.create_vm()?;
    memory.give_to(&vm)?;
    let cpu = vm.create_vcpu(0)?;
    processor::prepare(&vm, &cpu)?;
    Ok((vm, cpu))
}

fn round(cpu: &mut VcpuFd) -> Result<Duration, String> {
    processor::rewind(cpu).map_err(|cause| cause.to_string())?;
    let started = Instant::now();
    let ended = processor::run(cpu);
    let took = started.elapsed();
    ended.map(|()| took)
}
