//! `imgforge disk export`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::{App, disk, out};
use crate::error::{Context as _, Error, Result};
use crate::host::diskfile::DiskFile;
use crate::host::outlet::{Folder, Overwrite};
use crate::host::qemu_img::DiskFormat;
use crate::host::{interrupt, memory};
use crate::machine::{Arch, Machine};
use crate::pipeline::graph::{self, Node, Room};
use crate::targets::tree::{Programs, Tree};
use crate::targets::{self, About, SystemDisk, Target, TargetContext, Wanted};
use crate::ui::StageUi;
use crate::units::Size;

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Disk to export: raw or qcow2; it is not changed
    file: PathBuf,
    /// Target; can be given often: several are made at once
    #[arg(short, long = "target", value_name = "TARGET", required = true, value_parser = known)]
    targets: Vec<Wanted>,
    /// Directory for the files
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Puts containers (targets `docker`, `kubevirt`) into a registry, too, below oci://HOST/PREFIX
    #[arg(long, value_name = "PREFIX")]
    push: Option<String>,
    /// Name of the files, without their ends; default: the disk's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Format of the disk; without it, what its first bytes say
    #[arg(long, value_name = "FORMAT")]
    format: Option<DiskFormat>,
    /// File below the disk, where that is an overlay; can be given often
    #[arg(long, value_name = "FILE")]
    backing: Vec<PathBuf>,
}

fn known(name: &str) -> Result<Wanted, String> {
    targets::find(name).ok_or_else(|| {
        targets::unknown(name)
            .hint_text()
            .unwrap_or_default()
            .into()
    })
}

