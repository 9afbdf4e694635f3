//! What each stage's result depends on. A wrong hit is worse than a miss: in doubt, it is an input.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::digest::Key;
use crate::error::Result;
use crate::pull::Pin;
use crate::recipe::Resolved;
use crate::recipe::types::{
    Action, BELOW_MIRROR, Import, Install, Media, Pack, Recipe, Secret, Step, VirtInstall,
};
use crate::stage::check::Basis;
use crate::stage::install::virt_install;
use crate::store::digests::Digests;
use crate::store::inputs::Inputs;
use crate::targets::Target;
use crate::yaml::beneath;

// Each grows when the stage's code makes other results from the same inputs.
const INSTALL: u32 = 4;
const PUBLISHED: u32 = 1;
const CONFIGURE: u32 = 3;
const SEAL: u32 = 11;
const CHECK: u32 = 4;
const PACK: u32 = 2;

/// The names of the input that is another stage's disk, of `configure` and of `seal`.
pub(super) const DISKS: [&str; 2] = ["the disk below", "the configured disk"];

/// Inputs of `install`.
///
/// # Errors
/// When a file that the recipe names cannot be read.
pub fn install(
    resolved: &Resolved,
    install: &Install,
    pin: Option<&Pin>,
    digests: &Digests,
) -> Result<Inputs> {
    let recipe = &resolved.recipe;
    let mut inputs = Inputs::new("install", INSTALL);
    match install {
        Install::VirtInstall(method) => virt_install(&mut inputs, resolved, method, digests)?,
        _ => inputs.fields("install", install),
    }
    inputs.value("machine.arch", recipe.machine.arch);
    inputs.value("machine.disk", recipe.machine.disk);
    inputs.place("mirrors.build", &recipe.mirrors.build);
    inputs.value("name", &recipe.name);
    if let Some(pin) = pin {
        pinned(&mut inputs, pin);
    }
    if let Install::Import(Import {
        image,
        sha256: None,
    }) = install
        && !image.contains('#')
    {
        inputs.medium(image, &resolved.root.join(image), digests)?;
    }
    Ok(inputs)
}

/// Inputs of the stage that gets a published image: all images on it share its result.
pub fn published(recipe: &Recipe, pin: &Pin) -> Inputs {
    let mut inputs = Inputs::new("published", PUBLISHED);
    inputs.value("from.image", &pin.named);
    inputs.value("from.channel", &pin.channel);
    inputs.value("machine.arch", recipe.machine.arch);
    inputs.value("machine.disk", recipe.machine.disk);
    pinned(&mut inputs, pin);
    inputs
}

fn pinned(inputs: &mut Inputs, pin: &Pin) {
    let (named, image) = (&pin.named, &pin.image);
    inputs.value(format!("the revision of {named}"), image.revision);
    inputs.value(format!("the content of {named}"), &image.sha512);
}

/// The method but for its time limits, the whole machine, the answers with what they use, and
/// the media that are files of this host.
fn virt_install(
    inputs: &mut Inputs,
    resolved: &Resolved,
    method: &VirtInstall,
    digests: &Digests,
) -> Result<()> {
    let (recipe, root) = (&resolved.recipe, &resolved.root);
    inputs.value("the installation", virt_install::VERSION);
    inputs.value("install.os", &method.os);
    inputs.fields("install.media", &method.media);
    // The same bytes, but not those of a build that nothing vouched for.
    if let Some(sum) = &method.treeinfo_sha256 {
        inputs.value("install.treeinfo-sha256", sum);
    }
    inputs.value("install.kernel-args", &method.kernel_args);
    inputs.value("install.extra-args", &method.extra_args);
    inputs.fields("machine", &recipe.machine);
    let answers = beneath::inside(root, &method.answers)?;
    let text = inputs.text(&method.answers, &answers)?;
    let used = virt_install::answers::used(&text);
    let vars = resolved
        .vars
        .iter()
        .filter(|(name, _)| used.contains(*name));
    vars.for_each(|(name, value)| inputs.value(format!("variable {name}"), value));
    virt_install::answers::used_secrets(&text, recipe)
        .iter()
        .for_each(|(name, from)| inputs.value(format!("secret {name}"), from));
    for file in local_media(&method.media) {
        inputs.medium(file, &virt_install::media::local(root, file), digests)?;
    }
    Ok(())
}

