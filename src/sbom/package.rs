//! A package of a guest, and its package URL.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::guest;

/// Whose rules a package's version follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// dpkg: Debian and what derives from it.
    Deb,
    /// RPM: Fedora, RHEL and what derives from them, SUSE.
    Rpm,
    /// Alpine.
    Apk,
    /// Something else, whose versions are compared as dpkg does.
    Generic,
}

impl Kind {
    /// By libguestfs' name of the package format.
    pub fn of_format(format: &str) -> Self {
        match format {
            "deb" => Kind::Deb,
            "rpm" => Kind::Rpm,
            "apk" => Kind::Apk,
            _ => Kind::Generic,
        }
    }

    /// The type in a package URL.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Deb => "deb",
            Kind::Rpm => "rpm",
            Kind::Apk => "apk",
            Kind::Generic => "generic",
        }
    }
}

/// An installed package.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Its name, as the package manager has it.
    pub name: String,
    /// Its version as its own package manager writes it: `EPOCH:VERSION-RELEASE`.
    pub version: String,
    /// The architecture; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub arch: String,
    /// The source package, where it has another name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The version of the source package, where it is another one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_version: String,
    /// Its licences as an expression of SPDX; empty where the package does not say, or not to programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
}

impl Package {
    /// From what libguestfs lists.
    pub fn of(listed: &guest::Package) -> Self {
        let mut version = match listed.epoch {
            0 => listed.version.clone(),
            epoch => format!("{epoch}:{}", listed.version),
        };
        if !listed.release.is_empty() {
            let _ = write!(version, "-{}", listed.release);
        }
        // Debian adds the source's version where it differs: `gcc-12 (12.2.0-14)`. RPM names the
        // file of the source package, version and all.
        let (source, source_version) = match listed.source.split_once(" (") {
            Some((source, version)) => (source, version.trim_end_matches(')')),
            None => (listed.source.as_str(), ""),
        };
        let source = source.strip_suffix(".src.rpm").map_or(source, |stem| {
            let name = stem.rsplitn(3, '-').nth(2);
            name.unwrap_or(stem)
        });
        Package {
            source: if source == listed.name { "" } else { source }.to_owned(),
            source_version: match source_version == version {
                true => String::new(),
                false => source_version.to_owned(),
            },
            name: listed.name.clone(),
            version,
            arch: listed.arch.clone(),
            licence: String::new(),
        }
    }

    /// Name and version of the source package. Of a package whose version says that only its binaries
    /// were made anew (`+b1`), the source has none of that, by Debian's rule.
    pub fn source(&self, kind: Kind) -> (&str, &str) {
        let name = match self.source.as_str() {
            "" => &self.name,
            source => source,
        };
        let version = match self.source_version.as_str() {
            "" if kind == Kind::Deb => without_rebuild(&self.version),
            "" => &self.version,
            version => version,
        };
        (name, version)
    }

    /// Name and version of the source package that fixes are made in: of what is built from another one only to be
    /// signed, such as Debian's kernels, it is that one.
    pub fn fixed_source(&self, kind: Kind) -> (Cow<'_, str>, &str) {
        let (name, version) = self.source(kind);
        match kind {
            Kind::Deb => unsigned(name, version, without_rebuild(&self.version)),
            _ => (name.into(), version),
        }
    }

