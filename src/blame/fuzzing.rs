//! What [`crate::fuzzing`] gives bytes of others.

use std::collections::BTreeMap;

use super::changes::{self, groups};
use super::index::{File, Index};
use super::owners;
use super::page::page;
use super::size::{By, sizes, tree};

/// An index as a repository has it: as a file, or by its lines.
pub(crate) fn index(data: &[u8]) {
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let lines = || zstd::encode_all(data, 1).expect("bytes can be compressed");
    let bytes = match first % 2 {
        0 => data.to_vec(),
        _ => lines(),
    };
    let Ok(index) = Index::from_bytes(&bytes, "x") else {
        return;
    };
    // What is written is read as it was.
    let written = index.to_bytes().expect("an index can be written");
    if let Ok(again) = Index::from_bytes(&written, "x") {
        assert_eq!(again, index);
    }
    for file in index.files.iter().take(8) {
        drop((index.answer(&file.path), index.origin(file)));
        let archive = index.file_with(&format!("{}!/x", file.path));
        assert!(archive.is_none_or(File::is_file));
    }
    for by in [By::Step, By::Package, By::Directory] {
        let all = sizes(&index, by, "/", Some(1 << 20));
        drop((tree(&all, 2, 200), page("x", "step", &all)));
    }
    let empty = Index::default();
    drop(changes::text(&groups(&empty, &index)));
    drop(changes::text(&groups(&index, &empty)));
}

/// Databases of package managers, as a guest can have them.
pub(crate) fn packages(data: &[u8]) {
    const PLACES: [&str; 8] = [
        "/var/lib/dpkg/status",
        "/var/lib/dpkg/info/x.list",
        "/var/lib/dpkg/diversions",
        "/lib/apk/db/installed",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
        "/usr/lib/sysimage/rpm/Packages.db",
        "/var/lib/rpm/Packages",
    ];
    const STATUS: &[u8] = b"Package: x\nStatus: install ok installed\nVersion: 1\n";
    let Some((first, data)) = data.split_first() else {
        return;
    };
    let place = PLACES[usize::from(*first) % PLACES.len()];
    let mut databases: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    databases.insert(PLACES[0].into(), STATUS.to_vec());
    // The log of a database, and that: each half of the bytes.
    if place == PLACES[5] {
        let (file, log) = data.split_at(data.len() / 2);
        databases.insert(PLACES[4].into(), file.to_vec());
        databases.insert(place.into(), log.to_vec());
    } else {
        databases.insert(place.into(), data.to_vec());
    }
    let link = |path: &str, to: &str| File {
        path: path.into(),
        mode: 0o120_777,
        content: to.into(),
        ..File::default()
    };
    let mut index = Index {
        files: vec![link("/bin", "usr/bin"), link("/usr/bin", "../bin/./usr")],
        ..Index::default()
    };
    owners::claim(&mut index, &databases);
    assert!(index.files.iter().all(|file| {
        file.claim
            .is_none_or(|it| it.package < index.packages.len())
    }));
}
