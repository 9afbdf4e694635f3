//! SBOM and provenance, judged by the ecosystem's own libraries.

use imgforge::git::RecipeCommit;
use imgforge::sbom::spdx;
use imgforge::stage::publish::provenance::{self, File as Subject, Provenance, Stage};
use imgforge::store::inputs::Inputs;

use super::*;

const VALIDATE: &str = "\
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
import json
text = sys.stdin.read()
problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
assert problem is None, problem
count = 0
for component in json.loads(text)['components']:
    purl = component.get('purl')
    if purl:
        count += 1
        assert PackageURL.from_string(purl).to_string() == purl, (purl, PackageURL.from_string(purl).to_string())
print('valid', count)
";

const STATEMENT: &str = "\
import sys, json
from google.protobuf import json_format
import in_toto_attestation.v1.statement_pb2 as pb
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
value = json.load(sys.stdin)
statement = json_format.ParseDict(value, pb.Statement())
Statement.copy_from_pb(statement).validate()
json_format.ParseDict(value['predicate'], provenance_pb2.Provenance())
print('valid', len(statement.subject))
";

#[test]
fn an_sbom_is_valid_cyclonedx_with_canonical_package_urls() {
    let world = World::new();
    let disk = world.disk("one");
    let deb = [
        package("libstdc++6", "12.2.0-14+b1", "gcc-12"),
        package("libssl3", "3.0.11-1~deb12u2", "openssl"),
        package("vim", "2:9.0.1378-2", ""),
    ];
    let rpm = [
        package("openssl-libs", "1:3.0.7-27.el9", "openssl"),
        package("bash", "5.1.8-9.el9", ""),
    ];
    for (kind, packages) in [(Kind::Deb, deb.as_slice()), (Kind::Rpm, rpm.as_slice())] {
        let subject = cyclonedx::Subject {
            name: "web-node",
            version: "0123456789ab",
            arch: "x86_64",
            sha512: &disk.sha512,
            created: 1_767_225_600,
        };
        let bill = cyclonedx::write(&subject, &contents(kind, packages));
        let said = python(VALIDATE).input(bill.to_string()).text().unwrap();
        assert_eq!(said, format!("valid {}", packages.len()));
    }
    let broken =
        json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "x"}]});
    assert!(
        python(VALIDATE).input(broken.to_string()).text().is_err(),
        "the validator can say no"
    );
}

/// Prints how many packages the bill has, after the validator of the format's own tools.
const SPDX_2: &str = "\
import sys, json
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
document = JsonLikeDictParser().parse(json.load(sys.stdin))
problems = validate_full_spdx_document(document)
assert not problems, [problem.validation_message for problem in problems]
print('valid', len(document.packages))
";

/// As above, by the classes that the project generates of its model: types, what is required, what is named.
const SPDX_3: &str = "\
import io, sys
from spdx_python_model.bindings import v3_0_1 as spdx
objects = spdx.SHACLObjectSet()
spdx.JSONLDDeserializer().read(sys.stdin.buffer, objects)
objects.link()
assert not objects.missing_ids, objects.missing_ids
spdx.JSONLDSerializer().write(objects, io.BytesIO())
print('valid', len(list(objects.foreach_type('software_Package'))))
";

