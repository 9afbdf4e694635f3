//! A frozen channel stays as it is until it is thawed.

use crate::error::{Error, Result};
use crate::repository::state::{Frozen, Stamp};
use crate::repository::transaction::Transaction;
use crate::repository::{Repository, check_name};

impl Repository {
    /// Freezes a channel, or thaws it. The stamp tells why.
    ///
    /// # Errors
    /// When there is no such channel, or it is frozen already, or not frozen.
    pub fn freeze(&self, channel: &str, frozen: bool, stamp: &Stamp) -> Result<()> {
        check_name("channel", channel)?;
        let held = self.lock()?;
        let mut transaction = Transaction::begin(self, &held, stamp.clone())?;
        transaction.state.known_channel(channel)?;
        let record = transaction.channel(channel);
        match (&record.frozen, frozen) {
            (Some(since), true) => {
                let why = since.why.as_deref().unwrap_or("no reason was given");
                return Err(Error::usage(format!(
                    "the channel `{channel}` is frozen already, since {}: {why}",
                    since.when
                )));
            }
            (None, false) => {
                return Err(Error::usage(format!(
                    "the channel `{channel}` is not frozen"
                )));
            }
            _ => {}
        }
        record.frozen = frozen.then(|| stamp.clone());
        let stamp = stamp.clone();
        // Its index says so, too: what nobody has signed thaws nothing.
        record.log.push(Frozen { frozen, stamp });
        transaction.entries(channel)?;
        transaction.commit().map(drop)
    }
}
