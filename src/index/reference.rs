//! `[REPO#]NAME[@REV]`, and `oci://HOST/NAME[:CHANNEL][@REV]` of an image in a registry.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MAX_REVISION, is_id};
use crate::address::OciAddress;
use crate::text::as_text;

/// An image in a repository, as a user names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "reference"))]
pub struct Reference {
    /// A repository of imgforge.yaml or of virt-builder's configuration, an address or a directory.
    pub repository: Option<String>,
    /// The image's name.
    pub name: String,
    /// The channel, where the address of an image in a registry has it.
    pub channel: Option<String>,
    /// The revision, if it has to be a certain one.
    pub revision: Option<u64>,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("{why}; write [REPO#]NAME[@REV], such as `main#web-node@7`");
        if text.starts_with(OCI) && !text.contains('#') {
            return in_registry(text);
        }
        let (repository, rest) = match text.rsplit_once('#') {
            Some(("", _)) => return Err(wrong("there is nothing before the `#`")),
            Some((repository, rest)) => (Some(repository.to_owned()), rest),
            None => (None, text),
        };
        let (name, revision) = with_revision(rest).map_err(|why| wrong(&why))?;
        if !is_id(name) {
            return Err(wrong(&format!("`{name}` is not the name of an image")));
        }
        Ok(Reference {
            repository,
            name: name.to_owned(),
            channel: None,
            revision,
        })
    }
}

/// How addresses of images in registries begin.
const OCI: &str = "oci://";

/// `NAME[@REV]`.
fn with_revision(text: &str) -> Result<(&str, Option<u64>), String> {
    let Some((name, number)) = text.split_once('@') else {
        return Ok((text, None));
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let revision = number.parse().ok().filter(|n| digits && *n <= MAX_REVISION);
    let revision = revision.ok_or_else(|| {
        let number = crate::address::hide(number);
        format!("`{number}` is not the number of a revision")
    })?;
    Ok((name, Some(revision)))
}

/// `oci://HOST/NAME[:CHANNEL][@REV]`; all before the last part of NAME is the repository.
fn in_registry(text: &str) -> Result<Reference, String> {
    let wrong = |why: String| {
        format!(
            "{why}; write oci://HOST/NAME[:CHANNEL][@REV], such as \
             `oci://registry.example.org/images/web:stable`"
        )
    };
    let shown = || wrong(format!("`{}` names no image", crate::address::hide(text)));
    let (before, last) = text.rsplit_once('/').ok_or_else(shown)?;
    if before == "oci:/" || before.contains('@') {
        return Err(shown());
    }
    let (last, revision) = with_revision(last).map_err(wrong)?;
    let (name, channel) = match last.split_once(':') {
        Some((name, channel)) => (name, Some(channel)),
        None => (last, None),
    };
    format!("{before}/{name}").parse::<OciAddress>()?;
    if let Some(channel) = channel.filter(|channel| !is_id(channel)) {
        return Err(wrong(format!("`{channel}` is not the name of a channel")));
    }
    Ok(Reference {
        repository: Some(before.to_owned()),
        name: name.to_owned(),
        channel: channel.map(str::to_owned),
        revision,
    })
}

impl Reference {
    /// Whether it is an image in a registry.
    pub fn is_in_registry(&self) -> bool {
        let repository = self.repository.as_ref();
        repository.is_some_and(|repository| repository.starts_with(OCI))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(repository) = &self.repository {
            let between = if self.is_in_registry() { '/' } else { '#' };
            write!(f, "{repository}{between}")?;
        }
        f.write_str(&self.name)?;
        if let Some(channel) = &self.channel {
            write!(f, ":{channel}")?;
        }
        self.revision
            .map_or(Ok(()), |revision| write!(f, "@{revision}"))
    }
}

as_text!(to_string: Reference);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_parse_and_print_the_same() {
        for text in [
            "web",
            "main#web",
            "web@7",
            "https://h:8/a/index.asc#web-1.x@12",
            "oci://h:8/a/web",
            "oci://h/web:nightly@12",
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
        let reference: Reference = "https://me@h/x#web@3".parse().unwrap();
        assert_eq!(reference.repository.as_deref(), Some("https://me@h/x"));
        assert_eq!(
            (reference.name.as_str(), reference.revision),
            ("web", Some(3))
        );
        let image: Reference = "oci://h:8/a/b/web:x@3".parse().unwrap();
        assert_eq!(image.repository.as_deref(), Some("oci://h:8/a/b"));
        assert_eq!((image.name.as_str(), image.revision), ("web", Some(3)));
        assert_eq!(image.channel.as_deref(), Some("x"));
        assert_eq!(
            "oci://h/a#web".parse::<Reference>().unwrap().to_string(),
            "oci://h/a/web"
        );
        let secret = "oci://me:hunter2@h/web".parse::<Reference>().unwrap_err();
        assert!(!secret.contains("hunter2"), "{secret}");
        for bad in [
            "oci://web",
            "oci:///web",
            "oci://h/",
            "oci://h/Web",
            "oci://h/web:",
            "oci://h/web:a/b",
            "oci://h/web@sha256:00",
            "",
            "#web",
            "main#",
            "web@",
            "web@x",
            "web@-1",
            "web@+1",
            "a b",
            "web@9999999999999999999",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
