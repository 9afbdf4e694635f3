//! Which files publications replace: entry points, views and records. A copy takes these and no
//! others, whatever lies beside them.

use super::state::State;

/// Whether a path below the root is that of such a file, going by the records.
pub(super) fn is_ours(state: &State, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let image = |name: &str| state.images.contains_key(name);
    let json = |file: &str| file.strip_suffix(".json").is_some_and(image);
    let stream =
        |file: &str| ["index.json", "images.json", "index.sjson", "images.sjson"].contains(&file);
    match parts[..] {
        ["index.html"] | ["channels", "index.json"] => true,
        [file] => keyed(file, "index", ".asc") || keyed(file, "imgforge", ".gpg"),
        [".imgforge", file] => [
            "repository.json",
            "channels.json",
            "keys.json",
            "state.sjson",
        ]
        .contains(&file),
        [".imgforge", "names", file] => json(file),
        ["images", name, file] if image(name) => {
            ["index.html", "packages.json", "changes.json"].contains(&file)
                || keyed(file, "revisions", ".sjson")
        }
        ["streams", "v1", file] => stream(file),
        ["streams", "v1", channel, file] => known(state, channel) && stream(file),
        ["vagrant", file] | ["vagrant", _, file] => json(file),
        ["channels", channel, ref rest @ ..] if known(state, channel) => match *rest {
            [file] => keyed(file, "index", ".asc"),
            ["streams", "v1", file] => stream(file),
            ["vagrant", file] | ["vagrant", _, file] => json(file),
            [name, file] if image(name) => {
                ["latest.json", "latest.sjson", "boot.ipxe"].contains(&file)
            }
            _ => false,
        },
        _ => false,
    }
}

fn known(state: &State, channel: &str) -> bool {
    state.channels.contains_key(channel)
}

/// `STEM.END`, or `STEM-SUFFIX.END` of another key.
fn keyed(file: &str, stem: &str, end: &str) -> bool {
    let middle = file
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(end));
    middle.is_some_and(|middle| {
        middle.is_empty() || middle.strip_prefix('-').is_some_and(crate::index::is_id)
    })
}
