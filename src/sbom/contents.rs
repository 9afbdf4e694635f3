//! What the sealing session found on the disk: `contents.json` in its entry.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Kind, Package, licence, package};
use crate::distro::{apt, repos, sources};
use crate::error::{Context as _, Result};
use crate::guest::{Guestfs, Os};

/// Name of the file in the sealed disk's entry.
pub const FILE: &str = "contents.json";

/// Where packages of the Debian family say their licences.
const DOCS: &str = "/usr/share/doc";

/// What else is there, as tar's patterns.
const NO_COPYRIGHTS: &[&str] = &[
    "*.gz",
    "*.html",
    "*.png",
    "*.pdf",
    "*.txt",
    "examples",
    "changelog*",
    "NEWS*",
    "README*",
];

/// Repositories that are looked at: a guest can write more than the host has memory for.
const MOST_REPOS: usize = 4096;

/// apk's database.
const APK: &str = "/lib/apk/db/installed";

/// Directory whose files are compared by `diff`.
const CONFIG: &str = "/etc";

/// The packages and the configuration files of a system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Contents {
    /// Whose rules the versions follow.
    pub kind: Kind,
    /// The distribution, such as `debian`.
    pub distro: String,
    /// Its version, such as `12.11`; empty when unknown.
    pub release: String,
    /// The name for people.
    pub product: String,
    /// The packages, sorted.
    pub packages: Vec<Package>,
    /// SHA-256 of the regular files below /etc, by path.
    pub config: BTreeMap<String, String>,
    /// Where its packages come from, as lines of a `sources.list`.
    #[serde(default)]
    pub sources: Vec<String>,
}

impl Contents {
    /// Lists the packages of a mounted system, in the session that has it open anyway.
    ///
    /// # Errors
    /// When libguestfs fails.
    pub fn list(guest: &Guestfs, os: &Os) -> Result<Self> {
        let listed = guest.packages(&os.root)?;
        let mut packages: Vec<Package> = listed.iter().map(Package::of).collect();
        packages.sort();
        // Each has one name in an SBOM, whatever a damaged database says twice.
        packages.dedup_by(|a, b| (&a.name, &a.version, &a.arch) == (&b.name, &b.version, &b.arch));
        Ok(Contents {
            kind: Kind::of_format(&os.package_format),
            distro: os.distro.clone(),
            release: release(os.major, os.minor),
            product: os.product.clone(),
            packages,
            config: BTreeMap::new(),
            sources: vec![],
        })
    }

    /// Reads the packages' licences where they say them to programs; `scratch` is a directory of the host.
    ///
    /// # Errors
    /// When libguestfs fails, or `scratch` cannot be written.
    pub fn read_licences(&mut self, guest: &Guestfs, scratch: &Path) -> Result<()> {
        let licences = match self.kind {
            Kind::Deb if guest.is_dir(DOCS)? => {
                let file = tempfile::NamedTempFile::new_in(scratch)
                    .doing(|| format!("writing to {}", scratch.display()))?;
                guest.tar_out_without(DOCS, file.path(), NO_COPYRIGHTS)?;
                licence::of_docs(std::io::BufReader::new(
                    file.reopen().doing(|| "reading copyrights".into())?,
                ))
                .doing(|| "reading copyrights".into())?
            }
            Kind::Apk if guest.is_file(APK)? => {
                let text = guest.read_file(APK)?;
                let text = String::from_utf8_lossy(&text);
                // libguestfs does not tell it, and advisories name it.
                package::assign_origins(&mut self.packages, &text);
                licence::of_apk(&text)
            }
            _ => return Ok(()),
        };
        licence::assign(&mut self.packages, &licences);
        Ok(())
    }

    /// Reads where the packages come from.
    ///
    /// # Errors
    /// When libguestfs fails.
    pub fn read_sources(&mut self, guest: &Guestfs) -> Result<()> {
        match self.kind {
            Kind::Deb => {}
            Kind::Rpm | Kind::Apk => return self.read_repos(guest),
            Kind::Generic => return Ok(()),
        }
        let mut files = vec!["/etc/apt/sources.list".to_owned()];
        for end in ["list", "sources"] {
            files.extend(guest.glob(&format!("/etc/apt/sources.list.d/*.{end}"))?);
        }
        let read = |path: &str| -> Result<String> {
            Ok(match guest.is_file(path)? {
                true => String::from_utf8_lossy(&guest.read_file(path)?).into_owned(),
                false => String::new(),
            })
        };
        for file in &files {
            for mut source in sources::read(file, &read(file)?) {
                // A list of mirrors on the disk, as Debian's cloud images have it.
                if let Some(list) = source.uri.strip_prefix("mirror+file:") {
                    let mirrors = apt::mirrors(&read(&format!("/{}", list.trim_matches('/')))?);
                    // Where there is none, people are told that nobody can read it.
                    if let Some(first) = mirrors.first() {
                        first.trim_end_matches('/').clone_into(&mut source.uri);
                    }
                }
                source.uri = crate::address::hide(&source.uri).into_owned();
                self.sources.push(source.to_string());
            }
        }
        self.sources.sort();
        self.sources.dedup();
        Ok(())
    }

