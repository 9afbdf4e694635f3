//! Addresses of repositories in registries.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hide;
use crate::text::as_text;

/// The address of a repository in a registry: `oci://HOST[:PORT]/NAME`. It never has a password.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "oci"))]
pub struct OciAddress(String);

impl OciAddress {
    /// That of `name` below `oci://HOST[/PREFIX]`.
    ///
    /// # Errors
    /// When there is no such address.
    pub fn below(prefix: &str, name: &str) -> Result<Self, String> {
        format!("{}/{name}", prefix.trim_end_matches('/')).parse()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        let rest = self.0.trim_start_matches("oci://");
        rest.split_once('/').unwrap_or((rest, ""))
    }

    /// Host and port of the registry.
    pub fn host(&self) -> &str {
        self.parts().0
    }

    /// The repository's name there.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// Where its API begins: `https:`, and plain `http:` on this host's loopback, where nobody else listens.
    pub fn base(&self) -> String {
        let (host, name) = self.parts();
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        let bare = bare.trim_matches(['[', ']']);
        let ip = bare.parse::<std::net::IpAddr>();
        let loopback = bare == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
        let scheme = if loopback { "http" } else { "https" };
        // Docker's own registry answers under another name than everybody writes.
        let host = match host {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        format!("{scheme}://{host}/v2/{name}/")
    }
}

impl FromStr for OciAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The grammar of names is that of the distribution specification.
        static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
            let part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
            let host = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])";
            let shape = format!("^oci://{host}(?::[0-9]+)?/{part}(?:/{part})*$");
            Regex::new(&shape).expect("the shape is a regular expression")
        });
        match SHAPE.is_match(text) && text.len() <= 300 {
            true => Ok(OciAddress(text.to_owned())),
            false => Err(format!(
                "`{}` is not the address of a repository in a registry; write \
                 `oci://HOST/NAME`, such as `oci://registry.example.org/imgforge`",
                hide(text)
            )),
        }
    }
}

impl fmt::Display for OciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(as_str: OciAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_spoken_to_in_plain() {
        for (text, base) in [
            (
                "oci://registry.example.org/imgforge",
                "https://registry.example.org/v2/imgforge/",
            ),
            (
                "oci://r.example.org:5000/a/b-c",
                "https://r.example.org:5000/v2/a/b-c/",
            ),
            ("oci://127.0.0.1:5000/x", "http://127.0.0.1:5000/v2/x/"),
            ("oci://[::1]:5000/x", "http://[::1]:5000/v2/x/"),
            ("oci://localhost/x", "http://localhost/v2/x/"),
            (
                "oci://localhost.example.org/x",
                "https://localhost.example.org/v2/x/",
            ),
        ] {
            assert_eq!(text.parse::<OciAddress>().unwrap().base(), base);
        }
    }

    #[test]
    fn what_is_no_repository_is_told_without_a_password() {
        for text in [
            "registry.example.org/x",
            "oci://registry.example.org",
            "oci://registry.example.org/",
            "oci://registry.example.org/X",
            "oci://registry.example.org/a:tag",
            "oci://registry.example.org/a@sha256:00",
            "oci://registry.example.org/../x",
            "oci://me:hunter2@registry.example.org/x",
            "https://registry.example.org/x",
        ] {
            let error = text.parse::<OciAddress>().unwrap_err();
            assert!(
                error.contains("oci://HOST/NAME") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
