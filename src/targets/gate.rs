//! The gate of an artifact: what was proven of it, bound to its digest.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::{Error, Result};
use crate::scan::{self, Allow, ScanReport, Subject};

/// What was proven of one artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Proof {
    /// SHA-512 of the file, in hex.
    pub sha512: String,
    /// Digest of the sealed disk that it was made from.
    pub sealed: String,
    /// Everything that was proven.
    pub proven: Vec<PassedCheck>,
}

impl Proof {
    /// Binds what was proven to the file.
    pub fn new(sha512: &str, sealed: &str, proven: Vec<PassedCheck>) -> Self {
        Proof {
            sha512: sha512.to_owned(),
            sealed: sealed.to_owned(),
            proven,
        }
    }

    /// Whether everything was proven that a gate asks for.
    pub fn passed(&self) -> bool {
        let has = |part| self.proven.iter().any(|proven| proven.part == part);
        let same = has(CheckKind::SameDisk) || has(CheckKind::Words);
        has(CheckKind::Validated) && (same || (has(CheckKind::Scanned) && has(CheckKind::Booted)))
    }
}

/// One thing that was proven of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PassedCheck {
    /// Which part of the gate it is.
    pub part: CheckKind,
    /// By what, such as `qemu-img check`.
    pub by: String,
}

/// The parts of an artifact's gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Its format's own checks.
    Validated,
    /// No leftovers of the build are in it.
    Scanned,
    /// It ran as its target runs it.
    Booted,
    /// It holds nothing but words about the image.
    Words,
    /// A guest sees the very bytes of the sealed disk, for which the check stage has asked both.
    SameDisk,
}

/// Something that was proven.
pub fn proven(part: CheckKind, by: impl Into<String>) -> PassedCheck {
    PassedCheck {
        part,
        by: by.into(),
    }
}

/// What is proven of words about the image, whose form `by` has read.
pub(super) fn described(by: &str) -> Vec<PassedCheck> {
    let words = proven(CheckKind::Words, "imgforge");
    vec![proven(CheckKind::Validated, by), words]
}

/// How many leftovers an error shows.
const SHOWN: usize = 20;

/// What the recipe says about leftovers.
#[derive(Debug, Clone, Copy)]
pub struct LeftoverPolicy<'a> {
    /// What the scan knows about the image.
    pub subject: &'a Subject,
    /// What the recipe accepts.
    pub allow: &'a [Allow],
}

impl LeftoverPolicy<'_> {
    /// Refuses what nobody accepts.
    ///
    /// # Errors
    /// [`Kind::Gate`](crate::error::Kind::Gate) with the findings.
    pub fn judge(&self, report: ScanReport) -> Result<()> {
        let refused = scan::judge(report.findings, self.allow).refused;
        if refused.is_empty() {
            return Ok(());
        }
        let lines = refused.iter().take(SHOWN);
        let lines = lines.map(|found| format!("{}: {}: {}", found.rule, found.path, found.fix));
        Err(Error::gate(format!(
            "the artifact holds {} leftovers of its build",
            refused.len()
        ))
        .evidence(lines)
        .hint("`check: {allow: [{rule, path, reason}]}` accepts a leftover on purpose"))
    }
}

/// Lets an artifact pass only if its proof is about these very bytes, was made from the sealed
/// disk `sealed`, whose own gate has passed, and is complete.
///
/// # Errors
/// [`Kind::Gate`](crate::error::Kind::Gate) otherwise.
pub fn admit(path: &Path, proof: Option<&Proof>, sealed: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let refuse = |why: &str| {
        Err(Error::gate(format!("{name} has not passed its gate"))
            .cause(why.to_owned())
            .hint("`imgforge build NAME --from finish` makes and proves it again"))
    };
    let Some(proof) = proof else {
        return refuse("nothing was proven of it");
    };
    if proof.sealed != sealed {
        return refuse("it was made from another sealed disk than the one that is published");
    }
    if !proof.passed() {
        return refuse("not everything was proven that a gate asks for");
    }
    if digest::file_sha512(path)? != proof.sha512 {
        return refuse("the file is not the one of which it was proven");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_asks_for_all_its_parts() {
        let passed = |parts: &[CheckKind]| {
            let all = parts.iter().map(|part| proven(*part, "x")).collect();
            Proof::new("a", "b", all).passed()
        };
        assert!(passed(&[CheckKind::Validated, CheckKind::SameDisk]));
        assert!(passed(&[
            CheckKind::Validated,
            CheckKind::Scanned,
            CheckKind::Booted
        ]));
        for parts in [
            &[][..],
            &[CheckKind::Validated],
            &[CheckKind::SameDisk],
            &[CheckKind::Validated, CheckKind::Booted],
            &[CheckKind::Validated, CheckKind::Scanned],
        ] {
            assert!(!passed(parts), "{parts:?}");
        }
    }

    #[test]
    fn what_an_artifact_hides_from_the_scan_refuses_it() {
        let mut archive = tar::Builder::new(vec![]);
        let content = b"\x1f\x8b\x08 and nothing that decodes";
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        let appended = archive.append_data(&mut header, "opt/cut.gz", &content[..]);
        appended.unwrap();
        let archive = archive.into_inner().unwrap();
        let subject = Subject::default();
        let judged = |allow: &[Allow]| {
            let report = scan::tar(archive.as_slice(), &subject).unwrap();
            LeftoverPolicy {
                subject: &subject,
                allow,
            }
            .judge(report)
        };
        assert_eq!(judged(&[]).unwrap_err().kind().exit_code(), 4);
        let allow = Allow {
            rule: scan::NOT_SEARCHED.into(),
            path: Some("/opt/cut.gz".into()),
            reason: "a test's own".into(),
        };
        judged(&[allow]).unwrap();
    }

    #[test]
    fn only_the_proven_file_of_the_published_disk_is_admitted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-1.qcow2");
        std::fs::write(&path, "disk").unwrap();
        let sha512 = digest::file_sha512(&path).unwrap();
        let all = vec![
            proven(CheckKind::Validated, "qemu-img check"),
            proven(CheckKind::SameDisk, "qemu-img compare"),
        ];
        let proof = Proof::new(&sha512, "s", all);
        admit(&path, Some(&proof), "s").unwrap();
        let refused = |proof: Option<&Proof>, sealed: &str| {
            let error = admit(&path, proof, sealed).unwrap_err();
            assert_eq!(error.kind().exit_code(), 4);
            error.causes()[0].clone()
        };
        assert_eq!(refused(None, "s"), "nothing was proven of it");
        assert!(refused(Some(&proof), "t").contains("another sealed disk"));
        let half = Proof::new(&sha512, "s", vec![]);
        assert!(refused(Some(&half), "s").contains("not everything"));
        std::fs::write(&path, "other").unwrap();
        assert!(refused(Some(&proof), "s").contains("not the one"));
    }
}
