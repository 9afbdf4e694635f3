//! Unattended installers. One file each, with everything about it: its answers and what is wrong with them, how it gets them, and how its console reads.

mod answers;
pub mod autoinstall;
pub mod kickstart;
pub mod preseed;
mod shlex;
mod values;

pub use answers::AnswerFile;
pub use values::Values;

/// The table: adding an installer is one file and one line.
pub const INSTALLERS: &[&Installer] = &[
    &preseed::PRESEED,
    &kickstart::KICKSTART,
    &autoinstall::AUTOINSTALL,
];

/// An unattended installer. Its texts are as its console shows them.
#[derive(Debug)]
pub struct Installer {
    /// What people call its answers; also the folder where they are kept.
    pub name: &'static str,
    /// The end of their files' names.
    pub end: &'static str,
    /// What people call the program.
    pub program: &'static str,
    /// Whether a line shows that a text is its answers, whatever the file is called.
    shows: fn(&str) -> bool,
    /// What is wrong with rendered answers.
    judge: fn(&str) -> Vec<Finding>,
    /// What the value of a variable or secret makes of them that its writer cannot have meant.
    judge_values: fn(&Values) -> Option<Finding>,
    /// How it gets them.
    pub delivery: Delivery,
    /// Where its ISO images have kernel and initrd, if virt-install does not know.
    pub iso_boot: Option<(&'static str, &'static str)>,
    /// The argument of its kernel that says where the rest of an install tree is, up to the address,
    /// if it has to be told.
    pub tree_arg: Option<&'static str>,
    /// How it fetches what it runs from the install tree, if it verifies none of it over plain http.
    pub unverified: Option<Unverified>,
    /// Arguments of its kernel; the recipe's own follow.
    pub kernel_args: &'static [&'static str],
    /// Where the new system is when the answers' last command runs.
    pub root: &'static str,
    /// What it leaves on the new disk.
    pub leaves: Leaves,
    /// What stands before the cursor when the installer waits for a human.
    prompts: &'static [&'static str],
    /// Lines after which the installer does nothing any more.
    deadly: &'static [&'static str],
    /// What a line says about the progress.
    progress: fn(&str) -> Option<Progress>,
    /// The line without what the installer draws around its text.
    text: fn(&str) -> String,
}

/// What an installer leaves on the new disk, by pattern: files and trees, which no installed system
/// needs. All of it goes when the installation has ended; traces are leftovers in any image.
#[derive(Debug)]
pub struct Leaves {
    /// Copies of the answers, with their passwords.
    pub answers: &'static [&'static str],
    /// What it logged.
    pub logs: &'static [&'static str],
    /// What only the installation needed: ways to its network, caches, the seed of its cloud-init.
    pub settings: &'static [&'static str],
}

/// Patterns of all installers' answers and logs.
pub fn traces() -> Vec<&'static str> {
    let leaves = INSTALLERS.iter().map(|one| &one.leaves);
    leaves
        .flat_map(|one| [one.answers, one.logs].concat())
        .collect()
}

/// How answers get to an installer.
#[derive(Debug)]
pub enum Delivery {
    /// In its initrd, under this name.
    Initrd(&'static str),
    /// On a seed disk.
    Seed {
        /// The label of its file system.
        label: &'static str,
        /// Its files, by name, made of the answers and of a name for this installation.
        files: fn(&str, &str) -> Vec<(&'static str, String)>,
    },
}

/// How an installer that verifies nothing fetches what it runs.
#[derive(Debug)]
pub struct Unverified {
    /// How those arguments of its kernel begin that may fetch something.
    pub args: &'static str,
    /// How words begin that name a proxy, from which nothing is fetched.
    pub proxies: &'static [&'static str],
    /// The commands of answers that fetch something.
    pub fetching: fn(&str) -> Vec<String>,
}

/// How far an installer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub step: String,
    /// How much of that is done.
    pub percent: Option<u8>,
}

/// Something in its answers that an installer would fail at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line of the rendered text, counted from 1; 0 where it is about what is missing.
    pub line: usize,
    /// One sentence.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// What those who judge let `imgforge_sentinel` expand to, or `imgforge_key` where an answer file
