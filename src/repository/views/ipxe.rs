//! `channels/CHANNEL/IMAGE/boot.ipxe`: boots the channel's kernel and initrd of an image without
//! a disk, at an address that stays.

use super::offer::{self, Offer, word};
use super::{Change, ViewFile};
use crate::error::Result;
use crate::machine;
use crate::repository::state::{CompanionRecord, State};
use crate::targets::Format;

/// Renders the script of each image that changes.
pub(super) fn render(change: &Change<'_>) -> Result<Vec<ViewFile>> {
    let state = change.state;
    let mut files = Vec::new();
    for image in change.images() {
        for channel in state.channels.keys() {
            let path = format!("channels/{channel}/{}/boot.ipxe", image.name);
            let offers = offer::of_image(image, channel);
            let scripts: Vec<(&str, String)> = offers
                .iter()
                .filter_map(|offer| Some((offer.arch, script(state, offer)?)))
                .collect();
            match whole(&scripts) {
                Some(text) => files.push(ViewFile::new(path, text)),
                None if state.root.join(&path).exists() => files.push(ViewFile::remove(path)),
                None => {}
            }
        }
    }
    Ok(files)
}

/// One script for every machine: iPXE says for which architecture it was built, and a BIOS starts one for 32
/// bits. `None` where there is none.
fn whole(scripts: &[(&str, String)]) -> Option<String> {
    let (_, first) = scripts.first()?;
    if let [_] = scripts {
        return Some(format!("#!ipxe\n{first}"));
    }
    let mut text = "#!ipxe\ngoto ${buildarch}\n".to_owned();
    for (arch, script) in scripts {
        let labels = match machine::is_default(arch) {
            true => format!(":i386\n:{arch}\n"),
            false => format!(":{}\n", machine::debian_name(arch)),
        };
        text += &format!("{labels}{script}");
    }
    Some(text)
}

/// Nothing without both a kernel and an initrd. All that iPXE has loaded becomes a part of the
/// initrd, in that order: what other scripts loaded before goes.
fn script(state: &State, offer: &Offer<'_>) -> Option<String> {
    let artifact = |format: Format| -> Option<&CompanionRecord> {
        let mut all = offer.revision.artifacts().map(|(_, file)| file);
        all.find(|file| file.is(format))
    };
    let (kernel, initrd) = (artifact(Format::Kernel)?, artifact(Format::Initrd)?);
    let name = initrd.path.rsplit('/').next()?;
    let (url, mut cmdline) = (&state.url, kernel.word(word::CMDLINE).to_owned());
    if let Some(root) = artifact(Format::Squashfs) {
        // The initrd fetches its root from beside this address.
        cmdline += &format!(" imgforge.base={url}/{}", root.path);
    }
    let Offer { image, channel, .. } = offer;
    Some(format!(
        "# {} revision {} of {channel}\nimgfree\n\
         kernel {url}/{} initrd={name} {cmdline}\ninitrd {url}/{}\nboot\n",
        image.name, offer.number, kernel.path, initrd.path
    ))
}
