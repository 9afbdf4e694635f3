//! `imgforge disk export`.

use std::path::{Path, PathBuf};

use crate::cli::{App, disk, out};
use crate::error::{Context as _, Error, Result};
use crate::host::diskfile::{DiskFile, DiskFormat};
use crate::host::interrupt;
use crate::recipe::types::Machine;
use crate::target::{self, About, Site, Source, Target};
use crate::units::Size;

/// The arguments of `imgforge disk export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Disk to export: raw or qcow2; it is not changed
    file: PathBuf,
    /// Target; can be given often
    #[arg(short, long = "target", value_name = "TARGET", required = true, value_parser = known)]
    targets: Vec<&'static Target>,
    /// Directory for the files
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Name of the files, without their ends; default: the disk's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Format of the disk; without it, what its first bytes say
    #[arg(long, value_name = "FORMAT")]
    format: Option<DiskFormat>,
}

fn known(name: &str) -> Result<&'static Target, String> {
    target::find(name).ok_or_else(|| target::unknown(name).hint_text().unwrap_or_default().into())
}

impl Export {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the file is no disk, lacks what a target needs, or a target fails; there is no half
    /// file then, and the files of the other targets are complete.
    pub fn run(&self, app: &App) -> Result<()> {
        let disk = DiskFile::open(&self.file, self.format)?;
        let name = self.stem()?;
        target::need_tools(self.targets.iter().copied())?;
        let dir = &self.output;
        std::fs::create_dir_all(dir).map_err(|cause| {
            Error::usage(format!("{} cannot be written", dir.display())).cause(cause)
        })?;
        let host = disk::host(app)?;
        let draft = host.store().draft(host.ledger()?)?;
        let ui = app.ui.stage(disk::name(&self.file), "export");
        let (shared, format) = (draft.path().join("shared"), disk.format.name());
        std::fs::create_dir(&shared).doing(|| "making a directory".into())?;
        let source = Source::new(disk.path.clone(), format, shared, host.accel()?);
        let about = self.about(name, &source, &ui)?;
        for target in &self.targets {
            interrupt::check()?;
            let place = |what: &str| {
                let path = draft.path().join(format!("{}-{what}", target.name));
                std::fs::create_dir(&path).doing(|| format!("making {}", path.display()))?;
                Ok::<_, Error>(path)
            };
            let (made, scratch) = (place("files")?, place("scratch")?);
            let site = Site {
                source: &source,
                about: &about,
                gate: None,
                proving: true,
                machine: &Machine::default(),
                dir: &made,
                scratch: &scratch,
                ui: &ui,
            };
            for told in target::make(target, &site, &(target.alone)(), None)? {
                let path = put(&made.join(&told.file), dir)?;
                let size = path.metadata().map_or(0, |meta| meta.len());
                out::print(&format!(
                    "{}: {}, sha512 {}\n",
                    path.display(),
                    Size::bytes(size).human(),
                    told.sha512
                ))?;
            }
        }
        Ok(())
    }

    fn stem(&self) -> Result<String> {
        let stem = || Some(self.file.file_stem()?.to_string_lossy().into_owned());
        let name = self.name.clone().or_else(stem).unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        match !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(plain) {
            true => Ok(name),
            false => Err(Error::usage(format!("`{name}` is no name for files"))
                .hint("--name chooses one of letters, digits, `.`, `_`, `+` and `-`")),
        }
    }

    /// The system is looked at only where a target tells of it.
    fn about(&self, name: String, source: &Source, ui: &crate::ui::StageUi) -> Result<About> {
        let tells = self.targets.iter().any(|target| target.reads);
        let tree = tells.then(|| source.tree(ui)).transpose()?;
        let word = |key: &str| tree.as_ref().and_then(|tree| tree.os_release(key));
        let changed = std::fs::metadata(&self.file)
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(About {
            title: name.clone(),
            name,
            // The name is the user's: no version is added to it.
            version: String::new(),
            os: word("ID").unwrap_or_else(|| "linux".into()),
            os_version: word("VERSION_ID").unwrap_or_default(),
            created: changed.map_or(0, |time| time.as_secs()),
        })
    }
}

/// Gives a complete file its place by one rename.
fn put(from: &Path, dir: &Path) -> Result<PathBuf> {
    let to = dir.join(from.file_name().unwrap_or_default());
    crate::stage::pack::place(from, &to)?;
    Ok(to)
}
