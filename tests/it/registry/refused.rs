//! What a registry, or who can write to it, puts in the place of a published image, and what a copy must not
//! write over.

use std::process::Stdio;

use imgforge::registry::Descriptor;
use rustix::process::{Pid, Signal, kill_process};

use super::consume::Shared;
use super::others::put_container;
use super::site::noise;
use crate::patience::wait_for;
use crate::pull::world::*;
use crate::server::{Answer, Server, Then};
use crate::support::registry::Kind as Like;
use crate::support::{Run as _, under};

/// The error of a new machine's pull, which leaves nothing.
#[track_caller]
fn refused(shared: &Shared, more: &str, kind: Kind, words: &str) {
    let machine = Machine::new(&shared.world);
    let error = machine.pull(&shared.web(more)).unwrap_err();
    let shown = error.render();
    assert!(
        error.kind() == kind && shown.contains(words),
        "{words}: {shown}"
    );
    machine.has_nothing();
}

#[test]
fn what_stands_in_the_place_of_an_image_is_refused() {
    let shared = Shared::new();
    shared.copy();
    let [latest, nightly] = ["latest", "nightly"].map(|tag| shared.manifest(tag));
    let is_disk = |layer: &Descriptor| layer.title().is_some_and(|it| it.ends_with(".xz"));
    let title = |manifest: &imgforge::registry::Manifest| {
        let disk = manifest.layers.iter().find(|layer| is_disk(layer)).unwrap();
        disk.title().unwrap().to_owned()
    };
    // A tag that was moved to another channel, whatever its index is called.
    shared.put("latest", &nightly);
    refused(&shared, "", Kind::Stage, "does not exist");
    let mut renamed = nightly.clone();
    let is_index = |layer: &&mut Descriptor| layer.title() == Some("channels/nightly/index.asc");
    let index = renamed.layers.iter_mut().find(is_index).unwrap();
    *index = index.clone().titled("index.asc");
    shared.put("latest", &renamed);
    refused(
        &shared,
        "",
        Kind::Gate,
        "is the index of the channel `nightly`",
    );
    // Another disk in the place of the right one.
    let mut swapped = latest.clone();
    let theirs = nightly.layers.iter().find(|layer| is_disk(layer)).unwrap();
    let theirs = Descriptor::new("x/y", &theirs.digest().unwrap(), theirs.size);
    let own = swapped
        .layers
        .iter_mut()
        .find(|layer| is_disk(layer))
        .unwrap();
    *own = theirs.titled(&title(&latest));
    shared.put("latest", &swapped);
    refused(&shared, "", Kind::Gate, "is not what the signed index says");
    // An index that somebody else has signed.
    let stranger = Shared::new();
    stranger.copy();
    let foreign = stranger.manifest("latest");
    let mut changed = latest.clone();
    let place = |it: &imgforge::registry::Manifest| {
        let mut layers = it.layers.iter();
        layers
            .position(|layer| layer.title() == Some("index.asc"))
            .unwrap()
    };
    changed.layers[place(&latest)] = foreign.layers[place(&foreign)].clone();
    let index = stranger.service.client("images/web");
    let digest = foreign.titled("index.asc").unwrap().digest().unwrap();
    let index = index.read_blob(&digest, 1 << 20).unwrap().unwrap();
    shared
        .service
        .client("images/web")
        .push_bytes(&index)
        .unwrap();
    shared.put("latest", &changed);
    refused(&shared, "", Kind::Gate, "is not to be trusted");
    // Something that is no image of ours.
    let mut other = latest.clone();
    other.layers.clear();
    shared.put("latest", &other);
    refused(&shared, "", Kind::Stage, "does not exist");
    // Bytes that the registry has lost, or cut.
    shared.put("latest", &latest);
    let blob = shared.blob("latest");
    let bytes = std::fs::read(&blob).unwrap();
    std::fs::write(&blob, &bytes[..bytes.len() / 2]).unwrap();
    refused(&shared, "", Kind::Gate, "is not what the signed index says");
    std::fs::remove_file(&blob).unwrap();
    refused(&shared, "", Kind::Stage, "is not in the registry");
    std::fs::write(&blob, bytes).unwrap();
    Machine::new(&shared.world).pull(&shared.web("")).unwrap();
}

