//! What a recipe says of a ramdisk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::steps::Step;
use crate::units::Size;
use crate::yaml::checker::{Checker, at};
use crate::yaml::node::Node;

/// `targets: {ramdisk: …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ramdisk {
    /// Where the root file system is.
    pub root: RootForm,
    /// Kernel command line; default: `console=tty0 console=ttyS0,115200 panic=60`, with the first serial port of the architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
    /// Address of the directory where the files will be, https only with `root: initrd`; default: where `boot.ipxe` comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Modules that the initrd carries and loads, beside those that it needs.
    pub modules: Vec<String>,
    /// What is asked of the root before it is used.
    pub verify: Verify,
    /// Memory of the running system, beside the image and the kernel; default: 256MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// A disk that keeps a directory over restarts, on machines that have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateDisk>,
    /// Steps of this target.
    pub configure: Vec<Step>,
}

/// Where the root file system of a ramdisk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RootForm {
    /// In a squashfs of its own, which the initrd fetches over HTTP.
    #[default]
    Squashfs,
    /// In the initrd.
    Initrd,
}

/// How a ramdisk knows that its root is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// By SHA-256, which the initrd knows.
    #[default]
    Sha256,
    /// By size: quicker, where nobody else can answer.
    Size,
}

/// A disk for what a ramdisk keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StateDisk {
    /// Label of its file system.
    pub label: String,
    /// Where it is mounted, such as `/srv`.
    pub to: String,
}

/// Checks the options, which are written at `node`.
pub(super) fn check(cx: &mut Checker<'_>, options: &Ramdisk, node: &Node) {
    let words = options
        .cmdline
        .iter()
        .flat_map(|line| line.split_whitespace());
    for word in words {
        if word.starts_with("root=") || word.starts_with("initrd=") || word.starts_with("imgforge.")
        {
            let text = format!("the ramdisk itself says `{word}`: leave it out");
            cx.problem(at(node, "cmdline").loc, text);
        }
    }
    if let Some(url) = &options.url {
        let node = at(node, "url");
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            let text = "this is no address that starts with http:// or https://";
            cx.problem(node.loc, text);
        } else if url.starts_with("https://") && options.root == RootForm::Squashfs {
            let help = "it asks the root's SHA-256; with `root: initrd` the boot loader fetches everything";
            cx.wrong(node.loc, "an initrd fetches its root by http:// only", help);
        }
    }
    let plain = |text: &str, more: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && text.chars().all(good)
    };
    for (module, node) in options.modules.iter().zip(at(node, "modules").items()) {
        if !plain(module, "_-") {
            cx.problem(node.loc, "this is not a valid name of a module");
        }
    }
    if let Some(state) = &options.state {
        let node = at(node, "state");
        if !plain(&state.label, "_-.") {
            cx.problem(at(node, "label").loc, "this is no label of a file system");
        }
        if !state.to.starts_with('/') || !plain(state.to.trim_matches('/'), "/_-.") {
            cx.problem(at(node, "to").loc, "this is no directory, such as `/srv`");
        }
    }
}
