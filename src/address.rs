//! Users and passwords in addresses, which are nobody else's business.
//!
//! Recipes have addresses in many places: mirrors, media, repositories, variables, lines of scripts.
//! What leaves the build (manifests, provenance, events, titles, what is shown of a recipe) is looked
//! through for all of them.

mod oci;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::text::as_text;
pub use oci::OciAddress;

/// The address of something that is fetched, as somebody wrote it: `http:`, `https:`, `ftp:` or
/// `file:`. Shown, it has no password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "address"))]
pub struct Address(String);

impl Address {
    /// As it was written, with its password.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is that of a file of this host.
    pub fn is_file(&self) -> bool {
        self.0.starts_with("file:")
    }

    /// What follows the scheme.
    pub fn rest(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, rest)| rest)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shaped = text.split_once("://").is_some_and(|(scheme, rest)| {
            matches!(scheme, "http" | "https" | "ftp" | "file") && !rest.is_empty()
        });
        match shaped && !text.contains(char::is_whitespace) {
            true => Ok(Address(text.to_owned())),
            false => Err(format!(
                "`{text}` is not an address; an address begins with `https://` or `http://`"
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hide(&self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Where packages come from: `host`, `default`, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "mirror"))]
pub enum Mirror {
    /// For a build the mirror of the host's own apt, for an image that of its build.
    Host,
    /// The distribution's own.
    Default,
    /// This one.
    At(Address),
}

impl Mirror {
    /// The words that are no address.
    pub const WORDS: [&str; 2] = ["host", "default"];

    /// As it was written, with its password.
    pub fn as_str(&self) -> &str {
        match self {
            Mirror::Host => "host",
            Mirror::Default => "default",
            Mirror::At(address) => address.as_str(),
        }
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "host" => Ok(Mirror::Host),
            "default" => Ok(Mirror::Default),
            address => address.parse().map(Mirror::At).map_err(|_| {
                format!("`{address}` is not a mirror; write `host`, `default`, or an address")
            }),
        }
    }
}

as_text!(as_str: Address Mirror);

/// What stands for a secret in the query of an address.
const HIDDEN: &str = "…";

/// What hints write where a user and a password belong.
const EXAMPLE: &str = "USER:PASSWORD";

/// A scheme, and all that may belong to its address, in people's scripts, too.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b([a-z][a-z0-9+.-]*://)([^\s"<>]+)"#).expect("the expression is constant")
});

/// Parameters whose values let somebody in: those of signed addresses of the clouds' stores, too.
static PARAMETER: LazyLock<Regex> = LazyLock::new(|| {
    let names = "token|signature|secret|passw|passphrase|credential|authorization|api[-_.]?key|\
                 access[-_.]?key|private[-_.]?key|session[-_.]?id|jwt";
    let whole = "sig|key|pwd|pass|auth|access|code|hmac|hdnts|st|policy|sas";
    Regex::new(&format!(
        r"(?i)[?&;#](?:[a-z0-9_.%\[\]-]*(?:{names})[a-z0-9_.%\[\]-]*|{whole})=([^&;#\s'`]+)"
    ))
    .expect("the expression is constant")
});

/// Whether it is more than the name of a user: `git@` of an address for SSH is known to everybody.
fn is_secret(scheme: &str, user: &str) -> bool {
    user.contains(':') || scheme.to_ascii_lowercase().contains("http")
}

/// How many bytes of the rest of an address are user, password and `@`.
///
/// They end before the path. But people write passwords as they are, with a `/`, a `'` or a `?`:
/// where what would be the host is none, all up to the last `@` is one.
fn credentials(scheme: &str, rest: &str) -> Option<usize> {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let quoted = authority.find('\'').map(|at| &authority[..at]);
    let authority = quoted
        .filter(|part| !part.contains(':'))
        .unwrap_or(authority);
    let end = match authority.rsplit_once('@') {
        Some((user, host)) if is_host(host) => user.len(),
        None if is_host(authority) => return None,
        _ => rest.rfind('@')?,
    };
    let user = &rest[..end];
    (user != EXAMPLE && is_secret(scheme, user)).then_some(end + 1)
}

