//! The kinds of unattended installers: how each gets its answers, and how its console reads.
//! One file per kind.

mod autoinstall;
mod kickstart;
mod preseed;

use crate::distro::AnswerKind;

/// An unattended installer. Its texts are as its console shows them.
#[derive(Debug)]
pub struct Kind {
    /// The name of the answers in the installer's initrd; `None`: they come on a seed disk.
    pub injected: Option<&'static str>,
    /// Arguments of the installer's kernel; the recipe's own follow.
    pub kernel_args: &'static [&'static str],
    /// Whether it fetches what it runs from the install tree, and verifies none of it over plain http.
    pub fetches: bool,
    /// Where the new system is when the answers' last command runs.
    pub root: &'static str,
    /// What it leaves on the new disk, by pattern: copies of the answers with their passwords, logs,
    /// and ways to the network that only the installation had. No installed system needs it.
    pub leaves: &'static [&'static str],
    /// What stands before the cursor when the installer waits for a human.
    prompts: &'static [&'static str],
    /// Lines after which the installer does nothing any more.
    deadly: &'static [&'static str],
    /// What a line says about the progress.
    progress: fn(&str) -> Option<Progress>,
    /// The line without what the installer draws around its text.
    text: fn(&str) -> String,
}

/// How far an installer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub step: String,
    /// How much of that is done.
    pub percent: Option<u8>,
}

/// Prompts of what runs before and around every installer.
const PROMPTS: &[&str] = &[
    "(initramfs)",
    "dracut:/#",
    "Give root password for maintenance",
    "Press Enter for maintenance",
    "grub rescue>",
];

/// Ends of prompts that occur inside of other texts as well.
const ENDS: &[&str] = &["~ #", ":/#", "grub>", "Shell>", "boot:"];

/// The same for lines after which nothing happens.
const DEADLY: &[&str] = &[
    "Entering emergency mode",
    "You are in emergency mode",
    "Unable to find a medium containing a live file system",
    "No bootable device",
];

impl Kind {
    /// The installer that reads such answers.
    pub fn reading(answers: AnswerKind) -> &'static Kind {
        match answers {
            AnswerKind::Preseed => &preseed::PRESEED,
            AnswerKind::Kickstart => &kickstart::KICKSTART,
            AnswerKind::Autoinstall => &autoinstall::AUTOINSTALL,
        }
    }

    /// Whether the text before the cursor waits for a human.
    pub fn is_prompt(&self, pending: &str) -> bool {
        let known = self.prompts.iter().chain(PROMPTS);
        let pending = pending.trim_end();
        let short = ENDS.iter().any(|end| pending.ends_with(end));
        short || known.into_iter().any(|prompt| pending.contains(prompt))
    }

    /// Whether the installer does nothing any more after this line.
    pub fn is_deadly(&self, line: &str) -> bool {
        let known = self.deadly.iter().chain(DEADLY);
        known.into_iter().any(|text| line.contains(text))
    }

    /// The line without what the installer draws around its text, such as a clock.
    pub fn text(&self, line: &str) -> String {
        (self.text)(line)
    }

    /// What a line, or the text before the cursor, says about the progress.
    pub fn progress(&self, text: &str) -> Option<Progress> {
        (self.progress)(text)
    }
}

/// `done` of `total`, as hundredths.
fn percent(done: u64, total: u64) -> Option<u8> {
    let hundredths = done.checked_mul(100)?.checked_div(total)?;
    u8::try_from(hundredths).ok().filter(|n| *n <= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_knows_what_waits_for_a_human() {
        for (kind, text) in [
            (0, "Prompt: '?' for help, default=1> "),
            (0, "~ # "),
            (
                1,
                "Please make a selection from the above ['c' to continue, 'q' to quit, 'r' to refresh]: ",
            ),
            (1, "dracut:/# "),
            (2, "Continue with autoinstall? (yes|no)"),
            (2, "(initramfs) "),
        ] {
            assert!(
                Kind::reading(AnswerKind::ALL[kind]).is_prompt(text),
                "{text}"
            );
        }
        for kind in AnswerKind::ALL.map(Kind::reading) {
            for line in [
                "Retrieving file 1 of 6",
                "[    2.1] Run /init as init process",
                "",
            ] {
                assert!(!kind.is_prompt(line) && !kind.is_deadly(line), "{line}");
            }
            assert!(kind.is_deadly("Entering emergency mode. Exit the shell to continue."));
        }
    }

    #[test]
    fn a_share_is_never_more_than_everything() {
        assert_eq!((percent(1, 3), percent(9, 9)), (Some(33), Some(100)));
        assert_eq!((percent(1, 0), percent(7, 3)), (None, None));
    }
}
