//! Proxies, by the variables that curl reads too.
//!
//! `https:` goes through a tunnel, which the library makes. `http:` does not: many proxies allow
//! tunnels to port 443 only, and none can cache what is in one. There the request names the whole
//! address, as RFC 9112 has it in section 3.2.2.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, DefaultConnector, TcpConnector};
use ureq::{Agent, Proxy, ProxyProtocol};

use super::Url;
use super::outside::{Outside, Reach};
use super::plain_proxy::{ToProxy, WholeAddress};
use super::send::{self, Method};
use crate::error::Error;

/// The proxies of the environment.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    http: Way,
    https: Way,
    direct: Vec<String>,
}

/// How the servers of a scheme are reached.
#[derive(Debug, Clone, Default)]
enum Way {
    #[default]
    Direct,
    Through(Proxy),
    /// A variable has something else than a proxy's address: its name.
    Unclear(&'static str),
}

impl Way {
    /// As the first of these variables says that has a value.
    fn of(names: &[&'static str]) -> Self {
        let mut values = names.iter().filter_map(|name| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            Some((*name, value?))
        });
        match values.next() {
            Some((name, text)) => Self::parse(name, &text),
            None => Way::Direct,
        }
    }

    fn parse(name: &'static str, text: &str) -> Self {
        match Proxy::new(text) {
            Ok(proxy) if is_spoken(proxy.protocol()) => Way::Through(proxy),
            _ => Way::Unclear(name),
        }
    }

    fn proxy(&self) -> Option<&Proxy> {
        match self {
            Way::Through(proxy) => Some(proxy),
            Way::Direct | Way::Unclear(_) => None,
        }
    }
}

fn is_spoken(protocol: ProxyProtocol) -> bool {
    matches!(protocol, ProxyProtocol::Http | ProxyProtocol::Https)
}

impl Proxies {
    pub(super) fn of_environment() -> Self {
        let var = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
            values.find(|value| !value.is_empty())
        };
        // In a CGI program a client of the server could set HTTP_PROXY.
        let cgi = std::env::var_os("REQUEST_METHOD").is_some();
        let http: &[&'static str] = match cgi {
            true => &["http_proxy"],
            false => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
        };
        let https = &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        let direct = var(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Proxies {
            http: Way::of(http),
            https: Way::of(https),
            direct: direct
                .split(',')
                .map(|entry| entry.trim().to_ascii_lowercase())
                .filter(|entry| !entry.is_empty())
                .collect(),
        }
    }

