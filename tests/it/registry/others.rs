//! What others have in the registry, or put there meanwhile, and what was put in another place to pass for new.

use imgforge::registry::Manifest;

use super::consume::Shared;
use crate::pull::world::*;

/// The manifest, with its index, which lay in `from`, in `to`.
fn moved(mut manifest: Manifest, from: &str, to: &str) -> Manifest {
    for layer in &mut manifest.layers {
        let title = layer.title().unwrap_or_default().to_owned();
        let place = match title.strip_prefix(from) {
            Some(rest) if !rest.contains('/') => format!("{to}{rest}"),
            _ if title.starts_with("images/") => format!("{to}{title}"),
            _ => continue,
        };
        *layer = layer.clone().titled(&place);
    }
    manifest
}

#[test]
fn an_older_state_is_refused_wherever_the_manifest_says_that_its_index_lies() {
    let shared = Shared::new();
    shared.copy();
    let [latest, nightly] = ["latest", "nightly"].map(|tag| shared.manifest(tag));
    let machine = Machine::new(&shared.world);
    let repository = shared.world.repository();
    for revision in [1, 2] {
        repository
            .yank("web", revision, false, &Stamp::now(), &Ui::silent())
            .unwrap();
    }
    shared.copy();
    for (tag, old) in [
        ("latest", moved(latest, "", "channels/latest/")),
        ("nightly", moved(nightly, "channels/nightly/", "")),
    ] {
        let web = shared.web(&format!(":{tag}"));
        let error = machine.find(&web, &machine.trusting()).unwrap_err();
        assert!(
            error.message().contains("has no image"),
            "{}",
            error.render()
        );
        shared.put(tag, &old);
        let error = machine.find(&web, &machine.trusting()).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate, "{}", error.render());
        assert!(
            error.render().contains("was seen before"),
            "{}",
            error.render()
        );
    }
}

#[test]
fn a_channel_and_the_name_of_another_image_are_not_mistaken() {
    let shared = Shared::new();
    let other = disk(&shared.world, "other", &[6]);
    publish(&shared.world, &other, "web-stable", "stable");
    shared.copy();
    let machine = Machine::new(&shared.world);
    machine.pull(&shared.web(":stable")).unwrap();
    machine.has(&shared.disks[0]);
    for more in [":stable", ":stable@1", ""] {
        let own = shared.service.oci(&format!("images/web-stable{more}"));
        machine.pull(&own).unwrap();
        machine.has(&other);
    }
}
