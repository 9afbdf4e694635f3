//! The refresh epoch: when the current "latest packages" of a stage were fetched.

use std::fs::File;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Context as _, Result};
use crate::store::inputs::Inputs;
use crate::store::{Store, write_atomic};
use crate::units::Span;

/// How a plan treats epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is written: `plan`.
    Look,
    /// A new epoch is written down, so that a second build of the recipe plans the same keys.
    Keep,
    /// Nothing is written, and what was fetched does not age: `publish`.
    Last,
    /// As `Keep`, and every epoch is new: `--refresh`.
    Renew,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Adds the epoch to the inputs of a stage whose packages age. Without `refresh` an epoch counts
/// only if `--refresh` has made one, and never goes stale.
///
/// # Errors
/// When an epoch must be written and cannot.
pub fn apply(store: &Store, inputs: &mut Inputs, refresh: Option<Span>, mode: Mode) -> Result<()> {
    let dir = store.state().join("epochs");
    let path = dir.join(inputs.key().as_str());
    let read = || {
        std::fs::read_to_string(&path)
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let fresh =
        |epoch: &u64| refresh.is_none_or(|age| now().saturating_sub(*epoch) < age.as_seconds());
    let epoch = match mode {
        Mode::Look => read().filter(fresh).or_else(|| refresh.map(|_| now())),
        Mode::Last => read(),
        Mode::Keep if refresh.is_none() => read(),
        Mode::Keep | Mode::Renew => {
            let locking = || "locking the refresh epochs".to_owned();
            std::fs::create_dir_all(&dir).doing(locking)?;
            let lock = File::create(dir.join(".lock")).doing(locking)?;
            flock(&lock, FlockOperation::LockExclusive)
                .map_err(std::io::Error::from)
                .doing(locking)?;
            let current = read().filter(|epoch| mode == Mode::Keep && fresh(epoch));
            let epoch = current.unwrap_or_else(now);
            if current.is_none() {
                write_atomic(&path, epoch.to_string().as_bytes())?;
            }
            Some(epoch)
        }
    };
    if let Some(epoch) = epoch {
        inputs.value("refresh epoch", epoch);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_stays_until_it_is_stale_or_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let key = |refresh: Option<u64>, mode| {
            let mut inputs = Inputs::new("install", 1);
            apply(&store, &mut inputs, refresh.map(Span::seconds), mode).unwrap();
            inputs.key()
        };
        let plain = Inputs::new("install", 1).key();
        assert_eq!(key(None, Mode::Keep), plain, "never stale, no epoch");
        let first = key(Some(1000), Mode::Keep);
        assert_eq!(key(Some(1000), Mode::Keep), first);
        assert_eq!(key(Some(1000), Mode::Look), first);
        assert_eq!(
            key(None, Mode::Keep),
            first,
            "the current result is what there is"
        );
        let file = dir.path().join("epochs").join(plain.as_str());
        let old = (now() - 2000).to_string();
        std::fs::write(&file, &old).unwrap();
        let stale = key(None, Mode::Look);
        assert_ne!(key(Some(1000), Mode::Look), stale);
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            old,
            "look only looks"
        );
        assert_ne!(key(Some(1000), Mode::Keep), stale);
        std::fs::write(&file, &old).unwrap();
        assert_ne!(key(None, Mode::Renew), stale);
    }
}
