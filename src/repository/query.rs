//! Which images and revisions have a package, from the lists that publications keep of the SBOMs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::below;
use super::state::{Image, Placement, State};
use super::views::packages::{Packages, SBOM};
use crate::error::{Error, Result};
use crate::sbom::query::Query;

/// One package version in one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// Name of the image.
    pub image: String,
    /// The revisions that have it, in their order.
    pub revisions: Vec<u64>,
    /// Those of them that a channel has now.
    pub channels: BTreeMap<String, Vec<u64>>,
    /// Name of the package.
    pub package: String,
    /// Its source package.
    pub source: String,
    /// Its version.
    pub version: String,
}

/// What a query gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// The packages, by image.
    pub found: Vec<Found>,
    /// Offered revisions of which nothing is known: they have no SBOM.
    pub unknown: BTreeMap<String, Vec<u64>>,
    /// Versions that only their epoch keeps out of, or in, the answer.
    pub epochs: Vec<String>,
}

/// Asks all offered revisions of a repository; with `channel` those that it has now.
///
/// # Errors
/// When there is no repository, or a list cannot be read.
pub fn query(root: &Path, query: &Query, channel: Option<&str>) -> Result<Answer> {
    let state = State::read(root)?;
    let mut answer = Answer::default();
    for (image, wanted) in offered(&state, channel)? {
        let packages = read(root, &image.name)?;
        let bare = |number: &u64| {
            let known = packages.revisions.contains(number);
            !known
                || image
                    .revisions
                    .get(number)
                    .is_some_and(|one| one.ending(SBOM).is_none())
        };
        let unknown: Vec<u64> = wanted.iter().copied().filter(bare).collect();
        if !unknown.is_empty() {
            answer.unknown.insert(image.name.clone(), unknown);
        }
        ask(image, &packages, query, &wanted, &mut answer);
    }
    Ok(answer)
}

/// The images that offer revisions, and these; with `channel` those that it has now.
///
/// # Errors
/// When there is no such channel.
pub fn offered<'a>(state: &'a State, channel: Option<&str>) -> Result<Vec<(&'a Image, Vec<u64>)>> {
    if let Some(channel) = channel {
        state.known_channel(channel)?;
    }
    let images = state.images.values().map(|image| {
        let wanted: Vec<u64> = match channel {
            Some(channel) => image
                .channels
                .get(channel)
                .into_iter()
                .flat_map(Placement::revisions)
                .collect(),
            None => image.revisions.keys().copied().collect(),
        };
        let offered = |number: &u64| image.revisions.get(number).is_some_and(|one| one.offered());
        (image, wanted.into_iter().filter(offered).collect())
    });
    Ok(images
        .filter(|(_, wanted): &(_, Vec<u64>)| !wanted.is_empty())
        .collect())
}

fn ask(image: &Image, packages: &Packages, query: &Query, wanted: &[u64], answer: &mut Answer) {
    for row in packages
        .packages
        .iter()
        .filter(|row| query.names(&row.name, &row.source))
    {
        for (version, ranges) in &row.versions {
            let has = |number: &&u64| ranges.iter().any(|(a, b)| (*a..=*b).contains(*number));
            let revisions: Vec<u64> = wanted.iter().filter(has).copied().collect();
            if revisions.is_empty() {
                continue;
            }
            if query.hangs_on_epoch(row.kind, version) {
                let line = format!("{} {version}", row.name);
                if !answer.epochs.contains(&line) {
                    answer.epochs.push(line);
                }
            }
            if !query.accepts(row.kind, version) {
                continue;
            }
            answer.found.push(Found {
                image: image.name.clone(),
                channels: channels(image, &revisions),
                revisions,
                package: row.name.clone(),
                source: row.source.clone(),
                version: version.clone(),
            });
        }
    }
}

/// Which of the revisions each channel of an image has now.
pub fn channels(image: &Image, revisions: &[u64]) -> BTreeMap<String, Vec<u64>> {
    let mut channels = BTreeMap::new();
    for (channel, placement) in &image.channels {
        let mut here: Vec<u64> = placement
            .revisions()
            .filter(|number| revisions.contains(number))
            .collect();
        here.sort_unstable();
        here.dedup();
        if !here.is_empty() {
            channels.insert(channel.clone(), here);
        }
    }
    channels
}

fn read(root: &Path, name: &str) -> Result<Packages> {
    let path = format!("images/{name}/packages.json");
    let Some(bytes) = below::read(root, &path)? else {
        return Ok(Packages::default());
    };
    serde_json::from_slice(&bytes).map_err(|cause| {
        Error::stage(format!("{} is damaged", root.join(path).display()))
            .cause(cause)
            .hint(format!("the next publication of {name} writes it again"))
    })
}

/// Numbers as people write them: `1-3 7`.
pub fn ranges(numbers: &[u64]) -> String {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some(last) if last.1 + 1 == *number => last.1 = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let text = parts.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    text.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_written_as_ranges() {
        assert_eq!(super::ranges(&[1, 2, 3, 7, 9, 10]), "1-3 7 9-10");
        assert_eq!(super::ranges(&[]), "");
    }
}
