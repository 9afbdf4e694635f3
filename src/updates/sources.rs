//! Which suites an image's packages come from.

use std::collections::{BTreeMap, BTreeSet};

use super::asked::{self, Asked};
use super::suite::Want;
use super::{Packages, Settings, Subject};
use crate::distro::sources::Source;
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
    /// Its distribution has suites of security fixes, and by their names none of these is one.
    pub(super) lacks_security: bool,
}

/// The sources of an image for an architecture, in the kernel's spelling.
pub(super) fn of(settings: &Settings, contents: &Packages, arch: &str) -> Sources {
    let mut all = Sources::default();
    match contents.kind {
        Kind::Deb => {}
        Kind::Rpm | Kind::Apk => return others(settings, contents, arch),
        Kind::Generic => {
            all.unread.push(
                "nobody knows whose packages it has: its fixes are not looked for".to_owned(),
            );
            return all;
        }
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
        true => asked::usual(settings, &contents.distro, &contents.release),
        false => contents.sources.clone(),
    };
    if lines.is_empty() {
        all.unread.push(format!(
            "nothing says where its packages come from: publish it again, or write `mirrors: {{{}: \
             [ADDRESS]}}` in imgforge.yaml",
            contents.distro
        ));
    }
    all.lacks_security = lacks_security(contents, &lines);
    for line in lines {
        match asked::asked(settings, &line) {
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

/// The repositories of an image with packages of RPM's or of Alpine's.
fn others(settings: &Settings, contents: &Packages, arch: &str) -> Sources {
    let mut all = Sources::default();
    let none = ["", "all", "noarch", "(none)"];
    let archs = contents.packages.iter().map(|package| &*package.arch);
    let mut archs: BTreeSet<&str> = archs.filter(|arch| !none.contains(arch)).collect();
    archs.insert(arch);
    // Alpine's have one each.
    archs.retain(|one| contents.kind == Kind::Rpm || *one == arch);
    if contents.sources.is_empty() {
        all.unread.push(
            "nothing says where its packages come from: build and publish it again".to_owned(),
        );
    }
    if contents
        .packages
        .iter()
        .any(|package| package.version.contains(".module"))
    {
        all.unread.push(
            "packages of modules are not judged: which stream it has chosen is not known"
                .to_owned(),
        );
    }
    for line in &contents.sources {
        match asked::other(settings, line) {
            Ok(asked) => {
                let wants = archs.iter().map(|arch| Want {
                    component: String::new(),
                    arch: (*arch).to_owned(),
                });
                all.read.push((asked, wants.collect()));
            }
            Err(why) => all.unread.push(why),
        }
    }
    all
}

/// Whether a suite of security fixes should be among these lines of a `sources.list`, and is not.
fn lacks_security(contents: &Packages, lines: &[String]) -> bool {
    let known = crate::distro::by_id(&contents.distro);
    let suites = lines.iter().filter_map(|line| line.parse::<Source>().ok());
    let suites: Vec<String> = suites.map(|source| source.suite).collect();
    let any = |is: &dyn Fn(&str) -> bool| suites.iter().any(|suite| is(suite));
    known.is_some_and(|known| known.apt.is_some())
        && !suites.is_empty()
        && !any(&|suite| suite.ends_with("-security") || suite.ends_with("/updates"))
        // What has no release gets its fixes as all other changes.
        && !any(&|suite| matches!(suite, "sid" | "unstable"))
}
