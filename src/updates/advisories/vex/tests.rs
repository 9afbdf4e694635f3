//! What documents say of which packages and images.

use super::*;
use crate::sbom::Kind;
use crate::severity::Severity;

/// Statements: vulnerability, status, time, products.
fn document(statements: &[(&str, &str, &str, Value)]) -> Vec<Vex> {
    let statements = statements.iter().map(|(name, status, timestamp, products)| {
        serde_json::json!({
            "vulnerability": {"name": name}, "status": status, "timestamp": timestamp, "products": products,
            "impact_statement": "it is not called",
        })
    });
    let document = serde_json::json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2025-01-01T00:00:00Z",
        "statements": statements.collect::<Vec<_>>(),
    });
    of_bytes(document.to_string().as_bytes(), now()).unwrap()
}

fn now() -> jiff::Timestamp {
    "2025-06-01T00:00:00Z".parse().unwrap()
}

#[test]
fn a_statement_has_a_product_a_reason_and_a_time_that_has_come() {
    let read = |statement: Value, timestamp: &str| {
        let mut whole = serde_json::json!({
            "vulnerability": {"name": "CVE-1"}, "status": "not_affected", "products": ["web"],
            "justification": "component_not_present",
        });
        let more = statement.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(more);
        let document = serde_json::json!({
            "@context": "https://openvex.dev/ns/v0.2.0", "timestamp": timestamp, "statements": [whole],
        });
        of_bytes(document.to_string().as_bytes(), now()).map(|_| ())
    };
    let (past, soon) = ("2025-01-01T00:00:00Z", "2025-06-01T10:00:00Z");
    for (statement, timestamp, why) in [
        (r#"{}"#, past, ""),
        (r#"{}"#, soon, ""),
        (
            r#"{"justification": "", "impact_statement": "it is not called"}"#,
            past,
            "",
        ),
        (r#"{"status": "fixed", "justification": ""}"#, past, ""),
        (r#"{"products": []}"#, past, "about CVE-1 names no product"),
        (
            r#"{"products": [], "status": "fixed"}"#,
            past,
            "about CVE-1 names no product",
        ),
        (r#"{"justification": ""}"#, past, "does not say why CVE-1"),
        (
            r#"{"justification": "", "impact_statement": " \n"}"#,
            past,
            "does not say why CVE-1",
        ),
        (
            r#"{"justification": "", "status_notes": "seen"}"#,
            past,
            "does not say why CVE-1",
        ),
        (
            r#"{"justification": "harmless"}"#,
            past,
            "`harmless` is no justification",
        ),
        (r#"{}"#, "2999-01-01T00:00:00Z", "which is yet to come"),
        (
            r#"{"timestamp": "2999-01-01T00:00:00Z"}"#,
            past,
            "which is yet to come",
        ),
        (
            r#"{"timestamp": "yesterday"}"#,
            past,
            "has the time `yesterday`",
        ),
        (r#"{}"#, "", "has the time ``"),
    ] {
        let said = read(serde_json::from_str(statement).unwrap(), timestamp);
        let said = said.err().unwrap_or_default();
        assert!(
            said.contains(why) && said.is_empty() == why.is_empty(),
            "{statement} {timestamp}: {said}"
        );
    }
}

/// Whether an advisory about openssl in the image `web` of Debian 12 is excused.
fn excused(vex: &[Vex], id: &str, aliases: &[&str]) -> bool {
    let package = Package {
        name: "libssl3".into(),
        version: "1:3.0.11-1".into(),
        arch: "amd64".into(),
        source: "openssl".into(),
        ..Package::default()
    };
    let contents = Packages {
        kind: Kind::Deb,
        distro: "debian".into(),
        release: "12.11".into(),
        packages: vec![],
        sources: vec![],
    };
    let advisory = Advisory {
        id: id.into(),
        aliases: aliases.iter().map(|&id| id.into()).collect(),
        severity: Severity::Unknown,
        published: None,
    };
    let about = About {
        contents: &contents,
        package: &package,
        source: ("openssl", "3.0.11-1"),
        image: "web",
    };
    excuse(vex, &advisory, &about).is_some()
}

#[test]
fn a_part_of_another_product_is_no_part_of_this_one() {
    let part = serde_json::json!([{"@id": "pkg:deb/debian/openssl"}]);
    for (product, is) in [
        ("pkg:oci/web", true),
        ("pkg:oci/web@sha256%3Aabc", false),
        ("pkg:generic/web@20250101", false),
        ("pkg:generic/shop", false),
        ("web", true),
    ] {
        let products = serde_json::json!([{"@id": product, "subcomponents": part}]);
        let vex = document(&[("CVE-1", "not_affected", "", products)]);
        assert_eq!(excused(&vex, "CVE-1", &[]), is, "{product}");
    }
}

#[test]
fn a_package_is_what_its_url_says() {
    for (purl, is) in [
        ("pkg:deb/debian/openssl", true),
        (
            "pkg:deb/debian/libssl3@1%3A3.0.11-1?arch=amd64&distro=debian-12",
            true,
        ),
        ("pkg:deb/debian/openssl@3.0.11-1?arch=source", true),
        ("pkg:deb/debian/libssl3@3.0.12-1", false),
        ("pkg:deb/debian/openssl?distro=debian-11", false),
        ("pkg:deb/debian/openssl?distro=bookworm", true),
        ("pkg:deb/debian/openssl?arch=arm64", false),
        ("pkg:deb/ubuntu/openssl", false),
        ("pkg:npm/openssl", false),
        ("pkg:generic/openssl", false),
    ] {
        let vex = document(&[("CVE-1", "fixed", "", serde_json::json!([{"@id": purl}]))]);
        assert_eq!(excused(&vex, "CVE-1", &[]), is, "{purl}");
    }
}

#[test]
fn the_last_statement_counts() {
    let all = serde_json::json!(["web"]);
    let (no, yes) = ("not_affected", "affected");
    let (first, then) = ("2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z");
    for (statements, is) in [
        ([(no, first), (yes, then)], false),
        ([(yes, then), (no, first)], false),
        ([(yes, first), (no, then)], true),
        ([(no, ""), ("under_investigation", "")], false),
    ] {
        let statements = statements.map(|(status, at)| ("CVE-1", status, at, all.clone()));
        assert_eq!(
            excused(&document(&statements), "CVE-1", &[]),
            is,
            "{statements:?}"
        );
    }
}

#[test]
fn an_advisory_about_several_vulnerabilities_is_excused_with_all_of_them() {
    let all = || serde_json::json!(["web"]);
    let one = document(&[("CVE-1", "not_affected", "", all())]);
    assert!(!excused(
        &one,
        "DSA-1-1",
        &["CVE-1", "CVE-2", "DEBIAN-CVE-1"]
    ));
    assert!(excused(&one, "DEBIAN-CVE-1", &["CVE-1"]));
    let both = [&one[..], &document(&[("CVE-2", "not_affected", "", all())])].concat();
    assert!(excused(&both, "DSA-1-1", &["CVE-1", "CVE-2"]));
    let itself = document(&[("DSA-1-1", "not_affected", "", all())]);
    assert!(excused(&itself, "DSA-1-1", &["CVE-1", "CVE-2"]));
}

#[test]
fn what_is_no_file_keeps_nobody_waiting() {
    use crate::recipe::config::AdvisoryFormat as Format;
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.json");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let of_vex = read(&pipe).unwrap_err();
    let of_advisories = [Format::Osv, Format::DebianTracker].map(|format| {
        let mut all = super::super::Advisories::default();
        all.read(format, &pipe, &Default::default()).unwrap_err()
    });
    for error in [of_vex].into_iter().chain(of_advisories) {
        assert!(error.render().contains("it is no file"), "{error}");
    }
}
