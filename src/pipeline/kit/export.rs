//! All that locked builds of some images need, as one file.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::address;
use crate::digest::{self, Sha256};
use crate::error::{Context as _, Error, Result};
use crate::gpg::Signer;
use crate::host::outlet::Outlet;
use crate::kit::{self, Content, Directory, Image, Manifest, RecipeFile, Source};
use crate::lock::Lock;
use crate::pipeline::{self, Options, Session, lock, whole};
use crate::stage::plan::Plan;
use crate::store::epoch::Mode;

/// The largest file of which it is asked whether it has a password, in bytes.
const TEXT: u64 = 1 << 20;

/// What was exported.
#[derive(Debug)]
pub struct Exported {
    /// How many files of the recipe repository.
    pub files: usize,
    /// How many contents that locks name.
    pub contents: usize,
    /// Bytes of all.
    pub bytes: u64,
    /// What a build of it still needs, a sentence each.
    pub warnings: Vec<String>,
}

/// What becomes a kit.
struct Parts<'s> {
    session: &'s Session,
    manifest: Manifest,
    sources: BTreeMap<Sha256, Source>,
    directories: BTreeSet<Directory>,
    files: BTreeSet<RecipeFile>,
    contents: BTreeSet<Content>,
    missing: Vec<String>,
    warnings: Vec<String>,
}

/// Writes the kit of these images to `to`.
///
/// # Errors
/// When one has no lock, what a lock names is not here, a file lies outside of the recipe repository or
/// has a password, or the kit cannot be signed or written.
pub fn export(
    session: &Session,
    vars: &[(String, String)],
    images: &[String],
    signer: &Signer,
    to: &Outlet,
) -> Result<Exported> {
    let mut parts = Parts {
        session,
        manifest: Manifest::default(),
        sources: BTreeMap::new(),
        directories: BTreeSet::new(),
        files: BTreeSet::new(),
        contents: BTreeSet::new(),
        missing: vec![],
        warnings: vec![],
    };
    let options = Options {
        locked: true,
        offline: true,
        vars: vars.to_vec(),
        ..Options::default()
    };
    for image in images {
        let plan = pipeline::plan(session, &options, image, Mode::Last)?;
        parts.add_recipe(&plan)?;
        parts.add_lock(&plan)?;
        if let Some(lock) = &plan.lock {
            parts.add_contents(lock)?;
        }
    }
    parts.add_named_by_config()?;
    parts.refuse_missing(images)?;
    let Parts {
        mut manifest,
        sources,
        directories,
        files,
        contents,
        warnings,
        ..
    } = parts;
    manifest.directories = directories.into_iter().collect();
    manifest.files = files.into_iter().collect();
    manifest.contents = contents.into_iter().collect();
    let new = to.create(0o644)?;
    kit::write(&manifest, &sources, signer, new.file())?;
    new.appear()?;
    let sizes = manifest.files.iter().map(|one| one.size);
    let sizes = sizes.chain(manifest.contents.iter().map(|one| one.size));
    Ok(Exported {
        bytes: sizes.sum(),
        files: manifest.files.len(),
        contents: manifest.contents.len(),
        warnings,
    })
}