/// Media whose content no digest in the recipe tells.
fn local_media(media: &Media) -> Vec<&str> {
    let named = match media {
        Media::Location(tree) => vec![tree.as_str()],
        Media::Iso(iso) if iso.sha256.is_some() => vec![],
        Media::Iso(iso) => iso.path.as_deref().into_iter().collect(),
        Media::Boot(boot) => vec![boot.kernel.as_str(), boot.initrd.as_str()],
    };
    named
        .into_iter()
        .filter(|file| !file.starts_with(BELOW_MIRROR))
        .filter(|file| !file.contains("://") || file.starts_with("file://"))
        .collect()
}

/// Inputs of one part of `configure`.
///
/// # Errors
/// When a file that a step names cannot be read.
pub fn configure(
    resolved: &Resolved,
    disk: Option<&Key>,
    steps: &Range<usize>,
    last: bool,
    digests: &Digests,
) -> Result<Inputs> {
    let recipe = &resolved.recipe;
    let mut inputs = Inputs::new("configure", CONFIGURE);
    disk.iter().for_each(|key| inputs.input(DISKS[0], key));
    inputs.value("the runner", crate::runner::version());
    if resolved.grows() {
        inputs.value("machine.disk", recipe.machine.disk);
    }
    // What the steps see of the machine that they run in.
    let machine = &recipe.machine;
    inputs.value("machine.memory", machine.memory);
    inputs.value("machine.cpus", machine.cpus);
    inputs.value("machine.firmware", machine.firmware);
    inputs.value("machine.network", &machine.network);
    inputs.place("mirrors.build", &recipe.mirrors.build);
    variables(&mut inputs, &resolved.vars);
    secrets(&mut inputs, &recipe.secrets);
    for index in steps.clone() {
        step(
            &mut inputs,
            resolved,
            &format!("configure[{index}]"),
            &recipe.configure[index],
            digests,
        )?;
    }
    if last {
        for (index, each) in recipe.instance.iter().enumerate() {
            step(
                &mut inputs,
                resolved,
                &format!("instance[{index}]"),
                each,
                digests,
            )?;
        }
    }
    Ok(inputs)
}

/// Inputs of `seal`.
///
/// # Errors
/// When the recipe names an operation that does not exist, or a file cannot be read.
pub fn seal(resolved: &Resolved, disk: Option<&Key>, digests: &Digests) -> Result<Inputs> {
    let recipe = &resolved.recipe;
    let mut inputs = Inputs::new("seal", SEAL);
    disk.iter().for_each(|key| inputs.input(DISKS[1], key));
    let operations = crate::sysprep::select(&recipe.seal.operations)?;
    let names: Vec<&str> = operations.iter().map(|operation| operation.name).collect();
    inputs.value("seal.operations", names);
    inputs.value("seal.machine-id", recipe.seal.machine_id);
    inputs.value("mirrors.image", &recipe.mirrors.image);
    inputs.value("name", &recipe.name);
    // What these declare or forbid changes what seal does.
    inputs.value("targets.vagrant", recipe.targets.vagrant.is_some());
    inputs.value("targets.ramdisk", recipe.targets.ramdisk.is_some());
    // What the steps declare is read again; the configured disk was made of it.
    let declaring = |step: &&Step| step.action.about().declares;
    for step in recipe.configure.iter().filter(declaring) {
        for file in files(step, &resolved.root) {
            inputs.reads(&beneath::inside(&resolved.root, &file)?, digests)?;
        }
    }
    Ok(inputs)
}

/// Inputs of `check`.
pub fn check(basis: &Basis<'_>, disk: Option<&Key>) -> Inputs {
    let mut inputs = Inputs::new("check", CHECK);
    disk.iter()
        .for_each(|key| inputs.input("the sealed disk", key));
    rests_on(&mut inputs, basis, true);
    inputs
}

