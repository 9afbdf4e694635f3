//! What the findings mean. Pure.

use std::path::Path;

use super::probe::{Kernel, Libvirt, UserIds};
use super::{Finding, Level};
use crate::error::{Error, Result};
use crate::host::accel::Choice;
use crate::host::tools::{self, State, Tool};
use crate::machine::Arch;
use crate::units::Size;

pub(super) fn tool(tool: Tool, state: &State) -> Finding {
    let what = tool.program();
    match (tool.complaint(state), state) {
        (Some(complaint), _) => {
            let needless = matches!(
                tool,
                Tool::VirtInstall
                    | Tool::Cpio
                    | Tool::Xorriso
                    | Tool::Skopeo
                    | Tool::Sqfstar
                    | Tool::Unsquashfs
                    | Tool::Busybox
                    | Tool::GrubMkrescue
            );
            let level = if needless { Level::Warn } else { Level::Fail };
            Finding::bad(
                level,
                what,
                complaint,
                tools::install_line(&[tool.package()]),
            )
        }
        (None, State::Present(Some(version))) => Finding::ok(what, format!("version {version}")),
        (None, _) => Finding::ok(what, "present"),
    }
}

pub(super) fn acceleration(choice: &Choice) -> Finding {
    match choice.accel.is_emulated() {
        false => Finding::ok("acceleration", choice.reason.clone()),
        true => Finding::bad(
            Level::Warn,
            "acceleration",
            format!(
                "{}; guests are slow and time limits six times as long",
                choice.reason
            ),
            choice.fix,
        ),
    }
}

pub(super) fn libvirt(found: Result<Libvirt>) -> Finding {
    match found {
        Ok(Libvirt {
            uri,
            private: false,
        }) => Finding::ok("libvirt", format!("connects to {uri}")),
        Ok(Libvirt { private: true, .. }) => Finding::ok(
            "libvirt",
            "no daemon runs, so imgforge starts a private one",
        ),
        Err(error) => failed(
            "libvirt",
            &error,
            "install libvirt-daemon, or name one with --connect",
        ),
    }
}

pub(super) fn libguestfs(version: Result<String>) -> Finding {
    match version {
        Ok(version) => Finding::ok("libguestfs", format!("version {version}")),
        Err(error) => failed("libguestfs", &error, &tools::install_line(&["libguestfs0"])),
    }
}

fn failed(what: &str, error: &Error, fix: &str) -> Finding {
    Finding::bad(
        Level::Fail,
        what,
        error.to_string(),
        error.hint_text().unwrap_or(fix),
    )
}

/// libguestfs boots its appliance from a kernel of the host.
pub(super) fn kernels(kernels: &[Kernel]) -> Finding {
    let what = "appliance kernel";
    let usable = |kernel: &&Kernel| kernel.readable && kernel.modules;
    if let Some(kernel) = kernels.iter().rev().find(usable) {
        return Finding::ok(what, kernel.path.display().to_string());
    }
    match kernels.iter().rev().find(|kernel| kernel.modules) {
        Some(Kernel { path, .. }) => Finding::bad(
            Level::Fail,
            what,
            format!(
                "{} is not readable, and libguestfs needs a kernel",
                path.display()
            ),
            format!(
                "sudo dpkg-statoverride --update --add root root 0644 {}",
                path.display()
            ),
        ),
        None => Finding::bad(
            Level::Fail,
            what,
            "no kernel with its modules is installed, and libguestfs needs one",
            format!(
                "{} (Ubuntu: linux-image-virtual)",
                tools::install_line(&[Arch::default().generic_kernel()])
            ),
        ),
    }
}

/// An ordinary user bootstraps in a range of user ids. Nothing to say about root.
pub(super) fn user_ids(found: &UserIds) -> Option<Finding> {
    let UserIds {
        root,
        user,
        ranges,
        namespaces,
    } = found;
    if *root {
        return None;
    }
    let what = "user ids";
    Some(if !ranges {
        Finding::bad(
            Level::Fail,
            what,
            format!("{user} has no range of user ids in /etc/subuid and /etc/subgid"),
            format!("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"),
        )
    } else if !namespaces {
        Finding::bad(
            Level::Fail,
            what,
            "this host lets ordinary users make no user name spaces",
            "set kernel.unprivileged_userns_clone=1 (Debian) or \
             kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu) with sysctl",
        )
    } else {
        Finding::ok(what, format!("{user} has a range of user ids"))
    })
}

