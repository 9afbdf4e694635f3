//! The software bill of materials: CycloneDX 1.6 as JSON.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Contents, Kind, Package};

/// Version of the specification.
pub const SPEC: &str = "1.6";

/// Name of a property of the image: where its packages come from.
const SOURCE: &str = "imgforge:package-source";

/// The image that a bill is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The image's name.
    pub name: &'a str,
    /// `IMAGE_VERSION`.
    pub version: &'a str,
    /// Architecture in the kernel's spelling.
    pub arch: &'a str,
    /// SHA-512 of the published disk.
    pub sha512: &'a str,
    /// When the disk was sealed: seconds since 1970.
    pub created: u64,
}

/// Writes the bill. Equal arguments give equal bytes.
pub fn write(subject: &Subject<'_>, contents: &Contents) -> Value {
    let major = contents.major();
    let distro = json!({
        "type": "operating-system",
        "bom-ref": format!("os:{}", contents.distro),
        "name": contents.distro,
        "version": contents.release,
        "description": contents.product,
    });
    let packages = contents.packages.iter().map(|package| {
        let purl = package.purl(contents.kind, &contents.distro, major);
        let mut properties = vec![json!({"name": "imgforge:arch", "value": package.arch})];
        if !package.source.is_empty() {
            properties.push(json!({"name": "imgforge:source", "value": package.source}));
        }
        if !package.source_version.is_empty() {
            let value = &package.source_version;
            properties.push(json!({"name": "imgforge:source-version", "value": value}));
        }
        let mut component = json!({
            "type": "library",
            "bom-ref": purl,
            "name": package.name,
            "version": package.version,
            "purl": purl,
            "properties": properties,
        });
        if !package.licence.is_empty() {
            component["licenses"] = json!([{"expression": package.licence}]);
        }
        component
    });
    let root = format!("image:{}@{}", subject.name, subject.version);
    let arch = json!({"name": "imgforge:arch", "value": subject.arch});
    let sources = contents.sources.iter();
    let sources = sources.map(|line| json!({"name": SOURCE, "value": line}));
    json!({
        "$schema": format!("http://cyclonedx.org/schema/bom-{SPEC}.schema.json"),
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": format!("urn:uuid:{}", serial(subject)),
        "version": 1,
        "metadata": {
            "timestamp": timestamp(subject.created),
            "tools": {"components": [
                {"type": "application", "name": "imgforge", "version": env!("CARGO_PKG_VERSION")},
            ]},
            "component": {
                "type": "file",
                "bom-ref": root,
                "name": subject.name,
                "version": subject.version,
                "hashes": [{"alg": "SHA-512", "content": subject.sha512}],
                "properties": std::iter::once(arch).chain(sources).collect::<Vec<_>>(),
            },
        },
        "components": std::iter::once(distro).chain(packages).collect::<Vec<_>>(),
        "compositions": [{"aggregate": "unknown", "assemblies": [root]}],
    })
}

/// Seconds since 1970 as RFC 3339.
pub(crate) fn timestamp(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

/// The same for the same bytes.
pub(super) fn serial(subject: &Subject<'_>) -> uuid::Uuid {
    let text = format!("{} {} {}", subject.name, subject.version, subject.sha512);
    let hash = blake3::hash(text.as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// What a bill says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// Whose rules the versions follow.
    pub kind: Kind,
    /// The packages, sorted.
    pub packages: Vec<Package>,
    /// The distribution, such as `debian`; empty when unknown.
    pub distro: String,
    /// Its version.
    pub release: String,
    /// Where the packages come from, as lines of a `sources.list`; none in bills of an older imgforge.
    pub sources: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    component: About,
}

#[derive(Debug, Default, Deserialize)]
struct About {
    #[serde(default)]
    properties: Vec<Property>,
}

#[derive(Debug, Deserialize)]
struct Component {
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    purl: String,
    #[serde(default)]
    properties: Vec<Property>,
    #[serde(default)]
    licenses: Vec<Licence>,
}

#[derive(Debug, Default, Deserialize)]
struct Licence {
    #[serde(default)]
    expression: String,
}

#[derive(Debug, Deserialize)]
struct Property {
    name: String,
    #[serde(default)]
    value: String,
}

/// Reads a bill back.
///
/// # Errors
/// When it is no such JSON.
pub fn read(bytes: &[u8]) -> Result<Bill, serde_json::Error> {
    let written: Written = serde_json::from_slice(bytes)?;
    let sources = written.metadata.component.properties.into_iter();
    let sources = sources.filter(|property| property.name == SOURCE);
    let mut bill = Bill {
        kind: Kind::Generic,
        packages: Vec::with_capacity(written.components.len()),
        distro: String::new(),
        release: String::new(),
        sources: sources.map(|property| property.value).collect(),
    };
    for mut component in written.components {
        let Some(rest) = component.purl.strip_prefix("pkg:") else {
            if component.kind == "operating-system" {
                (bill.distro, bill.release) = (component.name, component.version);
            }
            continue;
        };
        bill.kind = Kind::of_format(rest.split('/').next().unwrap_or_default());
        let mut property = |name: &str| {
            let found = component
                .properties
                .iter_mut()
                .find(|property| property.name == name);
            found
                .map(|property| std::mem::take(&mut property.value))
                .unwrap_or_default()
        };
        let (arch, source) = (property("imgforge:arch"), property("imgforge:source"));
        let source_version = property("imgforge:source-version");
        let (name, version) = (component.name, component.version);
        bill.packages.push(Package {
            name,
            version,
            arch,
            source,
            source_version,
            licence: component
                .licenses
                .into_iter()
                .next()
                .unwrap_or_default()
                .expression,
        });
    }
    bill.packages.sort();
    Ok(bill)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_bill_reads_back_and_is_the_same_each_time() {
        let package = |name: &str, version: &str, source: &str| Package {
            name: name.into(),
            version: version.into(),
            arch: "amd64".into(),
            source: source.into(),
            ..Package::default()
        };
        let contents = Contents {
            kind: Kind::Deb,
            distro: "debian".into(),
            release: "12.11".into(),
            product: "Debian GNU/Linux 12 (bookworm)".into(),
            packages: vec![
                package("libssl3", "3.0.11-1~deb12u2", "openssl"),
                Package {
                    source_version: "1.203".into(),
                    licence: "Vim".into(),
                    ..package("vim", "2:9.0-2", "")
                },
            ],
            config: BTreeMap::new(),
            sources: vec!["deb http://a.example/debian bookworm main".into()],
        };
        let sha512 = "ab".repeat(64);
        let subject = Subject {
            name: "web-node",
            version: "0123456789ab",
            arch: "x86_64",
            sha512: &sha512,
            created: 1_767_225_600,
        };
        let bill = write(&subject, &contents);
        assert_eq!(bill, write(&subject, &contents));
        assert_eq!(bill["metadata"]["timestamp"], "2026-01-01T00:00:00Z");
        let bytes = serde_json::to_vec(&bill).unwrap();
        let read = read(&bytes).unwrap();
        assert_eq!((read.kind, read.packages), (Kind::Deb, contents.packages));
        assert_eq!(
            (read.distro, read.release),
            ("debian".into(), "12.11".into())
        );
        assert_eq!(read.sources, contents.sources);
    }
}
