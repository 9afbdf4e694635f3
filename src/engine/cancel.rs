//! Ends jobs, and waits until they have ended.

use std::time::{Duration, Instant};

use super::queue::{Queue, Standing};
use crate::error::Result;
use crate::ui::Ui;

/// A job has so long to end its guests, beside what the engine gives it.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Ends these jobs, also after Ctrl-C; what does not end is told.
///
/// # Errors
/// When the engine does not take it: the jobs go on.
pub(super) fn cancel(queue: &Queue, ids: &[String], ui: &Ui) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    (queue.cancel)(ids)
        .map_err(|error| error.within(format!("the jobs {} were not cancelled", ids.join(" "))))?;
    let deadline = Instant::now() + ENDS_WITHIN;
    while let Ok(looks) = (queue.look)() {
        let runs = |id: &&String| {
            let look = looks.get(id.as_str());
            look.is_some_and(|look| !matches!(look.standing, Standing::Ended(_)))
        };
        let left: Vec<&str> = ids.iter().filter(runs).map(String::as_str).collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let left = left.join(" ");
            ui.warning(format!(
                "the jobs {left} are cancelled, and have not ended yet"
            ));
            return Ok(());
        }
        std::thread::sleep(EVERY);
    }
    Ok(())
}
