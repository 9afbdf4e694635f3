//! `channels/index.json`: which channels there are. It only saves readers from guessing; what they
//! trust is each channel's own signed index.

use serde_json::json;

use super::{Change, ViewFile};
use crate::error::Result;

/// Renders the list of channels.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let state = change.state;
    let channels: Vec<_> = state
        .channels
        .keys()
        .filter(|channel| state.placements(channel).next().is_some())
        .map(|channel| json!({"name": channel, "index": state.index_path(channel)}))
        .collect();
    let text = json!({"version": 1, "default": state.default_channel, "channels": channels});
    Ok(vec![ViewFile::new(
        "channels/index.json",
        format!("{text:#}\n"),
    )])
}
