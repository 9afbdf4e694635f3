//! What people and boot loaders read: how a ramdisk is booted, and what it needs.

use serde_json::{Value, json};

use super::{Ramdisk, RootForm};
use crate::machine::Arch;

/// What the command line says if the recipe says nothing.
fn usual(arch: Arch) -> String {
    format!("console=tty0 console={},115200 panic=60", arch.serial)
}

/// The names of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) kernel: String,
    pub(super) initrd: String,
    pub(super) root: Option<String>,
}

impl Names {
    /// Those that a machine loads, as lists show them.
    pub(super) fn all(&self) -> Vec<&str> {
        let all = [Some(&self.kernel), Some(&self.initrd), self.root.as_ref()];
        all.into_iter().flatten().map(String::as_str).collect()
    }
}

/// The command line without an address. With `root=`, an initial RAM disk has no limit of half
/// the memory; and no label of SELinux is in a squashfs.
pub(crate) fn cmdline(options: &Ramdisk, arch: Arch, selinux: bool) -> String {
    let usual = usual(arch);
    let own = options.cmdline.as_deref().unwrap_or(&usual);
    let selinux = if selinux { " selinux=0" } else { "" };
    format!("{own} root=ramdisk{selinux}")
}

/// A script for iPXE. UEFI's kernel looks for its initrd by the name on the command line; newer
/// ones take all that iPXE has loaded, as BIOS does, so what other scripts loaded before goes.
pub(super) fn ipxe(
    options: &Ramdisk,
    title: &str,
    names: &Names,
    cmdline: &str,
    memory: u64,
) -> String {
    let Names { kernel, initrd, .. } = names;
    let before = match &options.url {
        Some(url) => format!("{}/", url.trim_end_matches('/')),
        // A name alone is looked for beside the script.
        None => String::new(),
    };
    let (find, base) = match (options.root, before.as_str()) {
        (RootForm::Initrd, _) => ("", String::new()),
        // Where the script comes from; older versions know only what DHCP told them.
        (_, "") => (
            "set base ${cwuri}\nisset ${base} || set base ${filename}\n",
            " imgforge.base=${base}".to_owned(),
        ),
        (_, url) => ("", format!(" imgforge.base={url}")),
    };
    format!(
        "#!ipxe\n# {title}: a machine needs {memory} MiB of memory at least, and no disk.\n{find}imgfree\n\
         kernel {before}{kernel} initrd={initrd} {cmdline}{base} BOOTIF=01-${{netX/mac:hexhyp}}\n\
         initrd {before}{initrd}\nboot\n"
    )
}

/// An entry for GRUB's menu.
pub(super) fn grub(
    options: &Ramdisk,
    title: &str,
    names: &Names,
    cmdline: &str,
    memory: u64,
) -> String {
    let Names { kernel, initrd, .. } = names;
    let url = options.url.as_deref().map(|url| url.trim_end_matches('/'));
    let base = match (options.root, url) {
        (RootForm::Initrd, _) => String::new(),
        (_, Some(url)) => format!(" imgforge.base={url}/"),
        (_, None) => " imgforge.base=http://$net_default_server/".to_owned(),
    };
    // GRUB itself knows no https.
    let place = match url.and_then(|url| url.strip_prefix("http://")) {
        Some(rest) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("(http,{host})/{path}")
        }
        None => "$prefix".to_owned(),
    };
    let place = place.trim_end_matches('/');
    format!(
        "# {title}: a machine needs {memory} MiB of memory at least, and no disk.\n\
         menuentry '{title}' {{\n  linux {place}/{kernel} {cmdline}{base}\n  initrd {place}/{initrd}\n}}\n"
    )
}

/// Everything about it, for programs.
pub(super) fn manifest(
    title: &str,
    names: &Names,
    cmdline: &str,
    memory: u64,
    release: &str,
    sums: &[(String, String)],
) -> Value {
    let sums: serde_json::Map<String, Value> = sums
        .iter()
        .map(|(name, sum)| (name.clone(), json!(sum)))
        .collect();
    json!({
        "title": title,
        "kernel": names.kernel,
        "initrd": names.initrd,
        "squashfs": names.root,
        "release": release,
        "cmdline": cmdline,
        "min-ram": memory,
        "sha256": sums,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: Option<&str>) -> Names {
        Names {
            kernel: "web-1.vmlinuz".into(),
            initrd: "web-1.initrd".into(),
            root: root.map(str::to_owned),
        }
    }

    #[test]
    fn boot_loaders_are_told_everything() {
        let fetched = Ramdisk {
            url: Some("http://boot.example.org/web/".into()),
            ..Ramdisk::default()
        };
        let inside = Ramdisk {
            root: RootForm::Initrd,
            cmdline: Some("console=ttyS1".into()),
            ..Ramdisk::default()
        };
        let mut all = String::new();
        for (options, root) in [
            (&fetched, Some("web-1.squashfs")),
            (&Ramdisk::default(), Some("web-1.squashfs")),
            (&inside, None),
        ] {
            let names = names(root);
            let cmdline = cmdline(options, Arch::X86_64, root.is_none());
            all += &ipxe(options, "web-1", &names, &cmdline, 512);
            all += &grub(options, "web-1", &names, &cmdline, 512);
        }
        insta::assert_snapshot!(all);
        let arm = cmdline(&fetched, Arch::Aarch64, false);
        assert_eq!(
            arm,
            "console=tty0 console=ttyAMA0,115200 panic=60 root=ramdisk"
        );
        let parsed = crate::host::exec::Program::new("grub-script-check").input(grub(
            &fetched,
            "web-1",
            &names(None),
            "a",
            1,
        ));
        parsed.run().unwrap();
    }
}
