//! The network as it is now: what `ip -json` says, made into the cards of a machine file.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use crate::deployment::Card;
use crate::error::{Error, Result};

/// What is known of the running network.
#[derive(Debug)]
pub(super) struct Running<'a> {
    /// What `ip -json address show` prints.
    pub(super) addresses: &'a str,
    /// What `ip -json route show` prints, for IPv4 and IPv6.
    pub(super) routes: [&'a str; 2],
    /// A text in the form of resolv.conf(5).
    pub(super) servers: &'a str,
    /// `/sys`, which tells real cards from others.
    pub(super) sys: &'a Path,
}

/// What was found.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    /// The cards.
    pub(super) cards: Vec<Card>,
    /// Interfaces with addresses that no card of the machine has.
    pub(super) others: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    link_type: String,
    #[serde(default)]
    address: String,
    permaddr: Option<String>,
    master: Option<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    family: String,
    local: Option<String>,
    /// The other end, where there is only one.
    address: Option<String>,
    prefixlen: u8,
    scope: String,
    #[serde(default)]
    dynamic: bool,
    #[serde(default)]
    temporary: bool,
}

#[derive(Debug, Deserialize)]
struct Route {
    dst: String,
    gateway: Option<String>,
    dev: Option<String>,
    protocol: Option<String>,
    #[serde(default)]
    metric: u32,
    #[serde(default)]
    nexthops: Vec<serde_json::Value>,
}

impl Route {
    fn is_default(&self) -> bool {
        matches!(&*self.dst, "default" | "0.0.0.0/0" | "::/0")
    }

    /// Whether the kernel, DHCP or a router's announcements made it.
    fn is_made(&self) -> bool {
        matches!(
            self.protocol.as_deref(),
            Some("kernel" | "dhcp" | "ra" | "redirect")
        )
    }
}

/// A network that a machine file cannot say.
fn refused(why: String) -> Error {
    Error::host("the network cannot be kept as it is, and nothing was changed").cause(why)
}

fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> Result<Vec<T>> {
    // Without routes of a family older versions print nothing at all.
    match text.trim() {
        "" => Ok(vec![]),
        text => serde_json::from_str(text).map_err(|cause| {
            refused("`ip -json` says something that is not understood".into()).cause(cause)
        }),
    }
}

/// The cards of a machine with what they have now. Addresses that are by DHCP, or by a router's
/// announcements, stay so.
///
/// # Errors
/// When a card is part of something else, or has what a machine file cannot say.
pub(super) fn cards(running: &Running<'_>) -> Result<Found> {
    let links: Vec<Link> = parse(running.addresses)?;
    let [v4, v6] = running.routes;
    let routes: Vec<Route> = [parse(v4)?, parse(v6)?].into_iter().flatten().collect();
    let mut found = Found {
        cards: vec![],
        others: vec![],
    };
    let mut servers = servers(running.servers);
    for link in &links {
        let own = |route: &&Route| route.dev.as_ref() == Some(&link.ifname);
        let name = &link.ifname;
        let here: Vec<&Address> = link
            .addr_info
            .iter()
            .filter(|one| one.scope == "global" && !one.temporary)
            .collect();
        let dir = running.sys.join("class/net").join(name);
        if !dir.join("device").exists() || link.link_type != "ether" {
            let is_way_out = routes.iter().filter(own).any(Route::is_default);
            if is_way_out && link.link_type != "loopback" {
                return Err(refused(format!(
                    "everything is sent over {name}, which is not a network card: a bridge, a VLAN, a tunnel"
                )));
            }
            if !here.is_empty() && link.link_type != "loopback" {
                found.others.push(name.clone());
            }
            continue;
        }
        if let Some(master) = &link.master {
            return Err(refused(format!(
                "the network card {name} is part of {master}"
            )));
        }
        if here.is_empty() {
            continue;
        }
        let card = card(link, &here, &routes.iter().filter(own).collect::<Vec<_>>())?;
        found.cards.push(card);
    }
    if found.cards.is_empty() {
        return Err(refused("no network card has an address".into()));
    }
    if routes.iter().any(|route| !route.nexthops.is_empty()) {
        return Err(refused("a route has several next hops".into()));
    }
    // The servers of the machine are asked over the way out.
    let statics = |card: &&mut Card| !card.addresses.is_empty();
    let mut fixed: Vec<&mut Card> = found.cards.iter_mut().filter(statics).collect();
    fixed.sort_by_key(|card| card.gateways.is_empty());
    if let Some(card) = fixed.first_mut() {
        card.dns = std::mem::take(&mut servers);
    }
    Ok(found)
}

