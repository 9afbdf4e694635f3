//! What is one machine's own: its name, keys, network and files.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::{Mode, Owner, UserName};
use crate::text::as_text;

/// A machine file: what a disk gets beside its image. Paths of files on this host are relative to it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MachineFile {
    /// The machine that the file is for; on another one nothing is written.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// The content of `/etc/hostname`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<HostName>,
    /// The time zone, such as `Europe/Berlin`; the image has to have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Keys for and of SSH.
    pub ssh: Ssh,
    /// Network cards; the configuration goes to what the image manages its network with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<Card>,
    /// A seed for cloud-init's datasource NoCloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// Further files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OwnFile>,
}

/// The machine that a file is for. All that is given has to be so.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Only {
    /// The serial number of the machine, as `dmidecode -s system-serial-number` prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The address of one of its network cards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
}

/// Keys for and of SSH.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ssh {
    /// Files with private host keys, such as `ssh_host_ed25519_key`; the public ones are made of them. Default:
    /// the machine makes its own at its first boot, as the image does it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// Public keys, by user; they replace those of the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub authorized_keys: BTreeMap<UserName, Vec<String>>,
}

/// A network card, which is found by its address whatever it is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Card {
    /// Its address: `52:54:00:12:34:56`.
    pub mac: Mac,
    /// Addresses with the length of their network: `192.0.2.7/24`. Default: by DHCP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Cidr>,
    /// Where everything else is sent, one for each family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<Ip>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<Ip>,
}

/// A seed of NoCloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Seed {
    /// The file with the user data.
    pub user_data: String,
    /// The file with the metadata.
    pub meta_data: String,
}

/// A file of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OwnFile {
    /// Its path on the machine.
    pub path: String,
    /// The file with its content, secrets included.
    pub file: String,
    /// Its owner, `user` or `user:group`, which the image has to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// Its permissions; default: `0600`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// The address of a network card, in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "mac"))]
pub struct Mac(String);

/// The address of a machine, with the length of its network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "cidr"))]
pub struct Cidr(String);

/// The address of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "ip"))]
pub struct Ip(String);

/// The name of a machine, with or without its domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "host-name"))]
pub struct HostName(String);

as_text!(as_str: Mac Cidr Ip HostName);

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|c| c.is_ascii_hexdigit());
        match text.split(':').count() == 6 && text.split(':').all(pair) {
            true => Ok(Mac(text.to_ascii_lowercase())),
            false => Err(format!(
                "`{text}` is not the address of a network card; write it as `52:54:00:12:34:56`"
            )),
        }
    }
}

impl Mac {
    /// As `ip link` shows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(ip, length)| {
            let ip: IpAddr = ip.parse().ok()?;
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let length = length.parse::<u8>().ok();
            length.filter(|length| (1..=most).contains(length))
        });
        parsed.map(|_| Cidr(text.to_owned())).ok_or_else(|| {
            format!("`{text}` is not an address with the length of its network; write it as `192.0.2.7/24`")
        })
    }
}

impl Cidr {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ip {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<IpAddr>() {
            Ok(_) => Ok(Ip(text.to_owned())),
            Err(_) => Err(format!(
                "`{text}` is not an address; write it as `192.0.2.1`"
            )),
        }
    }
}

impl Ip {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether an address is of IPv4, with or without the length of its network.
#[must_use]
pub fn is_ipv4(address: &str) -> bool {
    !address.contains(':')
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let label = |label: &str| {
            let inner = label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-');
            (1..=63).contains(&label.len())
                && inner
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // HOST_NAME_MAX of Linux.
        match text.len() <= 64 && text.split('.').all(label) {
            true => Ok(HostName(text.to_owned())),
            false => Err(format!(
                "`{text}` is not a host name; it has letters, digits and `-`, with dots between, and 64 at most"
            )),
        }
    }
}

impl HostName {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_machine_can_have_is_taken() {
        for mac in ["52:54:00:12:34", "52-54-00-12-34-56", "52:54:00:12:34:5g"] {
            assert!(mac.parse::<Mac>().is_err(), "{mac}");
        }
        assert_eq!(
            "52:54:00:AB:34:56".parse::<Mac>().unwrap().as_str(),
            "52:54:00:ab:34:56"
        );
        for (cidr, good) in [
            ("192.0.2.7/24", true),
            ("2001:db8::7/64", true),
            ("192.0.2.7", false),
            ("192.0.2.7/33", false),
            ("192.0.2.7/0", false),
            ("host/24", false),
        ] {
            assert_eq!(cidr.parse::<Cidr>().is_ok(), good, "{cidr}");
        }
        for (name, good) in [
            ("web-7.example.org", true),
            ("web_7", false),
            ("-web", false),
            ("a..b", false),
            ("", false),
        ] {
            assert_eq!(name.parse::<HostName>().is_ok(), good, "{name}");
        }
    }
}
