//! Where an image came from: an in-toto statement with SLSA's provenance predicate, version 1.
//!
//! It is signed as everything in a repository is: a detached OpenPGP signature beside it, by the
//! repository's key. in-toto's own envelope (DSSE) has no agreed form for OpenPGP.

use serde_json::{Value, json};

use crate::digest::Key;
use crate::git::RecipeCommit;
use crate::pull::Pin;
use crate::sbom::cyclonedx::timestamp;
use crate::store::inputs::Inputs;

/// What `buildType` says: the meaning of the parameters below.
const BUILD_TYPE: &str = "urn:imgforge:recipe:v1";

/// A file with its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name beside the statement.
    pub name: String,
    /// Its SHA-512, in hex.
    pub sha512: String,
}

/// A stage that went into the image.
#[derive(Debug, Clone)]
pub struct Stage<'a> {
    /// The image that it belongs to.
    pub image: &'a str,
    /// Its name.
    pub stage: &'a str,
    /// The stage's key.
    pub key: &'a Key,
    /// What the key was made of.
    pub inputs: &'a Inputs,
    /// When its result was committed, seconds since 1970, and how many seconds it took.
    pub made: Option<(u64, f64)>,
}

/// What a statement is about.
#[derive(Debug, Clone)]
pub struct Provenance<'a> {
    /// The published files.
    pub subjects: Vec<File>,
    /// What was written about them: the SBOM, the package list.
    pub byproducts: Vec<File>,
    /// The image's name.
    pub image: &'a str,
    /// The recipe, resolved; it never has secrets.
    pub recipe: Value,
    /// Every stage, in order.
    pub stages: Vec<Stage<'a>>,
    /// The recipe repository's commit, if it has one.
    pub source: Option<&'a RecipeCommit>,
    /// The published image that it was built on.
    pub base: Option<&'a Pin>,
    /// Who built, as a URI.
    pub builder: &'a str,
}

/// Writes the statement. Equal arguments give equal bytes.
pub fn statement(provenance: &Provenance<'_>) -> Value {
    let Provenance {
        subjects,
        byproducts,
        image,
        recipe,
        stages,
        source,
        base,
        builder,
    } = provenance;
    let file = |file: &File| json!({"name": file.name, "digest": {"sha512": file.sha512}});
    let stage =
        |stage: &Stage<'_>| json!({"image": stage.image, "stage": stage.stage, "key": stage.key});
    let mut external = json!({"image": image, "recipe": recipe});
    if let Some(source) = source {
        external["source"] = json!({"uri": uri(source), "dirty": source.dirty});
    }
    let begun = stages.iter().filter_map(|stage| stage.made);
    let begun = begun
        .map(|(end, took)| end.saturating_sub(took.round() as u64))
        .min();
    let ended = stages
        .iter()
        .filter_map(|stage| stage.made)
        .map(|(end, _)| end)
        .max();
    let last = stages.last().map_or("", |stage| stage.key.as_str());
    let mut metadata = json!({"invocationId": last});
    for (name, at) in [("startedOn", begun), ("finishedOn", ended)] {
        if let Some(at) = at {
            metadata[name] = timestamp(at).into();
        }
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.iter().map(file).collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": external,
                "internalParameters": {"stages": stages.iter().map(stage).collect::<Vec<_>>()},
                "resolvedDependencies": dependencies(stages, *source, *base),
            },
            "runDetails": {
                "builder": {"id": builder, "version": {"imgforge": env!("CARGO_PKG_VERSION")}},
                "metadata": metadata,
                "byproducts": byproducts.iter().map(file).collect::<Vec<_>>(),
            },
        },
    })
}

fn uri(source: &RecipeCommit) -> String {
    match &source.remote {
        Some(remote) => format!("git+{remote}"),
        None => "urn:imgforge:recipes".into(),
    }
}

/// The commit, the published image below, and every file that a stage read.
fn dependencies(
    stages: &[Stage<'_>],
    source: Option<&RecipeCommit>,
    base: Option<&Pin>,
) -> Vec<Value> {
    let mut all = Vec::new();
    if let Some(source) = source {
        // A changed working copy is not what the commit names.
        let name = if source.dirty {
            "recipes, changed since"
        } else {
            "recipes"
        };
        all.push(json!({
            "name": name,
            "uri": uri(source),
            "digest": {"gitCommit": source.commit},
        }));
    }
    if let Some(pin) = base {
        all.push(json!({
            "name": format!("{} revision {}", pin.named, pin.image.revision),
            "uri": pin.image.url.to_string(),
            "digest": {"sha512": pin.image.sha512},
        }));
    }
    for stage in stages {
        // Other stages' keys are there already.
        let files = stage
            .inputs
            .digests()
            .filter(|(name, _)| !name.starts_with("the "));
        for (name, digest) in files {
            let entry = json!({"name": format!("{} {} {name}", stage.image, stage.stage), "digest": digest_of(name, digest)});
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
    }
    all
}

/// Recipes name checksums of what they fetch; files were hashed by us.
fn digest_of(name: &str, digest: &str) -> Value {
    if name.ends_with("sha256") {
        json!({"sha256": digest})
    } else {
        json!({"blake3": digest})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::without_credentials;

    #[test]
    fn the_statement_names_subjects_stages_and_inputs() {
        let mut inputs = Inputs::new("install", 1);
        inputs.value("install.import.sha256", "ab".repeat(32));
        inputs.value("name", "web-node");
        let key = inputs.key().unwrap();
        let source = RecipeCommit {
            commit: "c".repeat(40),
            remote: Some(without_credentials(
                "https://me:token@git.example.org/images.git",
            )),
            dirty: false,
        };
        let value = statement(&Provenance {
            subjects: vec![File {
                name: "web-node-1.xz".into(),
                sha512: "aa".into(),
            }],
            byproducts: vec![],
            image: "web-node",
            recipe: json!({"name": "web-node"}),
            stages: vec![Stage {
                image: "web-node",
                stage: "install",
                key: &key,
                inputs: &inputs,
                made: Some((1_767_225_600, 60.0)),
            }],
            source: Some(&source),
            base: None,
            builder: "urn:imgforge:builder",
        });
        assert!(!value.to_string().contains("token"), "{value}");
        insta::assert_snapshot!(
            serde_json::to_string_pretty(&value["predicate"]["buildDefinition"]["resolvedDependencies"]).unwrap(),
            @r#"
        [
          {
            "name": "recipes",
            "uri": "git+https://git.example.org/images.git",
            "digest": {
              "gitCommit": "cccccccccccccccccccccccccccccccccccccccc"
            }
          },
          {
            "name": "web-node install install.import.sha256",
            "digest": {
              "sha256": "abababababababababababababababababababababababababababababababab"
            }
          }
        ]
        "#
        );
        assert_eq!(
            value["predicate"]["runDetails"]["metadata"]["startedOn"],
            "2025-12-31T23:59:00Z"
        );
        assert_eq!(value["subject"][0]["digest"]["sha512"], "aa");
    }
}
