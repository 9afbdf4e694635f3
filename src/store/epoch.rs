//! The epoch of a stage: what tells results apart that equal inputs gave at different times.
//!
//! "Latest packages" have one, which goes stale; what was asked for with `--from` gets a new one, and
//! so does a stage whose result was here once and is not any more: its bytes will not come back, and
//! a key has the same bytes for ever. The epoch is part of the key, and what the key would be without
//! it is the name of the file in `STATE/epochs/` that remembers it: the next build plans the same key.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::store::inputs::Inputs;
use crate::store::{FOUND_ANEW, Store, Unreadable, private_dir, remembered, write_atomic};
use crate::time::now;
use crate::units::Span;

/// The name of the input.
pub(super) const NAME: &str = "refresh epoch";

/// Without its epoch a stage that does not age would have its oldest result again.
const RENEW: &str = "`imgforge build NAME --refresh` renews it for stages that age, `--from STAGE` for another \
     stage";

/// How a plan treats epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is written: `plan`.
    Look,
    /// A new epoch is written down, so that a second build of the recipe plans the same keys.
    Keep,
    /// Nothing is written, and what was fetched does not age: `publish`.
    Last,
    /// As `Keep`, and the epochs of what ages are new: `--refresh`.
    Renew,
}

/// A new epoch that somebody asked for. It is written down when the build begins: a build that is
/// refused before that leaves the results that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEpoch {
    of: Key,
    epoch: u64,
}

impl NewEpoch {
    /// Writes it down: later builds go on with it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, store: &Store) -> Result<()> {
        let note = Note::of(store, &self.of);
        let _lock = note.lock(store)?;
        note.write(self.epoch)
    }
}

/// Why a result that was made is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// It is not in the store.
    Gone,
    /// It is there, but in another shape than this version of imgforge reads.
    Unreadable(Unreadable),
}

/// What [`apply`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The epoch is new because the result that the stage had is lost.
    pub lost: Option<Lost>,
    /// The epoch is new because somebody asked for it.
    pub asked: Option<NewEpoch>,
}

/// Whether a store has a result that can be used; see [`Store::has`].
pub type Has = fn(&Store, &Key) -> Result<bool, Unreadable>;

/// Adds its epoch to the inputs of a stage, of whose results `has` tells. Without `refresh` it never
/// goes stale; `anew` is for what must not be what there is.
///
/// # Errors
/// When an epoch must be written and cannot.
pub fn apply(
    store: &Store,
    inputs: &mut Inputs,
    has: Has,
    refresh: Option<Span>,
    mode: Mode,
    anew: bool,
) -> Result<Applied> {
    let of = inputs.key()?;
    let note = Note::of(store, &of);
    let before = note.read();
    if anew || mode == Mode::Renew {
        // A damaged one is written anew, too: now is none that it had.
        let epoch = next(before.unwrap_or_default());
        add(inputs, Some(epoch));
        let asked = Some(NewEpoch { of, epoch });
        return Ok(Applied { lost: None, asked });
    }
    // Who planned the build has its key, which has to come out of it, however late.
    let given = match store.caller() {
        Some(caller) => Note::below(caller, &of).read()?,
        None => None,
    };
    if let (Some(epoch), Mode::Keep) = (given, mode) {
        let _lock = note.lock(store)?;
        note.write(epoch)?;
    }
    let refresh = refresh.filter(|_| given.is_none());
    let before = given.or(before?);
    let age = |epoch: u64| now().saturating_sub(epoch);
    let stale = |epoch: Option<u64>| {
        refresh.is_some_and(|span| epoch.is_none_or(|at| age(at) >= span.as_seconds()))
    };
    // Another builder of the site may have made it lately.
    let shared = (stale(before) && matches!(mode, Mode::Keep | Mode::Look))
        .then(|| store.shared_epoch(&of))
        .flatten()
        .filter(|epoch| !stale(Some(*epoch)) && Some(*epoch) > before);
    if let (Some(epoch), Mode::Keep) = (shared, mode) {
        let _lock = note.lock(store)?;
        if note.read()? == before {
            note.write(epoch)?;
        }
    }
    let before = match (shared, mode) {
        (None, _) => before,
        (Some(_), Mode::Keep) => note.read()?,
        (shared, _) => shared,
    };
    let with = inputs.clone();
    let lost = |epoch: Option<u64>| {
        let mut inputs = with.clone();
        add(&mut inputs, epoch);
        let key = inputs.key()?;
        Ok::<_, Error>(match has(store, &key) {
            Ok(true) => None,
            Ok(false) => store.was_made(&key).then_some(Lost::Gone),
            Err(why) => Some(Lost::Unreadable(why)),
        })
    };
    let was_lost = match stale(before) {
        true => None,
        false => lost(before)?,
    };
    let epoch = match mode {
        _ if !stale(before) && was_lost.is_none() => before,
        Mode::Last => before,
        Mode::Look | Mode::Renew => Some(next(before)),
        Mode::Keep => {
            let _lock = note.lock(store)?;
            match note.read()? {
                // Another build was quicker.
                newer if newer != before && !stale(newer) && lost(newer)?.is_none() => newer,
                newer => {
                    let epoch = next(newer);
                    note.write(epoch)?;
                    Some(epoch)
                }
            }
        }
    };
    add(inputs, epoch);
    // `publish` takes what there is, and says what was wanted of it.
    let lost = was_lost.filter(|lost| mode != Mode::Last || *lost != Lost::Gone);
    Ok(Applied { lost, asked: None })
}

