//! What is published beside the disk: its package list, SBOM, configuration files and provenance,
//! and the artifacts of its targets.

use serde_json::{Value, json};

use super::provenance::{self, File, Provenance, Stage};
use crate::address;
use crate::error::Result;
use crate::git::RecipeCommit;
use crate::repository::Companion;
use crate::sbom::{Contents, cyclonedx};
use crate::stage::pack::Packed;
use crate::stage::plan::Plan;
use crate::stage::seal::Sealed;
use crate::stage::{Artifact, OfSealed as _};
use crate::store::{Layer, Store};
use crate::sysprep::Declared;
use crate::targets::gate;

/// Who builds, where imgforge.yaml does not say.
const BUILDER: &str = "urn:imgforge:builder";

/// What the companions are made of.
#[derive(Debug)]
pub(super) struct Material<'a> {
    /// What the image was made by.
    pub(super) plan: &'a Plan,
    /// The sealed disk.
    pub(super) sealed: &'a Layer<Sealed>,
    /// The compressed one.
    pub(super) packed: &'a Packed,
    /// What was made of it for targets.
    pub(super) artifacts: &'a [Artifact],
    /// Where the stages' results are.
    pub(super) store: &'a Store,
    /// The recipe repository's commit.
    pub(super) source: Option<&'a RecipeCommit>,
    /// Who builds, as a URI.
    pub(super) builder: Option<&'a str>,
    /// Architecture in the kernel's spelling.
    pub(super) arch: &'a str,
}

/// Makes the companions of a publication. Equal material gives equal bytes.
///
/// # Errors
/// When an artifact cannot be read, or has not passed its gate.
pub(super) fn of(material: &Material<'_>) -> Result<Vec<Companion>> {
    let packed = material.packed;
    let stem = format!("{}-{}", material.plan.image(), material.plan.version());
    let mut companions = Vec::new();
    let mut subjects = vec![File {
        name: format!("{stem}.xz"),
        sha512: packed.sha512.clone(),
    }];
    for artifact in material.artifacts {
        gate::admit(&artifact.path, artifact.proof.as_ref(), packed.sealed())?;
        let name = artifact.name.clone();
        subjects.push(File {
            name: name.clone(),
            sha512: artifact.sha512.clone(),
        });
        companions.push(Companion::file(name, artifact.path.clone()).about(artifact.about.clone()));
    }
    let mut byproducts = Vec::new();
    let declared =
        declared(&material.sealed.facts().declared).map(|bytes| (Declared::SUFFIX, bytes));
    for (end, bytes) in described(material).into_iter().chain(declared) {
        let name = format!("{stem}{end}");
        byproducts.push(File {
            name: name.clone(),
            sha512: sha512(&bytes),
        });
        companions.push(Companion::bytes(name, bytes));
    }
    let statement = statement(material, subjects, byproducts);
    let bytes = format!("{statement:#}\n");
    companions.push(Companion::bytes(format!("{stem}.provenance.json"), bytes).signed());
    Ok(companions)
}

/// What the image has on purpose, for those who build on it.
fn declared(declared: &Declared) -> Option<Vec<u8>> {
    (*declared != Declared::default()).then(|| format!("{:#}\n", json!(declared)).into_bytes())
}

/// The SBOM and the lists, by the end of their names; none of a disk that an older imgforge sealed.
fn described(material: &Material<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let sealed = material.sealed.entry();
    let Some(contents) = Contents::read(sealed.path()) else {
        return vec![];
    };
    let bill = cyclonedx::write(
        &cyclonedx::Subject {
            name: material.plan.image(),
            version: material.plan.version(),
            arch: material.arch,
            sha512: &material.packed.sha512,
            created: sealed.meta().created,
        },
        &contents,
    );
    vec![
        (".cdx.json", format!("{bill:#}\n").into_bytes()),
        (".packages", contents.package_list().into_bytes()),
        (".config.sha256", contents.config_list().into_bytes()),
    ]
}

fn statement(material: &Material<'_>, subjects: Vec<File>, byproducts: Vec<File>) -> Value {
    let plan = material.plan;
    let all = plan.all();
    let stages = all.iter().map(|planned| {
        let entry = material.store.entry(&planned.key);
        Stage {
            image: &planned.image,
            stage: &planned.label,
            key: &planned.key,
            inputs: &planned.inputs,
            made: entry.map(|entry| (entry.meta().created, entry.meta().took)),
        }
    });
    let mut statement = provenance::statement(&Provenance {
        subjects,
        byproducts,
        image: plan.image(),
        recipe: json!(plan.resolved.recipe),
        stages: stages.collect(),
        source: material.source,
        base: plan.pinned(),
        builder: material.builder.unwrap_or(BUILDER),
    });
    address::hide_all(&mut statement);
    statement
}

fn sha512(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha512::digest(bytes))
}
