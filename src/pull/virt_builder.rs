//! The sources that virt-builder is configured with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::place::RemoteRepository;
use crate::gpg::Signers;
use crate::http::Url;
use crate::index;

/// A source with a signed native index.
#[derive(Debug)]
pub(super) struct IndexSource {
    pub(super) id: String,
    pub(super) uri: Url,
    key: Option<PathBuf>,
}

impl IndexSource {
    pub(super) fn trusted(&self, place: RemoteRepository) -> RemoteRepository {
        let keys = self.key.clone();
        let signers = Signers {
            keys,
            ..Signers::default()
        };
        RemoteRepository { signers, ..place }
    }
}

/// Reads `virt-builder/repos.d/*.conf` of the user and of the system; a file hides later ones
/// of the same name, and what cannot be understood is left out, as virt-builder does.
pub(super) fn sources() -> Vec<IndexSource> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let user = var("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| var("HOME").map(|home| PathBuf::from(home).join(".config")));
    let system = var("VIRT_BUILDER_DIRS").unwrap_or_else(|| "/etc".into());
    let dirs = user.into_iter().chain(std::env::split_paths(&system));
    let mut files = BTreeMap::new();
    let mut order = vec![];
    for dir in dirs {
        let names = std::fs::read_dir(dir.join("virt-builder/repos.d"));
        let mut paths: Vec<PathBuf> = names
            .into_iter()
            .flatten()
            .flatten()
            .map(|file| file.path())
            .collect();
        paths.sort();
        for path in paths
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "conf"))
        {
            let name = path.file_name().unwrap_or_default().to_owned();
            if files.insert(name, ()).is_none() {
                order.push(path);
            }
        }
    }
    let texts = order
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok());
    let sections = texts.filter_map(|text| index::parse(&text).ok()).flatten();
    sections.filter_map(|section| source(&section)).collect()
}

fn source(section: &index::Section) -> Option<IndexSource> {
    let value = |key: &str| {
        let mut fields = section.fields.iter();
        let field = fields.find(|field| field.key == key && field.subkey.is_none());
        field.map(|field| field.value.as_str())
    };
    if value("format").is_some_and(|format| format != "native") {
        return None;
    }
    let key = value("gpgkey").and_then(|key| Url::parse(key).ok()?.local());
    let uri = Url::parse_or_path(value("uri")?).ok()?;
    let id = section.id.clone();
    Some(IndexSource { id, uri, key })
}
