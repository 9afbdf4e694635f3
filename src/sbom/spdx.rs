//! The software bill of materials as SPDX 2.3, and as SPDX 3.0 in JSON-LD. Equal arguments give equal bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::cyclonedx::{Subject, serial, timestamp};
use super::{Contents, Package, licence};

/// What SPDX 2.3 has where nothing is known.
const UNKNOWN: &str = "NOASSERTION";

/// Version of the third specification.
const SPEC: &str = "3.0.1";

const TOOL: &str = concat!("imgforge-", env!("CARGO_PKG_VERSION"));

/// The bill as SPDX 2.3: <https://spdx.github.io/spdx-spec/v2.3/>.
pub fn write(subject: &Subject<'_>, contents: &Contents) -> Value {
    let image = json!({
        "SPDXID": "SPDXRef-image",
        "name": subject.name,
        "versionInfo": subject.version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "checksums": [{"algorithm": "SHA512", "checksumValue": subject.sha512}],
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "comment": contents.product,
    });
    let packages = named(contents);
    let listed = packages.iter().map(|(id, package, purl)| {
        let declared = match package.licence.as_str() {
            "" => UNKNOWN,
            licence => licence,
        };
        json!({
            "SPDXID": format!("SPDXRef-{id}"),
            "name": package.name,
            "versionInfo": package.version,
            "downloadLocation": UNKNOWN,
            "filesAnalyzed": false,
            "sourceInfo": source(contents, package),
            "licenseConcluded": UNKNOWN,
            "licenseDeclared": declared,
            "copyrightText": UNKNOWN,
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }],
        })
    });
    let describes = json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": "SPDXRef-image",
    });
    let contains = packages.iter().map(|(id, _, _)| {
        json!({
            "spdxElementId": "SPDXRef-image",
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": format!("SPDXRef-{id}"),
        })
    });
    let own = own_licences(contents).into_iter().map(|(id, names)| {
        json!({
            "licenseId": id,
            "name": id.trim_start_matches("LicenseRef-"),
            "extractedText": text_of(&names),
        })
    });
    let mut bill = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{}", subject.name, subject.version),
        "documentNamespace": base(subject),
        "creationInfo": {
            "created": timestamp(subject.created),
            "creators": [format!("Tool: {TOOL}")],
        },
        "packages": std::iter::once(image).chain(listed).collect::<Vec<_>>(),
        "relationships": std::iter::once(describes).chain(contains).collect::<Vec<_>>(),
    });
    let own: Vec<Value> = own.collect();
    if !own.is_empty() {
        bill["hasExtractedLicensingInfos"] = own.into();
    }
    bill
}

