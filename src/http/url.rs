//! Addresses, as far as the client needs them: by RFC 3986, and kept as they are written.
//!
//! The rules of browsers (<https://url.spec.whatwg.org>), which the crate `url` follows, rewrite what
//! they read: `http:///x` gets the host `x`, a `\` is a `/`, a port is dropped and a blank encoded.
//! What is shown, signed and looked up in the store has to be what somebody typed.

use std::fmt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::address;
use crate::error::{Error, Result};

/// An address with `http:`, `https:` or `file:`, or of a file in a registry, with `oci:`. Printed, it shows neither user nor
/// password, nor a token in its query.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    scheme: &'static str,
    authority: String,
    path: String,
    query: Option<String>,
}

impl Url {
    /// Parses an absolute address.
    ///
    /// # Errors
    /// When it has another scheme, no host, or characters that an address cannot have.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::usage(format!("`{}` is not an address", hidden(text)))
                .cause(why)
                .hint("write an `https:`, `http:` or `file:` address, or a path")
        };
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("it does not begin with a scheme such as `https://`"))?;
        let scheme = ["http", "https", "file", "oci"]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known))
            .ok_or_else(|| wrong(&format!("imgforge does not support `{scheme}:`")))?;
        if rest.contains(|c: char| c.is_control() || (scheme != "file" && c == ' ')) {
            return Err(wrong("it contains a blank or a control character"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) if scheme != "file" => (rest, Some(query.to_owned())),
            _ => (rest, None),
        };
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        let host = authority.rsplit('@').next().unwrap_or_default();
        match (scheme, host) {
            ("file", "" | "localhost") => {}
            ("file", _) => return Err(wrong("a file of another host cannot be read")),
            (_, "") => return Err(wrong("it names no host")),
            (_, host) if !has_port(host) => {
                return Err(wrong(
                    "what follows the colon is not a port; in a password a `/` is written `%2F`, a \
                     `?` `%3F`, a `#` `%23`",
                ));
            }
            _ => {}
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Url {
            scheme,
            authority: authority.to_owned(),
            path: match scheme {
                // People write these as they are; one file has one address.
                "file" => without_dots(&encoded(&decoded(path))),
                _ => without_dots(path),
            },
            query,
        })
    }

    /// The address of a file or directory of this host.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub fn of_path(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|cause| {
            Error::usage(format!("{} cannot be found", path.display())).cause(cause)
        })?;
        Ok(Url {
            scheme: "file",
            authority: String::new(),
            path: encoded(&path.to_string_lossy()),
            query: None,
        })
    }

    /// An address, or a path of this host.
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub fn parse_or_path(text: &str) -> Result<Self> {
        if text.contains("://") {
            Self::parse(text)
        } else {
            Self::of_path(Path::new(text))
        }
    }

    /// The path of a `file:` address.
    pub fn local(&self) -> Option<PathBuf> {
        (self.scheme == "file").then(|| PathBuf::from(decoded(&self.path)))
    }

    /// Whether it is that of a file in a registry.
    pub fn is_oci(&self) -> bool {
        self.scheme == "oci"
    }

    /// The address with a `/` at its end, so that [`Url::join`] goes below it.
    #[must_use]
    pub fn as_directory(&self) -> Self {
        let mut url = self.clone();
        if !url.path.ends_with('/') {
            url.path.push('/');
        }
        url
    }

    /// Whether the server proves by a certificate who it is.
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether the server is this host, by its loopback address.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']);
        host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }

    /// The host, without user and port; nothing for a `file:` address.
    pub(crate) fn host(&self) -> &str {
        let host = self.site();
        match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => host,
        }
    }

    /// Host and port, as they are written; nothing for a `file:` address.
    pub(crate) fn site(&self) -> &str {
        self.authority.rsplit('@').next().unwrap_or_default()
    }

    /// The path, as it is written.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last part of the path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What `reference`, absolute or relative, means in a file at this address. What another host
    /// says never leads to a file of this one, nor out of `https:`.
    ///
    /// # Errors
    /// When it is no address, or one that this address must not lead to.
    pub fn join(&self, reference: &str) -> Result<Self> {
        let url = self.joined(reference)?;
        let allowed = match self.scheme {
            "http" => url.scheme != "file",
            "https" | "oci" => url.scheme == self.scheme,
            _ => true,
        };
        if allowed {
            return Ok(url);
        }
        let (to, why) = match url.scheme {
            "file" => (
                "a file of this host",
                "only a file of this host may name other files of this host",
            ),
            _ => (
                "plain http",
                "on that way, anybody between here and there could change what is read",
            ),
        };
        Err(
            Error::stage(format!("{self} leads to {to}: `{}`", hidden(reference)))
                .cause(why)
                .hint("tell the server's administrator; nothing of it was used"),
        )
    }

    /// What a path below this directory means, which another file says: it names nothing beside
    /// or above the directory, and no other server.
    ///
    /// # Errors
    /// When it does.
    pub fn below(&self, path: &str) -> Result<Self> {
        let plain = |part: &str| {
            let part = decoded(part);
            !matches!(part.as_str(), "" | "." | "..") && !part.contains('/')
        };
        if path.split('/').all(plain) && !path.contains(['?', '#']) {
            return self.as_directory().joined(&format!("./{path}"));
        }
        Err(Error::gate(format!("`{path}` is not a path below {self}"))
            .hint("tell the owner of the file that names it; nothing of it was used"))
    }

    fn joined(&self, reference: &str) -> Result<Self> {
        if has_scheme(reference) {
            return Self::parse(reference).map_err(|error| {
                Error::stage(format!("{self} leads to `{}`", hidden(reference)))
                    .cause(error.message())
                    .hint("tell the server's administrator; nothing of it was used")
            });
        }
        let Url {
            scheme,
            authority,
            path,
            ..
        } = self;
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let path = match reference.bytes().next() {
            None | Some(b'?' | b'#') => format!("{path}{reference}"),
            Some(b'/') => reference.to_owned(),
            Some(_) => {
                let directory = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
                format!("{directory}{reference}")
            }
        };
        Self::parse(&format!("{scheme}://{authority}{path}"))
    }

    /// The address with more in its query, which is written as addresses have it.
    ///
    /// # Errors
    /// When it has characters that an address cannot have.
    pub(crate) fn with_query(&self, more: &str) -> Result<Self> {
        let before = self.query.as_ref().filter(|query| !query.is_empty());
        let query = before.map_or(more.to_owned(), |query| format!("{query}&{more}"));
        let url = Url {
            query: Some(query),
            ..self.clone()
        };
        Self::parse(&url.secret_text())
    }

    /// The address as a server needs it, with its password.
    pub(crate) fn secret_text(&self) -> String {
        self.text(&self.authority)
    }

    fn text(&self, authority: &str) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}"));
        let query = query.unwrap_or_default();
        format!("{}://{authority}{}{query}", self.scheme, self.path)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&address::hide(&self.text(self.site())))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Whether a host has no port, or one that is a number.
fn has_port(host: &str) -> bool {
    let behind = host.rsplit(']').next().unwrap_or_default();
    let port = behind.split_once(':').map(|(_, port)| port);
    port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a reference is absolute, by RFC 3986: `SCHEME:`.
fn has_scheme(reference: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(allowed)
    })
}

/// The text without a password, for a message about what could not be parsed.
fn hidden(text: &str) -> String {
    address::hide(text).into_owned()
}

fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    parts.pop();
                }
                if last {
                    parts.push("");
                }
            }
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

/// What of a path addresses have as it is; all else is `%XX` in them.
const IN_PATHS: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+')
    .remove(b'@')
    .remove(b':')
    .remove(b',')
    .remove(b'=');

/// A path of this host as addresses have it.
fn encoded(path: &str) -> String {
    utf8_percent_encode(path, &IN_PATHS).to_string()
}

/// A path of an address without its `%XX`.
pub(crate) fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
