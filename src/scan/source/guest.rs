//! File systems that imgforge does not read itself, packed by an appliance into a stream.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::parts::{Content, Volume};
use crate::error::{Context as _, Error, Result};
use crate::guest::{Drive, Guestfs, Launch};
use crate::scan::{Host, Scanner};

/// Shows every file of the disk to the scanner.
pub(super) fn read(
    raw: &Path,
    volumes: &[Volume],
    scanner: &mut Scanner<'_>,
    host: &Host<'_>,
) -> Result<()> {
    host.ui.step("opening the disk in an appliance");
    let drives = [Drive {
        path: raw,
        format: "raw",
        readonly: true,
    }];
    let guest = Guestfs::launch(&Launch {
        drives: &drives,
        accel: host.accel,
        ui: Some(host.ui),
    })?;
    for volume in volumes.iter().filter(|v| v.content == Content::Luks) {
        let path = format!("/(partition {})", volume.number);
        scanner.unsearched_file(&path, "it is encrypted by LUKS".into());
    }
    if guest.inspect_os()?.len() == 1 {
        guest.mount_root()?;
        packed(&guest, "", scanner)?;
    } else {
        each(&guest, scanner)?;
    }
    guest.close()
}

/// Every file system by itself, where no single operating system says how they belong together.
fn each(guest: &Guestfs, scanner: &mut Scanner<'_>) -> Result<()> {
    for pair in guest.list_filesystems()?.chunks_exact(2) {
        let [device, kind] = pair else { continue };
        if matches!(kind.as_str(), "swap" | "unknown" | "crypto_LUKS") {
            continue;
        }
        guest.mount_ro(device, "/")?;
        packed(guest, &format!("/({device})"), scanner)?;
        guest.umount_all()?;
    }
    Ok(())
}

fn packed(guest: &Guestfs, prefix: &str, scanner: &mut Scanner<'_>) -> Result<()> {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(std::io::Error::from)
        .doing(|| "making a pipe".into())?;
    let name = PathBuf::from(format!("/dev/fd/{}", theirs.as_raw_fd()));
    std::thread::scope(|scope| {
        // A session is used by one thread at a time; the scanner reads in the other.
        let reader = scope.spawn(move || {
            let mut archive = File::from(ours);
            let result = super::tar_below(&mut archive, prefix, scanner);
            // An archive's padding would block its writer.
            drop(std::io::copy(&mut archive, &mut std::io::sink()));
            result
        });
        let written = guest.tar_out("/", &name);
        drop(theirs);
        let read = reader
            .join()
            .unwrap_or_else(|_| Err(Error::internal("the thread of the scan panicked")));
        written.and(read)
    })
}
