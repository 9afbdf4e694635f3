//! What is asked of whom: the addresses of a suite or of a repository, and whose signatures count.

use std::path::{Path, PathBuf};

use super::{Settings, apk};
use crate::address::{Address, hide};
use crate::distro::apt::Archive;
use crate::distro::repos::{Repo, Way};
use crate::distro::sources::{self, Source};
use crate::distro::{apt, suite_by_osinfo};

/// Where keyrings lie that sources of packages name, on this host as in the guest.
const KEYRINGS: &[&str] = &[
    "/usr/share/keyrings/",
    "/etc/apt/keyrings/",
    "/etc/apt/trusted.gpg.d/",
];

/// A suite that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    /// Addresses of archives: of the site's mirrors the newest counts, the others are tried in order.
    pub(super) uris: Vec<String>,
    /// How many of them are the site's mirrors, the first ones.
    pub(super) mirrors: usize,
    /// The suite's name.
    pub(super) suite: String,
    /// Files of public keys; a signature by one of them counts.
    pub(super) keyrings: Vec<PathBuf>,
    /// Where it is no archive of Debian's: what it is, and whether its system wants its index signed.
    pub(super) other: Option<(Way, bool)>,
}

/// The suite of a line of a `sources.list`, and all that the line says.
///
/// # Errors
/// Why it cannot be read from here, as a sentence.
pub(super) fn asked(settings: &Settings, line: &str) -> Result<(Asked, Source), String> {
    let source: Source = line.parse()?;
    let distro = source.distro();
    // What an image says of its sources has no password, what imgforge.yaml says may have one.
    let shown = hide(&source.uri).into_owned();
    let mut uris = vec![];
    if let Some(mirrors) = distro.and_then(|distro| settings.mirrors.get(distro.id)) {
        let beside = |mirror: &Address| {
            let main = mirror.as_str().trim_end_matches('/');
            match source.is_beside() {
                false => Some(main.to_owned()),
                // By convention the security archive lies beside the archive itself.
                true => (main.ends_with("/debian")).then(|| format!("{main}-security")),
            }
        };
        let of_site: Vec<String> = mirrors.iter().filter_map(beside).collect();
        let is_of_site = of_site.iter().any(|uri| hide(uri) == shown);
        if is_of_site || distro.is_some_and(|distro| source.is_own(distro)) {
            uris = of_site;
        }
    }
    let mirrors = uris.len();
    let reachable = ["http://", "https://"]
        .iter()
        .any(|scheme| source.uri.starts_with(scheme));
    if reachable && !uris.iter().any(|uri| hide(uri) == shown) {
        uris.push(source.uri.clone());
    }
    let name = format!("{shown} {}", source.suite);
    if uris.is_empty() {
        return Err(format!(
            "{name} is not read: this host cannot reach that address"
        ));
    }
    if source.components.is_empty() {
        return Err(format!(
            "{name} is not read: it is an archive without suites"
        ));
    }
    let named = source.signed_by.as_deref().filter(|path| {
        let known = KEYRINGS.iter().any(|dir| path.starts_with(dir));
        known && !path.contains("..") && Path::new(path).is_file()
    });
    let own = distro.map(|distro| distro.keyring);
    let own = own.filter(|path| Path::new(path).is_file());
    let mut keyrings: Vec<PathBuf> = named.into_iter().chain(own).map(PathBuf::from).collect();
    let is_gpg = |path: &&PathBuf| !path.to_string_lossy().ends_with(apk::KEY);
    keyrings.extend(settings.keyrings.iter().filter(is_gpg).cloned());
    keyrings.dedup();
    if keyrings.is_empty() {
        let hint = match distro {
            Some(distro) => format!("install the package {}", distro.keyring_package),
            None => "name its file in `updates: {keyrings: […]}` of imgforge.yaml".to_owned(),
        };
        return Err(format!(
            "{name} is not read: this host has no keyring for it; {hint}"
        ));
    }
    let asked = Asked {
        uris,
        mirrors,
        suite: source.suite.clone(),
        keyrings,
        other: None,
    };
    Ok((asked, source))
}

/// The repository of a line that an image of another family names.
///
/// # Errors
/// Why it cannot be read from here, as a sentence.
pub(super) fn other(settings: &Settings, line: &str) -> Result<Asked, String> {
    let repo: Repo = line.parse()?;
    let reachable = ["http://", "https://"]
        .iter()
        .any(|it| repo.uri.starts_with(it));
    if !reachable || repo.uri.contains('$') {
        let shown = hide(&repo.uri);
        return Err(format!(
            "{shown} is not read: this host cannot reach that address"
        ));
    }
    let is_apk = repo.way == Way::Apk;
    let fits = |path: &&PathBuf| path.to_string_lossy().ends_with(apk::KEY) == is_apk;
    Ok(Asked {
        mirrors: 0,
        suite: match repo.id.as_str() {
            "" => repo.uri.rsplit('/').next().unwrap_or_default().to_owned(),
            id => id.to_owned(),
        },
        uris: vec![repo.uri],
        keyrings: settings.keyrings.iter().filter(fits).cloned().collect(),
        other: Some((repo.way, repo.signed)),
    })
}

/// What a release usually has for sources, as lines of a `sources.list`, where the site names a mirror.
pub(super) fn usual(settings: &Settings, distro: &str, version: &str) -> Vec<String> {
    let major = match distro {
        "ubuntu" => version,
        _ => version.split('.').next().unwrap_or_default(),
    };
    let Some((apt, suite)) = suite_by_osinfo(&format!("{distro}{major}")) else {
        return vec![];
    };
    let mirror = settings.mirrors.get(apt.id).and_then(|all| all.first());
    let Some(mirror) = mirror else {
        return vec![];
    };
    let main = mirror.as_str().trim_end_matches('/');
    let archive = Archive {
        main: main.to_owned(),
        security: main
            .ends_with("/debian")
            .then(|| format!("{main}-security")),
    };
    let text = apt::sources(apt, suite, &archive, &[]);
    let sources = sources::read("usual.sources", &text);
    sources.iter().map(ToString::to_string).collect()
}