/// One card, with the routes over it.
fn card(link: &Link, here: &[&Address], routes: &[&Route]) -> Result<Card> {
    let name = &link.ifname;
    let fixed: Vec<&&Address> = here.iter().filter(|one| !one.dynamic).collect();
    let by_dhcp = here.iter().any(|one| one.dynamic && one.family == "inet");
    if by_dhcp && !fixed.is_empty() {
        return Err(refused(format!(
            "{name} has addresses by DHCP and others, and machine files say one or the other"
        )));
    }
    if let Some(route) = routes
        .iter()
        .find(|route| route.gateway.is_some() && !route.is_default() && !route.is_made())
    {
        return Err(refused(format!(
            "{name} has a route to {}, and machine files have no routes but the default ones",
            route.dst
        )));
    }
    let wrong = |why: String| refused(format!("{name}: {why}"));
    let mac = link.permaddr.as_ref().unwrap_or(&link.address);
    let mut card = Card {
        mac: mac.parse().map_err(wrong)?,
        addresses: vec![],
        gateways: vec![],
        dns: vec![],
    };
    for one in &fixed {
        let Some(local) = one.local.as_ref().filter(|_| one.address.is_none()) else {
            return Err(refused(format!(
                "{name} has the address of a line between two machines"
            )));
        };
        let address = format!("{local}/{}", one.prefixlen);
        card.addresses.push(address.parse().map_err(wrong)?);
    }
    if fixed.is_empty() {
        return Ok(card);
    }
    for is_v4 in [true, false] {
        let ways = routes
            .iter()
            .filter(|route| route.is_default() && !route.is_made());
        let ways = ways.filter_map(|route| Some((route.metric, route.gateway.as_ref()?)));
        let ways = ways.filter(|(_, gateway)| is_v4 != gateway.contains(':'));
        if let Some((_, gateway)) = ways.min_by_key(|(metric, _)| *metric) {
            card.gateways.push(gateway.parse().map_err(wrong)?);
        }
    }
    Ok(card)
}

/// The name servers that other machines are.
fn servers(text: &str) -> Vec<crate::deployment::Ip> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    let far = |text: &&str| text.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback());
    let servers = lines.map(str::trim).filter(far);
    servers.filter_map(|one| one.parse().ok()).collect()
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("network: ")?;
        for (number, card) in self.cards.iter().enumerate() {
            let Card {
                mac,
                addresses,
                gateways,
                dns,
            } = card;
            let and = if number > 0 { "; " } else { "" };
            write!(f, "{and}{} ", mac.as_str())?;
            match addresses.is_empty() {
                true => f.write_str("by DHCP")?,
                false => f.write_str(&texts(addresses, |one| one.as_str()))?,
            }
            if !gateways.is_empty() {
                write!(f, " via {}", texts(gateways, |one| one.as_str()))?;
            }
            if !dns.is_empty() {
                write!(f, ", name servers {}", texts(dns, |one| one.as_str()))?;
            }
        }
        match self.others.is_empty() {
            true => Ok(()),
            false => write!(f, " (without {})", self.others.join(", ")),
        }
    }
}

fn texts<T>(all: &[T], text: impl Fn(&T) -> &str) -> String {
    all.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
