//! The index of a channel.

use jiff::Timestamp;

use super::Audit;
use crate::error::Result;
use crate::gpg::verify;
use crate::index::{self, Claims, IndexEntry, PLACEHOLDER};

impl Audit {
    /// The entries of an index whose signature and rules are right.
    pub(super) fn index(&mut self, channel: &str, path: &str) -> Result<Vec<IndexEntry>> {
        let Some(signed) = self.read(path)? else {
            if !self.is_coming(channel) {
                self.fault(path, format!("the index of `{channel}` is missing"));
            }
            return Ok(vec![]);
        };
        self.report.channels += 1;
        self.report.signatures += 1;
        self.signed.insert(path.to_owned());
        self.seen.insert(channel.to_owned());
        let verified = match verify(&signed, &self.keyring) {
            Ok(verified) => verified,
            Err(error) => return self.blame(path, error).map(|()| vec![]),
        };
        self.claims(channel, path, &Claims::parse(&verified.text));
        let whole = String::from_utf8_lossy(&signed).into_owned();
        let read = |text: &str| index::parse(text).and_then(|sections| index::check(&sections));
        match (read(&verified.text), read(&whole)) {
            (Ok(mut entries), Ok(seen)) => {
                if entries != seen {
                    self.fault(path, "virt-builder would read more than what is signed");
                }
                entries.retain(|entry| entry.id != PLACEHOLDER);
                self.report.entries += entries.len();
                Ok(entries)
            }
            (Err(problems), _) | (_, Err(problems)) => {
                for problem in problems {
                    self.fault(path, problem);
                }
                Ok(vec![])
            }
        }
    }

    /// Whether an index is of its channel, and counts still.
    fn claims(&mut self, channel: &str, path: &str, claims: &Claims) {
        let wanted = Some(channel).filter(|_| path != "index.asc");
        if let Some(other) = claims.other_channel(wanted, None) {
            self.fault(
                path,
                format!("it is the index of `{other}`, not of `{channel}`"),
            );
        }
        if let Some(owner) = &claims.owner {
            self.of_repository(path, &owner.repository);
        }
        match (claims.expired(Timestamp::now()), claims.valid_until) {
            (Some(end), _) => {
                self.fault(path, super::expired(end));
            }
            (None, None) => {
                let note = format!("{path} says neither its channel nor until when it is valid");
                self.report.notes.push(note);
            }
            (None, Some(_)) => {}
        }
    }
}