    /// The package URL, in its canonical form.
    pub fn purl(&self, kind: Kind, distro: &str, major: &str) -> String {
        let mut purl = format!("pkg:{}/", kind.name());
        if kind != Kind::Generic && !distro.is_empty() {
            let _ = write!(purl, "{}/", encode(&namespace(distro)));
        }
        let (epoch, rest) = match (kind, self.version.split_once(':')) {
            // RPM's epoch is a qualifier, dpkg's a part of the version.
            (Kind::Rpm, Some((epoch, rest))) => (epoch, rest),
            _ => ("", self.version.as_str()),
        };
        let _ = write!(purl, "{}@{}", encode(&self.name), encode(rest));
        let distro = match (distro, major) {
            ("", _) => String::new(),
            (distro, "") => distro.to_owned(),
            (distro, major) => format!("{distro}-{major}"),
        };
        let qualifiers = [
            ("arch", self.arch.as_str()),
            ("distro", &distro),
            ("epoch", epoch),
            ("upstream", &self.source),
        ];
        let present = qualifiers.iter().filter(|(_, value)| !value.is_empty());
        for (index, (name, value)) in present.enumerate() {
            let sign = if index == 0 { '?' } else { '&' };
            let _ = write!(purl, "{sign}{name}={}", encode(value));
        }
        purl
    }
}

/// The source package that was signed, of one that only signs: `linux-signed-amd64 (6.1.148+1)` gives packages of the
/// version that `linux` has, `grub-efi-amd64-signed` has the other's version after its own.
pub fn unsigned<'a>(
    source: &'a str,
    version: &'a str,
    package: &'a str,
) -> (Cow<'a, str>, &'a str) {
    match source.strip_prefix("linux-signed") {
        // Ubuntu's have the kernel's flavour there, Debian's the architecture.
        Some("") => return ("linux".into(), package),
        Some(_) if version.contains('+') && !version.contains('-') => {
            return ("linux".into(), package);
        }
        Some(flavour) => return (format!("linux{flavour}").into(), package),
        None => {}
    }
    let is_grub = source.starts_with("grub-efi-") && source.ends_with("-signed");
    match version.split_once('+') {
        Some((_, grub)) if is_grub => ("grub2".into(), grub),
        _ => (source.into(), version),
    }
}

/// Gives packages the source packages that apk's database names.
pub fn assign_origins(packages: &mut [Package], database: &str) {
    let stanzas = database.split("\n\n").filter_map(|stanza| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
        Some((field("P:")?, field("o:")?))
    });
    let origins: HashMap<&str, &str> = stanzas.collect();
    for package in packages {
        let origin = origins.get(&*package.name);
        if let Some(origin) = origin.filter(|origin| **origin != package.name) {
            (*origin).clone_into(&mut package.source);
        }
    }
}

/// A version without its `+bNUMBER`.
fn without_rebuild(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number))
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            source
        }
        _ => version,
    }
}

/// libguestfs' names of distributions as package URLs spell them.
fn namespace(distro: &str) -> String {
    match distro {
        "alpinelinux" => "alpine".into(),
        "redhat-based" => "redhat".into(),
        "rhel" => "redhat".into(),
        "opensuse" | "sles" | "suse-based" => "opensuse".into(),
        other => other.to_ascii_lowercase(),
    }
}

