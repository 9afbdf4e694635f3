//! Anaconda: Fedora, RHEL, Rocky, Alma. <https://pykickstart.readthedocs.io>.

use super::{Kind, Progress, percent};

pub(super) const KICKSTART: Kind = Kind {
    injected: Some("ks.cfg"),
    kernel_args: &["inst.ks=file:/ks.cfg", "inst.text"],
    fetches: true,
    root: "/",
    // As the file was, and as it would be written.
    leaves: &[
        "/root/*-ks.cfg",
        "/root/ks-*.log",
        "/root/install.log*",
        "/var/log/anaconda",
    ],
    prompts: &[
        "Please make a selection from the above",
        "Please make your choice from above",
        "Please respond 'yes' or 'no'",
        "Press ENTER to continue",
        "Press ENTER to quit",
        "Use text mode",
        "Password:",
        "Password (confirm):",
    ],
    deadly: &[
        "Pane is dead",
        "The following problem occurred on line",
        "Non interactive installation failed",
        "An unknown error has occured",
        "An unknown error has occurred",
        "dracut-initqueue timeout - starting timeout scripts",
        "Warning: anaconda: failed to fetch stage2",
    ],
    progress,
    text: str::to_owned,
};

/// What Anaconda says at the beginning of a step.
const STEPS: &[&str] = &[
    "Starting installer",
    "Starting automated install",
    "Checking software",
    "Checking storage",
    "Setting up the installation",
    "Configuring storage",
    "Creating disklabel",
    "Creating ",
    "Running pre-installation",
    "Starting package installation process",
    "Downloading packages",
    "Preparing transaction",
    "Installing boot loader",
    "Performing post-installation",
    "Configuring ",
    "Generating initramfs",
    "Running post-installation",
    "Storing configuration files",
    "Installation complete",
];

/// `Installing bash.x86_64 (12/430)`, `Downloading 12 RPMs, 3 MiB / 9 MiB (33%) done`, and steps.
fn progress(text: &str) -> Option<Progress> {
    let text = text.trim();
    let bracketed = text
        .rsplit_once('(')
        .and_then(|(_, rest)| Some(rest.split_once(')')?.0));
    let share = bracketed.and_then(|inside| match inside.split_once('/') {
        Some((done, total)) => percent(done.trim().parse().ok()?, total.trim().parse().ok()?),
        None => inside.strip_suffix('%')?.parse().ok().filter(|n| *n <= 100),
    });
    let packages = [
        ("Installing ", "installing packages"),
        ("Upgrading ", "installing packages"),
        ("Configuring ", "configuring packages"),
        ("Verifying ", "verifying packages"),
        ("Downloading ", "downloading packages"),
    ];
    let known = packages.iter().find(|(start, _)| text.starts_with(start));
    if let (Some(percent), Some((_, step))) = (share, known) {
        return Some(Progress {
            step: (*step).to_owned(),
            percent: Some(percent),
        });
    }
    let step = STEPS.iter().any(|step| text.starts_with(step));
    step.then(|| Progress {
        step: text.trim_end_matches(['.', ' ']).to_owned(),
        percent: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_counted_and_steps_are_named() {
        let seen = |text| progress(text).map(|p| (p.step, p.percent));
        let packages = |n| Some(("installing packages".to_owned(), Some(n)));
        assert_eq!(seen("Installing bash.x86_64 (12/430)"), packages(2));
        assert_eq!(seen("Installing zstd.x86_64 (430/430)"), packages(100));
        assert_eq!(
            seen("Downloading 12 RPMs, 3 MiB / 9 MiB (33%) done."),
            Some(("downloading packages".to_owned(), Some(33)))
        );
        assert_eq!(
            seen("Installing boot loader"),
            Some(("Installing boot loader".to_owned(), None))
        );
        assert_eq!(seen("[   12.3] xfs filesystem (1/2)"), None);
    }
}
