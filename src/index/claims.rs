//! What a signed index says of itself: whose channel it is, until when it counts, and which keys sign
//! its repository.
//!
//! An index has a good signature for ever, and nothing in virt-builder's format says what it is an
//! index of. So the first lines of the signed text do, in comments, which every virt-builder skips.

use std::fmt;

use jiff::Timestamp;

use crate::error::{Error, Result};

/// How such a line begins.
const MARK: &str = "# imgforge ";

/// What an index says of itself; nothing, where others made it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    pub(crate) channel: Option<String>,
    /// It is the default channel, whose index lies at the top.
    pub default: bool,
    /// After that time it does not count any more.
    pub valid_until: Option<Timestamp>,
    /// The repository signs its state as a whole, too; the transaction that signed this, counted from
    /// the first one. An older imgforge always wrote 1.
    pub state: Option<u64>,
    /// Nothing may be published to the channel.
    pub frozen: bool,
    /// The repository; an older imgforge has not named it.
    pub owner: Option<Owner>,
}

/// A repository, and the keys that sign it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// Which one it is; a copy has the same.
    pub repository: String,
    /// Fingerprint of the key that signs everything.
    pub key: String,
    /// Indexes and lists under a second URL: what their names end with, and the fingerprint of the
    /// key that signs them.
    pub seconds: Vec<(String, String)>,
    /// Fingerprints of the keys that signed everything once.
    pub retired: Vec<String>,
}

