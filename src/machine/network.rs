//! What a machine is connected to.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// What a network card is plugged into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "network"))]
pub enum Network {
    /// QEMU's own network address translation; the host is 10.0.2.2.
    User,
    /// A network of the libvirt daemon.
    Named(String),
    /// A bridge of the host.
    Bridge(String),
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bridge = text.strip_prefix("bridge:");
        let name = bridge.unwrap_or(text);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match (bridge, name) {
            (_, name) if name.is_empty() || !name.chars().all(plain) => Err(format!(
                "`{text}` is not a network; write `user`, the name of a libvirt network, or \
                 `bridge:NAME`"
            )),
            (Some(bridge), _) => Ok(Network::Bridge(bridge.to_owned())),
            (None, "user") => Ok(Network::User),
            (None, name) => Ok(Network::Named(name.to_owned())),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::User => f.write_str("user"),
            Network::Named(name) => f.write_str(name),
            Network::Bridge(name) => write!(f, "bridge:{name}"),
        }
    }
}

as_text!(to_string: Network);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_parse_and_print_the_same() {
        for (text, network) in [
            ("user", Network::User),
            ("default", Network::Named("default".into())),
            ("bridge:user", Network::Bridge("user".into())),
        ] {
            assert_eq!(network.to_string(), text);
            assert_eq!(text.parse(), Ok(network));
        }
        for bad in ["", "my net", "bridge:", "bridge:a:b"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
