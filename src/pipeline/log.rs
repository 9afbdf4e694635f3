//! The log of one stage: everything it says, in `STATE/logs/IMAGE/STAGE.log`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::error::{Context as _, Result};
use crate::mutex::Unpoisoned as _;
use crate::ui::{Event, Reporter, StageUi, Ui};

/// A guest that floods its console must not fill the disk, in bytes.
const LOG_LIMIT: u64 = 64 << 20;

/// Passes events on and writes those of one stage to a file.
#[derive(Debug)]
struct Tee {
    ui: Ui,
    file: Mutex<(File, u64)>,
}

impl Reporter for Tee {
    fn event(&self, event: &Event) {
        let line = match event {
            Event::Line { text, .. } => Some(text.clone()),
            Event::Step { name, .. } => Some(format!("==> {name}")),
            Event::Notice { text } | Event::Warning { text } => Some(format!("==> {text}")),
            _ => None,
        };
        if let Some(line) = line {
            let mut file = self.file.lock().unpoisoned();
            if file.1 < LOG_LIMIT {
                file.1 += line.len() as u64 + 1;
                // A full disk ends the stage where its result is written, not here.
                drop(writeln!(file.0, "{line}"));
            }
        }
        self.ui.event(event);
    }
}

/// Starts the log of a stage, in place of the last build's.
///
/// # Errors
/// When the file cannot be made.
pub fn start(ui: &Ui, logs: &Path, image: &str, stage: &str) -> Result<(StageUi, PathBuf)> {
    let path = logs.join(format!("{stage}.log"));
    let doing = || format!("writing the log {}", path.display());
    std::fs::create_dir_all(logs).doing(doing)?;
    drop(File::create(&path).doing(doing)?);
    // Appended to: a log that held a secret is written anew below the stage's feet.
    let file = File::options().append(true).open(&path).doing(doing)?;
    let file = Mutex::new((file, 0));
    let tee = Tee {
        ui: ui.clone(),
        file,
    };
    Ok((Ui::new(tee).stage(image, stage), path))
}