fn add(inputs: &mut Inputs, epoch: Option<u64>) {
    if let Some(epoch) = epoch {
        inputs.value(NAME, epoch);
    }
}

/// Two in one second differ, too.
fn next(before: Option<u64>) -> u64 {
    before.map_or(0, |before| before + 1).max(now())
}

/// Where the epoch of a stage is written down.
struct Note(PathBuf);

impl Note {
    fn of(store: &Store, of: &Key) -> Self {
        Note::below(store.state(), of)
    }

    fn below(state: &Path, of: &Key) -> Self {
        Note(state.join("epochs").join(of.as_str()))
    }

    fn read(&self) -> Result<Option<u64>> {
        remembered(&self.0, |text| {
            String::from_utf8_lossy(text).trim().parse::<u64>()
        })
        .map_err(|error| error.better_hint(FOUND_ANEW, RENEW))
    }

    fn write(&self, epoch: u64) -> Result<()> {
        write_atomic(&self.0, epoch.to_string().as_bytes())
    }

    fn lock(&self, store: &Store) -> Result<File> {
        store.prepare()?;
        let locking = || "locking the refresh epochs".to_owned();
        let dir = store.state().join("epochs");
        private_dir(&dir).doing(locking)?;
        let lock = File::create(dir.join(".lock")).doing(locking)?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(std::io::Error::from)
            .doing(locking)?;
        Ok(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HAS: Has = |store, key| Ok(store.entry(key).is_some());

    #[test]
    fn an_epoch_stays_until_it_is_stale_or_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let key = |refresh: Option<u64>, mode| {
            let mut inputs = Inputs::new("install", 1);
            let refresh = refresh.map(Span::seconds);
            let applied = apply(&store, &mut inputs, HAS, refresh, mode, false).unwrap();
            (inputs.key().unwrap(), applied.asked)
        };
        let plain = Inputs::new("install", 1).key().unwrap();
        assert_eq!(key(None, Mode::Keep).0, plain, "never stale, no epoch");
        let first = key(Some(1000), Mode::Keep);
        assert_eq!(key(Some(1000), Mode::Keep), first);
        assert_eq!(key(Some(1000), Mode::Look), first);
        assert_eq!(
            key(None, Mode::Keep),
            first,
            "the current result is what there is"
        );
        let file = dir.path().join("epochs").join(plain.as_str());
        // Without its epoch a stage would have an old result.
        std::fs::write(&file, "17x").unwrap();
        let damaged = apply(
            &store,
            &mut Inputs::new("install", 1),
            HAS,
            None,
            Mode::Keep,
            false,
        );
        let damaged = damaged.unwrap_err();
        assert!(damaged.message().contains("is damaged"));
        assert!(damaged.hint_text().unwrap().contains("--refresh"));
        let (renewed, asked) = key(None, Mode::Renew);
        assert_ne!(renewed, plain);
        asked.unwrap().keep(&store).unwrap();
        assert_eq!(key(None, Mode::Keep).0, renewed, "it is whole again");
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
        let (renewed, asked) = key(None, Mode::Renew);
        assert_ne!(renewed, stale.0);
        assert_eq!(key(None, Mode::Keep), stale, "nothing has begun");
        asked.unwrap().keep(&store).unwrap();
        assert_eq!(
            key(None, Mode::Keep).0,
            renewed,
            "later builds go on with it"
        );
    }

    /// A key whose bytes are gone is never used again, and two builds agree on the next one.
    #[test]
    fn what_was_lost_gets_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let key = |mode| {
            let mut inputs = Inputs::new("seal", 1);
            let applied = apply(&store, &mut inputs, HAS, None, mode, false).unwrap();
            (inputs.key().unwrap(), applied.lost.is_some())
        };
        let plain = Inputs::new("seal", 1).key().unwrap();
        assert_eq!(key(Mode::Keep), (plain.clone(), false));
        write_atomic(&dir.path().join("made").join(plain.as_str()), b"").unwrap();
        assert_eq!(key(Mode::Last), (plain.clone(), false));
        let (looked, lost) = key(Mode::Look);
        assert!(lost && looked != plain);
        let (next, lost) = key(Mode::Keep);
        assert!(lost && next != plain);
        assert_eq!(key(Mode::Keep), (next.clone(), false));
        write_atomic(&dir.path().join("made").join(next.as_str()), b"").unwrap();
        let (third, _) = key(Mode::Keep);
        assert!(third != next && third != plain);
    }
}
