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
            "https" => url.scheme == "https",
            _ => true,
        };
        if allowed {
            return Ok(url);
        }
        let (to, why) = match url.scheme {
            "file" => (
                "a file of this host",
                "only what is on this host may name its files",
            ),
            _ => (
                "plain http",
                "on that way anybody could change what is read",
            ),
        };
        Err(
            Error::stage(format!("{self} leads to {to}: `{}`", hidden(reference)))
                .cause(why)
                .hint("tell whoever runs the server; nothing of it was used"),
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
        Err(Error::gate(format!("`{path}` is no path below {self}"))
            .hint("tell the owner of what names it; nothing of it was used"))
    }

    fn joined(&self, reference: &str) -> Result<Self> {
        if has_scheme(reference) {
            return Self::parse(reference).map_err(|error| {
                Error::stage(format!("{self} leads to `{}`", hidden(reference)))
                    .cause(error.message())
                    .hint("tell whoever runs the server; nothing of it was used")
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

/// Whether a reference is absolute, by RFC 3986: `SCHEME:`.
fn has_scheme(reference: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(allowed)
    })
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

/// A path of an address without its `%XX`.
pub(crate) fn decoded(path: &str) -> String {
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

    /// `.treeinfo`, records, redirects and indexes all come through here.
    #[test]
    fn what_another_host_says_never_names_a_file_of_this_one() {
        let base = Url::parse("http://host/a/b/.treeinfo").unwrap();
        for leads in [
            "file:///root/.ssh/id_ed25519",
            "FILE:///etc/shadow",
            "File://localhost/etc/shadow",
            "file://host/etc/shadow",
            "file:/etc/shadow",
            "file:etc/shadow",
            "ftp://host/x",
            "data:text/plain,x",
            "javascript:x",
        ] {
            let error = base.join(leads).unwrap_err();
            assert!(error.hint_text().is_some(), "{leads}: {}", error.render());
        }
        for (reference, expected) in [
            ("//etc/shadow", "http://etc/shadow"),
            ("/etc/shadow", "http://host/etc/shadow"),
            ("../../../../../etc/shadow", "http://host/etc/shadow"),
            ("..%2f..%2fetc", "http://host/a/b/..%2f..%2fetc"),
            (
                "%66ile:///etc/shadow",
                "http://host/a/b/%66ile:///etc/shadow",
            ),
            (
                "file%3A///etc/shadow",
                "http://host/a/b/file%3A///etc/shadow",
            ),
            ("\\\\etc\\shadow", "http://host/a/b/\\\\etc\\shadow"),
            ("./file:///etc", "http://host/a/b/file:///etc"),
            ("/file:///etc/shadow", "http://host/file:///etc/shadow"),
            ("https://host/x", "https://host/x"),
        ] {
            let url = base.join(reference).unwrap();
            assert_eq!((url.to_string().as_str(), url.local()), (expected, None));
        }
        let secure = Url::parse("https://host/a").unwrap();
        assert!(secure.join("file:///etc/shadow").is_err());
        let error = secure.join("http://host/a").unwrap_err();
        assert!(error.message().contains("leads to plain http"), "{error}");
        assert_eq!(
            secure.join("//other/a").unwrap().to_string(),
            "https://other/a"
        );
    }

    #[test]
    fn a_path_below_a_directory_stays_there() {
        for base in ["http://host/r", "file:///srv/r/"] {
            let base = Url::parse(base).unwrap();
            let url = base.below("images/web/1/web.xz").unwrap();
            assert!(url.to_string().ends_with("/r/images/web/1/web.xz"), "{url}");
            assert!(
                base.below("a:b/c")
                    .unwrap()
                    .to_string()
                    .ends_with("/r/a:b/c")
            );
            for leads in [
                "",
                "/etc/shadow",
                "../x",
                "a/../../x",
                "a/./b",
                "a//b",
                "//other/x",
                "%2e%2e/x",
                "a/%2E%2e/x",
                "..%2fx",
                "%2Fetc",
                "file:///etc/shadow",
                "http://other/x",
                "a?b",
                "a#b",
            ] {
                assert!(base.below(leads).is_err(), "{leads}");
            }
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