#[test]
fn an_sbom_is_valid_spdx_of_both_versions_with_licences() {
    let licences = [
        "MIT",
        "(GPL-2.0-or-later OR Artistic-1.0-Perl) AND LicenseRef-public-domain",
        "GPL-3.0-or-later WITH GCC-exception-3.1 AND LicenseRef-GPL-2-or-later-with-OpenSSL-exception",
        "",
    ];
    let named = ["libstdc++6", "vim", "perl-base", "bash"];
    let packages = named.iter().zip(licences).map(|(name, licence)| Package {
        licence: licence.into(),
        ..package(name, "2:1.0-1~x+b1", "source")
    });
    let packages: Vec<Package> = packages.collect();
    let sha512 = "ab".repeat(64);
    let subject = cyclonedx::Subject {
        name: "web-node",
        version: "0123456789ab",
        arch: "x86_64",
        sha512: &sha512,
        created: 1_767_225_600,
    };
    for kind in [Kind::Deb, Kind::Rpm] {
        let contents = contents(kind, &packages);
        let (two, three) = (
            spdx::write(&subject, &contents),
            spdx::write_3(&subject, &contents),
        );
        assert_eq!(
            two.to_string(),
            spdx::write(&subject, &contents).to_string()
        );
        assert_eq!(
            three.to_string(),
            spdx::write_3(&subject, &contents).to_string()
        );
        for (script, bill) in [(SPDX_2, &two), (SPDX_3, &three)] {
            let said = python(script).input(bill.to_string()).text().unwrap();
            assert_eq!(said, "valid 5");
        }
        let bill = cyclonedx::write(&subject, &contents);
        let said = python(VALIDATE).input(bill.to_string()).text().unwrap();
        assert_eq!(said, "valid 4");
        let read = cyclonedx::read(bill.to_string().as_bytes()).unwrap();
        assert!(
            read.packages
                .iter()
                .all(|package| packages.contains(package))
        );
        let (mut two, mut three) = (two, three);
        two["packages"][1]["licenseDeclared"] = json!("LicenseRef-nobody-explains");
        three["@graph"][5]["nonsense"] = json!(1);
        for (script, bill) in [(SPDX_2, two), (SPDX_3, three)] {
            let said = python(script).input(bill.to_string()).text();
            assert!(said.is_err(), "the validator can say no");
        }
    }
    let none = spdx::write_3(&subject, &contents(Kind::Deb, &[]));
    let said = python(SPDX_3).input(none.to_string()).text().unwrap();
    assert_eq!(said, "valid 1");
}

#[test]
fn a_statement_is_what_in_toto_and_slsa_define() {
    let mut inputs = Inputs::new("install", 1);
    inputs.value("files/key.asc", "ab".repeat(32));
    let key = inputs.key().unwrap();
    let source = RecipeCommit {
        commit: "c".repeat(40),
        remote: Some("https://git.example.org/images.git".into()),
        dirty: false,
    };
    let statement = provenance::statement(&Provenance {
        subjects: vec![Subject {
            name: "web-node-1.xz".into(),
            sha512: "ab".repeat(64),
        }],
        byproducts: vec![Subject {
            name: "web-node-1.cdx.json".into(),
            sha512: "cd".repeat(64),
        }],
        image: "web-node",
        recipe: json!({"name": "web-node", "refresh": null}),
        stages: vec![Stage {
            image: "web-node",
            stage: "install",
            key: &key,
            inputs: &inputs,
            made: Some((1_767_225_600, 12.5)),
        }],
        source: Some(&source),
        base: None,
        builder: "https://ci.example.org/imgforge",
    });
    assert_eq!(
        python(STATEMENT)
            .input(statement.to_string())
            .text()
            .unwrap(),
        "valid 1"
    );
    let mut broken = statement;
    broken["predicate"]["runDetails"]["nonsense"] = json!(1);
    assert!(
        python(STATEMENT).input(broken.to_string()).text().is_err(),
        "the validator can say no"
    );
}

#[test]
fn a_statement_is_signed_by_the_repositorys_key_and_gpg_says_so() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    publish_with(&repository, &disk, |p| {
        p.companions = vec![Companion::bytes("web-node-1.provenance.json", "{}\n").signed()];
    })
    .unwrap();
    let file = repository
        .path()
        .join("images/web-node/1/web-node-1.provenance.json");
    let check = || {
        Program::new("gpgv")
            .arg("--keyring")
            .arg(repository.keyring())
            .arg(file.with_extension("json.asc"))
            .arg(&file)
            .run()
    };
    check().unwrap();
    std::fs::write(&file, "{} \n").unwrap();
    assert!(check().is_err());
}
