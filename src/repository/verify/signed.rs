//! The indexes of a repository on this host, verified: before they are copied, or reported about.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::KEY_FILE;
use crate::error::{Context as _, Error, Result};
use crate::host::temporary::Temporary;
use crate::index::Claims;
use crate::repository::state::{Placement, Revision};
use crate::repository::{Signers, State, verify, verify_all};

/// The index of a channel.
#[derive(Debug)]
pub struct Signed {
    /// The channel.
    pub channel: String,
    /// The path below the root.
    pub path: String,
    /// Until when it counts, if it says so; else why it does not.
    pub result: Result<Option<Timestamp>>,
}

/// Verifies the index of each channel that has one with the keys of `signers`, or else with the
/// repository's own.
///
/// # Errors
/// When the keys cannot be had, or a file cannot be read.
pub fn indexes(state: &State, signers: &Signers) -> Result<Vec<Signed>> {
    let mut there = Vec::new();
    for channel in state.channels.keys() {
        let path = state.index_path(channel);
        if let Some(bytes) = read(&state.root.join(&path))? {
            there.push((channel, path, bytes));
        }
    }
    if there.is_empty() {
        return Ok(vec![]);
    }
    let texts: Vec<&[u8]> = there.iter().map(|(_, _, bytes)| bytes.as_slice()).collect();
    let verified = with_keys(state, signers, |keyring| verify_all(&texts, keyring))?;
    let judge = |channel: &str, text: &str| {
        let claims = Claims::parse(text);
        let wanted = Some(channel).filter(|channel| *channel != state.default_channel);
        match claims.other_channel(wanted, Some(&state.default_channel)) {
            Some(other) => Err(Error::gate(format!("it is the index of `{other}`"))),
            None => Ok(claims.valid_until),
        }
    };
    let all = there.into_iter().zip(verified);
    Ok(all
        .map(|((channel, path, _), verified)| Signed {
            result: verified.and_then(|verified| judge(channel, &verified.text)),
            channel: channel.clone(),
            path,
        })
        .collect())
}

/// Refuses a record of an image that does not say what was signed: where it lies, others may write,
/// too.
///
/// # Errors
/// When the signed list of its revisions is not to be trusted, or says something else.
pub fn record(state: &State, signers: &Signers, name: &str) -> Result<()> {
    let Some(image) = state.images.get(name) else {
        return Ok(());
    };
    let path = state.root.join(format!("images/{name}/revisions.sjson"));
    let wrong = |error: Error| {
        error
            .within(format!("{} is not to be trusted", path.display()))
            .hint("`imgforge repo verify` shows what else is wrong")
    };
    let signed = read(&path)?.ok_or_else(|| wrong(Error::gate("it is not there")))?;
    let verified = with_keys(state, signers, |keyring| verify(&signed, keyring)).map_err(wrong)?;
    let list: Value = serde_json::from_str(&verified.text)
        .map_err(|cause| wrong(Error::gate("it is not JSON").cause(cause)))?;
    let same = |(number, revision): (&u64, &Revision)| {
        let signed = &list["revisions"][number.to_string()];
        revision.pending
            || (signed["sha512"] == revision.sha512.as_str()
                && signed["file"] == revision.file.as_str()
                && signed["companions"] == json!(revision.companions)
                && signed["yanked"].is_null() == revision.yanked.is_none())
    };
    let placed = |(channel, placement): (&String, &Placement)| {
        list["channels"][channel] == json!(placement.current)
    };
    if list["name"] == name && image.revisions.iter().all(same) && image.channels.iter().all(placed)
    {
        return Ok(());
    }
    Err(wrong(Error::gate(format!(
        "the record of `{name}` says something else"
    ))))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause).doing(|| format!("reading {}", path.display())),
    }
}

/// Calls `verify` with a file of the keys that count.
fn with_keys<T>(
    state: &State,
    signers: &Signers,
    verify: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let keyring = signers.keyring(read(&state.root.join(KEY_FILE))?.as_deref())?;
    let scratch = Temporary::new()?;
    let file = scratch.path().join("keyring");
    std::fs::write(&file, &keyring.bytes).doing(|| "keeping a public key".into())?;
    verify(&file)
}
