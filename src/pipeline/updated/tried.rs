//! Fixes that a build has tried to bring: what it has of them, and when it is worth another try.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::pipeline::{Options, Session, plan};
use crate::sbom::Contents;
use crate::sbom::version::compare;
use crate::stage::StageId;
use crate::store::epoch::Mode;
use crate::units::age;
use crate::updates::Update;

/// The shortest time between two tries, in seconds.
const DAY: u64 = 86_400;

/// What this host has built of a recipe as it is now.
#[derive(Debug)]
pub(super) struct Made {
    /// When its packages were fetched, seconds since 1970.
    at: u64,
    contents: Contents,
}

/// What becomes of a fix that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    /// Nothing was built since it is there, or that was long ago.
    Due,
    /// What is built has it, and nobody has published that.
    Has,
    /// What was built since it is there does not have it: something keeps it back.
    Lacks,
}

impl Made {
    /// Of the image `name`, whose packages come at the stage `from`; nothing where the recipe, what it is built on or
    /// a file that it reads is another one since.
    pub(super) fn of(
        session: &Session,
        vars: &[(String, String)],
        name: &str,
        from: StageId,
    ) -> Option<Self> {
        let options = Options {
            vars: vars.to_vec(),
            ..Options::default()
        };
        let plan = plan(session, &options, name, Mode::Look).ok()?;
        let entry = |stage: StageId| {
            let planned = plan.stages.iter().find(|planned| planned.stage == stage)?;
            session.store.entry(&planned.key)
        };
        let sealed = entry(StageId::Seal)?;
        let fetched = entry(from);
        Some(Made {
            at: fetched.as_ref().unwrap_or(&sealed).meta().created,
            contents: Contents::read(sealed.path())?,
        })
    }

    /// Whether it has what `update` brings, by what its package manager calls newer, or the package no more.
    pub(super) fn has(&self, update: &Update) -> bool {
        let name = update.replaced_by.as_ref().unwrap_or(&update.package);
        let newer = |version: &str| {
            compare(self.contents.kind, version, &update.available) != Ordering::Less
        };
        let packages = || self.contents.packages.iter();
        let is_gone = update.replaced_by.is_none() && !packages().any(|one| one.name == *name);
        is_gone
            || packages().any(|package| {
                package.name == *name && package.arch == update.arch && newer(&package.version)
            })
    }

    /// What becomes of `update` at `now`, in seconds since 1970. What a build did not bring is tried again when it has
    /// waited as long as it had waited before that, and a day: a mirror that is behind costs a day, and a pin costs
    /// fewer builds each time.
    pub(super) fn judge(&self, update: &Update, now: u64) -> Try {
        let offered = update.offered.max(update.since);
        let waited = self.at.saturating_sub(offered);
        match () {
            () if self.has(update) => Try::Has,
            () if self.at >= offered && now < self.at.saturating_add(waited + DAY) => Try::Lacks,
            () => Try::Due,
        }
    }

    /// What it lacks of these, and what to do about it, as a sentence; nothing where it has all.
    pub(super) fn lacks(&self, name: &str, updates: &[Update], now: u64) -> Option<String> {
        let lacks = |update: &&Update| self.judge(update, now) == Try::Lacks;
        // Several channels may wait for the same.
        let lacks: BTreeSet<String> = updates
            .iter()
            .filter(lacks)
            .map(|one| format!("{} {} ({})", one.package, one.available, one.suite))
            .collect();
        let ago = age(now.saturating_sub(self.at));
        (!lacks.is_empty()).then(|| {
            format!(
                "the build of {name} from {ago} ago came without {}: a pin or hold of the recipe, or the mirror of \
                 the build keeps it back",
                Vec::from_iter(lacks).join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::{Kind, package::tests::package};

    #[test]
    fn what_a_build_did_not_bring_is_tried_less_and_less_often() {
        let made = |at: u64, version: &str| Made {
            at,
            contents: Contents {
                kind: Kind::Deb,
                distro: "debian".into(),
                release: "12".into(),
                product: String::new(),
                packages: vec![package("openssl", version)],
                config: [].into(),
                sources: vec![],
            },
        };
        let update = Update {
            package: "openssl".into(),
            arch: made(0, "1").contents.packages[0].arch.clone(),
            installed: "1:3.0-1".into(),
            available: "1:3.0-2".into(),
            since: 10 * DAY,
            ..Update::default()
        };
        for (at, version, now, expected) in [
            (9 * DAY, "1:3.0-1", 10 * DAY, Try::Due),
            (10 * DAY, "1:3.0-2", 10 * DAY, Try::Has),
            (9 * DAY, "1:3.1-1", 10 * DAY, Try::Has),
            // Without the epoch it is older, whatever it looks like.
            (9 * DAY, "4.0-1", 10 * DAY, Try::Due),
            (10 * DAY, "1:3.0-1", 11 * DAY - 1, Try::Lacks),
            (10 * DAY, "1:3.0-1", 11 * DAY, Try::Due),
            (11 * DAY, "1:3.0-1", 13 * DAY - 1, Try::Lacks),
            (11 * DAY, "1:3.0-1", 13 * DAY, Try::Due),
            (13 * DAY, "1:3.0-1", 17 * DAY - 1, Try::Lacks),
        ] {
            assert_eq!(
                made(at, version).judge(&update, now),
                expected,
                "{at} {version} {now}"
            );
        }
        // A newer one of the same package came since that was built.
        let further = Update {
            offered: 31 * DAY,
            ..update.clone()
        };
        assert_eq!(
            made(30 * DAY, "1:3.0-1").judge(&update, 31 * DAY),
            Try::Lacks
        );
        assert_eq!(
            made(30 * DAY, "1:3.0-1").judge(&further, 31 * DAY),
            Try::Due
        );
        let kernel = Update {
            package: "openssl".into(),
            replaced_by: Some("openssl-2".into()),
            ..update
        };
        assert!(!made(0, "1:3.0-2").has(&kernel));
        let gone = Update {
            package: "zlib".into(),
            ..Update::default()
        };
        assert!(made(0, "1:3.0-2").has(&gone));
    }
}
