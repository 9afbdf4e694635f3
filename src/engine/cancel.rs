//! Ends jobs, and waits until they have ended.

use std::time::{Duration, Instant};

use super::queue::{Queue, Standing};
use crate::ui::Ui;

/// A job has so long to end its guests, beside what the engine gives it.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Ends these jobs, also after Ctrl-C; what does not end, or cannot be asked for, is told.
pub(super) fn cancel(queue: &Queue, ids: &[String], ui: &Ui) {
    if ids.is_empty() {
        return;
    }
    if let Err(error) = (queue.cancel)(ids) {
        let ids = ids.join(" ");
        return ui.warning(format!("the jobs {ids} were not cancelled: {error}"));
    }
    let deadline = Instant::now() + ENDS_WITHIN;
    while let Ok(looks) = (queue.look)() {
        let runs = |id: &&String| {
            let look = looks.get(id.as_str());
            look.is_some_and(|look| !matches!(look.standing, Standing::Ended(_)))
        };
        let left: Vec<&str> = ids.iter().filter(runs).map(String::as_str).collect();
        if left.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            let left = left.join(" ");
            return ui.warning(format!(
                "the jobs {left} are cancelled, and have not ended yet"
            ));
        }
        std::thread::sleep(EVERY);
    }
}
