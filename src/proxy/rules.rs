//! Which requests are relayed, to which addresses, and what may be kept for ever.

use super::promises::Promise;
use crate::address;

/// Mirrors under one name, tried in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The first part of the path that guests use.
    pub name: String,
    /// Addresses without a trailing slash.
    pub mirrors: Vec<String>,
}

impl Route {
    /// A route; trailing slashes of the mirrors do not matter.
    pub fn new(name: &str, mirrors: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let clean = |mirror: &str| mirror.trim_end_matches('/').to_owned();
        Route {
            name: name.to_owned(),
            mirrors: mirrors.into_iter().map(|m| clean(m.as_ref())).collect(),
        }
    }
}

/// A file that a client may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllowedFile {
    /// Index of the route.
    pub(crate) route: usize,
    /// The path below a mirror, with its leading slash.
    pub(crate) path: String,
    /// A file of this name never changes.
    pub(crate) immutable: bool,
    /// What the file must be, as far as its name or an index that passed tells.
    pub(crate) promise: Option<Promise>,
}

/// Why a request is not relayed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) why: &'static str,
}

const fn refuse<T>(status: u16, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, why })
}

/// Decides about a request.
pub(super) fn judge(routes: &[Route], method: &str, target: &str) -> Result<AllowedFile, Refusal> {
    match method {
        "GET" | "HEAD" => {}
        "CONNECT" => return refuse(403, "tunnels are not relayed"),
        _ => return refuse(405, "only GET and HEAD are relayed"),
    }
    let found = if target.starts_with('/') {
        by_route(routes, target)
    } else {
        by_address(routes, target)
    };
    let Some((route, path)) = found else {
        return refuse(403, "not a mirror that the recipe allows");
    };
    if !is_clean(path) {
        return refuse(400, "the path leads astray");
    }
    Ok(AllowedFile {
        route,
        path: path.to_owned(),
        immutable: is_immutable(path),
        promise: None,
    })
}

/// `/NAME/PATH`.
fn by_route<'t>(routes: &[Route], target: &'t str) -> Option<(usize, &'t str)> {
    let rest = &target[1..];
    let (name, path) = rest.split_at(rest.find('/')?);
    let route = routes.iter().position(|route| route.name == name)?;
    Some((route, path))
}

/// The whole address of a file of a mirror.
fn by_address<'t>(routes: &[Route], target: &'t str) -> Option<(usize, &'t str)> {
    let below = |mirror: &String| {
        let rest = target.strip_prefix(mirror.as_str())?;
        rest.starts_with('/').then_some(rest)
    };
    routes.iter().enumerate().find_map(|(index, route)| {
        let path = route.mirrors.iter().find_map(below)?;
        Some((index, path))
    })
}

/// Printable, and never up: a mirror's neighbours are not the mirror.
pub(super) fn is_clean(path: &str) -> bool {
    let plain = path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#'));
    let lower = path.to_ascii_lowercase().replace("%2e", ".");
    let up = lower
        .split(['/', '?'])
        .any(|part| part == ".." || part.contains("%2f") || part.contains("%5c"));
    plain && !up
}

/// Whether the file under a path never changes: Debian's pool and what is named by its digest,
/// packages of rpm repositories and their index files.
pub(super) fn is_immutable(path: &str) -> bool {
    if path.contains('?') {
        return false;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let package = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let pool = path.contains("/pool/") && package(&[".deb", ".udeb", ".dsc", ".xz", ".gz", ".zst"]);
    let rpm = package(&[".rpm", ".drpm"]);
    pool || rpm || by_name(path).is_some()
}

/// The SHA-256 that a path promises: in `by-hash/`, or an index file of an rpm repository.
pub(super) fn by_name(path: &str) -> Option<&str> {
    let digest = match path.split_once("/by-hash/SHA256/") {
        Some((_, digest)) => digest,
        None => path.rsplit_once("/repodata/")?.1.split_once('-')?.0,
    };
    is_sha256(digest).then_some(digest)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// An address without user, password, token and what a terminal would obey.
pub(super) fn shown(address: &str) -> String {
    let plain = without_user(address);
    address::hide(&plain).into_owned()
}

fn without_user(address: &str) -> String {
    let plain: String = address
        .chars()
        .map(|c| if c.is_control() || c == ' ' { '?' } else { c })
        .take(2000)
        .collect();
    let Some((scheme, rest)) = plain.split_once("://") else {
        return plain;
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route> {
        vec![
            Route::new(
                "debian",
                ["http://a.example/debian/", "https://b.example/d"],
            ),
            Route::new("debian-security", ["http://a.example/debian-security"]),
        ]
    }

    #[test]
    fn only_the_allowed_mirrors_are_relayed_to() {
        let judge = |method: &str, target: &str| {
            judge(&routes(), method, target)
                .map(|wanted| (wanted.route, wanted.path))
                .map_err(|refusal| refusal.status)
        };
        let file = |route, path: &str| Ok((route, path.to_owned()));
        assert_eq!(judge("GET", "/debian/dists/x"), file(0, "/dists/x"));
        assert_eq!(judge("HEAD", "/debian-security/x"), file(1, "/x"));
        assert_eq!(judge("GET", "http://a.example/debian/x"), file(0, "/x"));
        assert_eq!(judge("GET", "https://b.example/d/x"), file(0, "/x"));
        let security = "http://a.example/debian-security/x";
        assert_eq!(judge("GET", security), file(1, "/x"));
        for (method, target, status) in [
            ("CONNECT", "a.example:443", 403),
            ("POST", "/debian/x", 405),
            ("GET", "http://c.example/debian/x", 403),
            ("GET", "http://a.example/debianx/y", 403),
            ("GET", "http://a.example/other", 403),
            ("GET", "/other/x", 403),
            ("GET", "/debian", 403),
            ("GET", "*", 403),
            ("GET", "/debian/../x", 400),
            ("GET", "/debian/%2E%2e/x", 400),
            ("GET", "/debian/a%2fb", 400),
            ("GET", "/debian/a\\b", 400),
        ] {
            assert_eq!(judge(method, target), Err(status), "{method} {target}");
        }
    }

    #[test]
    fn names_that_tell_the_content_are_known() {
        let digest = "0123456789abcdef".repeat(4);
        for path in [
            "/pool/main/h/hello/hello_2.10-3_amd64.deb".to_owned(),
            format!("/dists/x/main/binary-amd64/by-hash/SHA256/{digest}"),
            "/Packages/b/bash-5.2.rpm".to_owned(),
            format!("/repodata/{digest}-primary.xml.gz"),
        ] {
            assert!(is_immutable(&path), "{path}");
        }
        for path in [
            "/dists/x/InRelease",
            "/pool/",
            "/pool/main/h/hello/hello.deb?x=1",
            "/repodata/repomd.xml",
            "/repodata/primary.xml.gz",
            "/by-hash/SHA256/short",
        ] {
            assert!(!is_immutable(path), "{path}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("http://me:secret@a.example/x"), "http://a.example/x");
        assert_eq!(shown("http://a.example/x@y\u{1b}"), "http://a.example/x@y?");
        assert_eq!(
            shown("http://a.example/x?v=1&token=s3cret"),
            "http://a.example/x?v=1&token=…"
        );
    }
}