/// The bill as SPDX 3.0, in JSON-LD: <https://spdx.github.io/spdx-spec/v3.0.1/>.
pub fn write_3(subject: &Subject<'_>, contents: &Contents) -> Value {
    let base = base(subject);
    let id = |name: &str| format!("{base}#{name}");
    let element = |kind: &str, name: &str, more: Value| {
        let mut element = Map::new();
        element.insert("type".into(), kind.into());
        element.insert("spdxId".into(), id(name).into());
        element.insert("creationInfo".into(), "_:creation".into());
        if let Value::Object(more) = more {
            element.extend(more);
        }
        Value::Object(element)
    };
    let packages = named(contents);
    let mut elements = vec![element(
        "software_Package",
        "image",
        json!({
            "name": subject.name,
            "description": contents.product,
            "software_packageVersion": subject.version,
            "software_primaryPurpose": "diskImage",
            "verifiedUsing": [{"type": "Hash", "algorithm": "sha512", "hashValue": subject.sha512}],
        }),
    )];
    let mut licences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, package, purl) in &packages {
        elements.push(element(
            "software_Package",
            name,
            json!({
                "name": package.name,
                "software_packageVersion": package.version,
                "software_packageUrl": purl,
                "software_sourceInfo": source(contents, package),
            }),
        ));
        if !package.licence.is_empty() {
            licences.entry(&package.licence).or_default().push(id(name));
        }
    }
    let all: Vec<String> = packages.iter().map(|(name, _, _)| id(name)).collect();
    if !all.is_empty() {
        elements.push(element(
            "Relationship",
            "contains",
            json!({
                "from": id("image"),
                "relationshipType": "contains",
                "completeness": "noAssertion",
                "to": all,
            }),
        ));
    }
    for (own, names) in own_licences(contents) {
        elements.push(element(
            "simplelicensing_SimpleLicensingText",
            &own,
            json!({"name": own, "simplelicensing_licenseText": text_of(&names)}),
        ));
    }
    for (number, (expression, of)) in licences.iter().enumerate() {
        let own: BTreeSet<&str> = licence::references(expression).collect();
        let own = own
            .into_iter()
            .map(|name| json!({"type": "DictionaryEntry", "key": name, "value": id(name)}));
        let own: Vec<Value> = own.collect();
        let mut more = json!({"simplelicensing_licenseExpression": expression});
        if !own.is_empty() {
            more["simplelicensing_customIdToUri"] = own.into();
        }
        let name = format!("licence-{number}");
        elements.push(element("simplelicensing_LicenseExpression", &name, more));
        for (count, from) in of.iter().enumerate() {
            elements.push(element(
                "Relationship",
                &format!("{name}-of-{count}"),
                json!({
                    "from": from,
                    "relationshipType": "hasDeclaredLicense",
                    "to": [id(&name)],
                }),
            ));
        }
    }
    let ids: Vec<Value> = elements
        .iter()
        .map(|element| element["spdxId"].clone())
        .collect();
    let mut graph = vec![
        json!({
            "type": "CreationInfo",
            "@id": "_:creation",
            "specVersion": SPEC,
            "created": timestamp(subject.created),
            "createdBy": [id("imgforge")],
        }),
        element("SoftwareAgent", "imgforge", json!({"name": TOOL})),
        element(
            "SpdxDocument",
            "document",
            json!({
                "name": format!("{}-{}", subject.name, subject.version),
                "profileConformance": ["core", "software", "simpleLicensing"],
                "rootElement": [id("bill")],
                "element": [id("bill")],
            }),
        ),
        element(
            "software_Sbom",
            "bill",
            json!({
                "software_sbomType": ["analyzed"],
                "profileConformance": ["core", "software", "simpleLicensing"],
                "rootElement": [id("image")],
                "element": ids,
            }),
        ),
    ];
    graph.extend(elements);
    json!({
        "@context": format!("https://spdx.org/rdf/{SPEC}/spdx-context.jsonld"),
        "@graph": graph,
    })
}

/// What the document's names begin with; the same for the same bytes.
fn base(subject: &Subject<'_>) -> String {
    format!("urn:uuid:{}", serial(subject))
}

/// The packages, each with a name of its own and its package URL.
fn named(contents: &Contents) -> Vec<(String, &Package, String)> {
    let major = contents.major();
    let packages = contents.packages.iter().map(|package| {
        let purl = package.purl(contents.kind, &contents.distro, major);
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        };
        let name: String = package.name.chars().map(plain).collect();
        let hash = blake3::hash(purl.as_bytes()).to_hex();
        (format!("{name}-{}", &hash[..12]), package, purl)
    });
    packages.collect()
}

/// The source package, for people and scripts.
fn source(contents: &Contents, package: &Package) -> String {
    let (name, version) = package.source(contents.kind);
    format!("built from source package {name} {version}")
}

/// Licences that SPDX has no name for, and the packages that have them.
fn own_licences(contents: &Contents) -> BTreeMap<String, BTreeSet<&str>> {
    let mut all: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for package in &contents.packages {
        for own in licence::references(&package.licence) {
            all.entry(own.to_owned()).or_default().insert(&package.name);
        }
    }
    all
}

/// The text is in the image.
fn text_of(names: &BTreeSet<&str>) -> String {
    let names: Vec<&str> = names.iter().copied().collect();
    format!(
        "The text is in the image, with the packages {}.",
        names.join(", ")
    )
}
