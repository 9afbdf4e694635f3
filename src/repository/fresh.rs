//! An old text has a good signature for ever: nobody goes on from what has expired, or what is older
//! than this host has seen or made.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::identity::Identity;
use super::seen::{Mark, Memory, Newer, RememberedRepository, number, refuse_future};
use super::verify::{Signed, SignedClaims};
use super::vouched::VerifiedState;
use super::{Repository, identity, set};
use crate::error::{Error, Result};
use crate::index::{Claims, Owner};
use crate::units::elapsed;

/// So far the clocks of two hosts may differ, in seconds.
pub(super) const PATIENCE: i64 = 10;

/// How old what is signed may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Age {
    /// It counts.
    #[default]
    Current,
    /// It counts, and what is signed in its place waits for no clock.
    Urgent,
    /// It may have expired.
    Expired,
    /// It may be older than what was seen before, too, or of a time that is yet to come.
    Any,
}

impl Age {
    fn may_have_expired(self) -> bool {
        matches!(self, Age::Expired | Age::Any)
    }
}

/// Refuses signed texts of the repository in `root` that are too old or none of it, and remembers the
/// others. All that is looked at is judged at once, as one transaction; those that are not right are
/// left to who asks.
///
/// # Errors
/// When one is refused, or what was seen cannot be written.
pub(super) fn refuse_old<'a>(
    root: &Path,
    signed: impl Iterator<Item = &'a Signed> + Clone,
    seen: Option<&RememberedRepository>,
    age: Age,
) -> Result<()> {
    let claims = || {
        let all = signed.clone();
        all.flat_map(|text| text.result.as_ref().map(|claims| (text, claims)))
    };
    let path = |text: &Signed| root.join(&text.path).display().to_string();
    let now = Timestamp::now();
    for (text, claims) in claims() {
        if age != Age::Any {
            refuse_future(&path(text), claims.when)?;
        }
        let end = claims.valid_until.filter(|end| *end <= now);
        if let Some(end) = end.filter(|_| !age.may_have_expired()) {
            return Err(
                Error::gate(format!("{} was valid until {end:.0}", path(text)))
                    .cause("nothing was signed here since, or somebody put an old state back")
                    .hint(
                        "if `imgforge channel history` shows all that happened, `imgforge channel \
                     renew` signs it again; else restore the newest state from a backup or a copy",
                    ),
            );
        }
    }
    let named = claims().any(|(_, claims)| claims.repository.is_some());
    let mut without =
        claims().filter(|(text, claims)| text.image.is_some() && claims.repository.is_none());
    if let Some((text, _)) = without.next().filter(|_| named && age != Age::Any) {
        return Err(nameless(&path(text)));
    }
    let Some(seen) = seen else { return Ok(()) };
    let mut memory = seen.read();
    let indexes = claims().filter(|(text, _)| text.channel.is_some());
    let owners: Vec<(String, Owner)> = indexes
        .filter_map(|(text, claims)| Some((path(text), Claims::parse(&claims.text).owner?)))
        .collect();
    let again = |(_, owner): &&(String, Owner)| memory.retired.contains(&owner.key);
    if let Some((path, owner)) = owners.iter().find(again).filter(|_| age != Age::Any) {
        return Err(signs_again(path, &owner.key, seen));
    }
    let whole = claims().find(|(text, _)| text.path == set::PATH);
    let whole = whole.and_then(|(_, whole)| Some((whole, number(&whole.text)?)));
    if let Some((whole, serial)) = whole.filter(|_| age != Age::Any) {
        refuse_earlier(root, (whole, serial), &memory, seen)?;
    }
    let whole = whole.map(|(_, serial)| serial);
    memory.overtake(whole);
    let addresses = claims().map(|(text, claims)| Ok((seen.address(&text.path)?, text, claims)));
    let addresses = addresses.collect::<Result<Vec<_>>>()?;
    let mut marks = Vec::new();
    for (address, text, claims) in &addresses {
        let mark = Mark::of(address, claims.when, &claims.text);
        if let Some(newer) = memory.newer(&mark).filter(|_| age != Age::Any) {
            return Err(older(&path(text), &newer));
        }
        marks.push(mark);
    }
    seen.take(&marks, whole, age == Age::Any)?;
    let retired = owners.into_iter().flat_map(|(_, owner)| owner.retired);
    seen.retire(retired.collect(), age == Age::Any)
}