/// What the scan's verdict rests on, and that of the gate if guests boot.
fn rests_on(inputs: &mut Inputs, basis: &Basis<'_>, boots: bool) {
    let Basis {
        check,
        machine,
        vars,
        secrets: from,
        mirrors,
        hosts,
    } = basis;
    inputs.value("the scan", crate::scan::VERSION);
    inputs.value("mirrors", mirrors);
    inputs.value("mirrors of imgforge.yaml", hosts);
    secrets(inputs, from);
    inputs.fields("machine", machine);
    if boots {
        inputs.value("the runner", crate::runner::version());
        inputs.fields("check", check);
        variables(inputs, vars);
    } else {
        inputs.value("check.allow", &check.allow);
    }
}

fn variables(inputs: &mut Inputs, vars: &BTreeMap<String, String>) {
    vars.iter()
        .for_each(|(name, value)| inputs.value(format!("variable {name}"), value));
}

/// Name and source: the value is never hashed, so that a key tells nothing about it.
fn secrets(inputs: &mut Inputs, from: &BTreeMap<String, Secret>) {
    from.iter()
        .for_each(|(name, from)| inputs.value(format!("secret {name}"), from));
}

/// Inputs of `pack`.
pub fn pack(recipe: &Recipe, disk: Option<&Key>) -> Inputs {
    let mut inputs = Inputs::new("pack", PACK);
    disk.iter()
        .for_each(|key| inputs.input("the sealed disk", key));
    let Pack { profile, filter } = recipe.pack;
    inputs.value("pack.profile", profile);
    inputs.value("pack.filter", filter);
    inputs.value(
        "the encoder",
        crate::pack::Settings::of(profile, filter).fingerprint(),
    );
    if recipe
        .publish
        .as_ref()
        .is_some_and(|publish| publish.streams)
    {
        inputs.value("publish.streams", "proven");
        inputs.value("summary", &recipe.summary);
    }
    inputs
}

/// Inputs of `finish` for one target.
///
/// # Errors
/// When a file that a step names cannot be read.
pub fn finish(
    resolved: &Resolved,
    basis: &Basis<'_>,
    disk: Option<&Key>,
    target: &Target,
    digests: &Digests,
) -> Result<Inputs> {
    let recipe = &resolved.recipe;
    let mut inputs = Inputs::new("finish", target.version);
    disk.iter()
        .for_each(|key| inputs.input("the sealed disk", key));
    inputs.value("target", target.name);
    let name = format!("targets.{}", target.name);
    let options = (target.options)(&recipe.targets).unwrap_or_default();
    inputs.fields(&name, &options);
    inputs.value("summary", &recipe.summary);
    let steps = (target.steps)(&recipe.targets);
    rests_on(
        &mut inputs,
        basis,
        !steps.is_empty() || target.trial.is_some(),
    );
    for (index, each) in steps.iter().enumerate() {
        let place = format!("{name}.step[{index}]");
        step(&mut inputs, resolved, &place, each, digests)?;
    }
    if !steps.is_empty() {
        inputs.value("seal.operations", &recipe.seal.operations);
    }
    Ok(inputs)
}

fn step(
    inputs: &mut Inputs,
    resolved: &Resolved,
    name: &str,
    step: &Step,
    digests: &Digests,
) -> Result<()> {
    inputs.value(name, step);
    for file in files(step, &resolved.root) {
        let path = beneath::inside(&resolved.root, &file)?;
        inputs.path(&format!("{name} {file}"), &path, digests)?;
    }
    Ok(())
}

/// The files of the recipe repository that a step reads.
fn files(step: &Step, root: &Path) -> Vec<String> {
    let mut files = step.action.kind().files(root);
    if let Action::Ansible(ansible) = &step.action {
        let requirements = ansible.requirements.as_deref().into_iter();
        files.extend(requirements.flat_map(|it| crate::toolbox::collections::files(it, root)));
    }
    files
}
