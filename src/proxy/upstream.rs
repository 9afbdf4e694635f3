//! Requests to the mirrors, in order of preference.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;

use super::HOST_OF_GUEST;
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
    /// What the client says who it is, for the server that it asked only.
    pub(super) authorization: Option<&'a str>,
}

/// Servers that no recipe names.
#[derive(Debug)]
struct Open {
    client: http::Client,
    ports: Vec<u16>,
    servers: Mutex<Vec<String>>,
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
    /// Where guests may ask for whatever they reach by themselves: such servers, and the ports of this
    /// host's loopback among them.
    open: Option<Open>,
    down: Mutex<BTreeSet<String>>,
    /// Addresses at which other bytes are than were promised.
    wrong: Mutex<BTreeSet<String>>,
}

impl Upstream {
    pub(super) fn new(routes: &[Route], vouched_only: bool, open: Option<&[u16]>) -> Result<Self> {
        let open = open.map(|ports| -> Result<Open> {
            Ok(Open {
                client: http::Client::elsewhere()?,
                ports: ports.to_vec(),
                servers: Mutex::default(),
            })
        });
        Ok(Upstream {
            client: http::Client::new()?,
            direct: http::Client::direct()?,
            outside: http::Client::outside()?,
            mirrors: routes.iter().map(|route| route.mirrors.clone()).collect(),
            vouched_only,
            open: open.transpose()?,
            down: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    fn down(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.down.lock().unpoisoned()
    }

    fn of_route(&self, route: usize) -> Vec<String> {
        match (self.mirrors.get(route), &self.open) {
            (Some(mirrors), _) => mirrors.clone(),
            (None, Some(open)) => {
                let servers = open.servers.lock().unpoisoned();
                servers
                    .get(route - self.mirrors.len())
                    .cloned()
                    .into_iter()
                    .collect()
            }
            (None, None) => vec![],
        }
    }

    /// The route to a server that no recipe names, `http://HOST[:PORT]`, where guests may ask for such.
    pub(super) fn route_to(&self, server: &str) -> Option<usize> {
        let mut servers = self.open.as_ref()?.servers.lock().unpoisoned();
        let known = servers.iter().position(|one| one == server);
        let at = known.unwrap_or_else(|| {
            servers.push(server.to_owned());
            servers.len() - 1
        });
        Some(self.mirrors.len() + at)
    }

    /// Whether clients may ask for servers that no recipe names.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether it is the route to such a server.
    pub(super) fn is_opened(&self, route: usize) -> bool {
        route >= self.mirrors.len()
    }

    /// Whether a guest reaches this port of this host's loopback.
    pub(super) fn has_port(&self, port: u16) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.ports.contains(&port))
    }

    /// The mirrors to ask for a file; those that did not work come last.
    pub(super) fn mirrors(&self, wanted: &AllowedFile) -> Vec<String> {
        let mut mirrors = self.of_route(wanted.route);
        let (down, wrong) = (self.down(), self.wrong());
        mirrors.sort_by_key(|mirror| {
            let file = format!("{mirror}{}", wanted.path);
            (wrong.contains(&file), down.contains(mirror))
        });
        mirrors
    }

    /// The addresses of a file in the recipe's order, whatever works.
    pub(super) fn addresses(&self, wanted: &AllowedFile) -> Vec<String> {
        let mirrors = self.of_route(wanted.route).into_iter();
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
        // A guest would follow it, too; who connects knows what it may not reach.
        if from.site() == to.site() || self.is_mirror(to) || self.open.is_some() {
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
        let (asked, mut ask) = (url.clone(), *ask);
        for _ in 0..=REDIRECTS {
            if self.refuses(&url.secret_text(), ask.promised) {
                return Err(NOBODY.into());
            }
            ask.authorization = ask.authorization.filter(|_| url.site() == asked.site());
            let response = self.once(head, &url, &ask)?;
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
        let of_host = self.of_guest(url)?;
        let url = of_host.as_ref().unwrap_or(url);
        let client = match (url.is_loopback(), self.is_mirror(url), &self.open) {
            (true, false, Some(_)) if of_host.is_none() => {
                return Err("an address of the host that the guest runs on".into());
            }
            (true, ..) => &self.direct,
            (false, true, _) => &self.client,
            (false, false, Some(open)) => &open.client,
            (false, false, None) => &self.outside,
        };
        let mut request = client.request(head, url);
        let range = ask.from.map(|(first, _)| format!("bytes={first}-"));
        let headers = [
            ("user-agent", ask.user_agent),
            ("authorization", ask.authorization),
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

impl Upstream {
    /// What a guest calls its host is this one: its loopback, as far as the guest reaches that.
    fn of_guest(&self, url: &Url) -> Result<Option<Url>, String> {
        if self.open.is_none() || url.host() != HOST_OF_GUEST {
            return Ok(None);
        }
        let port = url
            .site()
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        let port: u16 = port.unwrap_or(80);
        if !self.has_port(port) {
            return Err(format!(
                "the guest does not reach the host's port {port}: see `host-ports:`"
            ));
        }
        let text = url.secret_text().replacen(HOST_OF_GUEST, "127.0.0.1", 1);
        Url::parse(&text)
            .map(Some)
            .map_err(|error| error.to_string())
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
        let upstream = Upstream::new(&routes, false, None).unwrap();
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