#[test]
fn an_older_state_of_a_tag_is_refused_once_a_newer_one_was_seen() {
    let shared = Shared::new();
    shared.copy();
    let before = shared.manifest("latest");
    let third = disk(&shared.world, "three", &[9]);
    publish(&shared.world, &third, "web", "stable");
    shared.copy();
    let machine = Machine::new(&shared.world);
    assert_eq!(machine.pull(&shared.web("")).unwrap().revision, 3);
    shared.put("latest", &before);
    let error = machine.pull(&shared.web("")).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    assert!(
        error.render().contains("was seen before"),
        "{}",
        error.render()
    );
    machine.has(&third);
    let older = Options {
        allow_older: true,
        ..machine.trusting()
    };
    assert_eq!(machine.find(&shared.web(""), &older).unwrap().revision, 1);
    // Nor does a copy of an older state, a restored backup, replace the newer one.
    let saved = shared.world.path("repo-new");
    let repo = shared.world.path("repo");
    let copy = |from: &Path, to: &Path| {
        let cp = Program::new("cp").arg("-a").arg(from).arg(to);
        cp.run().unwrap();
    };
    shared.copy();
    copy(&repo, &saved);
    publish(&shared.world, &shared.disks[1], "web", "stable");
    shared.copy();
    std::fs::remove_dir_all(&repo).unwrap();
    copy(&saved, &repo);
    let error = shared.try_copy().unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    assert!(
        error.message().contains("is older than its copy"),
        "{}",
        error.render()
    );
}

#[test]
fn a_copy_writes_over_nothing_of_others_and_says_what_cannot_be() {
    let shared = Shared::new();
    // A container has the name.
    let client = shared.service.client("images/web");
    let container = put_container(&client, "stable");
    let error = shared.try_copy().unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(
        error
            .message()
            .contains("something else under the tag `stable`"),
        "{error}"
    );
    assert_eq!(client.tags().unwrap(), ["stable"]);
    assert_eq!(client.manifest("stable").unwrap(), Some(container));
    // Another repository has the prefix.
    let to = shared.service.oci("other");
    shared.copy_to(&to).unwrap();
    let repo = shared.world.path("repo");
    let other = Shared::new();
    std::fs::remove_dir_all(&repo).unwrap();
    let cp = Program::new("cp").arg("-a");
    cp.arg(other.world.path("repo")).arg(&repo).run().unwrap();
    let error = shared.copy_to(&to).unwrap_err();
    assert!(
        error.message().ends_with("is of another repository"),
        "{error}"
    );
    for (to, words) in [
        ("oci://", "is not a place in a registry"),
        ("oci://me:hunter2@h/x", "is not a place in a registry"),
        ("oci://h/UPPER", "is not a place in a registry"),
    ] {
        let error = shared.copy_to(to).unwrap_err();
        let shown = error.render();
        assert!(
            shown.contains(words) && !shown.contains("hunter2"),
            "{shown}"
        );
        assert_eq!(error.kind(), Kind::Usage);
    }
    publish(&other.world, &other.disks[0], "Web", "stable");
    let error = other.try_copy().unwrap_err();
    assert!(
        error.message().contains("`Web` cannot be the name"),
        "{error}"
    );
    assert!(
        other
            .service
            .client("images/web")
            .tags()
            .unwrap()
            .is_empty()
    );
}

