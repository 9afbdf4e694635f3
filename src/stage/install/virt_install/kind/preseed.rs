//! debian-installer, and Ubuntu's until 20.04: <https://www.debian.org/releases/stable/amd64/apb>.

use super::{Kind, Progress};

pub(super) const PRESEED: Kind = Kind {
    name: "preseed",
    end: ".cfg",
    injected: Some("preseed.cfg"),
    kernel_args: &[
        "auto=true",
        "priority=critical",
        "file=/preseed.cfg",
        // Lines instead of a drawn screen: they can be logged and understood.
        "DEBIAN_FRONTEND=text",
        "console=ttyS0,115200n8",
    ],
    root: "/target",
    prompts: &[
        "Prompt: '?' for help",
        "[Press enter to continue]",
        "Press enter to continue",
    ],
    deadly: &[],
    progress,
};

/// `Installing the base system  ... 10%... 23%... 40%`: all on one line, as it grows.
fn progress(text: &str) -> Option<Progress> {
    let (step, rest) = text.split_once("...")?;
    let number = |part: &str| part.trim().strip_suffix('%')?.parse::<u8>().ok();
    let percent = rest.split("...").filter_map(number).last();
    let step = step.trim();
    (!step.is_empty() && percent.is_some_and(|n| n <= 100)).then(|| Progress {
        step: step.to_owned(),
        percent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_share_of_a_growing_line_counts() {
        let seen = |text| progress(text).map(|p| (p.step, p.percent));
        let base = |n| Some(("Installing the base system".to_owned(), Some(n)));
        assert_eq!(seen("Installing the base system  ... 10%... 23%"), base(23));
        assert_eq!(seen("Installing the base system  ... 10%... 2"), base(10));
        assert_eq!(seen("Loading additional components..."), None);
        assert_eq!(seen("[    3.1] usb 1-1: new device"), None);
        assert_eq!(seen("... 40%"), None);
    }
}
