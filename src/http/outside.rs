//! Servers outside: neither on this host nor in a private network, whatever their names say; and those
//! elsewhere, which are not on this host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Which servers a client reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All.
    Any,
    /// Those of other hosts.
    Elsewhere,
    /// Those that are not in a private network, either.
    Outside,
}

/// Finds no addresses that it may not, whatever name has them.
#[derive(Debug)]
pub(super) struct Outside {
    inner: DefaultResolver,
    reach: Reach,
    own: Vec<IpAddr>,
}

impl Outside {
    pub(super) fn new(reach: Reach) -> Self {
        Outside {
            inner: DefaultResolver::default(),
            reach,
            own: own_addresses(),
        }
    }

    fn bars(&self, address: IpAddr) -> bool {
        match self.reach {
            Reach::Any => false,
            Reach::Elsewhere => is_here(address, &self.own),
            Reach::Outside => is_inside(address),
        }
    }
}

/// Whether an address is this host's, which has its `own`, or its network's service for machines.
pub(crate) fn is_here(address: IpAddr, own: &[IpAddr]) -> bool {
    let address = address.to_canonical();
    let of_link = match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    of_link || address.is_loopback() || address.is_unspecified() || own.contains(&address)
}

/// The addresses of this host's cards.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let text = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}"));
    let (trie, v6) = (text("fib_trie"), text("if_inet6"));
    listed(&trie.unwrap_or_default(), &v6.unwrap_or_default())
}

/// The addresses of `fib_trie`, where the next line says that they are local, and of `if_inet6`.
fn listed(trie: &str, v6: &str) -> Vec<IpAddr> {
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    let v4 = lines.windows(2).filter_map(|two| {
        let address = two[0].strip_prefix("|-- ")?.parse::<IpAddr>().ok()?;
        (two[1] == "/32 host LOCAL").then_some(address)
    });
    let v6 = v6.lines().filter_map(|line| {
        let digits = u128::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(digits)))
    });
    v4.chain(v6).collect()
}

impl Resolver for Outside {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        match found.iter().find(|address| self.bars(address.ip())) {
            Some(address) => {
                let (host, ip) = (uri.host().unwrap_or_default(), address.ip());
                let why = match self.reach {
                    Reach::Outside => {
                        format!("{host} is {ip}, an address of this host or of a private network")
                    }
                    _ => format!("{host} is {ip}, an address of this host"),
                };
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
    use super::*;
    use crate::http::Url;
    use crate::http::proxy::{Agents, Proxies};

    #[test]
    fn the_addresses_of_this_host_are_known() {
        let trie = "Local:\n  +-- 10.1.0.0/24 2 0 2\n     |-- 10.1.0.0\n        /24 link UNICAST\n     \
                    |-- 10.1.0.9\n        /32 host LOCAL\n     |-- 10.1.0.255\n        /32 link BROADCAST\n";
        let v6 = "20010db8000000000000000000000001 02 40 00 80     eth0\n";
        let own = listed(trie, v6);
        assert_eq!(
            own,
            ["10.1.0.9", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        for (ip, here) in [
            ("10.1.0.9", true),
            ("::ffff:10.1.0.9", true),
            ("127.8.0.1", true),
            ("169.254.169.254", true),
            ("::1", true),
            ("10.1.0.8", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_here(ip.parse().unwrap(), &own), here, "{ip}");
        }
        assert!(own_addresses().contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn a_name_of_this_host_is_not_outside() {
        let config = ureq::Agent::config_builder;
        let agents = |reach| Agents::new(config, Proxies::default(), reach);
        // Nobody listens there.
        let url = Url::parse("http://localhost:1/").unwrap();
        for (reach, refused) in [
            (Reach::Outside, true),
            (Reach::Elsewhere, true),
            (Reach::Any, false),
        ] {
            let why = agents(reach).request(false, &url).call().unwrap_err();
            let why = why.to_string();
            assert_eq!(why.contains("an address of this host"), refused, "{why}");
        }
    }
}
