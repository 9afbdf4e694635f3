//! Extended attributes as ext4 stores them.

use std::collections::BTreeMap;
use std::io;

use super::Fs;
use super::numbers::{u16_at, u32_at};

impl Fs<'_> {
    /// The attributes in the inode and in its block; `None` when one lies in a file of its own.
    pub(super) fn xattrs(&self, inode: &[u8]) -> io::Result<Option<BTreeMap<String, Vec<u8>>>> {
        let mut all = BTreeMap::new();
        let body = 128
            + usize::from(if inode.len() > 128 {
                u16_at(inode, 0x80)
            } else {
                0
            });
        if inode.len() > body + 8 && u32_at(inode, body) == 0xea02_0000 {
            let area = &inode[body + 4..];
            if !attributes(area, 0, &mut all) {
                return Ok(None);
            }
        }
        let block = u64::from(u32_at(inode, 0x68)) | u64::from(u16_at(inode, 0x76)) << 32;
        if block != 0 {
            let bytes = self.part(block, 0, self.block)?;
            if u32_at(&bytes, 0) != 0xea02_0000 || !attributes(&bytes, 32, &mut all) {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }
}

/// Reads attributes whose entries begin at `at`; values are relative to the start of `area`.
/// Whether all of them were known.
fn attributes(area: &[u8], mut at: usize, all: &mut BTreeMap<String, Vec<u8>>) -> bool {
    while at + 16 <= area.len() && u32_at(area, at) != 0 {
        let (length, index) = (usize::from(area[at]), area[at + 1]);
        let (from, count) = (
            usize::from(u16_at(area, at + 2)),
            u32_at(area, at + 8) as usize,
        );
        let name = area.get(at + 16..at + 16 + length);
        let (Some(name), Some(value)) = (name, area.get(from..from + count)) else {
            return false;
        };
        if u32_at(area, at + 4) != 0 {
            return false;
        }
        let name = String::from_utf8_lossy(name);
        let full = match index {
            1 => format!("user.{name}"),
            2 => "system.posix_acl_access".into(),
            3 => "system.posix_acl_default".into(),
            4 => format!("trusted.{name}"),
            6 => format!("security.{name}"),
            _ => return false,
        };
        let value = match index {
            2 | 3 => match acl(value) {
                Some(value) => value,
                None => return false,
            },
            _ => value.to_vec(),
        };
        if full != "security.selinux" {
            all.insert(full, value);
        }
        at += 16 + length.next_multiple_of(4);
    }
    true
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
