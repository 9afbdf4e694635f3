//! Rules of channels, which imgforge.yaml sets. One file each, with everything about it: its options, what it makes of a revision that a channel gets, and what people are told of it. The list below is the only one.

mod canary;
mod share;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use canary::{Canary, CanaryRule};
pub use share::Share;

use crate::error::Result;

/// What a rule does. What it does not mention goes on as without it.
trait Rule: Sized {
    /// A value of it, as imgforge.yaml has it.
    const EXAMPLE: &str;

    /// What becomes of a revision that a channel gets: the share of the machines that gets it
    /// first, or nothing special.
    ///
    /// # Errors
    /// When the channel must not get it; the channel stays as it is then.
    fn admit(&self, _arrival: &Arrival<'_>) -> Result<Option<Share>> {
        Ok(None)
    }

    /// What people should know of what a channel has. `rule` is none where imgforge.yaml does not
    /// set it, or not any more.
    fn note(_rule: Option<&Self>, _placed: &Placed) -> Option<Note> {
        None
    }
}

/// A revision that is published or promoted to a channel.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The image.
    pub name: &'a str,
    /// The channel that gets it.
    pub channel: &'a str,
    /// The architecture.
    pub arch: &'a str,
    /// The revision that arrives.
    pub revision: u64,
    /// What everybody has until then; none where the channel does not have the image.
    pub replaces: Option<u64>,
    /// Whether that has the same bytes.
    pub same: bool,
}

#[cfg(test)]
impl Arrival<'_> {
    /// What tests of rules vary.
    const SAMPLE: Arrival<'static> = Arrival {
        name: "web",
        channel: "stable",
        arch: "x86_64",
        revision: 5,
        replaces: None,
        same: false,
    };
}

/// What a channel has of one image for one architecture.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// The revision that everybody gets.
    pub revision: u64,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// The revision that a share of the machines gets.
    pub canary: Option<Canary>,
}

/// What `status` and the page of an image say of what a channel has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// One word for it.
    pub tag: &'static str,
    /// A phrase.
    pub text: String,
    /// The revision that ends the phrase.
    pub revision: Option<u64>,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tag, self.text)?;
        self.revision
            .map_or(Ok(()), |number| write!(f, " {number}"))
    }
}

/// The rules of a channel, as imgforge.yaml has them: a field each, and what all of them say.
macro_rules! rules {
    ($($(#[doc = $about:literal])+ $name:ident: $rule:ty,)+) => {
        /// What is special about a channel.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub struct ChannelRules {
            $(
                $(#[doc = $about])+
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$rule>,
            )+
            /// A number that no revision may have: for tests of what is asked, and when.
            #[cfg(test)]
            #[serde(skip)]
            pub refused: Option<u64>,
        }

        impl ChannelRules {
            /// Every rule's name with a value.
            pub const EXAMPLES: &[(&str, &str)] = &[$((stringify!($name), <$rule>::EXAMPLE)),+];

            /// The share of the machines that gets a revision first; none where everybody gets it.
            ///
            /// # Errors
            /// When a rule keeps it out.
            pub fn admit(&self, arrival: &Arrival<'_>) -> Result<Option<Share>> {
                let mut share: Option<Share> = None;
                #[cfg(test)]
                if self.refused == Some(arrival.revision) {
                    return Err(crate::error::Error::gate("refused by its number"));
                }
                $(if let Some(rule) = &self.$name {
                    share = share.into_iter().chain(rule.admit(arrival)?).min();
                })+
                Ok(share)
            }

            /// What people should know of what the channel has.
            pub fn notes(&self, placed: &Placed) -> Vec<Note> {
                let notes = [$(<$rule>::note(self.$name.as_ref(), placed)),+];
                notes.into_iter().flatten().collect()
            }
        }
    };
}

// The comment is the reference's sentence.
rules! {
    /// The share of machines that gets a new revision first, until `channel complete`.
    canary: CanaryRule,
}
