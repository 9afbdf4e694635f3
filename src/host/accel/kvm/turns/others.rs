//! On processors for which nobody has written the loop: what is not measured is not used.

use kvm_ioctls::{Error, VcpuFd, VmFd};

/// Nothing.
pub(super) const CODE: &[u8] = &[];

/// Refuses.
pub(super) fn prepare(_vm: &VmFd, _cpu: &VcpuFd) -> Result<(), Error> {
    let unsupported = rustix::io::Errno::OPNOTSUPP;
    Err(Error::new(unsupported.raw_os_error()))
}

/// Nothing.
pub(super) fn rewind(_cpu: &VcpuFd) -> Result<(), Error> {
    Ok(())
}

/// Nothing.
pub(super) fn run(_cpu: &mut VcpuFd) -> Result<(), String> {
    Ok(())
}
