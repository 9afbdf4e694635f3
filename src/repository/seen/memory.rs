//! What is remembered of one repository, and which of two texts is the newer one.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::fresh::PATIENCE;
use crate::http::Url;
use crate::index::Claims;

/// So far a signature's time may be ahead of this host's clock, in seconds.
const AHEAD: i64 = 24 * 3600;

/// `memory.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Memory {
    pub(crate) url: String,
    /// The keys that a command named, or that were there at first.
    pub(crate) fingerprints: Vec<String>,
    /// The highest revision by entry and architecture.
    pub(crate) seen: BTreeMap<String, u64>,
    /// When the newest signature at each address was made, seconds since 1970.
    pub(crate) signed: BTreeMap<String, i64>,
    /// When the certificates were last looked for, seconds since 1970.
    pub(crate) refreshed: i64,
    /// Which repository it is, as what was signed says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repository: Option<String>,
    /// The addresses whose texts said what they are, and until when they count.
    pub(crate) claimed: BTreeSet<String>,
    /// The addresses whose texts were ahead of this host's clock.
    pub(crate) ahead: BTreeSet<String>,
    /// The number of the transaction that signed last what was seen as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<u64>,
    /// The number of the transaction that signed the text at each address.
    pub(crate) numbers: BTreeMap<String, u64>,
    /// Fingerprints of keys that signed the repository once, and never do again.
    pub(crate) retired: BTreeSet<String>,
}

impl Memory {
    /// The newest text that was seen at an address, if this one is older: an old text has a good
    /// signature for ever. Of two transactions the later one counts, whatever the times say.
    pub(crate) fn newer(&self, mark: &Mark<'_>) -> Option<Newer> {
        let address = mark.address.to_string();
        let time = self.signed.get(&address);
        let when = time.map_or(mark.when, |second| {
            Timestamp::from_second(*second).unwrap_or_default()
        });
        // The numbers of another repository are others.
        let last = self.numbers.get(&address);
        let last = last.filter(|_| mark.repository == self.repository);
        let number = mark.number.unwrap_or_default();
        match last.map(|last| number.cmp(last)) {
            Some(Ordering::Greater) => None,
            Some(Ordering::Less) => Some(Newer {
                when,
                said: format!("is of transaction {number}"),
                of: format!("transaction {}", last.copied().unwrap_or_default()),
            }),
            Some(Ordering::Equal) | None => (when > mark.second()).then(|| Newer {
                when,
                said: format!("was signed at {:.0}", mark.when),
                of: format!("{when:.0}"),
            }),
        }
    }

    /// The last transaction that was seen.
    pub(crate) fn last(&self) -> Option<u64> {
        self.numbers.values().copied().chain(self.serial).max()
    }

    /// Forgets when what is signed was signed by a clock that was wrong, if the transaction that has
    /// `serial` came after all that was seen. Of all at once: not every text is looked at each time.
    pub(crate) fn overtake(&mut self, serial: Option<u64>) {
        if !matches!((serial, self.serial), (Some(found), Some(last)) if found > last) {
            return;
        }
        let ahead = std::mem::take(&mut self.ahead);
        self.signed.retain(|address, second| {
            let when = Timestamp::from_second(*second).unwrap_or_default();
            !ahead.contains(address) && !is_ahead(when)
        });
    }

    pub(super) fn note(&mut self, address: String, when: Timestamp, number: Option<u64>) {
        match is_ahead(when) {
            true => self.ahead.insert(address.clone()),
            false => self.ahead.remove(&address),
        };
        match number {
            Some(number) => self.numbers.insert(address.clone(), number),
            None => self.numbers.remove(&address),
        };
        match is_to_come(when) {
            true => self.signed.remove(&address),
            false => self.signed.insert(address, when.as_second()),
        };
    }
}

/// What was seen before, and is newer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Newer {
    /// When it was signed.
    pub(crate) when: Timestamp,
    /// What the other one is, as a sentence goes on.
    pub(crate) said: String,
    /// What this one is of.
    pub(crate) of: String,
}

/// Of a signed text, what tells an old or another one from the right one.
#[derive(Debug, Clone)]
pub(crate) struct Mark<'a> {
    /// Where it is.
    pub(crate) address: &'a Url,
    /// When it was signed.
    pub(crate) when: Timestamp,
    /// The repository that it names.
    pub(crate) repository: Option<String>,
    /// Whether it says what it is and until when it counts.
    pub(crate) claims: bool,
    /// Which transaction signed it, where it says so.
    pub(crate) number: Option<u64>,
}

impl<'a> Mark<'a> {
    /// Of an index, a list, or the state as a whole that was verified.
    pub(crate) fn of(address: &'a Url, when: Timestamp, text: &str) -> Self {
        let (claims, list) = (Claims::parse(text), parsed(text));
        Mark {
            address,
            when,
            claims: claims.valid_until.is_some() || list.valid_until.is_some(),
            number: number_of(&claims, &list),
            repository: list
                .repository
                .or(claims.owner.map(|owner| owner.repository)),
        }
    }

    /// When it was signed, as it is remembered.
    fn second(&self) -> Timestamp {
        Timestamp::from_second(self.when.as_second()).unwrap_or_default()
    }
}

/// Which transaction signed an index, a list, or the state as a whole, counted from the first one.
pub(crate) fn number(text: &str) -> Option<u64> {
    number_of(&Claims::parse(text), &parsed(text))
}

fn number_of(claims: &Claims, list: &ListClaims) -> Option<u64> {
    claims.state.or(list.state).or(list.serial)
}

/// What a list, or the state as a whole, says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct ListClaims {
    repository: Option<String>,
    valid_until: Option<String>,
    state: Option<u64>,
    serial: Option<u64>,
}

/// An index is no JSON, and claims nothing here.
fn parsed(text: &str) -> ListClaims {
    serde_json::from_str(text).unwrap_or_default()
}

/// Whether a time is so far ahead that one of the clocks is wrong.
pub(crate) fn is_to_come(when: Timestamp) -> bool {
    when.as_second() > Timestamp::now().as_second() + AHEAD
}

/// Whether a time is ahead of this host's clock, by more than the clocks of two hosts may differ.
fn is_ahead(when: Timestamp) -> bool {
    when.as_second() > Timestamp::now().as_second() + PATIENCE
}