/// Refuses a repository, `id`, in whose place another one was before, or without what was signed
/// there as a whole.
pub(super) fn refuse_gone(
    (root, id): (&Path, &str),
    signed: &[Signed],
    seen: Option<&RememberedRepository>,
    age: Age,
) -> Result<()> {
    let Some(seen) = seen else { return Ok(()) };
    let memory = seen.read();
    if let Some(known) = memory.repository.as_ref().filter(|known| *known != id) {
        return Err(Error::gate(format!(
            "{} is the repository {id}, and {known} was there before",
            root.display()
        ))
        .cause("somebody changed .imgforge/repository.json, or all of what was there")
        .hint(format!(
            "restore the newest state from a backup or a copy; {}",
            seen.anew()
        )));
    }
    let whole = memory
        .signed
        .contains_key(&seen.address(set::PATH)?.to_string());
    let nothing = signed.is_empty() && !memory.signed.is_empty();
    let there = signed.iter().any(|text| text.path == set::PATH);
    match age != Age::Any && (whole || nothing) && !there {
        false => Ok(()),
        true => Err(Error::gate(format!(
            "{} is gone, and this host has seen it",
            root.join(set::PATH).display()
        ))
        .cause("somebody put an old state back, or restored a part of a backup")
        .hint(
            "restore all of the newest state from a backup or a copy; to continue without, as \
             there is none, `imgforge channel renew --allow-older` signs again what is here",
        )),
    }
}

/// Refuses to sign as a repository that is in another directory, as this host has seen, or that was signed
/// for another address: one key signs many, and whoever can write to the directory of one can put a copy
/// of another there. One that was moved is there no more, and one that is reached by another path is the
/// same directory.
///
/// # Errors
/// When it is another one's, and nothing was seen in this one.
pub(super) fn refuse_elsewhere(repository: &Repository, state: &VerifiedState) -> Result<()> {
    let seen = repository.seen.as_ref();
    let Some(seen) = seen.filter(|seen| seen.read().repository.is_none()) else {
        return Ok(());
    };
    let (root, id) = (repository.root.as_path(), state.id.as_str());
    let inode = |dir: &Path| dir.metadata().ok().map(|one| (one.dev(), one.ino()));
    let is_of = |dir: &&PathBuf| matches!(Identity::read(dir), Ok(Some(one)) if one.id == id);
    let others = seen.elsewhere(id);
    let known = others.iter().any(|dir| inode(dir) == inode(root));
    let there = others.iter().find(is_of).filter(|_| !known);
    let there = there.map(|dir| format!("which this host has seen in {}", dir.display()));
    let signed = state
        .signed_url()
        .filter(|url| *url != repository.url && !known);
    let signed =
        signed.map(|url| format!("which was signed for {url}, not for {}", repository.url));
    let Some(other) = there.or(signed) else {
        return Ok(());
    };
    Err(Error::gate(format!(
        "{} says that it is the repository {id}, {other}",
        root.display()
    ))
    .cause("somebody put a copy there, which would be signed as that one, or made one to publish to")
    .hint(
        "empty the directory if it is to be a repository of its own; if it is a copy that you publish \
         to, or has another address now, `imgforge channel renew --allow-older` there says so, once",
    ))
}

/// Refuses to make a repository where this host has seen one: in an empty mount point, say.
///
/// # Errors
/// When there was one, and is none.
pub(super) fn refuse_vanished(root: &Path, seen: Option<&RememberedRepository>) -> Result<()> {
    let Some(seen) = seen else { return Ok(()) };
    let memory = seen.read();
    let known = memory.repository.is_some() || !memory.signed.is_empty();
    if !known || identity::is_told(root)? {
        return Ok(());
    }
    Err(Error::gate(format!(
        "{} has no .imgforge/repository.json, and this host has seen a repository there",
        root.display()
    ))
    .cause("what should be mounted there is not, or somebody has removed it")
    .hint(format!(
        "mount it, or restore it from a backup or a copy; {}",
        seen.anew()
    )))
}

