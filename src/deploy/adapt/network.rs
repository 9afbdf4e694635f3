//! The network of a machine, for what its image manages it with. Cards are found by their addresses.

use std::fmt::Write as _;

use super::files::Put;
use crate::deployment::{Card, is_ipv4};

/// What manages the network of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Netplan, which writes for one of the others.
    Netplan,
    /// NetworkManager.
    NetworkManager,
    /// systemd-networkd.
    Networkd,
    /// ifupdown.
    Ifupdown,
}

impl Service {
    /// Every one, with a file that an image has where it is in use. The first one counts.
    pub(super) const ALL: [(Service, &str); 5] = [
        (Service::Netplan, "/usr/sbin/netplan"),
        (
            Service::NetworkManager,
            "/etc/systemd/system/multi-user.target.wants/NetworkManager.service",
        ),
        (
            Service::Networkd,
            "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        ),
        (
            Service::Networkd,
            "/etc/systemd/system/dbus-org.freedesktop.network1.service",
        ),
        (Service::Ifupdown, "/etc/network/interfaces"),
    ];

    /// The files for these cards.
    pub(super) fn files(self, cards: &[Card]) -> Vec<Put> {
        let named = |card: &Card| format!("imgforge-{}", card.mac.as_str().replace(':', ""));
        match self {
            Service::Netplan => vec![Put::root(
                "/etc/netplan/90-imgforge.yaml",
                0o600,
                netplan(cards),
            )],
            Service::Ifupdown => {
                let path = "/etc/network/interfaces.d/imgforge";
                vec![Put::root(path, 0o644, ifupdown(cards))]
            }
            Service::Networkd => {
                let path = |card| format!("/etc/systemd/network/05-{}.network", named(card));
                let put = |card| Put::root(path(card), 0o644, networkd(card));
                cards.iter().map(put).collect()
            }
            Service::NetworkManager => {
                let dir = "/etc/NetworkManager/system-connections";
                let path = |card| format!("{dir}/{}.nmconnection", named(card));
                let put = |card| Put::root(path(card), 0o600, connection(card, &named(card)));
                cards.iter().map(put).collect()
            }
        }
    }
}

/// Writing to a text cannot fail.
macro_rules! line {
    ($to:expr, $($arg:tt)*) => { let _ = writeln!($to, $($arg)*); };
}

fn networkd(card: &Card) -> String {
    let mut text = format!(
        "[Match]\nPermanentMACAddress={}\n\n[Network]\n",
        card.mac.as_str()
    );
    if card.addresses.is_empty() {
        line!(text, "DHCP=yes");
    }
    for address in &card.addresses {
        line!(text, "Address={}", address.as_str());
    }
    for gateway in &card.gateways {
        line!(text, "Gateway={}", gateway.as_str());
    }
    for server in &card.dns {
        line!(text, "DNS={}", server.as_str());
    }
    text
}

fn netplan(cards: &[Card]) -> String {
    let mut text = String::from("network:\n  version: 2\n  ethernets:\n");
    for (number, card) in cards.iter().enumerate() {
        line!(text, "    imgforge{number}:");
        line!(
            text,
            "      match: {{macaddress: \"{}\"}}",
            card.mac.as_str()
        );
        let quoted = |all: &mut dyn Iterator<Item = &str>| {
            let all: Vec<String> = all.map(|one| format!("\"{one}\"")).collect();
            all.join(", ")
        };
        match card.addresses.is_empty() {
            true => {
                line!(text, "      dhcp4: true");
                line!(text, "      dhcp6: true");
            }
            false => {
                let all = quoted(&mut card.addresses.iter().map(|one| one.as_str()));
                line!(text, "      addresses: [{all}]");
            }
        }
        if !card.gateways.is_empty() {
            line!(text, "      routes:");
        }
        for gateway in &card.gateways {
            let to = if is_ipv4(gateway.as_str()) {
                "0.0.0.0/0"
            } else {
                "::/0"
            };
            line!(
                text,
                "        - {{to: \"{to}\", via: \"{}\"}}",
                gateway.as_str()
            );
        }
        if !card.dns.is_empty() {
            let all = quoted(&mut card.dns.iter().map(|one| one.as_str()));
            line!(text, "      nameservers: {{addresses: [{all}]}}");
        }
    }
    text
}

fn connection(card: &Card, name: &str) -> String {
    let mut text = format!(
        "[connection]\nid={name}\ntype=ethernet\n\n[ethernet]\nmac-address={}\n",
        card.mac.as_str()
    );
    for (family, wanted) in [("ipv4", true), ("ipv6", false)] {
        let ours = |text: &str| is_ipv4(text) == wanted;
        line!(text, "\n[{family}]");
        let addresses = card
            .addresses
            .iter()
            .map(|one| one.as_str())
            .filter(|one| ours(one));
        let addresses: Vec<&str> = addresses.collect();
        line!(
            text,
            "method={}",
            if addresses.is_empty() {
                "auto"
            } else {
                "manual"
            }
        );
        for (number, address) in addresses.iter().enumerate() {
            line!(text, "address{}={address}", number + 1);
        }
        let mut gateways = card
            .gateways
            .iter()
            .map(|one| one.as_str())
            .filter(|one| ours(one));
        if let Some(gateway) = gateways.next() {
            line!(text, "gateway={gateway}");
        }
        let servers = card
            .dns
            .iter()
            .map(|one| one.as_str())
            .filter(|one| ours(one));
        let servers: Vec<&str> = servers.collect();
        if !servers.is_empty() {
            line!(text, "dns={};", servers.join(";"));
        }
    }
    text
}

fn ifupdown(cards: &[Card]) -> String {
    let mut text = String::new();
    for (number, card) in cards.iter().enumerate() {
        let name = format!("imgforge{number}");
        line!(text, "auto mac/{}/={name}", card.mac.as_str());
        if card.addresses.is_empty() {
            line!(text, "iface {name} inet dhcp");
        }
        for (address, family) in card
            .addresses
            .iter()
            .map(|one| (one.as_str(), is_ipv4(one.as_str())))
        {
            line!(
                text,
                "iface {name} {} static",
                if family { "inet" } else { "inet6" }
            );
            line!(text, "    address {address}");
            let ours = |text: &&str| is_ipv4(text) == family;
            let mut gateways = card.gateways.iter().map(|one| one.as_str()).filter(ours);
            if let Some(gateway) = gateways.next() {
                line!(text, "    gateway {gateway}");
            }
            let servers: Vec<&str> = card.dns.iter().map(|one| one.as_str()).collect();
            if !servers.is_empty() {
                line!(text, "    dns-nameservers {}", servers.join(" "));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manager_gets_what_it_reads() {
        let card = |text: &str| serde_json::from_str::<Card>(text).unwrap();
        let cards = [
            card(
                r#"{"mac": "52:54:00:12:34:56", "addresses": ["192.0.2.7/24", "2001:db8::7/64"],
                    "gateways": ["192.0.2.1", "2001:db8::1"], "dns": ["192.0.2.53"]}"#,
            ),
            card(r#"{"mac": "52:54:00:12:34:57"}"#),
        ];
        let mut managers = Service::ALL.map(|(manager, _)| manager).to_vec();
        managers.dedup();
        let files = managers.iter().flat_map(|manager| manager.files(&cards));
        let shown: Vec<String> = files.map(|put| put.shown()).collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
