//! Seal: what must not stay is removed in one libguestfs session, then the disk is trimmed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::address::Mirror;
use crate::doctor::Need;
use crate::error::{Error, Result};
use crate::guest::{Drive, Guestfs, Key, Launch, Os};
use crate::host::qemu_img;
use crate::recipe::secrets;
use crate::recipe::types::{MachineId, Recipe};
use crate::sbom::Contents;
use crate::stage::configure::Configured;
use crate::stage::install::{BaseFacts, Installed, SourcesFile};
use crate::stage::plan::{Part, Request};
use crate::stage::{Context, Stage};
use crate::steps::{self, Step};
use crate::store::inputs::Inputs;
use crate::store::{Facts, Layer, Store};
use crate::sysprep::{self, Declared, ImageIdentity, Seal, SealProgress};
use crate::yaml::beneath;

/// What the stage reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// What the disk below knows.
    pub install: BaseFacts,
    /// What the recipe and those below it declare.
    pub declared: Declared,
    /// The operating system on the disk.
    pub os: Os,
    /// What was done, a line for people.
    pub note: String,
}

impl Facts for Sealed {
    const STAGE: &'static str = "seal";

    fn note(&self) -> Option<&str> {
        Some(&self.note)
    }
}

/// An image on another recipe's begins with that one's sealed disk.
impl From<Sealed> for Installed {
    fn from(
        Sealed {
            install, declared, ..
        }: Sealed,
    ) -> Self {
        Installed { install, declared }
    }
}

impl Layer<Sealed> {
    /// The digest of what a guest sees: of the disk's file and all below it, made when each of them
    /// was committed.
    ///
    /// # Errors
    /// When the entry does not tell, which is a bug.
    pub fn digest(&self) -> Result<&str> {
        let meta = self.entry().meta();
        let disk = meta.disk.as_ref().map(|disk| disk.chain.as_str());
        disk.ok_or_else(|| Error::internal("a sealed disk has no digest").hint(meta.again()))
    }
}

/// Grows when the stage makes other disks of the same inputs. Each operation has a version of its
/// own.
const VERSION: u32 = 17;

/// The stage's row.
pub const STAGE: Stage = Stage {
    name: Sealed::STAGE,
    makes_disk: true,
    fetches: false,
    secrets: false,
    below: "the configured disk",
    parts: |_| Part::whole(depends_on),
    needs: |_, _| &[Need::Disks, Need::Appliance],
    has: Store::has::<Sealed>,
};

/// Inputs of the stage.
///
/// # Errors
/// When the recipe names an operation that does not exist, or a file cannot be read.
fn depends_on(request: &Request<'_>) -> Result<Inputs> {
    let Request {
        resolved, digests, ..
    } = *request;
    let recipe = &resolved.recipe;
    let mut inputs = request.begin(&STAGE, VERSION);
    for operation in sysprep::select(&recipe.seal.operations)? {
        let name = format!("seal.operations.{}", operation.name);
        inputs.value(name, operation.input());
    }
    inputs.value("seal.machine-id", recipe.seal.machine_id);
    inputs.value("mirrors.image", &recipe.mirrors.image);
    inputs.value("name", &recipe.name);
    inputs.value("accounts of targets", accounts(recipe).collect::<Vec<_>>());
    inputs.value("labels itself", labels_itself(recipe));
    // What the steps declare is read again; the configured disk was made of it.
    let declaring = |step: &&Step| step.action.about().declares;
    for step in recipe.configure.iter().filter(declaring) {
        for file in step.action.kind().files(&resolved.root) {
            inputs.reads(&beneath::inside(&resolved.root, &file)?, digests)?;
        }
    }
    Ok(inputs)
}

/// A disk that is open to be sealed.
#[derive(Debug)]
pub(super) struct Open {
    guest: Guestfs,
    os: Os,
    keys: Vec<Key>,
}

impl Open {
    /// Opens the qcow2 overlay `disk`.
    pub(super) fn of(context: &Context<'_>, disk: &Path) -> Result<Open> {
        let launch = Launch {
            drives: &[Drive::writable(disk, "qcow2")],
            accel: context.host.accel()?,
            ui: Some(context.ui),
        };
        let keys = secrets::luks_keys(context.recipe(), &context.resolved.root);
        let guest = Guestfs::launch_unlocked(&launch, &keys)?;
        let os = guest.mount_root()?;
        Ok(Open { guest, os, keys })
    }

