//! subiquity, Ubuntu's since 20.04: <https://canonical-subiquity.readthedocs-hosted.com>.

use super::{Kind, Progress};

pub(super) const AUTOINSTALL: Kind = Kind {
    injected: None,
    kernel_args: &["autoinstall"],
    fetches: false,
    root: "/target",
    // Of curtin as well, which it calls.
    leaves: &[
        "/var/log/installer.tar*",
        "/etc/apt/apt.conf.d/90curtin-aptproxy",
        "/etc/cloud/cloud.cfg.d/99-installer.cfg",
        "/etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg",
        "/var/lib/cloud/seed",
        "/root/curtin-install.log",
        "/root/curtin-install-cfg.yaml",
    ],
    prompts: &[
        "Continue with autoinstall?",
        "Continue in rich mode",
        "Continue in basic mode",
        "Press enter to start a shell",
        "press enter to continue",
    ],
    deadly: &[
        "An error occurred. Press enter to start a shell",
        "Malformed autoinstall in",
        "autoinstall config did not create needed bootloader partition",
    ],
    progress,
    text: str::to_owned,
};

/// `start: subiquity/Install/install/curtin_install/run_curthooks: configuring installed system`.
fn progress(text: &str) -> Option<Progress> {
    let (_, event) = text.split_once("start: subiquity/")?;
    let (path, words) = event.split_once(':').unwrap_or((event, ""));
    let words = words.trim();
    // Without words of its own an event is named by the last part of its path.
    let step = match words.is_empty() {
        true => path.rsplit('/').next().unwrap_or(path).replace('_', " "),
        false => words.to_owned(),
    };
    Some(Progress {
        step,
        percent: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_begin_are_steps() {
        let seen = |text| progress(text).map(|p| p.step);
        assert_eq!(
            seen("start: subiquity/Install/install/postinstall/run_unattended_upgrades: downloading updates").as_deref(),
            Some("downloading updates")
        );
        assert_eq!(
            seen("[  61.2] cloud-init: start: subiquity/Early/load_autoinstall_data:").as_deref(),
            Some("load autoinstall data")
        );
        assert_eq!(seen("finish: subiquity/Network: SUCCESS"), None);
    }
}
