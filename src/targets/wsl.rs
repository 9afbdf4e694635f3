//! WSL 2.4.4 and newer: the root file system with two files that Windows reads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::docker::{Layer, run, scanned, shell, strip, tell_holes, write_layer};
use super::tree::{Content, Kind, NO_INODE, Node, Tree};
use super::{CheckKind, Format, MadeFile, Options, Target, TargetContext, proven};
use crate::error::{Error, Result};
use crate::host::exec::Program;
use crate::host::tools::Tool;
use crate::machine::Arch;
use crate::units::Size;

pub(super) const TARGET: Target = Target {
    files: "`.wsl` for WSL 2.4.4 and newer",
    proven_by: "`tar`; the leftover scan; a command in a machine that has its files (no network)",
    tools: &[Tool::QemuImg, Tool::Sfdisk, Tool::Sqfstar, Tool::Supermin],
    runs: true,
    memory: Size::mib(1024),
    architectures: &[
        (Arch::X86_64, Arch::X86_64.as_str()),
        (Arch::Aarch64, Arch::Aarch64.as_str()),
    ],
    elsewhere: "there is no such Windows",
    ..Target::new("wsl", 2)
};

/// `targets: {wsl: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Wsl {}

impl Options for Wsl {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let tree = site.source.tree(site.ui)?;
        let nodes = nodes(&tree, &site.about.name);
        tell_holes(site, &nodes);
        let shell = shell(&nodes)?;
        let file = site.file("wsl");
        site.ui.step(format!("writing {file}"));
        let path = site.dir.join(&file);
        write_layer(&tree, &nodes, site.about.created, Layer::Gzip, &path)?;
        let listed = Program::new("tar").arg("-tzf").arg(&path).text()?;
        for wanted in ["etc/wsl.conf", "etc/wsl-distribution.conf"] {
            if !listed.lines().any(|line| line == wanted) {
                return Err(Error::gate(format!("{file} lacks {wanted}")));
            }
        }
        let mut proof = vec![proven(CheckKind::Validated, "tar")];
        proof.extend(scanned(site, &path, Layer::Gzip)?);
        let config = json!({"config": {"Cmd": [shell]}});
        proof.push(run::try_out(site, &path, Layer::Gzip, &config)?);
        Ok(vec![MadeFile::new(file, Format::Wsl, proof)])
    }
}

/// Units that fight with what Windows does for the network and for /tmp.
const MASKED: &[&str] = &[
    "systemd-resolved.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "NetworkManager.service",
    "NetworkManager-wait-online.service",
    "networking.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-tmpfiles-clean.service",
    "systemd-tmpfiles-clean.timer",
    "tmp.mount",
];

const SHADOW: &str = "etc/shadow";

/// A container's files, with what WSL asks for beside them.
fn nodes(tree: &Tree, name: &str) -> Vec<Node> {
    let mut nodes = strip::strip(&tree.nodes, MASKED);
    let systemd = tree.get("usr/lib/systemd/systemd").is_some();
    let distribution = format!("[oobe]\ndefaultName = {name}\n\n[shortcut]\nenabled = true\n");
    let boot = format!("[boot]\nsystemd={systemd}\n");
    add(&mut nodes, "etc/wsl-distribution.conf", &distribution);
    add(&mut nodes, "etc/wsl.conf", &boot);
    if let Some(text) = tree.text(SHADOW)
        && let Some(shadow) = nodes.iter_mut().find(|node| node.path == SHADOW.as_bytes())
    {
        let locked = without_root(&text);
        shadow.size = locked.len() as u64;
        shadow.inode = NO_INODE;
        shadow.content = Content::Bytes(locked.into_bytes());
    }
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    nodes
}

/// Root's password, if it has one, is nobody's business on other machines.
fn without_root(shadow: &str) -> String {
    let line = |line: &str| match line.strip_prefix("root:") {
        Some(rest) => {
            let after = rest.split_once(':').map_or("", |(_, after)| after);
            format!("root:*:{after}\n")
        }
        None => format!("{line}\n"),
    };
    shadow.lines().map(line).collect()
}

fn add(nodes: &mut Vec<Node>, path: &str, text: &str) {
    nodes.retain(|node| node.path != path.as_bytes());
    nodes.push(Node::made(path, Kind::File, 0o644, text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_no_password() {
        let text = "root:$y$j9T$hash:19000:0:99999:7:::\nweb:!:19000::::::\n";
        let locked = without_root(text);
        assert_eq!(locked, "root:*:19000:0:99999:7:::\nweb:!:19000::::::\n");
    }
}
