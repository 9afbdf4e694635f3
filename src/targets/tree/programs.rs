//! What a system's programs are for, as their ELF headers say.

use std::io::Read as _;

use super::{Kind, Node, Tree};
use crate::machine::Arch;

/// What the programs of a system are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Programs {
    /// An architecture of ours.
    For(Arch),
    /// 32-bit x86: a machine of x86-64 starts the system, and a container says another name.
    I386,
}

impl Tree {
    /// What its programs are for, by the first one that is for something known; `None`, where there is none.
    /// Those that the standard has a directory for count; without any, those in a `bin` elsewhere.
    pub(crate) fn programs(&self) -> Option<Programs> {
        let heads = |usual: bool| {
            let nodes = self.nodes.iter();
            let there =
                nodes.filter(move |node| node.kind == Kind::File && place(node) == Some(usual));
            there.filter_map(|node| self.head(node))
        };
        let usual = heads(true).next().is_some();
        let arch = |head: [u8; 20]| {
            let all = Arch::ALL.iter().copied();
            let mut same = all.filter(|arch| head[18..] == [arch.elf_machine, 0]);
            same.next()
                .filter(|_| head[4..6] == [2, 1])
                .map(Programs::For)
        };
        // A system of x86-64 may have some of 32 bits, too.
        let i386 = || {
            let mut heads = heads(usual);
            let found = heads.any(|head| head[4..6] == [1, 1] && head[18..] == [3, 0]);
            found.then_some(Programs::I386)
        };
        heads(usual).find_map(arch).or_else(i386)
    }

    /// The beginning of an ELF file.
    fn head(&self, node: &Node) -> Option<[u8; 20]> {
        let mut head = [0; 20];
        self.open(node).read_exact(&mut head).ok()?;
        head.starts_with(b"\x7fELF").then_some(head)
    }
}

/// Whether a file lies where programs are by the standard (`true`), or in a `bin` elsewhere.
fn place(node: &Node) -> Option<bool> {
    let path = node.path.strip_prefix(b"usr/").unwrap_or(&node.path);
    let dir = &path[..path.iter().rposition(|byte| *byte == b'/')?];
    match path.starts_with(b"bin/") || path.starts_with(b"sbin/") {
        true => Some(true),
        false => (dir.ends_with(b"/bin") || dir.ends_with(b"/sbin")).then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(files: &[(&str, [u8; 4])]) -> Option<Programs> {
        let mut tree = Tree::empty();
        for (path, [class, order, low, high]) in files {
            let head = [&b"\x7fELF"[..], &[*class, *order], &[0; 12], &[*low, *high]].concat();
            tree.nodes.push(Node::made(path, Kind::File, 0o755, head));
        }
        tree.programs()
    }

    const I386: [u8; 4] = [1, 1, 3, 0];
    const X86_64: [u8; 4] = [2, 1, 62, 0];
    const AARCH64: [u8; 4] = [2, 1, 183, 0];
    const S390X: [u8; 4] = [2, 2, 0, 22];

    #[test]
    fn programs_tell_what_their_system_is_for() {
        let known = |arch| Some(Programs::For(arch));
        let both = [("usr/bin/a", I386), ("usr/bin/b", X86_64)];
        assert_eq!(programs(&both), known(Arch::X86_64));
        assert_eq!(programs(&[("bin/sh", I386)]), Some(Programs::I386));
        let elsewhere = ("nix/store/0-bash/bin/bash", AARCH64);
        assert_eq!(programs(&[elsewhere]), known(Arch::Aarch64));
        assert_eq!(programs(&[elsewhere, ("usr/sbin/init", S390X)]), None);
        assert_eq!(programs(&[("usr/lib/a.so", X86_64)]), None);
        assert_eq!(programs(&[]), None);
    }
}
