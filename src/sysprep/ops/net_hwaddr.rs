use std::sync::LazyLock;

use regex::Regex;

use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "net-hwaddr",
    "Remove hardware addresses from network scripts",
    "Removes the hardware addresses of the build's network cards: `HWADDR` and `MACADDR` from \
     Red Hat's `ifcfg-*`, `hwaddress` from Debian's `interfaces`, `mac-address` and \
     `interface-name` from wired connections of NetworkManager; a `.network` of systemd that is \
     for one address is for any wired card then, as is a netplan that has one card, and a \
     `.link` that only names such a card is removed; so are their drop-ins, and the network \
     that Ubuntu's installer writes into `/etc/cloud/cloud.cfg.d`. A netplan for several cards \
     stays as it is, and the scan reports it.",
    run,
)
.edited(&[
    (
        "etc/sysconfig/network-scripts/ifcfg-eth1",
        "HWADDR=52:54:00:00:00:01\nONBOOT=yes\n",
        "ONBOOT=yes\n",
    ),
    (
        "etc/systemd/network/20-lan.network.d/card.conf",
        "[Match]\nMACAddress=52:54:00:12:34:56\n",
        "[Match]\nType=ether\n",
    ),
]);

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.edit(&["/etc/sysconfig/network-scripts/ifcfg-*"], |text| {
        let bound = |line: &str| line.starts_with("HWADDR=") || line.starts_with("MACADDR=");
        super::without_lines(text, bound)
    })?;
    let debian = ["/etc/network/interfaces", "/etc/network/interfaces.d/*"];
    root.edit(&debian, |text| {
        super::without_lines(text, |line| line.trim_start().starts_with("hwaddress "))
    })?;
    let networks = [
        "/etc/systemd/network/*.network",
        "/etc/systemd/network/*.network.d/*.conf",
    ];
    root.edit(&networks, networkd)?;
    root.edit(&["/etc/NetworkManager/system-connections/*"], keyfile)?;
    // Ubuntu's server installer writes the same into cloud-init's configuration.
    let netplans = [
        "/etc/netplan/*.yaml",
        "/etc/netplan/*.yml",
        "/etc/cloud/cloud.cfg.d/*.cfg",
    ];
    root.edit(&netplans, netplan)?;
    let mut links = root.guest.glob("/etc/systemd/network/*.link")?;
    links.extend(root.guest.glob("/etc/systemd/network/*.link.d/*.conf")?);
    for path in links {
        let text = root.guest.read_file(&path)?;
        if is_bound(&String::from_utf8_lossy(&text)) {
            root.remove_path(&path)?;
        }
    }
    Ok(())
}

/// Key and value of a line of an INI file, in small letters the key.
fn assigned(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.split_once('=')?;
    Some((key.trim().to_ascii_lowercase(), value.trim()))
}

/// Whether a file of systemd-networkd is for one hardware address.
fn is_bound(text: &str) -> bool {
    sections(text).any(|(section, line)| section == "[match]" && is_address(line))
}

fn is_address(line: &str) -> bool {
    let key = assigned(line).map(|(key, _)| key);
    key.is_some_and(|key| key == "macaddress" || key == "permanentmacaddress")
}

/// The lines of an INI file, each with its section.
fn sections(text: &str) -> impl Iterator<Item = (String, &str)> {
    let mut section = String::new();
    text.split_inclusive('\n').map(move |line| {
        if line.starts_with('[') {
            section = line.trim().to_ascii_lowercase();
        }
        (section.clone(), line)
    })
}

/// A `.network` for any wired card, where it was for one.
fn networkd(text: &str) -> String {
    let mut narrowed = !is_bound(text);
    let matches = |key: &str| {
        sections(text).any(|(section, line)| {
            section == "[match]" && assigned(line).is_some_and(|(found, _)| found == key)
        })
    };
    let narrow = ["name", "type", "driver", "path", "kernelcommandline"]
        .iter()
        .any(|key| matches(key));
    narrowed |= narrow;
    let mut out = String::new();
    for (section, line) in sections(text) {
        let address = (section == "[match]" || section == "[link]") && is_address(line);
        match (address, narrowed) {
            (false, _) => out += line,
            (true, false) if section == "[match]" => {
                out += "Type=ether\n";
                narrowed = true;
            }
            _ => {}
        }
    }
    out
}

