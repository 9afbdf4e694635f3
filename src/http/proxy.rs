//! Proxies, by the variables that curl reads too.
//!
//! `https:` goes through a tunnel, which the library makes. `http:` does not: many proxies allow
//! tunnels to port 443 only, and none can cache what is in one. There the request names the whole
//! address, as RFC 9112 has it in section 3.2.2.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};
use ureq::{Agent, Proxy, ProxyProtocol};

use super::Url;

/// The proxies of the environment.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<String>,
}

impl Proxies {
    pub(super) fn of_environment() -> Self {
        let var = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
            values.find(|value| !value.is_empty())
        };
        // In a CGI program a client of the server could set HTTP_PROXY.
        let cgi = std::env::var_os("REQUEST_METHOD").is_some();
        let http: &[&str] = match cgi {
            true => &["http_proxy"],
            false => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
        };
        let https = &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        let proxy = |names: &[&str]| var(names).and_then(|text| Proxy::new(&text).ok());
        let direct = var(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Proxies {
            http: proxy(http),
            https: proxy(https),
            direct: direct
                .split(',')
                .map(|entry| entry.trim().to_ascii_lowercase())
                .filter(|entry| !entry.is_empty())
                .collect(),
        }
    }

    /// Whether a host is to be reached without a proxy: `no_proxy` names it, a domain above it,
    /// or `*`.
    fn is_direct(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.direct.iter().any(|entry| {
            let domain = entry.trim_start_matches('*').trim_start_matches('.');
            entry == "*"
                || host == domain
                || host
                    .strip_suffix(domain)
                    .is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// A request without a body.
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
    /// `config` is what all of them have in common.
    pub(super) fn new(
        config: impl Fn() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope>,
        proxies: Proxies,
    ) -> Self {
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
            direct: config().proxy(None).build().new_agent(),
            http: proxies.http.as_ref().map(plain),
            https: proxies.https.as_ref().map(tunnel),
            password: proxies.http.as_ref().and_then(authorization),
            proxies,
        }
    }

    /// A request for `url`, on its way.
    pub(super) fn request(&self, head: bool, url: &Url) -> Builder {
        let text = url.secret_text();
        let secure = text.starts_with("https:");
        let agent = if secure { &self.https } else { &self.http };
        let agent = agent
            .as_ref()
            .filter(|_| !self.proxies.is_direct(url.host()));
        let password = self
            .password
            .as_ref()
            .filter(|_| agent.is_some() && !secure);
        let agent = agent.unwrap_or(&self.direct);
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
}

fn authorization(proxy: &Proxy) -> Option<String> {
    let user = proxy.username()?;
    let pair = format!("{user}:{}", proxy.password().unwrap_or_default());
    Some(format!("Basic {}", base64(pair.as_bytes())))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0u32, |n, i| n << 8 | u32::from(*three.get(i).unwrap_or(&0)));
        for digit in 0..4 {
            let index = (number >> (18 - 6 * digit)) & 63;
            let padding = digit > three.len();
            out.push(if padding {
                '='
            } else {
                char::from(DIGITS[index as usize])
            });
        }
    }
    out
}

/// Whatever host is asked for: the connection goes to the proxy.
#[derive(Debug)]
struct ToProxy {
    proxy: Uri,
    inner: DefaultResolver,
}

impl Resolver for ToProxy {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.inner.resolve(&self.proxy, config, timeout)
    }
}

/// Makes connections whose requests name the whole address.
#[derive(Debug)]
struct WholeAddress;

impl<In: Transport> Connector<In> for WholeAddress {
    type Out = Named<In>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Named<In>>, ureq::Error> {
        let authority = details.uri.authority().map(|authority| authority.as_str());
        let host = authority.and_then(|authority| authority.rsplit('@').next());
        let origin = format!("http://{}", host.unwrap_or_default());
        Ok(chained.map(|inner| Named { inner, origin }))
    }
}

/// A connection that writes the scheme and host before the path of each request.
#[derive(Debug)]
struct Named<In> {
    inner: In,
    origin: String,
}

impl<In: Transport> Transport for Named<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.inner.buffers().output();
        let more = self.origin.len();
        let method = [&b"GET "[..], b"HEAD "]
            .into_iter()
            .find(|m| output.starts_with(m));
        let method = method.map_or(0, <[u8]>::len);
        let is_head = method > 0 && output.get(method) == Some(&b'/');
        if !is_head || amount + more > output.len() {
            return self.inner.transmit_output(amount, timeout);
        }
        output.copy_within(method..amount, method + more);
        output[method..method + more].copy_from_slice(self.origin.as_bytes());
        self.inner.transmit_output(amount + more, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
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
        ] {
            assert!(proxies.is_direct(host), "{host}");
        }
        for host in ["notexample.org", "example.org.evil", "10.0.0.11", "test2"] {
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
    fn base64_is_the_usual_one() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("a:\u{ff}b", "YTrDv2I="),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
