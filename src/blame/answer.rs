//! What is known of one path.

use serde::Serialize;

use super::cause::Told;
use super::index::{File, How, Index, Since};
use super::places::Places;
use crate::lock::Fetched;
use crate::sbom::Package;

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// Its path, without links in its directories.
    pub path: String,
    /// `file`, `directory`, `link`, or `other`.
    pub kind: &'static str,
    /// Permissions in octal.
    pub mode: String,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Where a link points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What made something of this name.
    pub made: Told,
    /// What gave it its content.
    pub changed: Told,
    /// Where the disk was fetched from that had it first, where no package of its own did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What gave it its owner and permissions.
    pub dressed: Told,
    /// The package that it belongs to; nothing where no package says so.
    pub package: Option<Owner>,
}

/// The package of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Owner {
    /// Its name, version, architecture and source.
    #[serde(flatten)]
    pub package: Package,
    /// How the file is the package's.
    pub how: How,
    /// What it was fetched as; nothing of one that did not come through imgforge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<Fetched>,
}

impl Index {
    /// What is at an absolute path; links in its directories are followed.
    pub fn answer(&self, path: &str) -> Option<Answer> {
        let file = match self.find(path) {
            Some(file) => file,
            None => self.find(&Places::new(&self.files).real(path))?,
        };
        let told = |since: Since| self.cause(since).told();
        Some(Answer {
            path: file.path.clone(),
            kind: kind(file),
            mode: format!("{:04o}", file.mode & 0o7777),
            uid: file.uid,
            gid: file.gid,
            size: file.size,
            target: file.is_link().then(|| file.content.clone()),
            made: told(file.born),
            changed: told(file.changed),
            origin: self.layers[file.changed.layer].origin.clone(),
            dressed: told(file.dressed),
            package: self.package(file).map(|(package, how)| Owner {
                package: package.clone(),
                how,
                download: self.download(file).cloned(),
            }),
        })
    }

    /// What removed a path that a layer below has.
    pub fn removed(&self, path: &str) -> Option<Told> {
        let at = self
            .removed
            .binary_search_by(|one| one.path.as_str().cmp(path));
        let layer = self.removed[at.ok()?].layer;
        // Nobody keeps the time of a file that is gone.
        Some(self.cause(Since { layer, at: None }).told())
    }
}

fn kind(file: &File) -> &'static str {
    match file {
        file if file.is_dir() => "directory",
        file if file.is_link() => "link",
        file if file.is_file() => "file",
        _ => "other",
    }
}
