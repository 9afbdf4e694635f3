//! Judges answer files before any machine starts: what an installer cannot read, or cannot end
//! well with, is found here in milliseconds instead of after an hour. One file per kind.

mod autoinstall;
mod kickstart;
mod preseed;

use crate::distro::AnswerKind;

/// What the judge lets `imgforge_sentinel` expand to, or `imgforge_key` where an answer file
/// writes the proof itself.
pub const PROOF: &str = "imgforge-proof";

/// Something that the installer would fail at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line of the rendered text, counted from 1; 0 where it is about what is missing.
    pub line: usize,
    /// One sentence.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// The kind that a text is, whatever its name, and the line that shows it.
pub fn sniff(text: &str) -> Option<(AnswerKind, usize)> {
    let sections = ["%packages", "%post", "%pre", "%end"];
    text.lines().enumerate().find_map(|(at, line)| {
        let first = line.split_whitespace().next()?;
        let kind = match first {
            "d-i" => AnswerKind::Preseed,
            "#cloud-config" => AnswerKind::Autoinstall,
            "autoinstall:" if line.starts_with(first) => AnswerKind::Autoinstall,
            word if sections.contains(&word) => AnswerKind::Kickstart,
            _ => return None,
        };
        Some((kind, at + 1))
    })
}

/// What is wrong with rendered answers of this kind.
pub fn judge(kind: AnswerKind, text: &str) -> Vec<Finding> {
    match kind {
        AnswerKind::Preseed => preseed::judge(text),
        AnswerKind::Kickstart => kickstart::judge(text),
        AnswerKind::Autoinstall => autoinstall::judge(text),
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