/// writes the proof itself.
pub const PROOF: &str = "imgforge-proof";

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

/// The installer whose answers a text is, whatever its name, and the line that shows it.
pub fn sniff(text: &str) -> Option<(&'static Installer, usize)> {
    text.lines().enumerate().find_map(|(at, line)| {
        let shown = INSTALLERS.iter().find(|one| (one.shows)(line))?;
        Some((*shown, at + 1))
    })
}

impl PartialEq for Installer {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Installer {}

impl Installer {
    /// What is wrong with rendered answers, found in milliseconds instead of after an hour.
    pub fn judge(&self, answers: &str) -> Vec<Finding> {
        (self.judge)(answers)
    }

    /// What is wrong with answers by the real values of their variables and secrets, which [`Finding`]'s texts
    /// do not show.
    pub fn judge_values(&self, answers: &Values) -> Option<Finding> {
        (self.judge_values)(answers)
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

impl Finding {
    fn new(line: usize, message: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding {
            line,
            message: message.into(),
            help: help.into(),
        }
    }

    /// The proof is missing, or stands where the installer's last act does not reach it.
    fn no_proof(line: usize, place: &str, example: &str) -> Finding {
        let message = match line {
            0 => format!("the answers never write `{{{{ imgforge_sentinel }}}}` in {place}"),
            _ => format!("`{{{{ imgforge_sentinel }}}}` belongs in {place}"),
        };
        let help = format!(
            "without it no installation counts as done: let {example} be the installer's last act"
        );
        Finding::new(line, message, help)
    }
}

/// The first word of a line.
fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// The first line of a text with line ends of Windows.
fn carriage_return(text: &str) -> Option<Finding> {
    let at = text.split('\n').position(|line| line.ends_with('\r'))?;
    Some(Finding::new(
        at + 1,
        "the line ends in a carriage return, which the installer takes for a part of the value",
        "save the file with the line ends of Unix: `sed -i 's/\\r$//' FILE`",
    ))
}

/// Whether another file can be had by that name: the answers are injected alone.
fn is_remote(name: &str) -> bool {
    ["http://", "https://", "ftp://", "tftp://", "nfs:"]
        .iter()
        .any(|scheme| name.starts_with(scheme))
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
    fn every_installer_is_told_from_all_others() {
        for (at, one) in INSTALLERS.iter().enumerate() {
            let path = format!("x/answers{}", one.end);
            let file: AnswerFile = path.parse().unwrap();
            assert_eq!(file.installer(), *one, "{}: another one ends so", one.name);
            for other in &INSTALLERS[at + 1..] {
                assert_ne!(one.name, other.name);
            }
            // A text without anything has no proof, so no installer takes it for good.
            assert_ne!(one.judge(""), [], "{}", one.name);
        }
    }

    #[test]
    fn every_installer_knows_what_waits_for_a_human() {
        for (installer, text) in [
            (&preseed::PRESEED, "Prompt: '?' for help, default=1> "),
            (&preseed::PRESEED, "~ # "),
            (
                &kickstart::KICKSTART,
                "Please make a selection from the above ['c' to continue, 'q' to quit, 'r' to refresh]: ",
            ),
            (&kickstart::KICKSTART, "dracut:/# "),
            (
                &autoinstall::AUTOINSTALL,
                "Continue with autoinstall? (yes|no)",
            ),
            (&autoinstall::AUTOINSTALL, "(initramfs) "),
        ] {
            assert!(installer.is_prompt(text), "{text}");
        }
        for installer in INSTALLERS {
            for line in [
                "Retrieving file 1 of 6",
                "[    2.1] Run /init as init process",
                "",
            ] {
                assert!(
                    !installer.is_prompt(line) && !installer.is_deadly(line),
                    "{line}"
                );
            }
            assert!(installer.is_deadly("Entering emergency mode. Exit the shell to continue."));
        }
    }

    #[test]
    fn a_share_is_never_more_than_everything() {
        assert_eq!((percent(1, 3), percent(9, 9)), (Some(33), Some(100)));
        assert_eq!((percent(1, 0), percent(7, 3)), (None, None));
    }
}
