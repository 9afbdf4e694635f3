//! Which entry of an index is meant.

use crate::channels::Share;
use crate::error::{Error, Result};
use crate::index::{self, IndexEntry, Section, normalize_arch};
use crate::text::nearest;

/// What an entry must fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requirement<'a> {
    /// The name that the user typed.
    pub(super) name: &'a str,
    /// The channel whose index it is, unless it is the default one.
    pub(super) channel: Option<&'a str>,
    /// The index says, signed, that it is of that channel.
    pub(super) proved: bool,
    /// The architecture.
    pub(super) arch: &'a str,
    /// What decides whether this machine gets a new revision before others.
    pub(super) machine: Option<&'a str>,
}

impl Requirement<'_> {
    /// Whether an entry may have the name as it was typed. In another channel than the default one
    /// such an entry is that channel's only where something signed says so, else the index of the
    /// default channel could be served in its place.
    fn bare_counts(&self) -> bool {
        self.proved
            || self.channel.is_none_or(|channel| {
                let name = self.name.strip_suffix("-canary").unwrap_or(self.name);
                name.strip_suffix(channel)
                    .is_some_and(|rest| rest.ends_with('-'))
            })
    }
}

/// Fields of an entry that only some of a channel's machines get.
const CANARY_OF: &str = "imgforge_canary_of";
const CANARY_SHARE: &str = "imgforge_canary";

/// Chooses among the sections of a verified index.
pub(super) fn choose(sections: &[Section], wanted: &Requirement<'_>) -> Result<IndexEntry> {
    let in_channel = wanted
        .channel
        .map(|channel| format!("{}-{channel}", wanted.name));
    let bare = wanted.bare_counts().then_some(wanted.name);
    for id in in_channel.as_deref().into_iter().chain(bare) {
        let of_arch = of_arch(named(sections, id)?, id, wanted.arch)?;
        if let Some(entry) = of_arch {
            return Ok(canary(sections, &entry, wanted)?.unwrap_or(entry));
        }
    }
    Err(unknown(sections, wanted))
}

/// The entries of this name, else those that have it as an alias. Only they are checked: what is
/// wrong elsewhere in an index of others does not matter here.
fn named(sections: &[Section], id: &str) -> Result<Vec<IndexEntry>> {
    let alias = |section: &Section| {
        let mut fields = section.fields.iter().filter(|field| field.key == "aliases");
        fields.any(|field| field.value.split(' ').any(|alias| alias == id))
    };
    let mut found: Vec<Section> = sections.iter().filter(|s| s.id == id).cloned().collect();
    if found.is_empty() {
        found = sections.iter().filter(|s| alias(s)).cloned().collect();
    }
    index::check(&found).map_err(|problems| {
        Error::gate(format!("the entry `{id}` of the index breaks a rule"))
            .evidence(problems.iter().take(12).map(ToString::to_string))
            .hint("tell the repository's owner; clients refuse such an index")
    })
}

/// The one for this architecture; an error when there are only others.
fn of_arch(entries: Vec<IndexEntry>, id: &str, arch: &str) -> Result<Option<IndexEntry>> {
    let others: Vec<String> = entries.iter().map(|entry| entry.arch.clone()).collect();
    let fits = |entry: &IndexEntry| normalize_arch(&entry.arch) == normalize_arch(arch);
    match entries.into_iter().find(fits) {
        Some(entry) => Ok(Some(entry)),
        None if others.is_empty() => Ok(None),
        None => Err(Error::usage(format!(
            "`{id}` is not there for {arch}, only for {}",
            others.join(", ")
        ))
        .hint(format!(
            "--arch {0} takes it all the same; a recipe that builds on it is for that machine: \
             `machine: {{arch: {0}}}`",
            others[0]
        ))),
    }
}

