//! Which vulnerabilities do not apply, and why: OpenVEX, <https://github.com/openvex/spec>.

use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Advisory, Packages, is_cve};
use crate::error::{Error, Result};
use crate::host::opened;
use crate::sbom::Package;

/// The largest document, in bytes.
const LARGEST: u64 = 64 << 20;

/// OpenVEX' words for the reason why something is not affected.
const JUSTIFICATIONS: [&str; 5] = [
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
];

/// How far the clock of an author may be ahead, in seconds.
const AHEAD: i64 = 86_400;

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
    products: Vec<Product>,
    /// Why it does not apply; none where the statement says that it does, or may.
    excuse: Option<Excuse>,
    /// When it was made; of two the later one counts.
    at: jiff::Timestamp,
}

/// An image or a package, by any of its identifiers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Product {
    ids: Vec<String>,
    /// Packages in it; none for all of it.
    parts: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@context")]
    context: String,
    timestamp: String,
    statements: Vec<Statement>,
}

#[derive(Deserialize)]
struct Statement {
    vulnerability: Value,
    #[serde(default)]
    products: Vec<Value>,
    #[serde(default)]
    subcomponents: Vec<Value>,
    #[serde(default)]
    timestamp: String,
    status: String,
    #[serde(default)]
    justification: String,
    #[serde(default)]
    impact_statement: String,
    #[serde(default)]
    status_notes: String,
}

/// The statements of a document.
///
/// # Errors
/// When it cannot be read or is no OpenVEX, or a statement names no product, says without a reason that
/// something is not affected, or is of a day that is yet to come.
pub fn read(path: &Path) -> Result<Vec<Vex>> {
    let wrong = |cause: String| {
        Error::usage(format!("{} is no OpenVEX document", path.display()))
            .cause(cause)
            .hint("`vex:` in imgforge.yaml names it; `vexctl` makes such documents")
    };
    let mut bytes = vec![];
    opened::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|cause| wrong(cause.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(format!("it has more than {} MiB", LARGEST >> 20)));
    }
    of_bytes(&bytes, jiff::Timestamp::now()).map_err(wrong)
}

/// As [`read`] at the time `now`, with the error as a sentence.
pub fn of_bytes(bytes: &[u8], now: jiff::Timestamp) -> Result<Vec<Vex>, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
    if !document.context.starts_with("https://openvex.dev/ns") {
        return Err(format!("its context is `{}`", document.context));
    }
    let mut all = vec![];
    for statement in document.statements {
        let names = names(&statement.vulnerability);
        let name = names.first().cloned().unwrap_or_default();
        let said = [&statement.impact_statement, &statement.status_notes];
        let said = said.into_iter().find(|text| !text.trim().is_empty());
        let applies = match statement.status.as_str() {
            "not_affected" | "fixed" => false,
            "affected" | "under_investigation" => true,
            other => return Err(format!("`{other}` is no status")),
        };
        if statement.status == "not_affected" {
            justified(&statement, &name)?;
        }
        if statement.products.is_empty() {
            return Err(format!(
                "its statement about {name} names no product: write \
                 `\"products\": [{{\"@id\": \"pkg:generic/IMAGE\"}}]`, or a package's URL"
            ));
        }
        let parts: Vec<Vec<String>> = statement.subcomponents.iter().map(ids).collect();
        let at = match statement.timestamp.as_str() {
            "" => time(&document.timestamp, now),
            own => time(own, now),
        };
        let at = at.map_err(|why| format!("its statement about {name} {why}"))?;
        let excuse = Excuse {
            statement: said.cloned().unwrap_or_default(),
            status: statement.status,
            justification: statement.justification,
        };
        all.push(Vex {
            products: statement
                .products
                .iter()
                .map(|value| product(value, &parts))
                .collect(),
            names,
            excuse: (!applies).then_some(excuse),
            at,
        });
    }
    Ok(all)
}

/// Refuses what is not affected for no reason, or for one that is none.
fn justified(statement: &Statement, name: &str) -> Result<(), String> {
    let word = statement.justification.as_str();
    let all = JUSTIFICATIONS.join(", ");
    match word {
        "" if statement.impact_statement.trim().is_empty() => Err(format!(
            "it does not say why {name} does not apply: write `justification`, one of {all}, or \
             `impact_statement`"
        )),
        "" => Ok(()),
        word if JUSTIFICATIONS.contains(&word) => Ok(()),
        word => Err(format!(
            "`{word}` is no justification for {name}: write one of {all}"
        )),
    }
}

/// When a statement was made; none of the future counts more than all others.
fn time(text: &str, now: jiff::Timestamp) -> Result<jiff::Timestamp, String> {
    let at: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("has the time `{text}`, which is none"))?;
    match at.as_second() > now.as_second() + AHEAD {
        true => Err(format!("is of {text}, which is yet to come")),
        false => Ok(at),
    }
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

