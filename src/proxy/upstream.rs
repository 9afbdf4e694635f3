//! Requests to the mirrors, in order of preference.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::cache::Known;
use super::rules::{Route, Wanted};
use crate::error::Result;
use crate::http;

/// Redirects that one file may take.
const REDIRECTS: usize = 5;

pub(super) type Response = ureq::http::Response<ureq::Body>;

/// What a request tells a mirror beside the address.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ask<'a> {
    pub(super) user_agent: Option<&'a str>,
    pub(super) if_none_match: Option<&'a str>,
    pub(super) if_modified_since: Option<&'a str>,
    /// The first byte, and the validator that the file must still have.
    pub(super) from: Option<(u64, Option<&'a str>)>,
}

#[derive(Debug)]
pub(super) struct Upstream {
    client: http::Client,
    /// For mirrors on this host, which no proxy of the host reaches.
    direct: http::Client,
    mirrors: Vec<Vec<String>>,
    down: Mutex<BTreeSet<String>>,
}

impl Upstream {
    pub(super) fn new(routes: &[Route]) -> Result<Self> {
        Ok(Upstream {
            client: http::Client::new()?,
            direct: http::Client::direct()?,
            mirrors: routes.iter().map(|route| route.mirrors.clone()).collect(),
            down: Mutex::default(),
        })
    }

    fn down(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mirrors to ask for a file; those that did not work come last.
    pub(super) fn mirrors(&self, wanted: &Wanted) -> Vec<String> {
        let mut mirrors = self.mirrors[wanted.route].clone();
        let down = self.down();
        mirrors.sort_by_key(|mirror| down.contains(mirror));
        mirrors
    }

    /// The addresses of a file in the recipe's order, whatever works.
    pub(super) fn addresses(&self, wanted: &Wanted) -> Vec<String> {
        let mirrors = self.mirrors[wanted.route].iter();
        mirrors
            .map(|mirror| format!("{mirror}{}", wanted.path))
            .collect()
    }

    /// The mirror does not work: others are asked first from now on.
    pub(super) fn failed(&self, mirror: &str) {
        self.down().insert(mirror.to_owned());
    }

    /// Sends a request; follows redirects.
    pub(super) fn ask(&self, head: bool, url: &str, ask: &Ask<'_>) -> Result<Response, String> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let response = self.once(head, &url, ask)?;
            if !response.status().is_redirection() || response.status() == 304 {
                return Ok(response);
            }
            let location = response.headers().get("location");
            let Some(location) = location.and_then(|location| location.to_str().ok()) else {
                return Err("a redirect to nowhere".into());
            };
            url = http::Url::parse(&url)
                .and_then(|base| base.join(location))
                .map_err(|error| error.to_string())?
                .secret_text();
        }
        Err(format!("more than {REDIRECTS} redirects"))
    }

    fn once(&self, head: bool, url: &str, ask: &Ask<'_>) -> Result<Response, String> {
        let parsed = http::Url::parse(url).map_err(|error| error.to_string())?;
        let client = match parsed.is_loopback() {
            true => &self.direct,
            false => &self.client,
        };
        let mut request = client.request(head, &parsed);
        let range = ask.from.map(|(first, _)| format!("bytes={first}-"));
        let headers = [
            ("user-agent", ask.user_agent),
            ("if-none-match", ask.if_none_match),
            ("if-modified-since", ask.if_modified_since),
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
