//! Extended attributes as ext4 stores them.

use std::collections::BTreeMap;
use std::io;

use super::{Fs, Inode, WIDE, u16_at, u32_at, unknown};

/// What attributes begin with.
const MAGIC: u32 = 0xea02_0000;

impl Fs<'_> {
    /// The attributes in the inode and in its block, but for SELinux's, which the guest sets anew.
    ///
    /// # Errors
    /// When they cannot be read, or one lies in a file of its own.
    pub(crate) fn xattrs(&self, inode: &Inode) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut all = self.all_xattrs(inode)?;
        all.remove("security.selinux");
        Ok(all)
    }

    /// As [`Fs::xattrs`], with SELinux's.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn all_xattrs(&self, inode: &Inode) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let (mut all, inode) = (BTreeMap::new(), &inode.raw);
        let lies_elsewhere = || unknown("attributes of a file are not known here");
        let body = match inode.len() {
            128 => 128,
            _ => 128 + usize::from(u16_at(inode, 0x80)),
        };
        if inode.len() > body + 8 && u32_at(inode, body) == MAGIC {
            attributes(&inode[body + 4..], 0, &mut all).ok_or_else(lies_elsewhere)?;
        }
        let mut block = u64::from(u32_at(inode, 0x68));
        if self.features & WIDE != 0 {
            block |= u64::from(u16_at(inode, 0x76)) << 32;
        }
        if block != 0 {
            let bytes = self.part(block, 0, self.block)?;
            let known = (u32_at(&bytes, 0) == MAGIC).then_some(());
            let known = known.and_then(|()| attributes(&bytes, 32, &mut all));
            known.ok_or_else(lies_elsewhere)?;
        }
        Ok(all)
    }
}

/// Reads attributes whose entries begin at `at`; values are relative to the start of `area`. `None` where
/// not all of them are known.
fn attributes(area: &[u8], mut at: usize, all: &mut BTreeMap<String, Vec<u8>>) -> Option<()> {
    while at + 16 <= area.len() && u32_at(area, at) != 0 {
        let (length, index) = (usize::from(area[at]), area[at + 1]);
        let from = usize::from(u16_at(area, at + 2));
        let count = u32_at(area, at + 8) as usize;
        let name = String::from_utf8_lossy(area.get(at + 16..at + 16 + length)?);
        let value = area.get(from..from + count)?;
        if u32_at(area, at + 4) != 0 {
            return None;
        }
        let full = match index {
            1 => format!("user.{name}"),
            2 => "system.posix_acl_access".into(),
            3 => "system.posix_acl_default".into(),
            4 => format!("trusted.{name}"),
            6 => format!("security.{name}"),
            _ => return None,
        };
        let value = match index {
            2 | 3 => acl(value)?,
            _ => value.to_vec(),
        };
        all.insert(full, value);
        at += 16 + length.next_multiple_of(4);
    }
    Some(())
}

/// An access control list as getxattr(2) gives it: each entry with an id.
fn acl(stored: &[u8]) -> Option<Vec<u8>> {
    let mut rest = stored.strip_prefix(&1u32.to_le_bytes())?;
    let mut list = 2u32.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let named = matches!(u16_at(rest.get(..4)?, 0), 2 | 8);
        list.extend(&rest[..4]);
        rest = &rest[4..];
        if named {
            list.extend(rest.get(..4)?);
            rest = &rest[4..];
        } else {
            list.extend(u32::MAX.to_le_bytes())
        }
    }
    Some(list)
}
