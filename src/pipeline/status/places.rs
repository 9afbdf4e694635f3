//! What the channels have of an image.

use std::collections::BTreeSet;

use super::{PlaceStatus, Repositories};
use crate::channels::ChannelRules;
use crate::error::{Error, Result};
use crate::pipeline::Session;
use crate::repository::state::{Image, Placement};
use crate::repository::{Stamp, State};

/// What a channel has of an image for each architecture; `version` is what its recipe makes.
pub(super) fn of_placement<'a>(
    repository: &'a str,
    state: &'a State,
    image: &'a Image,
    channel: &'a str,
    placement: &'a Placement,
    rules: ChannelRules,
    version: Option<&'a str>,
) -> impl Iterator<Item = PlaceStatus> + 'a {
    let frozen = state
        .channels
        .get(channel)
        .and_then(|channel| channel.frozen.as_ref());
    let seconds = |stamp: &Stamp| u64::try_from(stamp.when.as_second()).unwrap_or_default();
    placement.current.iter().filter_map(move |(arch, number)| {
        let revision = image.revisions.get(number)?;
        let placed = image.place(channel, arch)?;
        let commit = revision.created.commit.clone();
        let notes = rules.notes(&placed);
        let tried = placed
            .canary
            .and_then(|canary| image.revisions.get(&canary.revision));
        Some(PlaceStatus {
            repository: repository.to_owned(),
            channel: channel.to_owned(),
            arch: arch.clone(),
            revision: *number,
            version: revision.image_version.clone(),
            since: placed.since,
            created: seconds(&revision.created),
            commit,
            size: revision.size,
            virtual_size: revision.virtual_size,
            frozen: frozen.map(|stamp| stamp.why.clone().unwrap_or_else(|| "frozen".into())),
            current: version == Some(&*revision.image_version),
            on_trial: tried.is_some_and(|tried| version == Some(&*tried.image_version)),
            fixes: None,
            notes: notes.iter().map(ToString::to_string).collect(),
        })
    })
}

/// Refuses a channel that has nothing of an image which others have.
pub(super) fn not_in(
    repositories: &Repositories,
    image: &str,
    channel: Option<&str>,
) -> Result<()> {
    let (name, arch) = image
        .split_once(':')
        .map_or((image, None), |(name, arch)| (name, Some(arch)));
    let has = |place: &Placement| {
        place
            .current
            .keys()
            .any(|has| arch.is_none_or(|arch| arch == has))
    };
    let images = repositories
        .values()
        .filter_map(|state| state.images.get(name));
    let places = images.flat_map(|image| &image.channels);
    let there: BTreeSet<&str> = places
        .filter(|(_, place)| has(place))
        .map(|(name, _)| name.as_str())
        .collect();
    match channel {
        Some(channel) if !there.is_empty() => {
            let there = there.into_iter().collect::<Vec<_>>().join(", ");
            Err(
                Error::usage(format!("the channel `{channel}` has no image `{image}`"))
                    .hint(format!("it is in {there}")),
            )
        }
        _ => Ok(()),
    }
}

/// Refuses a channel that is in no repository, and that imgforge.yaml does not name.
pub(super) fn known(session: &Session, repositories: &Repositories, channel: &str) -> Result<()> {
    let mut configured = session.config.repositories.values();
    let named = configured.any(|place| place.channels.contains_key(channel));
    let mut unknown = Ok(());
    let named = named
        || repositories
            .values()
            .any(|one| one.default_channel == channel);
    for state in repositories.values().filter(|_| !named) {
        match state.known_channel(channel) {
            Ok(_) => return Ok(()),
            Err(error) => unknown = Err(error),
        }
    }
    unknown
}