    /// Seals what was built on `below`.
    pub(super) fn seal(
        &self,
        context: &Context<'_>,
        below: &BaseFacts,
        declared: &Declared,
    ) -> Result<SealProgress> {
        let recipe = context.recipe();
        let sources: Vec<_> = sources(below.sources.as_ref(), recipe)
            .into_iter()
            .collect();
        if sources.is_empty() && matches!(recipe.mirrors.image, Mirror::At(_)) {
            context.ui.ui().warning(
                "`mirrors: {image: …}` is not applied: only apt's sources are known here; a step of \
                 `configure` can write others",
            );
        }
        sysprep::seal(
            &self.guest,
            &self.os,
            &Seal {
                operations: &sysprep::select(&recipe.seal.operations)?,
                identity: Some(&ImageIdentity {
                    id: recipe.name.clone(),
                    version: context.version.to_owned(),
                }),
                declared,
                files: &sources,
                luks_keys: &self.keys,
                relabel_at_boot: labels_itself(recipe),
                ui: Some(context.ui),
            },
        )
    }

    /// Writes everything and closes the disk.
    pub(super) fn close(self) -> Result<()> {
        sysprep::empty_journals(&self.guest, &self.os)?;
        self.guest.close()
    }
}

/// Seals an overlay of the configured disk.
///
/// # Errors
/// When libguestfs fails, or an operation leaves what it must not leave.
pub fn run(context: &Context<'_>, configured: &Layer<Configured>) -> Result<Sealed> {
    let (recipe, below) = (context.recipe(), configured.facts());
    let disk = context.overlay_with(configured.entry(), sysprep::OVERLAY_CLUSTER)?;
    context.ui.step("opening the disk");
    let open = Open::of(context, &disk)?;
    let declared = declared(recipe, &context.files.root(), &below.declared)?;
    if let Some(useless) = declared.useless(|path| open.guest.exists(path))? {
        context.ui.ui().warning(useless);
    }
    context.ui.step("listing the packages");
    let mut contents = Contents::list(&open.guest, &open.os)?;
    let report = open.seal(context, &below.install, &declared)?;
    contents.read_config(&open.guest, context.dir)?;
    contents.read_sources(&open.guest)?;
    contents.read_licences(&open.guest, context.dir)?;
    // The file systems are those of this session.
    let os = Os {
        filesystems: vec![],
        notes: vec![],
        ..open.os.clone()
    };
    open.close()?;
    contents.write(context.dir)?;
    for warning in report.warnings() {
        context.ui.ui().warning(warning);
    }
    let before = qemu_img::allocated(&configured.entry().disk(), "qcow2")?;
    let after = qemu_img::allocated(&disk, "qcow2")?;
    let note = report.note(before.saturating_sub(after));
    Ok(Sealed {
        install: below.install.clone(),
        declared,
        os,
        note,
    })
}

/// What a recipe, whose key files are below `root`, declares together with those `below` it.
fn declared(recipe: &Recipe, root: &Path, below: &Declared) -> Result<Declared> {
    let mut declared = below.clone();
    declared.add(steps::declared(&recipe.configure, root)?);
    declared
        .accounts
        .extend(accounts(recipe).map(str::to_owned));
    declared.first_boot = recipe.seal.machine_id == MachineId::Uninitialized;
    Ok(declared)
}

/// The accounts that machines of the recipe's targets have.
fn accounts(recipe: &Recipe) -> impl Iterator<Item = &'static str> {
    let targets = recipe.targets.wanted().into_iter();
    targets.filter_map(|target| target.account)
}

/// Whether the machines of all of the recipe's targets may label their files at the first boot.
fn labels_itself(recipe: &Recipe) -> bool {
    recipe.targets.wanted().iter().all(|target| target.writable)
}

/// What the finished image is told about package sources.
fn sources(file: Option<&SourcesFile>, recipe: &Recipe) -> Option<(String, String)> {
    let text = file?.in_image(&recipe.mirrors.image)?;
    Some((file?.path.clone(), text))
}
