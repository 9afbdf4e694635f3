//! Which suites an image's packages come from.

use std::collections::{BTreeMap, BTreeSet};

use super::suite::{self, Asked, Want};
use super::{Packages, Settings, Subject};
use crate::machine::Arch;
use crate::sbom::Kind;

/// Which suites are to be read, and what of each.
pub(super) fn ask(settings: &Settings, subjects: &[Subject]) -> BTreeMap<Asked, BTreeSet<Want>> {
    let mut all: BTreeMap<Asked, BTreeSet<Want>> = BTreeMap::new();
    for subject in subjects {
        let Ok(contents) = &subject.contents else {
            continue;
        };
        for (asked, wants) in of(settings, contents, &subject.at.arch).read {
            all.entry(asked).or_default().extend(wants);
        }
    }
    all
}

/// The sources of an image.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Those that can be asked for.
    pub(super) read: Vec<(Asked, Vec<Want>)>,
    /// Why others are not, a sentence each.
    pub(super) unread: Vec<String>,
}

/// The sources of an image for an architecture, in the kernel's spelling.
pub(super) fn of(settings: &Settings, contents: &Packages, arch: &str) -> Sources {
    let mut all = Sources::default();
    if contents.kind != Kind::Deb {
        let name = contents.kind.name();
        all.unread.push(format!(
            "indexes of {name} packages are not read: only those of Debian and Ubuntu are"
        ));
        return all;
    }
    let Some(native) = Arch::named(arch) else {
        all.unread
            .push(format!("no archive has packages for {arch}"));
        return all;
    };
    let mut archs: BTreeSet<&str> = contents.packages.iter().map(|p| p.arch.as_str()).collect();
    archs.retain(|arch| !matches!(*arch, "" | "all"));
    archs.insert(native.debian);
    let lines = match contents.sources.is_empty() {
        true => suite::usual(settings, &contents.distro, &contents.release),
        false => contents.sources.clone(),
    };
    if lines.is_empty() {
        all.unread.push(format!(
            "nothing says where its packages come from: publish it again, or write `mirrors: {{{}: \
             [ADDRESS]}}` in imgforge.yaml",
            contents.distro
        ));
    }
    for line in lines {
        match suite::asked(settings, &line) {
            Ok((asked, source)) => {
                let wanted = |arch: &&&str| {
                    source.archs.is_empty() || source.archs.iter().any(|only| only == **arch)
                };
                let wants = archs.iter().filter(wanted).flat_map(|arch| {
                    source.components.iter().map(|component| Want {
                        component: component.clone(),
                        arch: (*arch).to_owned(),
                    })
                });
                all.read.push((asked, wants.collect()));
            }
            Err(why) => all.unread.push(why),
        }
    }
    all
}