/// The newer entry, if this machine belongs to the share that gets it first.
fn canary(
    sections: &[Section],
    entry: &IndexEntry,
    wanted: &Requirement<'_>,
) -> Result<Option<IndexEntry>> {
    let of = |section: &&Section| {
        let mut fields = section.fields.iter();
        fields.any(|field| field.key == CANARY_OF && field.value == entry.id)
    };
    let Some(section) = sections.iter().find(of) else {
        return Ok(None);
    };
    let newer = named(sections, &section.id)?
        .into_iter()
        .find(|newer| normalize_arch(&newer.arch) == normalize_arch(&entry.arch));
    let Some(newer) = newer else {
        return Ok(None);
    };
    let mut fields = newer.other.iter();
    let share = fields.find(|(key, _)| key == CANARY_SHARE);
    let share = share.and_then(|(_, percent)| Share::parse_percent(percent).ok());
    let image = match wanted.channel {
        Some(channel) => wanted.name.strip_suffix(&format!("-{channel}")),
        None => None,
    };
    let image = image.unwrap_or(wanted.name);
    let chosen = share.is_some_and(|share| match wanted.machine {
        Some(machine) => share.includes(machine, image, newer.revision),
        // A machine that cannot be told from others does not go ahead of them.
        None => share == Share::ALL,
    });
    Ok(chosen.then_some(newer))
}

fn unknown(sections: &[Section], wanted: &Requirement<'_>) -> Error {
    let name = wanted.name;
    let mut names: Vec<&str> = sections
        .iter()
        .map(|section| section.id.as_str())
        .filter(|id| *id != index::PLACEHOLDER)
        .collect();
    names.dedup();
    if let Some(near) = nearest(name, names.iter().copied()) {
        return Error::usage(format!("the index has no image `{name}`"))
            .hint(format!("did you mean `{near}`?"));
    }
    // What looks alike comes first.
    names.sort_by_key(|other| !(other.contains(name) || name.contains(other)));
    let more = names.len().saturating_sub(8);
    names.truncate(8);
    let hint = match (names.is_empty(), more) {
        (true, _) => "nothing is published there".to_owned(),
        (false, 0) => format!("it has {}", names.join(", ")),
        (false, more) => format!("it has {} and {more} more", names.join(", ")),
    };
    Error::usage(format!("the index has no image `{name}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "[web]\nfile=a.xz\narch=x86_64\nsize=512\nrevision=3\naliases=www site\n\n\
                         [web]\nfile=b.xz\narch=aarch64\nsize=512\nrevision=4\n\n\
                         [db-nightly]\nfile=c.xz\narch=x86_64\nsize=512\nrevision=5\n\n\
                         [db-nightly-canary]\nfile=d.xz\narch=x86_64\nsize=512\nrevision=6\n\
                         imgforge_canary=50\nimgforge_canary_of=db-nightly\n\n\
                         [broken]\narch=x86_64\n\n";

    fn pick(name: &str, channel: Option<&str>, arch: &str, machine: Option<&str>) -> Result<u64> {
        let sections = index::parse(INDEX).unwrap();
        let wanted = Requirement {
            name,
            channel,
            proved: false,
            arch,
            machine,
        };
        choose(&sections, &wanted).map(|entry| entry.revision)
    }

    #[test]
    fn names_aliases_channels_and_architectures_decide() {
        let nightly = Some("nightly");
        for (name, channel, arch, revision) in [
            ("web", None, "x86_64", 3),
            ("web", None, "amd64", 3),
            ("web", None, "aarch64", 4),
            ("site", None, "x86_64", 3),
            ("db", nightly, "x86_64", 5),
            ("db-nightly", nightly, "x86_64", 5),
            ("db-nightly-canary", nightly, "x86_64", 6),
        ] {
            assert_eq!(
                pick(name, channel, arch, None).unwrap(),
                revision,
                "{name} {arch}"
            );
        }
        // The default channel's index in place of another one's.
        assert!(pick("web", nightly, "x86_64", None).is_err());
        let text = |name, arch| pick(name, None, arch, None).unwrap_err().render();
        assert!(text("web", "s390x").contains("only for x86_64, aarch64"));
        assert!(text("db", "x86_64").contains("it has db-nightly, db-nightly-canary"));
        assert!(text("broken", "x86_64").contains("`broken` has no `file`"));
    }

    #[test]
    fn half_of_the_machines_get_the_newer_revision_first() {
        let count = (0..200)
            .filter(|id| {
                let machine = format!("{id:032x}");
                pick("db", Some("nightly"), "x86_64", Some(&machine)).unwrap() == 6
            })
            .count();
        assert!((60..140).contains(&count), "{count}");
    }
}
