//! Servers outside: neither on this host nor in a private network, whatever their names say.

use std::net::{IpAddr, Ipv4Addr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Finds no addresses inside, whatever name has them.
#[derive(Debug, Default)]
pub(super) struct Outside(DefaultResolver);

impl Resolver for Outside {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        match found.iter().find(|address| is_inside(address.ip())) {
            Some(address) => {
                let (host, ip) = (uri.host().unwrap_or_default(), address.ip());
                let why =
                    format!("{host} is {ip}, an address of this host or of a private network");
                Err(ureq::Error::Io(std::io::Error::other(why)))
            }
            None => Ok(found),
        }
    }
}

/// Whether an address is this host's, or one of a private network.
pub(crate) fn is_inside(address: IpAddr) -> bool {
    let v4 = |ip: Ipv4Addr| {
        ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
    };
    match address {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => {
            let mapped = ip.to_ipv4_mapped().is_some_and(v4);
            let inside = ip.is_unique_local() || ip.is_unicast_link_local();
            ip.is_loopback() || ip.is_unspecified() || inside || mapped
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::Url;
    use crate::http::proxy::{Agents, Proxies};

    #[test]
    fn a_name_of_this_host_is_not_outside() {
        let config = ureq::Agent::config_builder;
        let agents = |outside| Agents::new(config, Proxies::default(), outside);
        // Nobody listens there.
        let url = Url::parse("http://localhost:1/").unwrap();
        for (outside, refused) in [(true, true), (false, false)] {
            let why = agents(outside).request(false, &url).call().unwrap_err();
            let why = why.to_string();
            assert_eq!(why.contains("an address of this host"), refused, "{why}");
        }
    }
}
