#!/bin/bash
# lib4sbom reads one of two components of a CycloneDX document that have name and version in common, and drops the other
#
# Seen with: lib4sbom 0.10.4 (the newest release).
# Behaviour: a component of a CycloneDX bill of materials is told by its bom-ref, which is unique in it, and its purl
#   ("Components" in the reference of CycloneDX 1.5); a Debian system with a foreign architecture has each library
#   twice in one version. For lib4sbom, on which sbomdiff, sbomaudit, sbom2doc and others stand, name and version are
#   the key of a CycloneDX document: the last one replaces those before it, also where the purls are of two systems
#   of packages. Of the same list in SPDX it keeps all. What it writes of what it has read lacks the package, too;
#   nothing is raised or logged.
# Output seen: "SPDX: i386 amd64, written as CycloneDX: 2", "CycloneDX: amd64, written as CycloneDX: 1".
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install lib4sbom==0.10.4
cat >probe.py <<'PY'
import json

from lib4sbom.generator import SBOMGenerator
from lib4sbom.parser import SBOMParser


def purl(arch):
    return f"pkg:deb/debian/libc6@2.36-9?arch={arch}"


def cyclonedx(archs):
    components = [
        {"type": "library", "bom-ref": purl(arch), "name": "libc6", "version": "2.36-9", "purl": purl(arch)}
        for arch in archs
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}


def spdx(archs):
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "image",
        "documentNamespace": "https://example.org/image",
        "creationInfo": {"created": "2026-01-01T00:00:00Z", "creators": ["Tool: example"]},
        "packages": [],
        "relationships": [],
    }
    for arch in archs:
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(arch)}
        package = {
            "SPDXID": f"SPDXRef-{arch}",
            "name": "libc6",
            "versionInfo": "2.36-9",
            "downloadLocation": "NOASSERTION",
            "externalRefs": [reference],
        }
        document["packages"].append(package)
        described = {"relatedSpdxElement": package["SPDXID"], "relationshipType": "DESCRIBES"}
        document["relationships"].append({"spdxElementId": "SPDXRef-DOCUMENT", **described})
    return document


ARCHS = ("i386", "amd64")
for name, document in (("SPDX", spdx(ARCHS)), ("CycloneDX", cyclonedx(ARCHS))):
    with open(f"{name}.json", "w") as file:
        json.dump(document, file)
    parser = SBOMParser()
    parser.parse_file(f"{name}.json")
    purls = [reference[2] for package in parser.get_packages() for reference in package["externalreference"]]
    generator = SBOMGenerator(sbom_type="cyclonedx", format="json")
    generator.generate("image", parser.get_sbom(), send_to_output=False)
    written = len(generator.get_sbom()["components"])
    print(f"{name}:", *(one.partition("arch=")[2] for one in purls), end="")
    print(f", written as CycloneDX: {written}")
PY
python/bin/python probe.py | tee said
printf '%s\n' 'SPDX: i386 amd64, written as CycloneDX: 2' 'CycloneDX: amd64, written as CycloneDX: 1' | cmp - said ||
  { echo "that has changed"; exit 1; }
