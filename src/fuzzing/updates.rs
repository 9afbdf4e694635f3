//! What archives, advisories and packages say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use super::{choice, file, text};
use crate::distro::{release, repos, sources};
use crate::recipe::config::AdvisoryFormat;
use crate::sbom::{Kind, licence, package};
use crate::updates::advisories::{self, Advisories};
use crate::updates::{Packages, apk, rpm};

/// The first byte chooses: advisories of OSV's, of Debian's tracker, an OpenVEX document.
pub(super) fn advisories(data: &[u8]) {
    let wanted = BTreeSet::from(["openssl", "a"]);
    let image = Packages {
        kind: Kind::Deb,
        distro: "debian".into(),
        release: "12.11".into(),
        packages: vec![],
        sources: vec![],
    };
    let read = |format, data: &[u8]| {
        let file = file(data);
        drop(Advisories::about([&image]).read(format, file.path(), &wanted));
    };
    match choice(data, 3) {
        (0, data) => read(AdvisoryFormat::Osv, data),
        (1, data) => read(AdvisoryFormat::DebianTracker, data),
        (_, data) => drop(advisories::vex_of_bytes(data, jiff::Timestamp::UNIX_EPOCH)),
    }
}

/// The first byte chooses: an archive of documentation, a package's copyright, apk's database.
pub(super) fn licences(data: &[u8]) {
    match choice(data, 3) {
        (0, data) => drop(licence::of_docs(data)),
        (1, data) => {
            let text = text(data);
            drop(licence::of_copyright(&text));
            drop(licence::expression(&text));
        }
        (_, data) => {
            let text = text(data);
            drop(licence::of_apk(&text));
            package::assign_origins(&mut [package::Package::default()], &text);
        }
    }
}

/// The first byte chooses: the parts of archives of every family, and what systems say of where theirs are.
pub(super) fn repositories(data: &[u8]) {
    let (kind, data) = choice(data, 8);
    let text = text(data);
    match kind {
        0 => {
            if let Ok(release) = release::Release::read(&text) {
                release.is_of("stable-security");
                release.is_security("stable");
            }
        }
        1 => drop(release::scan(data, &|_| true, &mut drop)),
        2 => drop(rpm::xml::Repomd::read(data)),
        3 => drop(rpm::xml::primary(
            data.take(u64::MAX),
            &|_| true,
            &mut |_, _| {},
        )),
        4 => drop(rpm::xml::updateinfo(data, &|_| true)),
        5 => drop(rpm::xml::Metalink::read(data)),
        6 => {
            if let Ok(signed) = apk::Signed::read(data) {
                signed.is_by(&text);
                if let Ok(list) = signed.list() {
                    apk::of_list(&list, &|_| true, &mut drop);
                }
            }
        }
        _ => {
            let variables = BTreeMap::from([("releasever".to_owned(), "9".to_owned())]);
            let lines = repos::of_ini(&text, &variables)
                .into_iter()
                .chain(repos::of_apk(&text));
            for repo in lines {
                drop(repo.to_string().parse::<repos::Repo>());
            }
            for name in ["x.list", "x.sources"] {
                for source in sources::read(name, &text) {
                    drop(source.to_string().parse::<sources::Source>());
                }
            }
        }
    }
}