/// A rotation was finished, and all is as if it had not been.
fn signs_again(path: &str, key: &str, seen: &RememberedRepository) -> Error {
    Error::gate(format!("{path} is signed by {key}, which was retired here"))
        .cause("somebody put an old state back, restored a backup, or has the old key")
        .hint(seen.go_back())
}

/// A list that does not say whose it is beside what does: all are signed anew at once.
fn nameless(path: &str) -> Error {
    Error::gate(format!(
        "{path} does not say of which repository it is, and others here do"
    ))
    .cause("an older one was put in its place, or an older imgforge has published here")
    .hint(
        "publish with one version of imgforge; if what is here is right, `imgforge channel renew \
         --allow-older` signs everything again",
    )
}

fn older(path: &str, newer: &Newer) -> Error {
    let Newer { said, of, .. } = newer;
    Error::gate(format!(
        "{path} {said}, and this host has seen a newer one, of {of}"
    ))
    .cause("somebody put an old state back, or restored a backup")
    .hint(
        "restore the newest state from a backup or a copy; to continue from this one, as what came \
         after it is lost, `imgforge channel renew --allow-older` signs it again",
    )
}

/// Refuses what an earlier transaction has signed than the last one that this host has seen, whatever
/// the times say.
fn refuse_earlier(
    root: &Path,
    (whole, serial): (&SignedClaims, u64),
    memory: &Memory,
    seen: &RememberedRepository,
) -> Result<()> {
    let Some(last) = memory.serial else {
        return Ok(());
    };
    // The numbers of another repository are others.
    if serial >= last || whole.repository != memory.repository {
        return Ok(());
    }
    Err(Error::gate(format!(
        "{} is of transaction {serial}, and this host has seen a newer one, {last}",
        root.join(set::PATH).display()
    ))
    .cause("somebody put an old state back, or restored a backup")
    .hint(format!(
        "restore the newest state from a backup or a copy; to continue from this one, as what came \
         after it is lost, `imgforge channel renew --allow-older` signs it again, with a number \
         above all that the host has seen that does so; if that knows less than this one, remove \
         {}, what this host remembers of the repository",
        seen.dir().display()
    )))
}

/// Refuses to sign with a time that lies before that of what is replaced: whoever has seen that one
/// would refuse the new one. The clocks of two publishers differ a little. What is urgent is signed
/// all the same, and so is what may be of any age.
///
/// # Errors
/// When it lies more than some seconds before it.
pub(super) fn await_clock(repository: &Repository, signed: &[Signed], age: Age) -> Result<()> {
    let times = signed
        .iter()
        .flat_map(|text| Some((text, text.result.as_ref().ok()?.when)));
    let Some((text, last)) = times.max_by_key(|(_, when)| *when) else {
        return Ok(());
    };
    let ahead = last.as_second() - Timestamp::now().as_second();
    let span = Duration::from_secs(ahead.max(0).unsigned_abs());
    if ahead <= PATIENCE {
        std::thread::sleep(span);
        return Ok(());
    }
    let what = format!(
        "{} was signed {} after the time that this host's clock shows",
        repository.root.join(&text.path).display(),
        elapsed(span)
    );
    if matches!(age, Age::Urgent | Age::Any) {
        repository.ui.warning(format!(
            "{what}: clients of an older imgforge that have seen it refuse what is signed now, until then"
        ));
        return Ok(());
    }
    Err(Error::host(what)
        .cause("clients of an older imgforge that have seen it would refuse what is signed now")
        .hint(
            "set the clocks of all hosts that publish; if this one's is right, try again after that \
             time, or sign everything all the same with `imgforge channel renew --allow-older`; \
             `imgforge repo yank` does not wait",
        ))
}
