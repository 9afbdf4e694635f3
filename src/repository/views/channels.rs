//! `channels/index.json`: which channels there are. It only saves readers from guessing; what they
//! trust is each channel's own signed index.

use serde::{Deserialize, Serialize};

use super::{Change, ViewFile};
use crate::error::{Error, Result};

/// Where the list is, below the root.
pub(in crate::repository) const PATH: &str = "channels/index.json";

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::repository) struct ChannelList {
    pub(in crate::repository) channels: Vec<ListedChannel>,
    pub(in crate::repository) default: Option<String>,
    version: u32,
}

/// A channel, and the path of its index below the root.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::repository) struct ListedChannel {
    pub(in crate::repository) index: String,
    pub(in crate::repository) name: String,
}

/// Renders the list of channels.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let state = change.state;
    let names = state.channels.keys();
    let used = names.filter(|channel| state.placements(channel).next().is_some());
    let list = ChannelList {
        channels: used
            .map(|name| ListedChannel {
                index: state.index_path(name),
                name: name.clone(),
            })
            .collect(),
        default: Some(state.default_channel.clone()),
        version: 1,
    };
    let text = serde_json::to_string_pretty(&list)
        .map_err(|cause| Error::internal("the list of channels is not JSON").cause(cause))?;
    Ok(vec![ViewFile::new(PATH, text + "\n")])
}
