#!/bin/bash
# spdx-tools reads "GPL-2.0-only AND (MIT OR Apache-2.0)" from RDF as a choice that does without the GPL
#
# Seen with: spdx-tools 0.8.5 (the newest release), license-expression 30.4.4, rdflib 7.6.0.
# Behaviour: an expression of licences is a tree of sets in RDF, conjunctive and disjunctive ones, and AND binds more
#   tightly than OR where there are no parentheses (SPDX 2.3, annex D.4). spdx-tools, SPDX's own
#   library for Python, writes the right sets. When it reads them, it joins the members of a set by its word and
#   leaves out the parentheses: "GPL-2.0-only AND MIT OR Apache-2.0", in an order that changes from run to run. JSON,
#   YAML and XML keep the expression. pyspdxtools finds both documents valid and ends with 0.
# Output seen: "JSON: GPL-2.0-only AND (MIT OR Apache-2.0), enough without the GPL: False", the same for YAML, and "RDF:
#   (GPL-2.0-only AND MIT) OR Apache-2.0, enough without the GPL: True", or so in another order.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install spdx-tools==0.8.5 license-expression==30.4.4 rdflib==7.6.0
cat >start.spdx.json <<'JSON'
{
  "spdxVersion": "SPDX-2.3",
  "dataLicense": "CC0-1.0",
  "SPDXID": "SPDXRef-DOCUMENT",
  "name": "image",
  "documentNamespace": "https://example.org/image",
  "creationInfo": {"created": "2026-01-01T00:00:00Z", "creators": ["Tool: example"]},
  "packages": [
    {
      "SPDXID": "SPDXRef-package",
      "name": "package",
      "downloadLocation": "NOASSERTION",
      "filesAnalyzed": false,
      "licenseConcluded": "GPL-2.0-only AND (MIT OR Apache-2.0)",
      "licenseDeclared": "NOASSERTION",
      "copyrightText": "NONE"
    }
  ],
  "relationships": [
    {"spdxElementId": "SPDXRef-DOCUMENT", "relatedSpdxElement": "SPDXRef-package", "relationshipType": "DESCRIBES"}
  ]
}
JSON
pyspdxtools() { python/bin/pyspdxtools "$@" >said 2>&1 || { cat said; echo "pyspdxtools refuses it now"; exit 1; }; }
# try FORM SUFFIX ENOUGH: by way of the form and back to JSON
try() {
  pyspdxtools -i start.spdx.json -o "way.$2"
  pyspdxtools -i "way.$2" -o "end-$1.spdx.json"
  python/bin/python - "$1" <<'PY' | tee said
import json
import sys

from license_expression import get_spdx_licensing

with open(f"end-{sys.argv[1]}.spdx.json") as file:
    text = json.load(file)["packages"][0]["licenseConcluded"]
read = get_spdx_licensing().parse(text)
without = {"GPL-2.0-only": "FALSE", "MIT": "TRUE", "Apache-2.0": "TRUE"}
licensing = get_spdx_licensing()
values = {licensing.parse(name): getattr(licensing, value) for name, value in without.items()}
print(f"{sys.argv[1]}: {text}, enough without the GPL: {read.subs(values, simplify=True) == licensing.TRUE}")
PY
  grep -q "enough without the GPL: $3\$" said || { echo "that has changed"; exit 1; }
}
try JSON spdx.json False
try YAML spdx.yaml False
try RDF spdx.rdf.xml True
sets=$(sed -n '/<spdx:ConjunctiveLicenseSet/,/<.spdx:ConjunctiveLicenseSet/p' way.spdx.rdf.xml | grep -c '<spdx:DisjunctiveLicenseSet')
[ "$sets" = 1 ] || { echo "the document in RDF has other sets now"; exit 1; }