/// What package URLs have as it is; all else is `%XX` in them.
const IN_PURLS: AsciiSet = NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, &IN_PURLS)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A package of Debian's for which only name and version matter.
    pub(crate) fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            arch: "amd64".into(),
            ..Package::default()
        }
    }

    fn listed(name: &str, epoch: u32, version: &str, release: &str, source: &str) -> Package {
        Package::of(&guest::Package {
            name: name.into(),
            epoch,
            version: version.into(),
            release: release.into(),
            arch: "amd64".into(),
            source: source.into(),
        })
    }

    #[test]
    fn versions_are_written_as_their_package_manager_does() {
        let vim = listed("vim", 2, "9.0.1378", "2", "");
        assert_eq!(vim.version, "2:9.0.1378-2");
        assert_eq!(listed("adduser", 0, "3.134", "", "").version, "3.134");
        let libssl = listed(
            "libssl3",
            0,
            "3.0.11",
            "1~deb12u2",
            "openssl (3.0.11-1~deb12u2)",
        );
        assert_eq!(libssl.source, "openssl");
        assert_eq!(libssl.source_version, "");
        let rebuilt = listed("gcc-12", 0, "12.2.0", "14+b1", "gcc (12.2.0-14)");
        assert_eq!(rebuilt.source(Kind::Deb), ("gcc", "12.2.0-14"));
        let rebuilt = listed("gcc-12", 0, "12.2.0", "14+b1", "gcc");
        assert_eq!(rebuilt.source(Kind::Deb), ("gcc", "12.2.0-14"));
        assert_eq!(rebuilt.source(Kind::Rpm), ("gcc", "12.2.0-14+b1"));
        let other = listed("gcc-defaults", 4, "12.2.0", "3", "gcc-defaults (1.203)");
        assert_eq!(other.source(Kind::Deb), ("gcc-defaults", "1.203"));
        let bpo = listed("x", 0, "1.0", "1~bpo12+beta", "");
        assert_eq!(bpo.source(Kind::Deb), ("x", "1.0-1~bpo12+beta"));
        let libs = listed(
            "openssl-libs",
            1,
            "3.0.7",
            "6.el9",
            "openssl-3.0.7-6.el9.src.rpm",
        );
        assert_eq!(libs.source, "openssl");
        assert_eq!(listed("openssl", 0, "1", "1", "openssl").source, "");
    }

    #[test]
    fn fixes_of_what_is_only_signed_are_made_elsewhere() {
        let of = |name: &str, version: &str, release: &str, source: &str| {
            let package = listed(name, 0, version, release, source);
            let (name, version) = package.fixed_source(Kind::Deb);
            format!("{name} {version}")
        };
        let debian = "linux-signed-amd64 (6.1.148+1)";
        assert_eq!(
            of("linux-image-6.1.0-39-amd64", "6.1.148", "1", debian),
            "linux 6.1.148-1"
        );
        assert_eq!(
            of(
                "linux-image-6.8.0-45-generic",
                "6.8.0",
                "45.45",
                "linux-signed"
            ),
            "linux 6.8.0-45.45"
        );
        assert_eq!(
            of(
                "linux-image-6.8.0-1016-aws",
                "6.8.0",
                "1016.17",
                "linux-signed-aws"
            ),
            "linux-aws 6.8.0-1016.17"
        );
        assert_eq!(
            of("grub-efi-amd64-signed", "1+2.06", "13+deb12u1", ""),
            "grub2 2.06-13+deb12u1"
        );
        assert_eq!(of("libssl3", "3.0.11", "1", "openssl"), "openssl 3.0.11-1");
    }

    #[test]
    fn apk_tells_source_packages_in_its_database() {
        let mut all = [
            package("libssl3", "3.3.1-r0"),
            package("openssl", "3.3.1-r0"),
            package("none", "1"),
        ];
        let text = "P:libssl3\nV:3.3.1-r0\no:openssl\n\nP:openssl\no:openssl\n\nP:none\n";
        assign_origins(&mut all, text);
        assert_eq!(all.map(|package| package.source), ["openssl", "", ""]);
    }

    #[test]
    fn package_urls_are_canonical() {
        let libssl = listed("libssl3", 0, "3.0.11", "1~deb12u2", "openssl");
        assert_eq!(
            libssl.purl(Kind::Deb, "debian", "12"),
            "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl"
        );
        let cpp = listed("libstdc++6", 1, "12.2.0", "14+b1", "");
        assert_eq!(
            cpp.purl(Kind::Deb, "ubuntu", ""),
            "pkg:deb/ubuntu/libstdc%2B%2B6@1:12.2.0-14%2Bb1?arch=amd64&distro=ubuntu"
        );
        assert_eq!(
            cpp.purl(Kind::Rpm, "fedora", "40"),
            "pkg:rpm/fedora/libstdc%2B%2B6@12.2.0-14%2Bb1?arch=amd64&distro=fedora-40&epoch=1"
        );
        assert_eq!(
            cpp.purl(Kind::Generic, "haiku", "").split('@').next(),
            Some("pkg:generic/libstdc%2B%2B6")
        );
    }
}