/// Root's programs for disks of others, as `qemu-img`.
pub(super) fn apart(found: Result<()>) -> Finding {
    let what = "separation";
    match found {
        Ok(()) => Finding::ok(
            what,
            "programs that read disks of others see those, and nothing else of this host",
        ),
        Err(why) => Finding::bad(
            Level::Warn,
            what,
            format!("programs that read disks of others see all of this host: {why}"),
            "let this container make mount and process name spaces (CAP_SYS_ADMIN), or build as a user of its own",
        ),
    }
}

pub(super) fn firmware(found: bool) -> Finding {
    if found {
        return Finding::ok("UEFI firmware", "OVMF is installed");
    }
    Finding::bad(
        Level::Warn,
        "UEFI firmware",
        "OVMF is not installed, so images are checked with BIOS only",
        tools::install_line(&["ovmf"]),
    )
}

/// Nobody has to build for another architecture.
pub(super) fn foreign(arch: Arch, found: [Result<()>; 3]) -> Finding {
    let missing = found.into_iter().find_map(Result::err);
    let found = match missing {
        None => "can be bootstrapped and run, by QEMU's translator".to_owned(),
        Some(error) => {
            let hint = error.hint_text().unwrap_or_default();
            format!("cannot be built: {error} ({hint})")
        }
    };
    Finding::ok(&format!("{} guests", arch.as_str()), found)
}

pub(super) fn writable(dir: &Path, found: std::io::Result<()>) -> Finding {
    match found {
        Ok(()) => Finding::ok("state directory", dir.display().to_string()),
        Err(cause) => Finding::bad(
            Level::Fail,
            "state directory",
            format!("{} cannot be written: {cause}", dir.display()),
            "choose another with --state DIR",
        ),
    }
}

pub(super) fn space(what: &str, dir: &Path, free: std::io::Result<u64>, gib: u64) -> Finding {
    let want = Size::gib(gib);
    match free {
        Ok(free) if free >= want.as_bytes() => Finding::ok(
            what,
            format!("{} free for {}", Size::bytes(free).human(), dir.display()),
        ),
        Ok(free) => Finding::bad(
            if free < want.as_bytes() / 4 {
                Level::Fail
            } else {
                Level::Warn
            },
            what,
            format!(
                "only {} free for {}; {want} are good",
                Size::bytes(free).human(),
                dir.display()
            ),
            "`imgforge gc --free 10GiB` makes room, --state DIR and TMPDIR name other places",
        ),
        Err(cause) => Finding::bad(
            Level::Warn,
            what,
            format!("how much is free for {} is unknown: {cause}", dir.display()),
            "choose another with --state DIR",
        ),
    }
}

/// `found`: package and whether its file is there.
pub(super) fn archives(found: &[(&str, bool)]) -> Finding {
    let missing: Vec<&str> = found
        .iter()
        .filter(|(_, there)| !there)
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Finding::ok(
            "archives",
            "the keyrings and suites of Debian and Ubuntu are known",
        );
    }
    Finding::bad(
        Level::Warn,
        "archives",
        format!(
            "{} not installed: not every suite can be bootstrapped",
            missing.join(" and ")
        ),
        tools::install_line(&missing),
    )
}

/// `found`: the file with the setting.
pub(super) fn keyboxd(found: Option<&Path>) -> Option<Finding> {
    let file = found?.display();
    Some(Finding::bad(
        Level::Warn,
        "gpg",
        format!(
            "{file} has `use-keyboxd`: gpg ignores the keyrings that imgforge and virt-builder verify with"
        ),
        format!("remove that line from {file}"),
    ))
}