    /// Those of systems with packages of RPM's or of Alpine's.
    fn read_repos(&mut self, guest: &Guestfs) -> Result<()> {
        let read = |path: &str| -> Result<String> {
            Ok(match guest.is_file(path)? {
                true => String::from_utf8_lossy(&guest.read_file(path)?).into_owned(),
                false => String::new(),
            })
        };
        let mut all = vec![];
        if self.kind == Kind::Apk {
            all = repos::of_apk(&read("/etc/apk/repositories")?);
        } else {
            let archs = self.packages.iter().map(|package| &*package.arch);
            let arch = archs.max_by_key(|arch| !matches!(*arch, "" | "noarch" | "(none)"));
            let arch = arch.unwrap_or_default().to_owned();
            let mut variables: BTreeMap<String, String> = BTreeMap::from([
                ("releasever".to_owned(), self.dnf_release().to_owned()),
                ("releasever_major".to_owned(), self.major().to_owned()),
                ("basearch".to_owned(), arch.clone()),
                ("arch".to_owned(), arch),
            ]);
            for file in guest.glob("/etc/dnf/vars/*")? {
                let name = file.rsplit('/').next().unwrap_or_default().to_owned();
                variables.insert(name, read(&file)?.trim().to_owned());
            }
            let mut files = vec![];
            for dir in ["/etc/yum.repos.d", "/etc/zypp/repos.d"] {
                files.extend(guest.glob(&format!("{dir}/*.repo"))?);
            }
            for file in files {
                all.extend(repos::of_ini(&read(&file)?, &variables));
                if all.len() > MOST_REPOS {
                    break;
                }
            }
            all.truncate(MOST_REPOS);
        }
        for mut repo in all {
            repo.uri = crate::address::hide(&repo.uri).into_owned();
            self.sources.push(repo.to_string());
        }
        self.sources.sort();
        self.sources.dedup();
        Ok(())
    }

    /// The release as dnf and zypper call it.
    fn dnf_release(&self) -> &str {
        match self.distro.as_str() {
            "opensuse" | "sles" => &self.release,
            _ => self.major(),
        }
    }

    /// Reads the configuration files; `scratch` is a directory of the host.
    ///
    /// # Errors
    /// When libguestfs fails, or `scratch` cannot be written.
    pub fn read_config(&mut self, guest: &Guestfs, scratch: &Path) -> Result<()> {
        if guest.is_dir(CONFIG)? {
            let file = tempfile::NamedTempFile::new_in(scratch)
                .doing(|| format!("writing to {}", scratch.display()))?;
            guest.checksums_out("sha256", CONFIG, file.path())?;
            // Names of files need not be UTF-8.
            let text = std::fs::read(file.path()).doing(|| "reading checksums".into())?;
            self.config = checksums(&String::from_utf8_lossy(&text));
        }
        Ok(())
    }

    /// Writes the list into the entry that `dir` becomes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec(self).unwrap_or_default();
        std::fs::write(&path, text).doing(|| format!("writing {}", path.display()))
    }

    /// Reads the list of a sealed disk's entry; `None` for one of an older imgforge.
    pub fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()
    }

    /// The major version, as it belongs to the distribution's name.
    pub fn major(&self) -> &str {
        // Ubuntu's releases are known by both parts.
        match self.distro.as_str() {
            "ubuntu" => &self.release,
            _ => self.release.split('.').next().unwrap_or_default(),
        }
    }

    /// The package list for people and scripts: name, version, architecture, source; a line each.
    pub fn package_list(&self) -> String {
        let lines = self.packages.iter().map(|package| {
            let source = match package.source.as_str() {
                "" => &package.name,
                source => source,
            };
            let (name, version, arch) = (&package.name, &package.version, &package.arch);
            format!("{name}\t{version}\t{arch}\t{source}\n")
        });
        lines.collect()
    }

    /// The configuration files as `sha256sum` writes and checks them.
    pub fn config_list(&self) -> String {
        let lines = self.config.iter();
        lines
            .map(|(path, digest)| format!("{digest}  {path}\n"))
            .collect()
    }
}

/// Reads a list in the form of `sha256sum`.
pub fn config_of(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once("  "));
    lines
        .map(|(digest, path)| (path.to_owned(), digest.to_owned()))
        .collect()
}

/// libguestfs lists `DIGEST  ./PATH`, relative to the directory.
fn checksums(text: &str) -> BTreeMap<String, String> {
    config_of(text)
        .into_iter()
        .map(|(path, digest)| {
            let below = path.strip_prefix("./").unwrap_or(&path);
            (format!("{CONFIG}/{below}"), digest)
        })
        .collect()
}

fn release(major: i32, minor: i32) -> String {
    match (major, minor) {
        (0, 0) => String::new(),
        // Ubuntu's 22.04 comes as 22 and 4.
        (major, minor) if major >= 10 && (4..=10).contains(&minor) && minor % 2 == 0 => {
            format!("{major}.{minor:02}")
        }
        (major, 0) => major.to_string(),
        (major, minor) => format!("{major}.{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_become_absolute_and_go_both_ways() {
        let config = checksums("aa  ./hosts\nbb  ./apt/sources.list\n");
        assert_eq!(config["/etc/hosts"], "aa");
        assert_eq!(config["/etc/apt/sources.list"], "bb");
        let contents = Contents {
            kind: Kind::Deb,
            distro: "debian".into(),
            release: "12.11".into(),
            product: String::new(),
            packages: vec![Package {
                name: "libssl3".into(),
                version: "3.0".into(),
                arch: "amd64".into(),
                source: "openssl".into(),
                ..Package::default()
            }],
            config,
            sources: vec![],
        };
        assert_eq!(config_of(&contents.config_list()), contents.config);
        assert_eq!(contents.package_list(), "libssl3\t3.0\tamd64\topenssl\n");
        assert_eq!(contents.major(), "12");
    }
}
