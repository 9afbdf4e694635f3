//! debian-installer, and Ubuntu's until 20.04: <https://www.debian.org/releases/stable/amd64/apb>.

use super::{Kind, Progress};

pub(super) const PRESEED: Kind = Kind {
    injected: Some("preseed.cfg"),
    kernel_args: &[
        "auto=true",
        "priority=critical",
        "file=/preseed.cfg",
        // Lines instead of a drawn screen: they can be logged and understood.
        "DEBIAN_FRONTEND=text",
    ],
    fetches: false,
    root: "/target",
    leaves: &[
        "/var/log/installer",
        "/var/lib/preseed",
        "/preseed.cfg",
        "/var/cache/debconf/passwords.dat",
        "/var/cache/debconf/passwords.dat-old",
        "/etc/apt/sources.list~",
        "/etc/apt/apt.conf.d/00CDMountPoint",
        "/etc/apt/apt.conf.d/00trustcdrom",
    ],
    prompts: &[
        "Prompt: '?' for help",
        "[Press enter to continue]",
        "Press enter to continue",
    ],
    deadly: &[],
    progress,
    text: without_status,
};

/// `Installing the base system  ... 10%... 23%... 40%`: all on one line, as it grows.
fn progress(text: &str) -> Option<Progress> {
    let (step, rest) = text.split_once("...")?;
    // The beginning of a status line can stand behind the number.
    let number = |part: &str| part.split_once('%')?.0.trim().parse::<u8>().ok();
    let percent = rest.split("...").filter_map(number).last();
    let step = step.trim();
    (!step.is_empty() && percent.is_some_and(|n| n <= 100)).then(|| Progress {
        step: step.to_owned(),
        percent,
    })
}

/// The installer runs inside of `screen`, which draws its windows and a clock once a minute,
/// wherever the text is: `[   (1*installer)  2 shell  3 shell  4- log   ][ Nov 21  8:31 ]`.
fn without_status(line: &str) -> String {
    let mut text = line.to_owned();
    while let Some(middle) = text.find("2 shell  3 shell") {
        let start = text[..middle].rfind('[').unwrap_or(middle);
        let after = &text[middle..];
        let windows = after.find(']').map_or(after.len(), |at| at + 1);
        let clock = match after[windows..].starts_with('[') {
            true => after[windows..].find(']').map_or(0, |at| at + 1),
            false => 0,
        };
        text.replace_range(start..middle + windows + clock, "");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_no_text() {
        let status = |time| {
            format!(
                "[           (1*installer)  2 shell  3 shell  4- log           ][ Nov 21  {time} ]"
            )
        };
        let line = format!(
            "Loading  ... 25%{}... 50%{}... 75%",
            status("8:31"),
            status("8:32")
        );
        assert_eq!(without_status(&line), "Loading  ... 25%... 50%... 75%");
        assert_eq!(
            without_status("Prompt: '?' for help> [ (1*installer)  2 shell  3 sh"),
            "Prompt: '?' for help> [ (1*installer)  2 shell  3 sh"
        );
        assert_eq!(without_status("[ 2 shell  3 shell"), "");
        assert_eq!(without_status("plain"), "plain");
    }

    #[test]
    fn the_last_share_of_a_growing_line_counts() {
        let seen = |text| progress(text).map(|p| (p.step, p.percent));
        let base = |n| Some(("Installing the base system".to_owned(), Some(n)));
        assert_eq!(seen("Installing the base system  ... 10%... 23%"), base(23));
        assert_eq!(seen("Installing the base system  ... 10%... 2"), base(10));
        let cut = "Installing the base system  ... 10%... 23%[           (1*inst";
        assert_eq!(seen(cut), base(23));
        assert_eq!(seen("Loading additional components..."), None);
        assert_eq!(seen("[    3.1] usb 1-1: new device"), None);
        assert_eq!(seen("... 40%"), None);
    }
}
