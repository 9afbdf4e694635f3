//! Requests to the mirrors, in order of preference.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use super::cache::Known;
use super::rules::{AllowedFile, Route};
use crate::error::Result;
use crate::http::{self, Url};
use crate::mutex::Unpoisoned as _;

/// Why a file is not relayed that a client would not verify.
pub(super) const NOBODY: &str = "nothing vouches for it, and it comes over plain http";

/// Redirects that one file may take.
const REDIRECTS: usize = 5;

pub(super) type Response = ureq::http::Response<ureq::Body>;

/// What a request tells a mirror beside the address.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ask<'a> {
    pub(super) user_agent: Option<&'a str>,
    pub(super) if_none_match: Option<&'a str>,
    /// The first byte, and the validator that the file must still have.
    pub(super) from: Option<(u64, Option<&'a str>)>,
    /// The file's digest is known beforehand.
    pub(super) promised: bool,
}

#[derive(Debug)]
pub(super) struct Upstream {
    client: http::Client,
    /// For mirrors on this host, which no proxy of the host reaches.
    direct: http::Client,
    /// For what mirrors name and the recipe does not.
    outside: http::Client,
    mirrors: Vec<Vec<String>>,
    vouched_only: bool,
    down: Mutex<BTreeSet<String>>,
    /// Addresses at which other bytes are than were promised.
    wrong: Mutex<BTreeSet<String>>,
}

impl Upstream {
    pub(super) fn new(routes: &[Route], vouched_only: bool) -> Result<Self> {
        Ok(Upstream {
            client: http::Client::new()?,
            direct: http::Client::direct()?,
            outside: http::Client::outside()?,
            mirrors: routes.iter().map(|route| route.mirrors.clone()).collect(),
            vouched_only,
            down: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    fn down(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.down.lock().unpoisoned()
    }

    /// The mirrors to ask for a file; those that did not work come last.
    pub(super) fn mirrors(&self, wanted: &AllowedFile) -> Vec<String> {
        let mut mirrors = self.mirrors[wanted.route].clone();
        let (down, wrong) = (self.down(), self.wrong());
        mirrors.sort_by_key(|mirror| {
            let file = format!("{mirror}{}", wanted.path);
            (wrong.contains(&file), down.contains(mirror))
        });
        mirrors
    }

    /// The addresses of a file in the recipe's order, whatever works.
    pub(super) fn addresses(&self, wanted: &AllowedFile) -> Vec<String> {
        let mirrors = self.mirrors[wanted.route].iter();
        mirrors
            .map(|mirror| format!("{mirror}{}", wanted.path))
            .collect()
    }

    /// The mirror does not work: others are asked first from now on.
    pub(super) fn failed(&self, mirror: &str) {
        self.down().insert(mirror.to_owned());
    }

    fn wrong(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.wrong.lock().unpoisoned()
    }

    /// The file at an address did not arrive as it must be: other mirrors are asked first for it.
    pub(super) fn failed_for(&self, url: &str) {
        self.wrong().insert(url.to_owned());
    }

    /// Who answers a request, for people.
    pub(super) fn who(&self, url: &str) -> String {
        let through = Url::parse(url).ok().filter(|url| !url.is_loopback());
        match through.and_then(|url| self.client.reader(&url)) {
            Some(proxy) => format!("the host's proxy {proxy}, or the mirror behind it,"),
            None => "the mirror".into(),
        }
    }

    fn is_mirror(&self, to: &Url) -> bool {
        let is = |mirror: &String| Url::parse(mirror).is_ok_and(|url| url.site() == to.site());
        self.mirrors.iter().flatten().any(is)
    }

    /// Whether a redirect is followed, else why not.
    fn follows(&self, from: &Url, to: &Url, promised: bool) -> Result<(), String> {
        if from.site() == to.site() || self.is_mirror(to) {
            return Ok(());
        }
        let host = to.host();
        if is_inside(host) {
            return Err(format!(
                "a redirect to {host}, which is no mirror of the recipe"
            ));
        }
        match from.host() == host || to.is_https() || promised {
            true => Ok(()),
            false => Err(format!(
                "a redirect to {host}, which is no mirror of the recipe, without https: name it in `mirrors:`"
            )),
        }
    }

    /// Whether nobody would notice other bytes than the right ones.
    pub(super) fn refuses(&self, url: &str, promised: bool) -> bool {
        self.vouched_only && !promised && !url.starts_with("https://")
    }

    /// Sends a request; follows redirects.
    pub(super) fn ask(&self, head: bool, url: &str, ask: &Ask<'_>) -> Result<Response, String> {
        let mut url = Url::parse(url).map_err(|error| error.to_string())?;
        for _ in 0..=REDIRECTS {
            if self.refuses(&url.secret_text(), ask.promised) {
                return Err(NOBODY.into());
            }
            let response = self.once(head, &url, ask)?;
            if !response.status().is_redirection() || response.status() == 304 {
                return Ok(response);
            }
            let location = response.headers().get("location");
            let Some(location) = location.and_then(|location| location.to_str().ok()) else {
                return Err("a redirect to nowhere".into());
            };
            let to = url.join(location).map_err(|error| error.to_string())?;
            self.follows(&url, &to, ask.promised)?;
            url = to;
        }
        Err(format!("more than {REDIRECTS} redirects"))
    }

    fn once(&self, head: bool, url: &Url, ask: &Ask<'_>) -> Result<Response, String> {
        let client = match (url.is_loopback(), self.is_mirror(url)) {
            (true, _) => &self.direct,
            (false, true) => &self.client,
            (false, false) => &self.outside,
        };
        let mut request = client.request(head, url);
        let range = ask.from.map(|(first, _)| format!("bytes={first}-"));
        let headers = [
            ("user-agent", ask.user_agent),
            ("if-none-match", ask.if_none_match),
            ("range", range.as_deref()),
            ("if-range", ask.from.and_then(|(_, validator)| validator)),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request.call().map_err(|error| error.to_string())
    }
}

/// Whether a host is this one or an address of a private network.
fn is_inside(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(address) => http::is_inside(address),
        // Numbers of other forms are addresses, too, for some.
        Err(_) => {
            let lower = host.to_ascii_lowercase();
            let numeric = lower.rsplit('.').next().is_some_and(|last| {
                last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit())
            });
            lower == "localhost" || lower.ends_with(".localhost") || numeric
        }
    }
}

/// A header as text.
pub(super) fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.trim().to_owned())
}