impl Claims {
    /// Reads the comments before the first section of a verified text.
    pub fn parse(text: &str) -> Self {
        let mut claims = Claims::default();
        let comments = text
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with('#'));
        for line in comments.filter_map(|line| line.strip_prefix(MARK)) {
            match line.trim_end().split_once('=') {
                Some(("channel", name)) => claims.channel = Some(name.to_owned()),
                Some(("default-channel", name)) => {
                    (claims.channel, claims.default) = (Some(name.to_owned()), true);
                }
                // A time that cannot be read is no permission.
                Some(("valid-until", time)) => {
                    claims.valid_until = Some(time.parse().unwrap_or(Timestamp::UNIX_EPOCH));
                }
                Some(("frozen", _)) => claims.frozen = true,
                Some(("state", number)) => claims.state = Some(number.parse().unwrap_or_default()),
                Some(("repository", id)) => {
                    claims.owner.get_or_insert_default().repository = id.to_owned();
                }
                Some(("key", key)) => claims.owner.get_or_insert_default().key = key.to_owned(),
                Some(("second-key", second)) => {
                    let (suffix, key) = second.split_once(' ').unwrap_or((second, ""));
                    let second = (suffix.to_owned(), key.to_owned());
                    claims.owner.get_or_insert_default().seconds.push(second);
                }
                Some(("retired-key", key)) => {
                    let owner = claims.owner.get_or_insert_default();
                    owner.retired.push(key.to_owned());
                }
                _ => {}
            }
        }
        claims
    }

    /// The text of an index that begins with them.
    ///
    /// # Errors
    /// When a value would be read as something else than what it is, or says what cannot be: a
    /// signature would make others' words ours.
    pub fn before(&self, index: &str) -> Result<String> {
        let text = format!("{self}{index}");
        let contradicts = |owner: &Owner| owner.retired.contains(&owner.key);
        if Claims::parse(&text) == *self && !self.owner.as_ref().is_some_and(contradicts) {
            return Ok(text);
        }
        Err(Error::gate("an index would not say what is meant").cause(format!("{self:?}")))
    }

    /// The channel that it says it is of, if that is not the one that was asked for: `wanted`, or
    /// the default one, whose name may be known.
    pub fn other_channel(&self, wanted: Option<&str>, default: Option<&str>) -> Option<&str> {
        let own = self.channel.as_deref()?;
        let right = match wanted {
            Some(wanted) => own == wanted,
            None => self.default && default.is_none_or(|default| own == default),
        };
        (!right).then_some(own)
    }

    /// Since when it does not count any more.
    pub fn expired(&self, now: Timestamp) -> Option<Timestamp> {
        self.valid_until.filter(|end| *end <= now)
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(channel) = &self.channel {
            let key = if self.default {
                "default-channel"
            } else {
                "channel"
            };
            writeln!(f, "{MARK}{key}={channel}")?;
        }
        if let Some(end) = self.valid_until {
            writeln!(f, "{MARK}valid-until={end:.0}")?;
        }
        if self.frozen {
            writeln!(f, "{MARK}frozen=yes")?;
        }
        if let Some(number) = self.state {
            writeln!(f, "{MARK}state={number}")?;
        }
        let Some(owner) = &self.owner else {
            return Ok(());
        };
        writeln!(f, "{MARK}repository={}", owner.repository)?;
        writeln!(f, "{MARK}key={}", owner.key)?;
        for (suffix, key) in &owner.seconds {
            writeln!(f, "{MARK}second-key={suffix} {key}")?;
        }
        let mut retired = owner.retired.iter();
        retired.try_for_each(|key| writeln!(f, "{MARK}retired-key={key}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "[web]\nfile=a.xz\narch=x86_64\nsize=512\n\n";

    #[test]
    fn claims_are_read_as_they_were_written_and_only_before_the_first_section() {
        let claims = Claims {
            channel: Some("nightly".into()),
            default: false,
            valid_until: Some("2026-02-01T00:00:00Z".parse().unwrap()),
            frozen: true,
            state: Some(12),
            owner: Some(Owner {
                repository: "5a".into(),
                key: "AA".into(),
                seconds: vec![("2027".into(), "BB".into())],
                retired: vec!["CC".into(), "DD".into()],
            }),
        };
        let text = format!("{claims}{SECTION}");
        assert!(text.starts_with(
            "# imgforge channel=nightly\n# imgforge valid-until=2026-02-01T00:00:00Z\n\
             # imgforge frozen=yes\n# imgforge state=12\n# imgforge repository=5a\n# imgforge key=AA\n# imgforge second-key=2027 BB\n\
             # imgforge retired-key=CC\n# imgforge retired-key=DD\n[web]\n"
        ));
        assert_eq!(Claims::parse(&text), claims);
        assert_eq!(
            Claims::parse(&format!("{SECTION}{claims}")),
            Claims::default()
        );
        assert_eq!(crate::index::parse(&text).unwrap().len(), 1);
        let verdict = crate::index::clients::verdict(&text);
        assert_eq!((verdict.old, verdict.current), (Ok(()), Ok(())));
        let state = |text: &str| Claims::parse(text).state;
        assert_eq!(state("# imgforge state=1\n"), Some(1));
        assert_eq!(state("# imgforge state=yes\n"), Some(0));
        let odd = Claims::parse("# imgforge valid-until=tomorrow\n");
        assert!(odd.expired(Timestamp::now()).is_some());
    }

    /// Whoever gets a line of their own into a signed text says what they like.
    #[test]
    fn nothing_is_said_that_would_be_read_as_something_else() {
        let right = Claims {
            channel: Some("nightly".into()),
            owner: Some(Owner {
                repository: "5a".into(),
                key: "AA".into(),
                seconds: vec![("2027".into(), "BB".into())],
                retired: vec!["CC".into()],
            }),
            ..Claims::default()
        };
        assert!(right.before(SECTION).unwrap().ends_with(SECTION));
        let change: [fn(&mut Owner); 8] = [
            |owner| owner.repository += "\n# imgforge valid-until=2099-01-01T00:00:00Z",
            |owner| owner.repository += "\n# imgforge retired-key=AA",
            |owner| owner.repository += "\n[web]",
            |owner| owner.repository += " ",
            |owner| owner.key += "\n# imgforge second-key=x EE",
            |owner| owner.seconds[0].0 += " x",
            |owner| owner.seconds[0].1 += "\n# imgforge frozen=yes",
            |owner| owner.retired[0] += "\r\n# imgforge repository=5b",
        ];
        for (number, change) in change.iter().enumerate() {
            let mut wrong = right.clone();
            change(wrong.owner.as_mut().unwrap());
            assert!(wrong.before(SECTION).is_err(), "{number}");
        }
        let mut wrong = right.clone();
        wrong.channel = Some("nightly\n# imgforge default-channel=nightly".into());
        assert!(wrong.before(SECTION).is_err());
        // Nor that who signs does not.
        let mut wrong = right;
        wrong.owner.as_mut().unwrap().retired.push("AA".into());
        assert!(wrong.before(SECTION).is_err());
    }

    #[test]
    fn an_index_is_of_one_channel() {
        let of = |text: &str| Claims::parse(text);
        let (nightly, stable) = (
            of("# imgforge channel=nightly\n"),
            of("# imgforge default-channel=stable\n"),
        );
        for (claims, wanted, default, other) in [
            (&nightly, Some("nightly"), None, None),
            (&nightly, Some("testing"), None, Some("nightly")),
            (&nightly, None, None, Some("nightly")),
            (&stable, None, None, None),
            (&stable, None, Some("stable"), None),
            (&stable, None, Some("main"), Some("stable")),
            (&stable, Some("nightly"), Some("stable"), Some("stable")),
            (&Claims::default(), Some("nightly"), None, None),
        ] {
            assert_eq!(
                claims.other_channel(wanted, default),
                other,
                "{claims} {wanted:?}"
            );
        }
    }
}
