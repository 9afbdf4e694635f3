//! Where packages were fetched from: a mirror names a package's file by its name, version and architecture.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::percent_decode_str;

use super::index::Index;
use crate::lock::Fetched;
use crate::sbom::Package;

/// What an index knows of the packages of its files.
pub(super) fn known(index: &Index) -> BTreeMap<Package, Fetched> {
    let all = index.downloads.iter();
    let known = all.filter_map(|(at, file)| Some((index.packages.get(*at)?.clone(), file.clone())));
    known.collect()
}

/// Notes in the index where its packages are from: of `known` ones as that is, of others as what was
/// `fetched` now. Of two files of one name nobody knows which was installed, unless they are the same.
pub(super) fn join(index: &mut Index, known: &BTreeMap<Package, Fetched>, fetched: &[Fetched]) {
    let mut files: HashMap<String, Option<&Fetched>> = HashMap::new();
    for file in fetched {
        if let Some(name) = file_name(&file.url) {
            let found = files.entry(name).or_insert(Some(file));
            *found = found.filter(|found| found.sha256 == file.sha256);
        }
    }
    for (at, package) in index.packages.iter().enumerate() {
        let now = || {
            names(package)
                .iter()
                .find_map(|name| files.get(name).copied().flatten())
        };
        if let Some(file) = known.get(package).or_else(now) {
            index.downloads.insert(at, file.clone());
        }
    }
}

/// The last part of an address, as the file is called.
fn file_name(url: &str) -> Option<String> {
    let url = url.split(['?', '#']).next()?;
    let name = url.rsplit('/').next()?;
    let ends = [".deb", ".rpm", ".apk"];
    let name = percent_decode_str(name).decode_utf8_lossy().into_owned();
    ends.iter().any(|end| name.ends_with(end)).then_some(name)
}

/// What the file of a package may be called: epochs are left out by most archives, and by RPM.
fn names(package: &Package) -> [String; 4] {
    let Package {
        name,
        version,
        arch,
        ..
    } = package;
    let short = version
        .split_once(':')
        .map_or(version.as_str(), |(_, rest)| rest);
    [
        format!("{name}_{short}_{arch}.deb"),
        format!("{name}_{version}_{arch}.deb"),
        format!("{name}-{short}.{arch}.rpm"),
        format!("{name}-{version}.apk"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(url: &str) -> Fetched {
        Fetched {
            url: url.into(),
            sha256: "0".repeat(64),
            size: 1,
        }
    }

    fn package(name: &str, version: &str, arch: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            arch: arch.into(),
            ..Package::default()
        }
    }

    #[test]
    fn packages_are_found_by_the_names_of_their_files() {
        let mut index = Index {
            packages: vec![
                package("libstdc++6", "12.2.0-14+b1", "amd64"),
                package("openssh-server", "1:9.2p1-2", "amd64"),
                package("site", "2:1.0~rc1", "all"),
                package("openssl-libs", "1:3.0.7-6.el9", "x86_64"),
                package("busybox", "1.36.1-r2", "x86_64"),
                package("local", "1", "amd64"),
                package("old", "1", "amd64"),
            ],
            ..Index::default()
        };
        let urls = [
            "http://mirror.example.debian.org/debian/dists/trixie/InRelease",
            "http://mirror.example.debian.org/debian/pool/main/g/gcc-12/libstdc%2b%2b6_12.2.0-14%2bb1_amd64.deb",
            "http://mirror.example.debian.org/debian/pool/main/o/openssh/openssh-server_9.2p1-2_amd64.deb",
            "http://mirror.example.debian.org/site/site_2%3a1.0%7erc1_all.deb?token=1",
            "http://mirror.example.debian.org/el9/openssl-libs-3.0.7-6.el9.x86_64.rpm",
            "http://mirror.example.debian.org/v3/busybox-1.36.1-r2.apk",
            "http://mirror.example.debian.org/debian/pool/l/local_2_amd64.deb",
            "http://mirror.example.debian.org/debian/pool/o/old_1_amd64.deb",
        ];
        let before = fetched("http://mirror.example.debian.org/before/old_1_amd64.deb");
        let known = BTreeMap::from([(package("old", "1", "amd64"), before.clone())]);
        join(&mut index, &known, &urls.map(fetched));
        let found = index.downloads.iter();
        let found: Vec<(usize, &str)> = found.map(|(at, file)| (*at, file.url.as_str())).collect();
        assert_eq!(
            found,
            [
                (0, urls[1]),
                (1, urls[2]),
                (2, urls[3]),
                (3, urls[4]),
                (4, urls[5]),
                (6, before.url.as_str()),
            ]
        );
        // Another server has another file of that name.
        let mut other = fetched("http://other.example/busybox-1.36.1-r2.apk");
        let both = |other: &Fetched| {
            let mut index = Index {
                packages: index.packages.clone(),
                ..Index::default()
            };
            join(&mut index, &known, &[fetched(urls[5]), other.clone()]);
            index.downloads.get(&4).map(|file| file.url.clone())
        };
        assert_eq!(both(&other).as_deref(), Some(urls[5]));
        other.sha256 = "1".repeat(64);
        assert_eq!(both(&other), None);
        // The next layer knows them without fetching them again.
        let mut next = Index {
            packages: index.packages.iter().rev().cloned().collect(),
            ..Index::default()
        };
        join(&mut next, &super::known(&index), &[]);
        assert_eq!(next.downloads.len(), 6);
        assert_eq!(next.downloads[&6].url, urls[1]);
    }
}