impl Export {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        if let Some(to) = &self.push {
            crate::registry::check_prefix(to)?;
            if !self
                .targets
                .iter()
                .any(|target| targets::CONTAINERS.contains(&target.name))
            {
                return Err(Error::usage("only containers go into a registry by --push")
                    .hint("add `-t docker` or `-t kubevirt`"));
            }
        }
        let disk = DiskFile::open(&self.file, self.format, &self.backing)?;
        let name = self.stem()?;
        let dir = &self.output;
        let opened = std::fs::create_dir_all(dir).and_then(|()| Folder::open(dir));
        let folder = opened.map_err(|cause| {
            Error::usage(format!("{} cannot be written", dir.display())).cause(cause)
        })?;
        let host = disk::host(app)?;
        let draft = host.store().draft(host.ledger()?)?;
        let ui = app.ui.stage(disk::name(&self.file), "export");
        let (shared, format) = (draft.path().join("shared"), disk.format.as_str());
        std::fs::create_dir(&shared).doing(|| "making a directory".into())?;
        let source = SystemDisk::new(disk.taken.path().to_owned(), format, shared, host.accel()?);
        // The system is looked at only where a target tells of it.
        let tells = self.targets.iter().any(|target| target.reads);
        let tree = tells.then(|| source.tree(&ui)).transpose()?;
        let machine = Machine {
            arch: tree
                .as_ref()
                .map_or(Ok(Arch::default()), |tree| self.arch(tree))?,
            ..Machine::default()
        };
        targets::need_tools(&self.targets, machine.arch)?;
        let about = about(name, tree.as_deref());
        let place = |target: &Target, what: &str| {
            let path = draft.path().join(format!("{}-{what}", target.name));
            std::fs::create_dir_all(&path).doing(|| format!("making {}", path.display()))?;
            Ok::<_, Error>(path)
        };
        let with = |target: &Target, work: &dyn Fn(&TargetContext<'_>) -> Result<()>| {
            interrupt::check()?;
            let (made, scratch) = (place(target, "files")?, place(target, "scratch")?);
            work(&TargetContext {
                source: &source,
                about: &about,
                gate: None,
                proving: true,
                machine: &machine,
                dir: &made,
                scratch: &scratch,
                ui: &self.ui(app, target),
            })
        };
        // A target that cannot be made is told of before the hours that the others may take.
        let asked = self.wanted().into_iter().map(|target| {
            let asked = with(target, &|site| targets::ask(target, site));
            (target.name.into(), asked.into())
        });
        graph::failures(asked.collect(), &app.ui)?;
        let outcomes = graph::run(&self.nodes(), self.room(), |name| {
            let target = targets::find(name).ok_or_else(|| targets::unknown(name))?;
            with(&target, &|site| {
                make(&target, site, &folder, self.push.as_deref())
            })
        })?;
        graph::failures(outcomes, &app.ui)
    }

    /// The architecture of the machines that start the system.
    fn arch(&self, tree: &Tree) -> Result<Arch> {
        let error = match tree.programs() {
            Some(Programs::For(arch)) => return Ok(arch),
            Some(Programs::I386) => match self.targets.iter().find(|target| target.runs) {
                None => return Ok(Arch::X86_64),
                Some(target) => Error::usage(format!(
                    "the disk's programs are for 32-bit x86, and imgforge makes no `{}` of such a \
                     disk",
                    target.name
                ))
                .hint("choose a target that is a disk: x86-64 machines run it"),
            },
            None => Error::usage(
                "the disk's programs are for an architecture that imgforge does not know",
            )
            .hint(
                "choose `-t raw`, `-t qcow2` or another target that does not depend on the disk's \
                 system",
            ),
        };
        Err(error)
    }

    /// Who hears about the work for a target; its name is told where there are several.
    fn ui(&self, app: &App, target: &Target) -> StageUi {
        let stage = match self.wanted().len() {
            1 => "export".to_owned(),
            _ => format!("export {}", target.name),
        };
        app.ui.stage(disk::name(&self.file), &stage)
    }

    /// The targets as a graph without edges.
    fn nodes(&self) -> Vec<Node> {
        let node = |target: &&Wanted| Node {
            name: target.name.into(),
            parents: vec![],
            memory: target.memory,
        };
        self.wanted().iter().map(node).collect()
    }

    /// The targets, each once.
    fn wanted(&self) -> Vec<&Wanted> {
        let mut names = BTreeSet::new();
        let all = self.targets.iter();
        all.filter(|target| names.insert(target.name)).collect()
    }

    fn room(&self) -> Room {
        Room {
            memory: memory::free().unwrap_or(Size::bytes(0)),
            images: self.targets.len(),
        }
    }

    fn stem(&self) -> Result<String> {
        let stem = || Some(self.file.file_stem()?.to_string_lossy().into_owned());
        let name = self.name.clone().or_else(stem).unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        match !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(plain) {
            true => Ok(name),
            false => Err(
                Error::usage(format!("`{name}` is not a valid name for files"))
                    .hint("--name chooses one of letters, digits, `.`, `_`, `+` and `-`"),
            ),
        }
    }
}

/// Nothing is from the file's own times, so that equal disks give equal files.
fn about(name: String, tree: Option<&Tree>) -> About {
    let word = |key: &str| tree.and_then(|tree| tree.os_release(key));
    About {
        title: name.clone(),
        name,
        // The name is the user's: no version is added to it.
        version: String::new(),
        os: word("ID").unwrap_or_else(|| "linux".into()),
        os_version: word("VERSION_ID").unwrap_or_default(),
        created: tree.map_or(0, Tree::newest),
    }
}

/// Makes the target's files, and gives each its place by one rename.
fn make(
    target: &Wanted,
    site: &TargetContext<'_>,
    folder: &Folder,
    push: Option<&str>,
) -> Result<()> {
    for artifact in targets::make(target, site, None)? {
        let made = site.dir.join(&artifact.file);
        let name = made.file_name().unwrap_or_default();
        let outlet = folder.outlet(name, Overwrite::Anything)?;
        outlet.copy(&made)?;
        let size = made.metadata().map_or(0, |meta| meta.len());
        out::print(&format!(
            "{}: {}, sha512 {}\n",
            outlet.path().display(),
            Size::bytes(size).human(),
            artifact.sha512
        ))?;
        if let Some(to) = push.filter(|_| targets::is_container(&artifact)) {
            targets::push(&made, &artifact, to, site.ui.ui())?;
        }
    }
    Ok(())
}
