//! What an installation depends on.

use super::stage::{STAGE, VERSION};
use super::{bootstrap, virt_install};
use crate::error::Result;
use crate::host::foreign;
use crate::pull::Pin;
use crate::recipe::Resolved;
use crate::recipe::types::{ImageSource, Install, Media, MediaPlace, VirtInstall};
use crate::stage::plan::Request;
use crate::store::digests::Digests;
use crate::store::inputs::Inputs;
use crate::yaml::beneath;

/// Grows when a published image comes out differently.
const PUBLISHED: u32 = 1;

/// Inputs of a base system of its own.
///
/// # Errors
/// When a file that the recipe names cannot be read.
pub(super) fn installed(request: &Request<'_>, install: &Install) -> Result<Inputs> {
    let Request {
        resolved, digests, ..
    } = *request;
    let recipe = &resolved.recipe;
    let mut inputs = request.begin(&STAGE, VERSION);
    match install {
        Install::VirtInstall(method) => virt_install(&mut inputs, resolved, method, digests)?,
        _ => inputs.fields("install", install),
    }
    let arch = recipe.machine.arch;
    if matches!(install, Install::Bootstrap(_)) {
        inputs.value("the bootstrap", bootstrap::VERSION);
        if arch.is_foreign() {
            inputs.value("how foreign programs run", foreign::VERSION);
        }
    }
    inputs.value("machine.arch", arch);
    inputs.value("machine.disk", recipe.machine.disk);
    inputs.place("mirrors.build", recipe.mirrors.build.as_str());
    inputs.value("name", &recipe.name);
    if let Install::Import(ImageSource::File { path, sha256: None }) = install {
        inputs.medium(path, &resolved.root.join(path), digests)?;
    }
    Ok(inputs)
}

/// Inputs of getting a published image: all images on it share its result.
pub(super) fn published(request: &Request<'_>, pin: &Pin) -> Inputs {
    let recipe = &request.resolved.recipe;
    let mut inputs = Inputs::new("published", PUBLISHED);
    inputs.value("from.image", &pin.named);
    inputs.value("from.channel", &pin.channel);
    inputs.value("machine.arch", recipe.machine.arch);
    inputs.value("machine.disk", recipe.machine.disk);
    let (named, image) = (&pin.named, &pin.image);
    inputs.value(format!("the revision of {named}"), image.revision);
    inputs.value(format!("the content of {named}"), &image.sha512);
    inputs
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
    let answers = beneath::inside(root, method.answers.path())?;
    let text = inputs.text(method.answers.path(), &answers)?;
    let used = virt_install::answers::used(&text);
    let vars = resolved
        .vars
        .iter()
        .filter(|(name, _)| used.contains(*name));
    vars.for_each(|(name, value)| inputs.value(format!("variable {name}"), value));
    virt_install::answers::used_secrets(&text, recipe)
        .iter()
        .for_each(|(name, from)| inputs.value(format!("secret {name}"), from));
    for place in local_media(&method.media) {
        let path = virt_install::media::local(root, &place);
        inputs.medium(&String::from(place), &path, digests)?;
    }
    Ok(())
}

/// Media whose content no digest in the recipe tells.
fn local_media(media: &Media) -> Vec<MediaPlace> {
    let mut named = match media {
        Media::Location(tree) => vec![tree.clone()],
        Media::Iso(iso) if iso.sha256().is_some() => vec![],
        Media::Iso(iso) => vec![iso.place()],
        Media::Boot(boot) => vec![boot.kernel.clone(), boot.initrd.clone()],
    };
    named.retain(|place| match place {
        MediaPlace::Mirror(_) => false,
        MediaPlace::Address(address) => address.is_file(),
        MediaPlace::Path(_) => true,
    });
    named
}
