//! Addresses, as far as the client needs them.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An address with `http:`, `https:` or `file:`. Printed, it does not show its password.
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
        let scheme = ["http", "https", "file"]
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known))
            .ok_or_else(|| wrong(&format!("imgforge does not speak `{scheme}`")))?;
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

    /// The address with a `/` at its end, so that [`Url::join`] goes below it.
    #[must_use]
    pub fn as_directory(&self) -> Self {
        let mut url = self.clone();
        if !url.path.ends_with('/') {
            url.path.push('/');
        }
        url
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
    pub(super) fn host(&self) -> &str {
        let host = self.authority.rsplit('@').next().unwrap_or_default();
        match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => host,
        }
    }

    /// The path, as it is written.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The last part of the path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// What `reference`, absolute or relative, means in a file at this address.
    ///
    /// # Errors
    /// When it is no address.
    pub fn join(&self, reference: &str) -> Result<Self> {
        let has_scheme = reference.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if has_scheme {
            return Self::parse(reference);
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
        let authority = match self.authority.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split(':').next().unwrap_or_default();
                format!("{user}@{host}")
            }
            None => self.authority.clone(),
        };
        f.write_str(&self.text(&authority))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// The text without a password, for a message about what could not be parsed.
fn hidden(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(begin), Some(end)) if begin + 3 < end => {
            format!("{}…{}", &text[..begin + 3], &text[end..])
        }
        _ => text.to_owned(),
    }
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

/// A path of this host as addresses have it.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'/' | b'-' | b'.' | b'_' | b'~' | b'+' | b'@' | b':' | b',' | b'=' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn decoded(path: &str) -> String {
    let hex = |pair: Option<&[u8]>| {
        let text = std::str::from_utf8(pair?).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes = path.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1..at + 3))) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_join_as_in_rfc_3986() {
        let base = Url::parse("http://host:8080/a/b/index.asc?signed=a/b").unwrap();
        for (reference, expected) in [
            ("images/x.xz", "http://host:8080/a/b/images/x.xz"),
            ("../../x.xz", "http://host:8080/x.xz"),
            ("../../../../x.xz", "http://host:8080/x.xz"),
            ("./x/./y/..", "http://host:8080/a/b/x/"),
            ("/root", "http://host:8080/root"),
            ("//other/x", "http://other/x"),
            ("https://other", "https://other/"),
            ("?q=1", "http://host:8080/a/b/index.asc?q=1"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = Url::parse("https://me:secret@host/x").unwrap();
        assert_eq!(url.to_string(), "https://me@host/x");
        assert_eq!(url.secret_text(), "https://me:secret@host/x");
        let error = Url::parse("ftp://me:secret@host/x").unwrap_err();
        assert!(!error.render().contains("secret"), "{}", error.render());
    }

    #[test]
    fn paths_become_addresses_and_paths_again() {
        for path in ["/srv/a b/50%/c#d", "/srv/images/"] {
            let url = Url::of_path(Path::new(path)).unwrap();
            assert_eq!(url.local().unwrap(), Path::new(path));
        }
        let url = Url::parse("file:///srv/a%20b").unwrap();
        assert_eq!(url.local().unwrap(), Path::new("/srv/a b"));
        assert_eq!(Url::parse("http://h/x").unwrap().local(), None);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "host/x",
            "http://",
            "http:///x",
            "gopher://x/",
            "http://h/a b",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
        assert!(Url::parse("file://other/x").is_err());
    }
}