impl Parts<'_> {
    fn add_lock(&mut self, plan: &Plan) -> Result<()> {
        let path = crate::lock::path(&plan.resolved.file, plan.image());
        self.manifest.images.push(Image {
            name: plan.image().to_owned(),
            lock: self.below(&path)?,
        });
        self.add_file(&path)
    }

    /// The recipe's file, and all that the keys of its stages are made of.
    fn add_recipe(&mut self, plan: &Plan) -> Result<()> {
        for walked in plan.read() {
            // One that is not there is an input, too.
            for (name, found) in &walked.found {
                let path = match name.trim_end_matches('/') {
                    "" => walked.path.clone(),
                    name => walked.path.join(name),
                };
                match found.split(' ').next() {
                    Some("file") => self.add_file(&path)?,
                    Some("directory") => self.add_directory(&path)?,
                    _ => {
                        let shown = path.display();
                        return Err(Error::usage(format!("{shown} is a link"))
                            .cause("a kit carries files and directories only")
                            .hint("put the file itself there, or leave it out of the recipe"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The files that imgforge.yaml names: advisories, what excuses them, and keyrings of package indexes. One that
    /// is not in the recipe repository is told.
    fn add_named_by_config(&mut self) -> Result<()> {
        let (config, root) = (&self.session.config, self.session.repo.root());
        let advisories = config.advisories.iter().map(|file| file.from.as_str());
        let others = config.vex.iter().chain(&config.updates.keyrings);
        let named = advisories.chain(others.map(String::as_str));
        let named: Vec<&str> = named.filter(|name| !name.contains("://")).collect();
        for name in named {
            let path = root.join(name);
            if !path.starts_with(root) || !path.exists() {
                self.warnings.push(format!(
                    "not in the kit, as it is not below {}: {name} of imgforge.yaml",
                    root.display()
                ));
                continue;
            }
            let mut todo = vec![path];
            while let Some(path) = todo.pop() {
                if !path.is_dir() {
                    self.add_file(&path)?;
                    continue;
                }
                self.add_directory(&path)?;
                let doing = || format!("reading {}", path.display());
                for entry in path.read_dir().doing(doing)? {
                    let entry = entry.doing(doing)?;
                    // A link may lead out of what was named, or in circles.
                    match entry.file_type().doing(doing)?.is_symlink() {
                        true => self.warnings.push(format!(
                            "not in the kit, as it is a symbolic link: {}",
                            entry.path().display()
                        )),
                        false => todo.push(entry.path()),
                    }
                }
            }
        }
        Ok(())
    }

    /// A path as a kit has it.
    fn below(&self, path: &Path) -> Result<String> {
        let root = self.session.repo.root();
        let text = path.strip_prefix(root).ok().and_then(Path::to_str);
        text.map(str::to_owned).ok_or_else(|| {
            Error::usage(format!("{} cannot be carried", path.display()))
                .cause(format!(
                    "a kit has what lies below {}, by names of UTF-8",
                    root.display()
                ))
                .hint("copy the file there, and name it so in the recipe")
        })
    }

    fn add_directory(&mut self, path: &Path) -> Result<()> {
        let found = path
            .metadata()
            .doing(|| format!("reading {}", path.display()))?;
        let mode = found.permissions().mode() & 0o777;
        let path = self.below(path)?;
        // The root is there already.
        if !path.is_empty() {
            self.directories.insert(Directory { path, mode });
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let doing = || format!("reading {}", path.display());
        let found = path.metadata().doing(doing)?;
        let named = self.below(path)?;
        if self.files.iter().any(|file| file.path == named) {
            return Ok(());
        }
        let (sha256, source) = match found.size() <= TEXT {
            true => {
                let bytes = std::fs::read(path).doing(doing)?;
                if std::str::from_utf8(&bytes).is_ok_and(address::has_password) {
                    return Err(Error::usage(format!("{named} has a password in an address"))
                        .cause("everybody who gets the kit would have it, too")
                        .hint("take it out, and give it to builds by a variable of the environment"));
                }
                (Sha256::of(&bytes), Source::Bytes(bytes))
            }
            false => (
                sha256_of(path)?,
                Source::File(path.to_owned(), named.clone()),
            ),
        };
        let size = match &source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File(..) => found.size(),
        };
        self.sources.insert(sha256.clone(), source);
        self.files.insert(RecipeFile {
            path: named,
            mode: found.permissions().mode() & 0o777,
            sha256,
            size,
        });
        Ok(())
    }

    /// What a lock names, and nothing else.
    fn add_contents(&mut self, lock: &Lock) -> Result<()> {
        for named in lock.names() {
            let Some(file) = lock::place(self.session, &named)? else {
                self.missing
                    .push(format!("{} ({})", named.url, named.digest));
                continue;
            };
            let sha256 = match named.digest.strip_prefix("sha256:").map(str::parse) {
                // It is compared while it is written.
                Some(Ok(sha256)) => sha256,
                _ => {
                    let found = format!("sha512:{}", digest::file_sha512(&file)?);
                    if found != named.digest {
                        return Err(kit::is_another(&named.url, &named.digest));
                    }
                    sha256_of(&file)?
                }
            };
            let about = file
                .metadata()
                .doing(|| format!("reading {}", file.display()))?;
            let source = Source::File(file, named.url.clone());
            self.sources.insert(sha256.clone(), source);
            self.contents.insert(Content {
                named: named.digest,
                sha256,
                size: about.len(),
            });
        }
        for stage in &lock.stages {
            let hosts: Vec<&str> = stage.record.not_locked.iter().map(String::as_str).collect();
            if !hosts.is_empty() {
                let (label, image, hosts) = (&stage.stage, &stage.image, hosts.join(", "));
                self.warnings.push(format!(
                    "not in the kit, as it is not locked: what the {label} stage of {image} fetches from {hosts}"
                ));
            }
        }
        Ok(())
    }

    fn refuse_missing(&self, images: &[String]) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<&str> = images.iter().map(|image| whole::name(image)).collect();
        let names: Vec<&str> = names.into_iter().collect();
        Err(Error::usage(format!(
            "{} contents that the locks name are not on this host",
            self.missing.len()
        ))
        .evidence(self.missing.iter().take(10).cloned())
        .hint(format!(
            "`imgforge build {} --locked` fetches them",
            names.join(" ")
        )))
    }
}

fn sha256_of(path: &Path) -> Result<Sha256> {
    let found = digest::file_sha256(path).doing(|| format!("reading {}", path.display()))?;
    found
        .parse()
        .map_err(|why: String| Error::internal("a digest is none").cause(why))
}
