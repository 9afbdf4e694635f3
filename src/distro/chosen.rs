//! The archive of packages that a stage fetches from, as a lock has it.

use super::apt::Archive;
use crate::address::{self, Address, Mirror};
use crate::error::{Error, Result};
use crate::lock::{self, Fetching};

/// The archive that the lock names, else what `choose` finds. Users and passwords of `named`, the mirrors that
/// somebody wrote down, are in no lock.
///
/// # Errors
/// As `choose`, and when what the lock names is no address.
pub fn chosen(
    fetching: &Fetching,
    named: &[&Address],
    choose: impl FnOnce() -> Result<Option<Archive>>,
) -> Result<Option<Archive>> {
    let mut found = None;
    let hidden = |archive: &Archive| lock::Mirrors {
        main: address::hide(&archive.main).into_owned(),
        security: archive
            .security
            .as_deref()
            .map(|at| address::hide(at).into_owned()),
    };
    let mirrors = fetching.mirrors(|| {
        found = choose()?;
        Ok::<_, Error>(found.as_ref().map(hidden))
    })?;
    let Some(mirrors) = mirrors.filter(|_| found.is_none()) else {
        return Ok(found);
    };
    let security = mirrors.security.map(|at| with_login(&at, named));
    Ok(Some(Archive {
        main: with_login(&mirrors.main, named)?,
        security: security.transpose()?,
    }))
}

/// An address of a lock, as the one of `named` has it that it begins with.
fn with_login(locked: &str, named: &[&Address]) -> Result<String> {
    let broken = |why| Error::usage("the lock names an archive that is no address").cause(why);
    locked.parse::<Address>().map_err(broken)?;
    let whole = |one: &&Address| {
        let plain = address::hide(one.as_str());
        let rest = locked.strip_prefix(plain.trim_end_matches('/'))?;
        Some(format!("{}{rest}", one.as_str().trim_end_matches('/')))
    };
    Ok(named
        .iter()
        .find_map(whole)
        .unwrap_or_else(|| locked.to_owned()))
}

/// The mirrors that a recipe and imgforge.yaml name.
pub fn named_mirrors<'a>(build: &'a Mirror, site: &'a [Address]) -> Vec<&'a Address> {
    let own = match build {
        Mirror::At(address) => Some(address),
        Mirror::Host | Mirror::Default => None,
    };
    own.into_iter().chain(site).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_lock_has_no_password_and_a_locked_build_still_has_it() {
        let with = "http://me:s3cret@a.example/debian"
            .parse::<Address>()
            .unwrap();
        let found = Archive {
            main: with.as_str().into(),
            security: Some(format!("{}-security", with.as_str())),
        };
        let fetching = Fetching::default();
        let chosen_first = chosen(&fetching, &[&with], || Ok(Some(found.clone()))).unwrap();
        assert_eq!(chosen_first, Some(found.clone()));
        let entry = tempfile::tempdir().unwrap();
        fetching.write(entry.path(), true).unwrap();
        let record = lock::Record::read(entry.path()).unwrap().unwrap();
        let text = serde_json::to_string(&record).unwrap();
        assert!(
            text.contains("a.example/debian-security") && !text.contains("s3cret"),
            "{text}"
        );
        let locked = |record: &lock::Record, named: &[&Address]| {
            let locked = lock::Locked::new("web.lock", "web", record.clone());
            let fetching = Fetching::new(Some(Arc::new(locked)));
            chosen(&fetching, named, || panic!("mirrors are asked"))
        };
        assert_eq!(locked(&record, &[&with]).unwrap(), Some(found));
        let without = locked(&record, &[]).unwrap().unwrap();
        assert_eq!(without.main, "http://a.example/debian");
        let mut odd = record;
        odd.mirrors.as_mut().unwrap().main = "http://a.example/\nTrusted: yes".into();
        assert!(locked(&odd, &[]).is_err());
    }
}