/// The identifiers of a product, or of a part of it.
fn ids(value: &Value) -> Vec<String> {
    let id = value.as_str().or_else(|| value.get("@id")?.as_str());
    let purl = || value.get("identifiers")?.get("purl")?.as_str();
    let all = id.into_iter().chain(purl());
    all.map(str::to_owned).collect()
}

fn product(value: &Value, parts: &[Vec<String>]) -> Product {
    let own = value.get("subcomponents").and_then(Value::as_array);
    let own = own.into_iter().flatten().map(ids);
    Product {
        ids: ids(value),
        parts: own.chain(parts.iter().cloned()).collect(),
    }
}

/// What an advisory was found to be about.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) contents: &'a Packages,
    pub(super) package: &'a Package,
    /// Name and version of its source package.
    pub(super) source: (&'a str, &'a str),
    pub(super) image: &'a str,
}

/// Why an advisory does not apply: by the last statement about it and this package of this image. One about
/// several vulnerabilities applies as long as one of them does.
pub(super) fn excuse(all: &[Vex], advisory: &Advisory, about: &About<'_>) -> Option<Excuse> {
    let last = |is: &dyn Fn(&str) -> bool| {
        let named = all
            .iter()
            .filter(|vex| vex.names.iter().any(|name| is(name)));
        let mut last: Option<&Vex> = None;
        for vex in named.filter(|vex| vex.is_about(about)) {
            if last.is_none_or(|last| last.at <= vex.at) {
                last = Some(vex);
            }
        }
        last?.excuse.clone()
    };
    let ids = || std::iter::once(&advisory.id).chain(&advisory.aliases);
    let cves: Vec<&String> = ids().filter(|id| is_cve(id)).collect();
    if cves.len() < 2 {
        return last(&|name| ids().any(|id| id == name));
    }
    last(&|name| name == advisory.id).or_else(|| {
        let each = cves.iter().map(|cve| last(&|name| name == *cve));
        each.collect::<Option<Vec<Excuse>>>()?.into_iter().next()
    })
}

impl Vex {
    fn is_about(&self, about: &About<'_>) -> bool {
        let is = |ids: &Vec<String>| ids.iter().any(|id| is_product(id, about));
        let fits = |product: &Product| {
            is(&product.ids) && (product.parts.is_empty() || product.parts.iter().any(is))
        };
        self.products.iter().any(fits)
    }
}

/// Whether an identifier is that of the package, of its source, or of the image.
fn is_product(id: &str, about: &About<'_>) -> bool {
    let About {
        contents,
        package,
        source: (source, source_version),
        image,
    } = *about;
    let Some(purl) = id.strip_prefix("pkg:") else {
        return id == image;
    };
    let (purl, _) = purl.split_once('#').unwrap_or((purl, ""));
    let (path, qualifiers) = purl.split_once('?').unwrap_or((purl, ""));
    let (path, version) = match path.rsplit_once('@') {
        Some((path, version)) => (path, Some(version)),
        None => (path, None),
    };
    let plain = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text);
        bytes.decode_utf8_lossy().into_owned()
    };
    let mut words = path.split('/').filter(|word| !word.is_empty());
    let kind = words.next().unwrap_or_default();
    let name = plain(words.next_back().unwrap_or_default());
    if matches!(kind, "generic" | "oci" | "docker") && name == image {
        // One build of it says nothing of the others: what was mended there is not mended here.
        return version.is_none();
    }
    if kind != contents.kind.name() || (name != package.name && name != source) {
        return false;
    }
    // `alpine` and `alpinelinux`, `rocky` and `rocky-linux`.
    let distro = contents.distro.as_str();
    let namespace = words.next().map(&plain).unwrap_or_default();
    if !namespace.starts_with(distro) && !distro.starts_with(&*namespace) {
        return false;
    }
    let epochless = |version: &str| version.split_once(':').map(|(_, rest)| rest.to_owned());
    let fits = |version: &str| {
        let version = plain(version);
        let own = [package.version.as_str(), source_version];
        own.iter()
            .any(|own| version == *own || epochless(own).as_ref() == Some(&version))
    };
    let major = contents.release.split('.').next().unwrap_or_default();
    let qualified = qualifiers.split('&').filter_map(|it| it.split_once('='));
    let qualified = qualified
        .into_iter()
        .all(|(key, value)| match (key, plain(value)) {
            ("arch", arch) => matches!(&*arch, "source" | "src") || arch == package.arch,
            // `debian-12`; a code name says nothing here.
            ("distro", value) => match value
                .strip_prefix(distro)
                .and_then(|it| it.strip_prefix('-'))
            {
                Some(number) => number.split('.').next() == Some(major),
                None => true,
            },
            _ => true,
        });
    qualified && version.is_none_or(fits)
}

#[cfg(test)]
mod tests;
