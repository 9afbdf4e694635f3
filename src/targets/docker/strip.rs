//! What a container must not have of a machine: the files, and what takes their place.

use crate::targets::tree::{Content, Kind, NO_INODE, Node};

/// Directories of which only the directory itself stays.
const EMPTIED: &[&str] = &[
    "boot",
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "var/tmp",
    "var/cache/dnf",
    "var/lib/cloud",
    "media",
];

/// What goes: kernels, modules, firmware, boot loaders, and who the machine was.
const GONE: &[&str] = &[
    "lost+found",
    "swapfile",
    "swap.img",
    "vmlinuz",
    "vmlinuz.old",
    "initrd.img",
    "initrd.img.old",
    "lib/modules",
    "usr/lib/modules",
    "lib/firmware",
    "usr/lib/firmware",
    "usr/lib/grub",
    "usr/share/grub",
    "usr/lib/shim",
    "usr/lib/initramfs-tools",
    "usr/share/initramfs-tools",
    "etc/grub.d",
    "etc/default/grub",
    "etc/default/grub.d",
    "etc/initramfs-tools",
    "etc/kernel",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/crypttab",
    "etc/.updated",
    "var/.updated",
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/initramfs-tools",
];

/// Beginnings of paths that go.
const BEGINNINGS: &[&str] = &[
    "etc/ssh/ssh_host_",
    "etc/udev/rules.d/70-persistent-",
    "etc/lvm/backup/",
    "etc/lvm/archive/",
    "var/log/journal/",
];

/// Files that stay, without content.
const BLANK: &[&str] = &["etc/fstab", "etc/machine-id"];

/// Units that need hardware, a console or a kernel of their own.
const MASKED: &[&str] = &[
    "getty.target",
    "serial-getty@.service",
    "getty@.service",
    "systemd-modules-load.service",
    "systemd-remount-fs.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
];

/// Where systemd's units are, and where masking is written down.
const UNITS: &str = "usr/lib/systemd/system";
const MASKS: &str = "etc/systemd/system";

/// The files of a container, sorted; `more` units are masked.
pub(in crate::targets) fn strip(nodes: &[Node], more: &[&str]) -> Vec<Node> {
    let mut kept: Vec<Node> = nodes.iter().filter(|node| stays(node)).cloned().collect();
    for node in &mut kept {
        if BLANK.iter().any(|path| node.path == path.as_bytes()) && node.kind == Kind::File {
            node.size = 0;
            node.inode = NO_INODE;
            node.content = Content::Bytes(vec![]);
        }
    }
    let has = |path: &str, kept: &[Node]| kept.iter().any(|node| node.path == path.as_bytes());
    if has(MASKS, &kept) {
        let masks: Vec<Node> = MASKED
            .iter()
            .chain(more)
            .filter(|unit| has(&format!("{UNITS}/{unit}"), &kept))
            .map(|unit| mask(&format!("{MASKS}/{unit}")))
            .collect();
        kept.retain(|node| !masks.iter().any(|mask| mask.path == node.path));
        kept.extend(masks);
    }
    kept.sort_by(|a, b| a.path.cmp(&b.path));
    kept
}

fn stays(node: &Node) -> bool {
    let path = node.path.as_slice();
    let below = |dir: &str| {
        path.strip_prefix(dir.as_bytes())
            .is_some_and(|rest| rest.starts_with(b"/"))
    };
    // Their directories stay: programs want them.
    let log = ["var/log", "var/cache/apt", "var/lib/apt/lists"]
        .iter()
        .any(|dir| below(dir) && node.kind == Kind::File);
    let gone = GONE
        .iter()
        .any(|gone| path == gone.as_bytes() || below(gone))
        || EMPTIED.iter().any(|dir| below(dir))
        || BEGINNINGS
            .iter()
            .any(|start| path.starts_with(start.as_bytes()));
    !(log || gone || node.kind == Kind::Special)
}

fn mask(path: &str) -> Node {
    Node::made(path, Kind::Link(b"/dev/null".to_vec()), 0o777, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Node {
        Node {
            kind: Kind::File,
            size: 3,
            inode: (0, 1),
            content: Content::Bytes(b"abc".to_vec()),
            ..mask(path)
        }
    }

    #[test]
    fn a_machine_becomes_a_container() {
        let dir = |path: &str| Node {
            kind: Kind::Directory,
            ..mask(path)
        };
        let stripped = strip(
            &[
                dir("boot"),
                file("boot/vmlinuz-6.12"),
                dir("boot/grub"),
                file("booty"),
                dir("etc/systemd/system"),
                file("etc/fstab"),
                file("etc/ssh/ssh_host_rsa_key"),
                file("etc/ssh/sshd_config"),
                file("usr/lib/modules/6.12/modules.dep"),
                file("usr/lib/systemd/system/getty@.service"),
                dir("var/log/apt"),
                file("var/log/apt/history.log"),
            ],
            &[],
        );
        let seen: Vec<_> = stripped
            .iter()
            .map(|node| (String::from_utf8_lossy(&node.path).into_owned(), node.size))
            .collect();
        let expected = [
            ("boot", 0),
            ("booty", 3),
            ("etc/fstab", 0),
            ("etc/ssh/sshd_config", 3),
            ("etc/systemd/system", 0),
            ("etc/systemd/system/getty@.service", 0),
            ("usr/lib/systemd/system/getty@.service", 3),
            ("var/log/apt", 0),
        ];
        assert_eq!(seen, expected.map(|(path, size)| (path.to_owned(), size)));
    }
}