/// What an answer says about its file.
pub(super) fn known(url: &str, response: &Response, size: u64) -> Known {
    Known {
        url: url.to_owned(),
        sha256: String::new(),
        size,
        etag: header(response, "etag"),
        last_modified: header(response, "last-modified"),
        content_type: header(response, "content-type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_followed_where_the_recipe_or_a_digest_allows_it() {
        let routes = [
            Route::new(
                "debian",
                ["http://a.example/debian", "http://b.example:81/d"],
            ),
            Route::new("tree", ["http://127.0.0.1:3142/x"]),
        ];
        let upstream = Upstream::new(&routes, false).unwrap();
        for (from, to, any, promised) in [
            ("http://a.example/x", "http://a.example/other", true, true),
            ("http://a.example/x", "https://a.example/x", true, true),
            ("http://a.example/x", "http://b.example:81/x", true, true),
            ("http://a.example/x", "https://c.example/x", true, true),
            ("http://a.example/x", "http://c.example/x", false, true),
            ("http://a.example/x", "http://127.0.0.1:3142/y", true, true),
            ("http://a.example/x", "http://127.0.0.1:22/", false, false),
            (
                "http://127.0.0.1:3142/x",
                "http://127.0.0.1:22/",
                false,
                false,
            ),
            ("http://a.example/x", "https://localhost/", false, false),
            ("http://a.example/x", "https://[::1]/", false, false),
            (
                "http://a.example/x",
                "https://[::ffff:10.0.0.1]/",
                false,
                false,
            ),
            (
                "http://a.example/x",
                "https://169.254.169.254/",
                false,
                false,
            ),
            ("http://a.example/x", "https://192.168.1.1/", false, false),
            ("http://a.example/x", "https://2130706433/", false, false),
            ("http://a.example/x", "https://0x7f.1/", false, false),
        ] {
            let [from, to] = [from, to].map(|url| Url::parse(url).unwrap());
            let follows = |promised| upstream.follows(&from, &to, promised).is_ok();
            assert_eq!(
                (follows(false), follows(true)),
                (any, promised),
                "{from} {to}"
            );
        }
    }
}