pub(super) fn signing_key(name: Option<&str>, found: Result<()>) -> Finding {
    match (name, found) {
        (None, _) => Finding::ok(
            "signing key",
            "none is configured, so imgforge makes its own in the state directory",
        ),
        (Some(name), Ok(())) => Finding::ok("signing key", format!("gpg has {name}")),
        (Some(_), Err(error)) => failed(
            "signing key",
            &error,
            "`signing-key:` in imgforge.yaml names it",
        ),
    }
}

pub(super) fn mirror(url: &str, found: Result<(), String>) -> Finding {
    match found {
        Ok(()) => Finding::ok("mirror", format!("{url} answers")),
        Err(why) => Finding::bad(
            Level::Warn,
            "mirror",
            format!("{url} does not answer: {why}"),
            "check the network and the proxies, or name another in imgforge.yaml's `mirrors:`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(readable: bool, modules: bool) -> Kernel {
        Kernel {
            path: "/boot/vmlinuz-6.8.0-generic".into(),
            readable,
            modules,
        }
    }

    #[test]
    fn a_kernel_must_be_there_readable_and_have_modules() {
        assert_eq!(kernels(&[kernel(true, true)]).level, Level::Ok);
        assert_eq!(
            kernels(&[kernel(true, true), kernel(false, true)]).level,
            Level::Ok
        );
        let none = kernels(&[kernel(true, false)]);
        assert!(none.level == Level::Fail && none.fix.unwrap().contains("linux-image"));
        let unreadable = kernels(&[kernel(false, true)]);
        assert_eq!(
            unreadable.fix.unwrap(),
            "sudo dpkg-statoverride --update --add root root 0644 /boot/vmlinuz-6.8.0-generic"
        );
    }

    #[test]
    fn only_ordinary_users_need_ranges_of_ids() {
        let ids = |root, ranges, namespaces| {
            let found = UserIds {
                root,
                user: "ci".into(),
                ranges,
                namespaces,
            };
            user_ids(&found).map(|finding| finding.level)
        };
        assert_eq!(ids(true, false, false), None);
        assert_eq!(ids(false, true, true), Some(Level::Ok));
        assert_eq!(ids(false, false, true), Some(Level::Fail));
        assert_eq!(ids(false, true, false), Some(Level::Fail));
    }

    #[test]
    fn a_host_that_sets_no_program_apart_is_told_why() {
        assert_eq!(apart(Ok(())).level, Level::Ok);
        let finding = apart(Err(Error::stage("`unshare` ended with exit code 1")));
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.found.ends_with("ended with exit code 1"));
    }

    #[test]
    fn little_space_warns_and_none_fails() {
        let level = |gib: u64| space("x", Path::new("/x"), Ok(gib << 30), 10).level;
        assert_eq!(
            [level(20), level(5), level(1)],
            [Level::Ok, Level::Warn, Level::Fail]
        );
    }

    #[test]
    fn an_error_keeps_its_own_hint_as_the_fix() {
        let finding = libguestfs(Err(Error::host("no library").hint("install it so")));
        assert_eq!(
            (finding.level, finding.fix.as_deref()),
            (Level::Fail, Some("install it so"))
        );
    }

    #[test]
    fn the_installer_is_not_needed_by_every_build() {
        assert_eq!(tool(Tool::VirtInstall, &State::Missing).level, Level::Warn);
        assert_eq!(tool(Tool::QemuImg, &State::Missing).level, Level::Fail);
    }

    #[test]
    fn a_gpg_that_ignores_keyrings_is_named() {
        assert!(keyboxd(None).is_none());
        let finding = keyboxd(Some(Path::new("/etc/gnupg/common.conf"))).unwrap();
        let fix = finding.fix.unwrap();
        assert_eq!(fix, "remove that line from /etc/gnupg/common.conf");
    }

    #[test]
    fn missing_keyrings_and_lists_of_suites_are_named() {
        let finding = archives(&[
            ("debian-archive-keyring", true),
            ("ubuntu-keyring", false),
            ("distro-info-data", false),
        ]);
        let fix = finding.fix.unwrap();
        assert!(
            fix.ends_with("install ubuntu-keyring distro-info-data"),
            "{fix}"
        );
    }
}
