//! Runs a command in the unpacked container: a chroot in name spaces of its own.

use std::path::Path;

use serde_json::Value;

use crate::error::{Context as _, Error, Result};
use crate::host::exec::find;
use crate::recipe::types::Layer;
use crate::stage::install::bootstrap::{as_guest_root, remove_tree};
use crate::target::{Part, Proven, Site, proven};

/// What a container says that runs.
const SAYS: &str = "imgforge: the container runs";

/// Unpacks the layer and runs a shell in it, which looks for the command and the user.
pub(in crate::target) fn try_out(
    site: &Site<'_>,
    layer: &Path,
    how: Layer,
    config: &Value,
) -> Result<Proven> {
    site.ui.step("running a command in the container");
    let root = site.scratch.join("root");
    std::fs::create_dir(&root).doing(|| format!("making {}", root.display()))?;
    let packer = match how {
        Layer::Gzip => "--gzip",
        Layer::Zstd => "--zstd",
    };
    let unpack = as_guest_root("tar")
        .args([
            "--extract",
            "--numeric-owner",
            "--same-permissions",
            "--xattrs",
        ])
        .args([
            "--xattrs-include=*",
            "--delay-directory-restore",
            packer,
            "--file",
        ])
        .arg(layer)
        .arg("-C")
        .arg(&root);
    let ran = unpack.run().and_then(|()| run(&root, config));
    remove_tree(&root)?;
    ran?;
    Ok(proven(Part::Booted, "chroot"))
}

fn run(root: &Path, config: &Value) -> Result<()> {
    let inner = &config["config"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first = [&inner["Entrypoint"][0], &inner["Cmd"][0]];
    let first = first.into_iter().find(|word| word.is_string()).map(text);
    let user = text(&inner["User"]);
    let user = user.split(':').next().unwrap_or_default();
    let script = format!(
        "set -e; command -v \"$1\" >/dev/null || {{ echo \"no command $1\" >&2; exit 3; }}; \
         case \"$2\" in ''|*[!0-9]*) ;; *) set -- \"$1\" '' ;; esac; \
         if [ -n \"$2\" ]; then grep -q \"^$2:\" /etc/passwd || {{ echo \"no user $2\" >&2; exit 3; }}; fi; \
         test -r /etc/os-release; echo '{SAYS}'"
    );
    let chroot = find("chroot").unwrap_or_else(|| "chroot".into());
    let said = as_guest_root(&chroot.to_string_lossy())
        .arg(root)
        .args(["/bin/sh", "-c", &script, "sh"])
        .arg(first.unwrap_or_default())
        .arg(user)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .text();
    let refused = |error: Error| Error::gate("nothing runs in the container").cause(error);
    match said.map_err(refused)?.lines().last() {
        Some(SAYS) => Ok(()),
        other => {
            Err(Error::gate("nothing runs in the container")
                .cause(format!("its shell said {other:?}")))
        }
    }
}
