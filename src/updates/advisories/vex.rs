//! Which vulnerabilities do not apply, and why: OpenVEX, <https://github.com/openvex/spec>.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Advisory, Package};
use crate::error::{Error, Result};

/// The largest document, in bytes.
const LARGEST: u64 = 64 << 20;

/// Why an advisory does not apply.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Excuse {
    /// `not_affected` or `fixed`.
    pub status: String,
    /// OpenVEX' word for the reason; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub justification: String,
    /// The reason for people; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
}

/// A statement of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vex {
    names: Vec<String>,
    /// Package URLs or names of images; none for all.
    products: Vec<String>,
    excuse: Excuse,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@context")]
    context: String,
    statements: Vec<Statement>,
}

#[derive(Deserialize)]
struct Statement {
    vulnerability: Value,
    #[serde(default)]
    products: Vec<Value>,
    status: String,
    #[serde(default)]
    justification: String,
    #[serde(default)]
    impact_statement: String,
    #[serde(default)]
    status_notes: String,
}

/// What a document has that says that something does not apply.
///
/// # Errors
/// When it cannot be read or is no OpenVEX, or a statement without a reason says so.
pub fn read(path: &Path) -> Result<Vec<Vex>> {
    let wrong = |cause: String| {
        Error::usage(format!("{} is no OpenVEX document", path.display()))
            .cause(cause)
            .hint("`vex:` in imgforge.yaml names it; `vexctl` makes such documents")
    };
    let size = path
        .metadata()
        .map_err(|cause| wrong(cause.to_string()))?
        .len();
    if size > LARGEST {
        return Err(wrong(format!("it has {size} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|cause| wrong(cause.to_string()))?;
    let document: Document =
        serde_json::from_slice(&bytes).map_err(|cause| wrong(cause.to_string()))?;
    if !document.context.starts_with("https://openvex.dev/ns") {
        return Err(wrong(format!("its context is `{}`", document.context)));
    }
    let mut all = vec![];
    for statement in document.statements {
        if !matches!(statement.status.as_str(), "not_affected" | "fixed") {
            continue;
        }
        let names = names(&statement.vulnerability);
        let reason = [&statement.impact_statement, &statement.status_notes];
        let reason = reason.into_iter().find(|text| !text.is_empty());
        if statement.status == "not_affected"
            && statement.justification.is_empty()
            && reason.is_none()
        {
            let name = names.first().cloned().unwrap_or_default();
            return Err(wrong(format!("it does not say why {name} does not apply")));
        }
        all.push(Vex {
            products: statement.products.iter().flat_map(products).collect(),
            names,
            excuse: Excuse {
                status: statement.status,
                justification: statement.justification,
                statement: reason.cloned().unwrap_or_default(),
            },
        });
    }
    Ok(all)
}

fn names(vulnerability: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut all: Vec<String> = text(vulnerability).into_iter().collect();
    all.extend(
        ["name", "@id"]
            .iter()
            .filter_map(|key| text(vulnerability.get(key)?)),
    );
    let aliases = vulnerability.get("aliases").and_then(Value::as_array);
    all.extend(aliases.into_iter().flatten().filter_map(text));
    all
}

/// A product's identifiers; with subcomponents it is about those.
fn products(product: &Value) -> Vec<String> {
    let id = |value: &Value| {
        let id = value.as_str().or_else(|| value.get("@id")?.as_str());
        let purl = || value.get("identifiers")?.get("purl")?.as_str();
        id.or_else(purl).map(str::to_owned)
    };
    let parts = product.get("subcomponents").and_then(Value::as_array);
    let parts: Vec<String> = parts.into_iter().flatten().filter_map(id).collect();
    match parts.is_empty() {
        true => id(product).into_iter().collect(),
        false => parts,
    }
}

/// The first statement that excuses a package of an image from an advisory.
pub(super) fn excuse(
    all: &[Vex],
    advisory: &Advisory,
    package: &Package,
    source: &str,
    image: &str,
) -> Option<Excuse> {
    let same = |vex: &&Vex| {
        let is = |name: &String| *name == advisory.id || advisory.aliases.contains(name);
        vex.names.iter().any(is)
    };
    let about = |vex: &&Vex| {
        let is = |product: &String| is_product(product, package, source, image);
        vex.products.is_empty() || vex.products.iter().any(is)
    };
    let found = all.iter().filter(same).find(about);
    found.map(|vex| vex.excuse.clone())
}

/// Whether a package URL is that of the package, of its source, or of the image.
fn is_product(product: &str, package: &Package, source: &str, image: &str) -> bool {
    let Some(purl) = product.strip_prefix("pkg:") else {
        return product == image;
    };
    let path = purl.split(['?', '#']).next().unwrap_or_default();
    let (path, version) = match path.rsplit_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (path, None),
    };
    let plain = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text);
        bytes.decode_utf8_lossy().into_owned()
    };
    let name = plain(path.rsplit('/').next().unwrap_or_default());
    let kind = path.split('/').next().unwrap_or_default();
    if matches!(kind, "generic" | "oci" | "docker") {
        return name == image;
    }
    let fits = |version: &str| {
        let version = plain(version);
        let epochless = package.version.split_once(':').map_or("", |(_, rest)| rest);
        version == package.version || version == epochless
    };
    (name == package.name || name == source) && version.is_none_or(fits)
}
