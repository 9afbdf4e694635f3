//! Amazon EC2: the disk byte by byte, whose kernel drives the machines of Nitro.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::convert;
use super::{Format, MadeFile, Options, Target, TargetContext, raw};
use crate::error::Result;
use crate::machine::Arch;

pub(super) const TARGET: Target = Target {
    files: "`.aws.raw`, sparse, for `aws ec2 import-snapshot`",
    proven_by: "`qemu-img compare` with the sealed disk",
    modules: &[&["nvme"], &["ena"]],
    architectures: &[
        (Arch::X86_64, Arch::X86_64.as_str()),
        (Arch::Aarch64, "arm64"),
    ],
    elsewhere: "Amazon EC2 has no such machines",
    ..Target::new("aws", 1)
};

/// `targets: {aws: …}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Aws {}

impl Options for Aws {
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let file = site.file("aws.raw");
        let proof = convert(site, None, raw::FORM, &file)?;
        // What `aws ec2 register-image` is told.
        let named = TARGET
            .word(site.machine.arch)
            .map(|word| ("architecture", word));
        let mode = if site.uefi() { "uefi" } else { "legacy-bios" };
        let words = [("boot-mode", mode), ("ena-support", "true")];
        let made = MadeFile::new(file, Format::Raw, proof);
        Ok(vec![made.about(named).about(words)])
    }
}
