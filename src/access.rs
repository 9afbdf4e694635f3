//! Who owns a file, and who may do what with it: names of accounts, owners, permissions.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// Name of a user, as useradd(8) takes it on every distribution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "user"))]
pub struct UserName(String);

/// Name of a group; it has the form of a user's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "group"))]
pub struct GroupName(String);

/// Owner of a file: `user` or `user:group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "owner"))]
pub struct Owner {
    user: UserName,
    group: Option<GroupName>,
}

/// Permissions of a file, three or four octal digits; it keeps how many were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", inline, extend("format" = "mode"))]
pub struct Mode {
    bits: u32,
    digits: usize,
}

impl Mode {
    /// From chmod(2)'s bits; `0o644` is written `0644`.
    pub const fn new(bits: u32) -> Self {
        Mode {
            bits: bits & 0o7777,
            digits: 4,
        }
    }

    /// The bits of chmod(2).
    pub const fn bits(self) -> u32 {
        self.bits
    }
}

fn account(name: &str, what: &str) -> Result<String, String> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let more = |c: char| first(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
    match name.starts_with(first) && name.len() <= 32 && name.chars().all(more) {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "`{name}` is not a valid name for a {what}; at most 32 letters, digits, `.`, `_`, `-`, a letter or `_` first"
        )),
    }
}

impl FromStr for UserName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        account(text, "user").map(UserName)
    }
}

impl FromStr for GroupName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        account(text, "group").map(GroupName)
    }
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group.parse()?)),
            None => (text, None),
        };
        let user = user.parse()?;
        Ok(Owner { user, group })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len();
        let octal = (3..=4).contains(&digits) && text.chars().all(|c| c.is_digit(8));
        let bits = u32::from_str_radix(text, 8).ok().filter(|_| octal);
        bits.map(|bits| Mode { bits, digits }).ok_or_else(|| {
            format!(
                "`{text}` are no permissions; write three or four octal digits in quotes, such as `\"0644\"`"
            )
        })
    }
}

impl std::fmt::Display for UserName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for GroupName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => write!(f, "{}", self.user),
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:0digits$o}", self.bits, digits = self.digits)
    }
}

as_text!(to_string: UserName GroupName Owner Mode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_permissions_are_written_as_they_were_read() {
        for text in ["0644", "644", "4755", "000"] {
            assert_eq!(text.parse::<Mode>().unwrap().to_string(), text);
        }
        assert_eq!("4755".parse::<Mode>().unwrap().bits(), 0o4755);
        assert_eq!(Mode::new(0o644).to_string(), "0644");
        for text in ["", "64", "0999", "06440", "rw-", "+644"] {
            let message = text.parse::<Mode>().unwrap_err();
            assert!(message.contains("octal digits"), "{message}");
        }
        for text in ["root", "_apt:nogroup", "a.b-c_1"] {
            assert_eq!(text.parse::<Owner>().unwrap().to_string(), text);
        }
        let refused = |text: &str| text.parse::<Owner>().unwrap_err();
        assert!(refused("1st").starts_with("`1st` is not a valid name for a user; "));
        assert!(refused("root:").starts_with("`` is not a valid name for a group; "));
        assert!(refused("a:b:c").starts_with("`b:c` is not a valid name for a group; "));
    }
}