/// A wired connection of NetworkManager that is for any card; others name what they make.
fn keyfile(text: &str) -> String {
    const WIRED: [&str; 2] = ["[ethernet]", "[802-3-ethernet]"];
    let kind = sections(text).find_map(|(section, line)| {
        let (key, value) = assigned(line)?;
        (section == "[connection]" && key == "type").then_some(value)
    });
    let wired = match kind {
        Some(kind) => kind == "ethernet" || kind == "802-3-ethernet",
        None => sections(text).any(|(section, _)| WIRED.contains(&section.as_str())),
    };
    if !wired {
        return text.to_owned();
    }
    let kept = sections(text).filter(|(section, line)| {
        let key = assigned(line).map(|(key, value)| (key, value.len()));
        !match key.as_ref().map(|(key, length)| (key.as_str(), *length)) {
            Some(("interface-name", _)) => section == "[connection]",
            // A fixed one, and no word such as `stable`.
            Some(("cloned-mac-address", length)) => length == 17,
            Some(("mac-address", _)) => WIRED.contains(&section.as_str()),
            _ => false,
        }
    });
    kept.map(|(_, line)| line).collect()
}

/// The netplan of one card, for any; with several, nothing says which is which.
fn netplan(text: &str) -> String {
    static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"macaddress:\s*["']?(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}["']?"#)
            .expect("fixed")
    });
    static NAME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^[ \t]*set-name:.*(?:\n|\z)").expect("fixed"));
    static MATCH: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"match:\s*(?:\{\s*)?macaddress:").expect("fixed"));
    let once = ADDRESS.find_iter(text).count() == 1 && MATCH.find_iter(text).count() == 1;
    if !once {
        return text.to_owned();
    }
    let text = ADDRESS.replace(text, r#"name: "e*""#);
    NAME.replace_all(&text, "").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netplan_of_one_card_is_for_any() {
        let block = "network:\n  ethernets:\n    ens3:\n      dhcp4: true\n      match:\n        macaddress: 52:54:00:12:34:56\n      set-name: ens3\n";
        insta::assert_snapshot!(netplan(block), @r#"
        network:
          ethernets:
            ens3:
              dhcp4: true
              match:
                name: "e*"
        "#);
        let flow =
            "    ens3:\n      match: {macaddress: \"52:54:00:12:34:56\"}\n      set-name: ens3\n";
        assert_eq!(netplan(flow), "    ens3:\n      match: {name: \"e*\"}\n");
        let two = format!("{block}    ens4:\n      match: {{macaddress: '52:54:00:12:34:57'}}\n");
        assert_eq!(netplan(&two), two);
        let chosen = "    ens3:\n      macaddress: 52:54:00:12:34:56\n";
        assert_eq!(netplan(chosen), chosen);
    }

    #[test]
    fn networkd_of_one_card_is_for_wired_ones() {
        let text = "[Match]\nMACAddress=52:54:00:12:34:56\n[Network]\nDHCP=yes\n";
        assert_eq!(networkd(text), "[Match]\nType=ether\n[Network]\nDHCP=yes\n");
        let named = "[Match]\nName=en*\nPermanentMACAddress=52:54:00:12:34:56\n";
        assert_eq!(networkd(named), "[Match]\nName=en*\n");
        let other = "[Match]\nName=en*\n[Network]\nDHCP=yes\n";
        assert_eq!(networkd(other), other);
        assert!(is_bound(
            "[Match]\nMACAddress=52:54:00:12:34:56\n[Link]\nName=lan0\n"
        ));
        assert!(!is_bound(
            "[Match]\nOriginalName=*\n[Link]\nMACAddressPolicy=persistent\n"
        ));
    }

    #[test]
    fn wired_connections_lose_their_card_and_others_their_name_not() {
        let wired = "[connection]\nid=eth\ninterface-name=enp1s0\n[ethernet]\nmac-address=52:54:00:12:34:56\ncloned-mac-address=stable\n";
        assert_eq!(
            keyfile(wired),
            "[connection]\nid=eth\n[ethernet]\ncloned-mac-address=stable\n"
        );
        let bridge = "[connection]\ntype=bridge\ninterface-name=br0\n[ethernet]\n[bridge]\nmac-address=52:54:00:12:34:56\n";
        assert_eq!(keyfile(bridge), bridge);
    }
}
