//! What a check keeps of its guest, in case it does not pass.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How much of a guest's output is kept, in bytes.
const LIMIT: u64 = 16 << 20;

/// Where the evidence goes.
#[derive(Debug)]
pub struct Evidence {
    /// The screen, once the system says that it is up.
    pub screen: PathBuf,
    /// What the guest says of itself: journals of failed units, output of commands.
    journal: PathBuf,
    file: Option<File>,
    left: u64,
}

impl Evidence {
    /// Beside the console's log; what an earlier check left there goes.
    pub fn beside(console: &Path) -> Self {
        let (screen, journal) = (console.with_extension("png"), journal_beside(console));
        for old in [&screen, &journal] {
            // Of an earlier check, if there was one.
            drop(std::fs::remove_file(old));
        }
        Evidence {
            screen,
            journal,
            file: None,
            left: LIMIT,
        }
    }

    /// Keeps a line.
    pub(super) fn output(&mut self, line: &str) {
        if self.file.is_none() {
            self.file = File::create(&self.journal).ok();
        }
        let length = line.len() as u64 + 1;
        if let Some(file) = self.file.as_mut().filter(|_| length <= self.left) {
            // A full disk ends the stage where its result is written.
            drop(writeln!(file, "{line}"));
            self.left -= length;
        }
    }
}

/// Where the journal of a guest is kept whose console is logged there.
pub fn journal_beside(console: &Path) -> PathBuf {
    let name = console.file_stem().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix("-console").unwrap_or(&name).to_owned();
    console.with_file_name(format!("{name}-journal.log"))
}
