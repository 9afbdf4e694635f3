//! Whose a result is, and who may read it.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

use rustix::io::Errno;

/// Gives a finished file the owner of another one, where owners can be changed, and its mode without
/// the rights of its owner: who can put another file in the old one's place must not get those.
pub(super) fn dress(file: &File, owner: Option<&Metadata>, mode: u32) -> io::Result<()> {
    if let Some(like) = owner {
        let mine = file.metadata()?;
        // One after the other: who is not root may still be of the group.
        if mine.gid() != like.gid() {
            allowed(fchown(file, None, Some(like.gid())))?;
        }
        if mine.uid() != like.uid() {
            allowed(fchown(file, Some(like.uid()), None))?;
        }
    }
    match file.metadata()?.mode() & 0o7777 == mode & 0o777 {
        true => Ok(()),
        false => allowed(file.set_permissions(Permissions::from_mode(mode & 0o777))),
    }
}

/// What a file system without owners and modes, a server, or a namespace without that user refuses
/// is no reason to throw a finished file away.
fn allowed(changed: io::Result<()>) -> io::Result<()> {
    let refused = [
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOTSUP,
        Errno::NOSYS,
        Errno::INVAL,
    ];
    match changed {
        Err(cause)
            if refused
                .iter()
                .any(|errno| cause.raw_os_error() == Some(errno.raw_os_error())) =>
        {
            Ok(())
        }
        changed => changed,
    }
}