    /// Whether a host is to be reached without a proxy: `no_proxy` names it, a domain above it, a
    /// network that its address is in, or `*`.
    fn is_direct(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.direct.iter().any(|entry| {
            if let (Some(address), Some((network, bits))) = (address, entry.split_once('/')) {
                return is_in(address, network, bits).unwrap_or(false);
            }
            let entry = entry.trim_matches(['[', ']']);
            let domain = entry.trim_start_matches('*').trim_start_matches('.');
            entry == "*"
                || host == domain
                || host
                    .strip_suffix(domain)
                    .is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// Whether an address begins as a network's does, such as that of `10.0.0.0/8`.
fn is_in(address: IpAddr, network: &str, bits: &str) -> Option<bool> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let network = octets(network.trim_matches(['[', ']']).parse().ok()?);
    let (address, bits) = (octets(address), bits.parse::<usize>().ok()?);
    if address.len() != network.len() || bits > 8 * network.len() {
        return None;
    }
    let mut pairs = address.iter().zip(&network).enumerate();
    Some(pairs.all(|(number, (one, other))| {
        let kept = bits.saturating_sub(8 * number).min(8);
        let mask = (0xff00_u16 >> kept) as u8;
        (one ^ other) & mask == 0
    }))
}

pub(crate) type Builder = ureq::RequestBuilder<ureq::typestate::WithoutBody>;

/// The agents for each way to a server.
pub(super) struct Agents {
    proxies: Proxies,
    direct: Agent,
    http: Option<Agent>,
    https: Option<Agent>,
    /// `Proxy-Authorization` for `http:`.
    password: Option<String>,
}

impl Agents {
    /// `config` is what all of them have in common. None reaches other servers than `reach` says, but through
    /// a proxy, which knows what it may reach.
    pub(super) fn new(
        config: impl Fn() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope>,
        proxies: Proxies,
        reach: Reach,
    ) -> Self {
        let direct = config().proxy(None).build();
        let direct = match reach {
            Reach::Any => direct.new_agent(),
            _ => Agent::with_parts(direct, DefaultConnector::default(), Outside::new(reach)),
        };
        let tunnel = |proxy: &Proxy| config().proxy(Some(proxy.clone())).build().new_agent();
        let plain = |proxy: &Proxy| match proxy.protocol() {
            ProxyProtocol::Http => {
                let resolver = ToProxy {
                    proxy: proxy.uri().clone(),
                    inner: DefaultResolver::default(),
                };
                let connector = ().chain(TcpConnector::default()).chain(WholeAddress);
                Agent::with_parts(config().proxy(None).build(), connector, resolver)
            }
            _ => tunnel(proxy),
        };
        Agents {
            direct,
            http: proxies.http.proxy().map(plain),
            https: proxies.https.proxy().map(tunnel),
            password: proxies.http.proxy().and_then(authorization),
            proxies,
        }
    }

    fn way(&self, url: &Url) -> &Way {
        match url.is_https() {
            _ if self.proxies.is_direct(url.host()) => &Way::Direct,
            true => &self.proxies.https,
            false => &self.proxies.http,
        }
    }

    /// The proxy that reads a request for `url`; one that only makes a tunnel does not.
    pub(super) fn reader(&self, url: &Url) -> Option<String> {
        let proxy = self.way(url).proxy().filter(|_| !url.is_https())?;
        Some(format!("{}:{}", proxy.host(), proxy.port()))
    }

    /// What keeps a request for `url` from its way.
    pub(super) fn problem(&self, url: &Url) -> Option<Error> {
        let Way::Unclear(name) = self.way(url) else {
            return None;
        };
        let what = format!("{name} does not name a proxy that imgforge can use");
        let hint =
            format!("{name}=http://HOST:PORT, or unset it; other kinds of proxy are not supported");
        Some(Error::host(what).hint(hint))
    }

    /// The same ways, without the connections.
    pub(super) fn proxies(&self) -> Proxies {
        self.proxies.clone()
    }

    /// A request for `url`, on its way.
    pub(super) fn request(&self, head: bool, url: &Url) -> Builder {
        let (agent, password) = self.agent(url);
        let text = url.secret_text();
        let request = if head {
            agent.head(text)
        } else {
            agent.get(text)
        };
        match password {
            Some(password) => request.header("Proxy-Authorization", password),
            None => request,
        }
    }

    /// A request for `url` by any method.
    pub(super) fn sending(&self, method: Method, url: &Url) -> send::Builder {
        let (agent, password) = self.agent(url);
        let text = url.secret_text();
        let full = match method {
            Method::Get | Method::Head => {
                return send::Builder::Bare(self.request(method == Method::Head, url));
            }
            Method::Post => agent.post(text),
            Method::Patch => agent.patch(text),
            Method::Put => agent.put(text),
            Method::Delete => agent.delete(text).force_send_body(),
        };
        send::Builder::Full(match password {
            Some(password) => full.header("Proxy-Authorization", password),
            None => full,
        })
    }

    /// The agent on the way to `url`, and what its proxy gets.
    fn agent(&self, url: &Url) -> (&Agent, Option<&String>) {
        let secure = url.is_https();
        let agent = if secure { &self.https } else { &self.http };
        let agent = agent
            .as_ref()
            .filter(|_| !self.proxies.is_direct(url.host()));
        let password = self
            .password
            .as_ref()
            .filter(|_| agent.is_some() && !secure);
        (agent.unwrap_or(&self.direct), password)
    }
}

fn authorization(proxy: &Proxy) -> Option<String> {
    let user = proxy.username()?;
    let pair = format!("{user}:{}", proxy.password().unwrap_or_default());
    Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_domains_are_reached_directly() {
        let proxies = Proxies {
            direct: vec![
                "localhost".into(),
                ".example.org".into(),
                "*.test".into(),
                "10.0.0.1".into(),
                "172.16.0.0/12".into(),
                "fd00::/8".into(),
                "[::1]".into(),
            ],
            ..Proxies::default()
        };
        for host in [
            "localhost",
            "LOCALHOST",
            "a.example.org",
            "example.org",
            "x.test",
            "10.0.0.1",
            "172.31.255.255",
            "[fd12::1]",
            "[::1]",
        ] {
            assert!(proxies.is_direct(host), "{host}");
        }
        for host in [
            "notexample.org",
            "example.org.evil",
            "10.0.0.11",
            "test2",
            "172.32.0.0",
            "[fe80::1]",
        ] {
            assert!(!proxies.is_direct(host), "{host}");
        }
        let direct = vec!["*".into()];
        let all = Proxies {
            direct,
            ..Proxies::default()
        };
        assert!(all.is_direct("anything"));
    }

    #[test]
    fn what_names_no_proxy_is_told_where_it_is_needed() {
        let bad = ["http://a b", "socks5://127.0.0.1:1080", "http://"];
        for text in bad {
            assert!(
                matches!(Way::parse("all_proxy", text), Way::Unclear(_)),
                "{text}"
            );
        }
        for good in [
            "proxy.test:3128",
            "http://me:secret@proxy.test",
            "https://p.test:443",
        ] {
            assert!(Way::parse("all_proxy", good).proxy().is_some(), "{good}");
        }
    }
}