/// Who pulls, and who copies, is told how to look.
#[test]
fn a_registry_that_is_down_is_told_with_how_to_look() {
    let mut shared = Shared::new();
    shared.copy();
    let look = format!("`curl -i http://{}/v2/`", shared.service.address());
    shared.service.kill();
    refused(&shared, "", Kind::Stage, &look);
    let error = shared.try_copy().unwrap_err().render();
    assert!(error.contains(&look), "{error}");
}

/// The index is found by its role; a copy by an earlier imgforge has none.
#[test]
fn the_index_of_a_channel_has_a_role() {
    const ROLE: &str = "org.imgforge.role";
    let shared = Shared::new();
    shared.copy();
    for (tag, path) in [
        ("latest", "index.asc"),
        ("nightly", "channels/nightly/index.asc"),
    ] {
        let mut manifest = shared.manifest(tag);
        let index = manifest.layers.iter_mut();
        let index: Vec<_> = index
            .filter(|it| it.annotations.contains_key(ROLE))
            .collect();
        let [index] = index.try_into().unwrap();
        assert_eq!(
            (index.title(), index.annotations[ROLE].as_str()),
            (Some(path), "index")
        );
        index.annotations.remove(ROLE);
        shared.put(tag, &manifest);
        let machine = Machine::new(&shared.world);
        machine.pull(&shared.web(&format!(":{tag}"))).unwrap();
    }
    // The next copy gives it one.
    shared.copy();
    assert!(shared.manifest("nightly").by_role("index").is_some());
}

/// Whoever pulls or copies: what was there stays, nothing half counts, and the same command does it then.
#[test]
fn a_full_disk_and_ctrl_c_leave_what_was_there() {
    let mut shared = Shared::new();
    shared.copy();
    let world = &shared.world;
    world.configure("repositories: {main: {path: repo}}\n");
    world.write("key.gpg", world.signer().public_key().unwrap());
    let [output, key] = ["web.raw", "key.gpg"].map(|name| world.path(name).display().to_string());
    let pull = |from: &str| world.command(&["pull", from, "-o", &output, "--key", &key]);
    let limited = under(&["prlimit", "--fsize=100000", "--"], &pull(&shared.web("")));
    let said = { limited }.said();
    assert!(
        said.code.is_some_and(|code| code != 0) && said.err.contains("hint: "),
        "{}",
        said.evidence()
    );
    assert!(!world.path("web.raw").exists());
    pull(&shared.web("")).said().ok();

    // A registry without room for one file: the channel has what it had.
    let more = noise(400_000);
    let more = Companion::bytes("web-0123456789ab.qcow2", more).about([("target", "qcow2")]);
    publish_with(
        &world.repository(),
        &disk(world, "three", &[9, 7, 0]),
        ("web", "stable"),
        vec![more],
    );
    let before = shared.manifest("latest");
    shared.service.restart(Like {
        full: true,
        ..Like::default()
    });
    let images = shared.service.oci("images");
    let copy = ["repo", "copy", &images];
    let said = shared.world.run(&copy);
    assert!(
        said.code.is_some_and(|code| code != 0) && said.err.contains("hint: "),
        "{}",
        said.evidence()
    );
    assert_eq!(shared.manifest("latest"), before);
    shared.service.restart(Like::default());
    shared.world.ok(&copy);
    assert_ne!(shared.manifest("latest"), before);

    // Nobody answers, and somebody has enough of it.
    let silent = Server::start(|_, _| Answer::of(b"x").cut(0, Then::Hang));
    let at = format!("oci://{}/images", silent.address());
    for verb in [
        &["pull", &format!("{at}/web"), "-o", &output, "--key", &key][..],
        &["repo", "copy", &at],
    ] {
        silent.forget();
        let mut waits = shared.world.command(verb);
        let mut waits = waits.stderr(Stdio::null()).spawn().unwrap();
        wait_for("the request", || !silent.requests().is_empty());
        kill_process(Pid::from_child(&waits), Signal::INT).unwrap();
        assert_eq!(waits.wait().unwrap().code(), Some(130), "{verb:?}");
    }
}
