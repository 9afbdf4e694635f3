//! Files of the guest as an archive in a pipe, which a thread of ours reads while it is written.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use super::Guestfs;
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;

/// From here on tar(1) of the appliance asks the file systems where files have holes.
const SPARSELY: &str = r#"
tar=$(command -v tar) && [ ! -e "$tar.imgforge" ] && mv "$tar" "$tar.imgforge" &&
  printf '#!/bin/sh\nexec %s.imgforge --sparse "$@"\n' "$tar" >"$tar" && chmod 755 "$tar"; true
"#;

impl Guestfs {
    /// Lets the holes of files be holes in every archive from here on: a file of any size may be
    /// one hole.
    ///
    /// # Errors
    /// When the appliance has no shell.
    pub(crate) fn pack_sparsely(&self) -> Result<()> {
        self.debug("sh", &[SPARSELY]).map(drop)
    }

    /// Packs a directory of the guest, without the files that match one of tar(1)'s patterns, and
    /// gives the archive to `read`, which may end before it. Returns what that made of it, and
    /// whether all could be packed.
    ///
    /// # Errors
    /// When `read` has one, or on an interrupt.
    pub(crate) fn packed<T: Send>(
        &self,
        dir: &str,
        excludes: &[&str],
        read: impl FnOnce(&mut File) -> Result<T> + Send,
    ) -> Result<(T, Result<()>)> {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(std::io::Error::from)
            .doing(|| "making a pipe".into())?;
        let name = PathBuf::from(format!("/dev/fd/{}", theirs.as_raw_fd()));
        let (written, made) = std::thread::scope(|scope| {
            // A session is used by one thread at a time; the reader is another.
            let reader = scope.spawn(move || {
                let mut archive = File::from(ours);
                let result = read(&mut archive);
                if result.is_ok() {
                    // An archive's padding would block its writer.
                    drop(std::io::copy(&mut archive, &mut std::io::sink()));
                }
                result
            });
            let written = self.tar_out_without(dir, &name, excludes);
            drop(theirs);
            let panicked = || Err(Error::internal("the thread that reads an archive panicked"));
            (written, reader.join().unwrap_or_else(|_| panicked()))
        });
        interrupt::check()?;
        Ok((made?, written))
    }
}
