//! Releases of distributions, as advisories name them: OSV's ecosystems, Debian's code names.

use super::Packages;
use crate::sbom::Kind;

/// The release of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Release {
    distro: &'static str,
    version: String,
    /// Its other name; may be empty.
    also: String,
}

/// OSV's words for libguestfs' names of distributions, and whose rules their versions follow.
const NAMES: &[(&str, &str, Kind)] = &[
    ("debian", "Debian", Kind::Deb),
    ("ubuntu", "Ubuntu", Kind::Deb),
    ("alpinelinux", "Alpine", Kind::Apk),
    ("alpine", "Alpine", Kind::Apk),
    ("rocky", "Rocky Linux", Kind::Rpm),
    ("almalinux", "AlmaLinux", Kind::Rpm),
    ("rhel", "Red Hat", Kind::Rpm),
    ("opensuse", "openSUSE", Kind::Rpm),
    ("sles", "SUSE", Kind::Rpm),
];

/// Debian's code names, with the numbers of the releases.
const DEBIAN: &[(&str, &str)] = &[
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
];

/// Whose rules the versions in this ecosystem follow.
pub(super) fn kind(ecosystem: &str) -> Kind {
    let name = ecosystem.split(':').next().unwrap_or_default();
    let known = NAMES.iter().find(|(_, known, _)| *known == name);
    known.map_or(Kind::Generic, |(_, _, kind)| *kind)
}

/// OSV's name of a release of Debian, by its code name.
pub(super) fn of_debian(suite: &str) -> String {
    let number = DEBIAN.iter().find(|(name, _)| *name == suite);
    format!("Debian:{}", number.map_or(suite, |(_, number)| number))
}

impl Release {
    pub(super) fn of(contents: &Packages) -> Release {
        let name = NAMES.iter().find(|(id, _, _)| *id == contents.distro);
        let parts: Vec<&str> = contents.release.split('.').collect();
        let mut also = String::new();
        let version = match contents.distro.as_str() {
            // What is no release yet has no number: its sources name it.
            "debian" if contents.release.is_empty() => debian_without_number(contents),
            "debian" | "rocky" | "almalinux" | "rhel" => parts[0].to_owned(),
            "opensuse" => {
                also = format!("Leap {}", contents.release);
                contents.release.clone()
            }
            "sles" => {
                also = match parts.as_slice() {
                    [major, minor] => format!("Linux Enterprise Server {major} SP{minor}"),
                    _ => format!("Linux Enterprise Server {}", contents.release),
                };
                contents.release.clone()
            }
            _ => parts[..parts.len().min(2)].join("."),
        };
        Release {
            distro: name.map_or("", |(_, name, _)| name),
            version,
            also,
        }
    }

    /// Whether an ecosystem such as `Debian:12` or `Ubuntu:24.04:LTS` is this; one without a release is all.
    pub(super) fn is(&self, ecosystem: &str) -> bool {
        let (name, release) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
        if name != self.distro || self.distro.is_empty() {
            return false;
        }
        // What only customers get is told as such.
        let release = release.strip_prefix('v').unwrap_or(release);
        let release = release.trim_end_matches(":LTS");
        match name {
            "Red Hat" => {
                let number = release
                    .strip_prefix("enterprise_linux:")
                    .unwrap_or_default();
                let number = number.split(':').next().unwrap_or_default();
                number.split('.').next() == Some(&*self.version)
            }
            // The packages of a server are in modules, each of which has advisories of its own; what is not
            // installed from one has none of its packages.
            "SUSE" => {
                let pack = self.also.strip_prefix("Linux Enterprise Server");
                let of_pack = |pack: &str| {
                    release.starts_with("Linux Enterprise ") && release.ends_with(pack)
                };
                release.is_empty() || pack.is_some_and(of_pack)
            }
            _ => {
                let own = [&self.version, &self.also];
                release.is_empty() || own.iter().any(|own| !own.is_empty() && *own == release)
            }
        }
    }
}

fn debian_without_number(contents: &Packages) -> String {
    let suites = contents.sources.iter().filter_map(|line| {
        let source: crate::distro::sources::Source = line.parse().ok()?;
        Some(source.suite)
    });
    let suites: Vec<String> = suites.collect();
    let is = |name: &str| suites.iter().any(|suite| suite == name);
    let number = DEBIAN.iter().rev().find(|(name, _)| is(name));
    match number {
        Some((_, number)) => (*number).to_owned(),
        None if is("sid") || is("unstable") => "sid".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_known_by_the_names_that_advisories_have() {
        for (distro, release, ecosystem, is) in [
            ("debian", "12.11", "Debian:12", true),
            ("debian", "12.11", "Debian:13", false),
            ("debian", "12.11", "Debian", true),
            ("debian", "", "Debian:14", true),
            ("ubuntu", "24.04", "Ubuntu:24.04:LTS", true),
            ("ubuntu", "24.04", "Ubuntu:Pro:24.04:LTS", false),
            ("alpinelinux", "3.20", "Alpine:v3.20", true),
            ("rocky", "9.4", "Rocky Linux:9", true),
            ("rhel", "9.4", "Red Hat:enterprise_linux:9::baseos", true),
            ("rhel", "10.0", "Red Hat:enterprise_linux:10.0", true),
            ("rhel", "9.4", "Red Hat:rhel_aus:9.2::baseos", false),
            ("opensuse", "15.6", "openSUSE:Leap 15.6", true),
            ("sles", "15.6", "SUSE:Linux Enterprise Server 15 SP6", true),
            (
                "sles",
                "15.6",
                "SUSE:Linux Enterprise Module for Basesystem 15 SP6",
                true,
            ),
            (
                "sles",
                "15.6",
                "SUSE:Linux Enterprise Module for Basesystem 15 SP5",
                false,
            ),
            ("sles", "15.6", "SUSE:Linux Enterprise Micro 5.5", false),
            ("fedora", "43", "Debian:12", false),
            ("", "", "Debian:12", false),
        ] {
            let contents = Packages {
                kind: Kind::Deb,
                distro: distro.into(),
                release: release.into(),
                packages: vec![],
                sources: vec!["deb http://a.example/debian forky main".into()],
            };
            assert_eq!(
                Release::of(&contents).is(ecosystem),
                is,
                "{distro} {release}: {ecosystem}"
            );
        }
        assert_eq!(
            (of_debian("trixie"), of_debian("sid")),
            ("Debian:13".into(), "Debian:sid".into())
        );
    }
}
