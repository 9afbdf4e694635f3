//! Guests of the finish stage: a target's own steps on an overlay of the sealed disk, which is
//! sealed again, and the gate of an artifact's own disk.

use std::path::{Path, PathBuf};

use crate::error::{Context as _, Result};
use crate::host::exec::Program;
use crate::host::qemu_img::{self, DiskFormat};
use crate::hypervisor;
use crate::recipe::secrets;
use crate::recipe::types::Check;
use crate::repository::gate::GateReport;
use crate::scan::Subject;
use crate::stage::check::{Basis, Gate, run_gate};
use crate::stage::seal::{self, Sealed};
use crate::stage::{Context, configure};
use crate::steps::{Step, grow};
use crate::store::Layer;
use crate::sysprep::OVERLAY_CLUSTER;
use crate::targets::BootTest;
use crate::units::Size;

/// Runs `steps` on an overlay of the sealed disk, and seals it again; its path.
pub(super) fn prepare(
    context: &Context<'_>,
    sealed: &Layer<Sealed>,
    steps: &[Step],
    scratch: &Path,
) -> Result<PathBuf> {
    let below =
        std::path::absolute(sealed.entry().disk()).doing(|| "finding the sealed disk".into())?;
    let below = Some((&*below, "qcow2"));
    let disk = scratch.join("prepared.qcow2");
    qemu_img::create(&disk, below, Some(OVERLAY_CLUSTER), None)?;
    let work = configure::Work {
        steps,
        instance: &[],
        secrets: configure::secrets(context, steps)?,
        name: format!("{}-steps", context.label),
        // Only where sealing put those of the finished image, and will put them again.
        sources: sealed.facts().install.sources.clone().filter(|file| {
            let image = &context.recipe().mirrors.image;
            !file.build.is_empty() && file.in_image(image).is_some()
        }),
        grow: false,
    };
    configure::execute(context, disk.clone(), &work, scratch).map(drop)?;
    seal_again(context, sealed.facts(), &disk, steps)?;
    Ok(disk)
}

/// The seal stage's work, once more; what the steps declare stays, too.
fn seal_again(context: &Context<'_>, sealed: &Sealed, disk: &Path, steps: &[Step]) -> Result<()> {
    context.ui.step("sealing the disk again");
    let open = seal::Open::of(context, disk)?;
    let mut declared = sealed.declared.clone();
    declared.add(crate::steps::declared(steps, &context.files.root())?);
    let report = open.seal(context, &sealed.install, &declared)?;
    open.close()?;
    for warning in report.warnings() {
        context.ui.ui().warning(warning);
    }
    Ok(())
}

/// Asks the gate of the check stage about an artifact's own disk, whose clones boot as the
/// target's machines do and are asked what the boot test asks, too. `size` is the disk's, in bytes.
pub(super) fn gate(
    context: &Context<'_>,
    subject: &Subject,
    test: &BootTest,
    (disk, size): (&Path, u64),
    scratch: &Path,
) -> Result<GateReport> {
    let recipe = context.recipe();
    let basis = Basis::of(context.resolved, context.config);
    let mut check: Check = basis.check.clone();
    check.commands.extend(test.commands.iter().cloned());
    if test.grow > Size::bytes(0) {
        check.commands.push(grow::proof(size));
    }
    let seed = match test.seed.is_empty() {
        true => vec![],
        false => vec![seed(&test.seed, scratch)?],
    };
    run_gate(&Gate {
        connection: context.host.connection()?,
        ledger: context.host.ledger()?,
        accel: context.host.accel()?,
        ui: context.ui,
        disk,
        os: None,
        machine: basis.machine,
        check: &check,
        vars: basis.vars,
        passphrase: secrets::passphrase(recipe, &context.resolved.root),
        subject,
        scratch,
        logs: context.logs,
        more: &seed,
        size: Some(size + test.grow.as_bytes()),
    })
}

/// A FAT disk by the name that cloud-init looks for.
fn seed(files: &[(String, String)], scratch: &Path) -> Result<hypervisor::Disk> {
    let scratch = std::path::absolute(scratch).doing(|| "finding the seed's directory".into())?;
    let path = scratch.join("seed.img");
    Program::new("mkfs.fat")
        .args(["-n", "CIDATA", "-C"])
        .arg(&path)
        .arg("512")
        .run()?;
    for (name, text) in files {
        let from = scratch.join(name);
        std::fs::write(&from, text).doing(|| format!("writing {}", from.display()))?;
        Program::new("mcopy")
            .arg("-i")
            .arg(&path)
            .arg(&from)
            .arg(format!("::{name}"))
            .run()?;
    }
    Ok(hypervisor::Disk {
        path,
        format: DiskFormat::Raw,
        serial: Some("imgforge-seed".into()),
        readonly: true,
    })
}
