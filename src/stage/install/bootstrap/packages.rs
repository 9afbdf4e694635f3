//! The directory with the system's packages, by mmdebstrap.

use std::path::PathBuf;

use crate::distro::apt;
use crate::distro::{Apt, Suite};
use crate::error::{Context as _, Result};
use crate::host::exec::{GuestTree, quote};
use crate::host::foreign;
use crate::host::namespace::remove_tree;
use crate::recipe::types::Bootstrap;
use crate::ui::StageUi;

use super::{Input, disk::Layout, grub, native};
use crate::machine::Arch;
use crate::proxy::ArchiveRelay;

/// Installs the packages into `SCRATCH/tree` and returns it.
pub(super) fn install(
    input: &Input<'_>,
    distro: &Apt,
    suite: &Suite,
    relay: &ArchiveRelay,
    layout: &Layout,
) -> Result<GuestTree> {
    let tree = input.scratch.join("tree");
    remove_tree(&tree)?;
    let doing = || format!("making {}", tree.display());
    let tree = GuestTree::new(tree.clone()).doing(doing)?;
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let path = input.scratch.join(name);
        std::fs::write(&path, text).doing(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    let (ui, arch) = (input.ui.clone(), input.machine.arch);
    let way = foreign::find(arch)?;
    let mut hook = grub::hook(layout);
    let mut program = way.as_guest_root(arch, "mmdebstrap");
    if let Some(how) = way.describe() {
        ui.step(format!("running programs of {} by {how}", arch.as_str()));
        let script = write("native.sh", include_str!("native.sh"))?;
        let register = write("register.sh", include_str!("register.sh"))?;
        program = native::first(program, &script, &register, way.registering());
        hook = native::guests_first(&register) + &hook + &native::removal();
    }
    let hook = write("customize.sh", &hook)?;
    let sources = relay
        .archive()
        .map(|a| apt::sources(distro, suite, a, &input.bootstrap.components))
        .map(|text| write("build.sources", &text))
        .transpose()?;
    program
        .args(arguments(input.bootstrap, distro, suite, arch))
        .args(relay.options())
        .arg(format!(
            "--customize-hook=sh -e {} \"$1\"",
            quote(&hook.to_string_lossy())
        ))
        .arg(suite.name)
        .arg(tree.data())
        .args(sources)
        .env(grub::NO_INITRD.0, grub::NO_INITRD.1)
        .scratch(input.scratch)
        .hint("see the log; `imgforge doctor` checks tools, keyrings and mirrors")
        .lines(move |line| report(&ui, line))
        .doing(|| format!("bootstrapping {}", suite.product))?;
    Ok(tree)
}

/// mmdebstrap's options, without its hook, suite, target and sources.
fn arguments(bootstrap: &Bootstrap, distro: &Apt, suite: &Suite, arch: Arch) -> Vec<String> {
    let mut packages = distro.base_packages(suite, arch, bootstrap.kernel.as_deref());
    packages.extend(bootstrap.packages.iter().cloned());
    let components = if bootstrap.components.is_empty() {
        distro.components.join(",")
    } else {
        bootstrap.components.join(",")
    };
    vec![
        "--mode=root".into(),
        "--format=directory".into(),
        "--variant=minbase".into(),
        format!("--architectures={}", arch.debian),
        format!("--keyring={}", distro.keyring),
        format!("--components={components}"),
        r#"--aptopt=Acquire::Languages "none""#.into(),
        "--aptopt=Acquire::Retries 3".into(),
        // Whether its programs run here is known by now.
        "--skip=check/qemu".into(),
        "--dpkgopt=force-unsafe-io".into(),
        format!("--include={}", packages.join(",")),
    ]
}

/// mmdebstrap's own milestones become steps; everything is a line.
fn report(ui: &StageUi, line: &str) {
    let milestone = line
        .strip_prefix("I: ")
        .and_then(|text| text.strip_suffix("..."));
    if let Some(step) = milestone
        && !step.contains("signed-by")
    {
        ui.step(step);
    }
    ui.line(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::suite;

    #[test]
    fn the_recipes_packages_come_last() {
        let (distro, trixie) = suite("trixie").unwrap();
        let bootstrap: Bootstrap = serde_json::from_value(serde_json::json!({
            "suite": "trixie", "packages": ["less", "nano"], "components": ["main", "contrib"],
        }))
        .unwrap();
        insta::assert_snapshot!(arguments(&bootstrap, distro, trixie, Arch::default()).join("\n"), @r#"
        --mode=root
        --format=directory
        --variant=minbase
        --architectures=amd64
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg
        --components=main,contrib
        --aptopt=Acquire::Languages "none"
        --aptopt=Acquire::Retries 3
        --skip=check/qemu
        --dpkgopt=force-unsafe-io
        --include=linux-image-cloud-amd64,apt,systemd-sysv,udev,dbus,initramfs-tools,zstd,kmod,e2fsprogs,grub2-common,iproute2,ca-certificates,login,passwd,grub-pc-bin,grub-efi-amd64-bin,systemd-resolved,less,nano
        "#);
    }
}
