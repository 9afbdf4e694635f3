//! What is published beside the disk: its package list, SBOM, configuration files and provenance,
//! and the artifacts of its targets.

use serde_json::{Value, json};

use super::Request;
use super::provenance::{self, File, Provenance, Stage};
use crate::address;
use crate::blame;
use crate::error::Result;
use crate::git::RecipeCommit;
use crate::repository::Companion;
use crate::sbom::{Contents, cyclonedx, spdx};
use crate::stage::{Artifact, OfSealed as _};
use crate::sysprep::Declared;
use crate::targets::gate;

/// Who builds, where imgforge.yaml does not say.
const BUILDER: &str = "urn:imgforge:builder";

/// Makes the companions of a publication. Equal requests give equal bytes. `source` is the recipe
/// repository's commit.
///
/// # Errors
/// When an artifact cannot be read, or has not passed its gate.
pub(super) fn of(request: &Request<'_>, source: Option<&RecipeCommit>) -> Result<Vec<Companion>> {
    let packed = request.packed.facts();
    let stem = format!("{}-{}", request.plan.name(), request.plan.version());
    let mut companions = Vec::new();
    let mut subjects = vec![File {
        name: format!("{stem}.xz"),
        sha512: packed.sha512.clone(),
    }];
    for Artifact { path, record } in request.artifacts {
        gate::admit(path, record.proof.as_ref(), packed.sealed())?;
        let name = record.file.clone();
        subjects.push(File {
            name: name.clone(),
            sha512: record.sha512.clone(),
        });
        companions.push(Companion::file(name, path.clone()).about(record.about.words()));
    }
    let mut byproducts = Vec::new();
    let declared =
        declared(&request.sealed.facts().declared).map(|bytes| (Declared::SUFFIX, bytes));
    for (end, bytes) in described(request).into_iter().chain(declared) {
        let name = format!("{stem}{end}");
        byproducts.push(File {
            name: name.clone(),
            sha512: sha512(&bytes),
        });
        companions.push(Companion::bytes(name, bytes));
    }
    let statement = statement(request, source, subjects, byproducts);
    let bytes = format!("{statement:#}\n");
    companions.push(Companion::bytes(format!("{stem}.provenance.json"), bytes).signed());
    Ok(companions)
}

/// What the image has on purpose, for those who build on it.
fn declared(declared: &Declared) -> Option<Vec<u8>> {
    (*declared != Declared::default()).then(|| format!("{:#}\n", json!(declared)).into_bytes())
}

/// The SBOM and the lists, by the end of their names; none of a disk that an older imgforge sealed.
fn described(request: &Request<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let (plan, sealed) = (request.plan, request.sealed.entry());
    let Some(contents) = Contents::read(sealed.path()) else {
        return vec![];
    };
    let subject = cyclonedx::Subject {
        name: plan.name(),
        version: plan.version(),
        arch: plan.resolved.recipe.machine.arch.as_str(),
        sha512: &request.packed.facts().sha512,
        created: sealed.meta().created,
    };
    let bytes = |bill: Value| format!("{bill:#}\n").into_bytes();
    let mut described = vec![
        (".cdx.json", bytes(cyclonedx::write(&subject, &contents))),
        (".spdx.json", bytes(spdx::write(&subject, &contents))),
        (".spdx3.json", bytes(spdx::write_3(&subject, &contents))),
        (".packages", contents.package_list().into_bytes()),
        (".config.sha256", contents.config_list().into_bytes()),
    ];
    let files = std::fs::read(sealed.path().join(blame::FILE));
    described.extend(files.ok().map(|files| (blame::SUFFIX, files)));
    described
}

fn statement(
    request: &Request<'_>,
    source: Option<&RecipeCommit>,
    subjects: Vec<File>,
    byproducts: Vec<File>,
) -> Value {
    let plan = request.plan;
    let all = plan.all();
    let stages = all.iter().map(|planned| {
        let entry = request.store.entry(&planned.key);
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
        image: plan.name(),
        recipe: json!(plan.resolved.recipe),
        stages: stages.collect(),
        source,
        base: plan.pinned(),
        builder: request.config.builder.as_deref().unwrap_or(BUILDER),
    });
    address::hide_all(&mut statement);
    statement
}

fn sha512(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha512::digest(bytes))
}