/// Whether it can be a host with or without a port, as far as those differ from a password.
fn is_host(text: &str) -> bool {
    let (text, behind) = text.split_once('\'').unwrap_or((text, ""));
    if behind.starts_with(char::is_alphanumeric) {
        return false;
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (text, ""),
    };
    let variable = port.starts_with(['$', '{', '%']);
    let plain = |c: char| c.is_alphanumeric() || "-._~%$(){}[]:,;`|*".contains(c);
    name.chars().all(plain) && (variable || port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The parts of a text that are nobody else's business: users and passwords, and values of
/// parameters that let somebody in.
fn secrets(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut found = vec![];
    for address in ADDRESS.captures_iter(text) {
        let (Some(scheme), Some(rest)) = (address.get(1), address.get(2)) else {
            continue;
        };
        let mut at = rest.start();
        if let Some(end) = credentials(scheme.as_str(), rest.as_str()) {
            found.push((at..at + end, ""));
            at += end;
        }
        for parameter in PARAMETER.captures_iter(&text[at..rest.end()]) {
            if let Some(value) = parameter.get(1) {
                found.push((at + value.start()..at + value.end(), HIDDEN));
            }
        }
    }
    found
}

/// The text, whose addresses have neither user nor password, nor a token in their query.
pub(crate) fn hide(text: &str) -> Cow<'_, str> {
    let found = secrets(text);
    if found
        .iter()
        .all(|(range, shown)| text[range.clone()] == **shown)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, shown) in found {
        out.push_str(&text[at..range.start]);
        out.push_str(shown);
        at = range.end;
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

/// Hides them in every string of a value.
pub(crate) fn hide_all(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(hidden) = hide(text) {
                *text = hidden;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(hide_all),
        Value::Object(map) => map.values_mut().for_each(hide_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a text has an address with a password or a token that is written out: a variable's name
/// is none.
pub(crate) fn has_password(text: &str) -> bool {
    secrets(text).into_iter().any(|(range, shown)| {
        let found = &text[range];
        let secret = match shown {
            HIDDEN => found,
            _ => found.split_once(':').map_or("", |(_, password)| password),
        };
        !secret.trim_end_matches('@').is_empty() && !secret.contains(['$', '{'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_as_it_was_written_and_shown_without_its_password() {
        let text = "https://me:secret@a.example/x";
        let mirror: Mirror = serde_json::from_str(&format!("\"{text}\"")).unwrap();
        let Mirror::At(address) = &mirror else {
            panic!("{mirror:?} is no address");
        };
        assert_eq!(serde_json::to_value(&mirror).unwrap(), text);
        assert_eq!(address.rest(), "me:secret@a.example/x");
        assert_eq!(
            format!("{address} {mirror:?}"),
            "https://a.example/x At(Address(https://a.example/x))"
        );
        assert_eq!("host".parse(), Ok(Mirror::Host));
        for bad in [
            "",
            "hots",
            "a.example",
            "https://",
            "git://a/x",
            "http://a b",
        ] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_lose_users_and_passwords_wherever_they_are() {
        for (text, hidden) in [
            ("https://me:secret@a.example/x", "https://a.example/x"),
            ("HTTPS://me:sec@ret@a.example", "HTTPS://a.example"),
            (
                "deb http://token@a.example/x y main",
                "deb http://a.example/x y main",
            ),
            (
                "x='ftp://u:p@h/' y=\"http://u:p@h\"",
                "x='ftp://h/' y=\"http://h\"",
            ),
            ("redis://:secret@h:6379/0", "redis://h:6379/0"),
            (
                "ssh://git@h/x.git and a@b.example",
                "ssh://git@h/x.git and a@b.example",
            ),
            ("https://me:it's@h/x", "https://h/x"),
            ("https://me:a@b's/c@h/x", "https://h/x"),
            ("https://me:pa/ss@h/x", "https://h/x"),
            ("https://me:p?a#s/s@h/x y@z", "https://h/x y@z"),
            ("git+https://TOKEN@h/x.git", "git+https://h/x.git"),
            ("https://TOKEN@h:8443/x", "https://h:8443/x"),
            ("https://[::1]:80/a@b", "https://[::1]:80/a@b"),
            (
                "https://h/x?sv=1&sig=a%2Fb%3D&se=2",
                "https://h/x?sv=1&sig=…&se=2",
            ),
            (
                "https://h/x?X-Amz-Date=1&X-Amz-Credential=AK/1&X-Amz-Signature=ab&X-Amz-SignedHeaders=host",
                "https://h/x?X-Amz-Date=1&X-Amz-Credential=…&X-Amz-Signature=…&X-Amz-SignedHeaders=host",
            ),
            (
                "curl 'https://h/x?private_token=t#access_token=u' && x",
                "curl 'https://h/x?private_token=…#access_token=…' && x",
            ),
            ("http://u:p@h/?token=t&a=1", "http://h/?token=…&a=1"),
        ] {
            assert_eq!(hide(text), hidden, "{text}");
        }
        for text in [
            "https://a.example/x?mail=a@b",
            "https://h:8080/@scope/pkg",
            "https://h:$PORT/@scope/pkg",
            "https://h/x?keyword=a&tokens&monkey=1&design=2",
            "git clone git@h:team/x.git",
            "mail ops@h.example, see https://h.example/a",
            "token=x without an address",
            "https://h/x?token=…",
        ] {
            assert_eq!(hide(text), text);
        }
        let mut value = serde_json::json!({"vars": {"repo": ["http://u:p@h/x", 1]}});
        hide_all(&mut value);
        assert_eq!(
            value,
            serde_json::json!({"vars": {"repo": ["http://h/x", 1]}})
        );
    }

    #[test]
    fn a_variable_in_its_place_is_no_password() {
        assert!(has_password("uri: https://me:secret@h/x"));
        assert!(has_password("iso: https://h/x?sig=abc"));
        for text in [
            "https://me@h/",
            "https://me:$TOKEN@h/",
            "https://me:{{ t }}@h/",
            "https://h/x?token=$TOKEN",
            "https://h/x?token={{ t }}",
            "a:b@h",
        ] {
            assert!(!has_password(text), "{text}");
        }
    }
}
