#!/bin/bash
# csaf-tool names the fixed version as the affected one, where a CSAF document lists it in front of the affected range
#
# Seen with: csaf-tool 0.3.2, lib4sbom 0.10.4, which it uses and does not ask for, and csaf-lib 0.1.0b12 (the newest
#   releases).
# Behaviour: a product of a CSAF document is told by the branches above it, of which the last may be of the category
#   product_version, or product_version_range, as "vers:deb/<1.10-2" (CSAF 2.0, 3.1.2.2 "Category" and 3.1.2.3.2 "Name
#   under Product Version Range"); sibling branches have nothing to do with each other, whatever their order. csaf-tool,
#   on which lib4vex stands, keeps one record for all siblings, and prefers a version to a range. So the version of one
#   branch stays for the ranges behind it: what is known to be affected is the version with the fix, and
#   the versions in front of it are named nowhere. csaf-lib finds both documents valid; nothing is raised.
# Output seen: "range first: FIX 1.10-2, AFF vers:deb/<1.10-2", "version first: FIX 1.10-2, AFF 1.10-2", and "1.10-2"
#   twice in what `csaf-tool -i` prints for FIXED and KNOWN_AFFECTED.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install csaf-tool==0.3.2 lib4sbom==0.10.4 csaf-lib==0.1.0b12
python/bin/python - <<'PY'
import json

DATE = "2026-01-01T00:00:00Z"
FIXED = {
    "category": "product_version",
    "name": "1.10-2",
    "product": {"product_id": "FIX", "name": "tool 1.10-2"},
}
AFFECTED = {
    "category": "product_version_range",
    "name": "vers:deb/<1.10-2",
    "product": {"product_id": "AFF", "name": "tool before 1.10-2"},
}
for name, branches in (("range first", [AFFECTED, FIXED]), ("version first", [FIXED, AFFECTED])):
    tool = {"category": "product_name", "name": "tool", "branches": branches}
    document = {
        "document": {
            "category": "csaf_vex",
            "csaf_version": "2.0",
            "title": "A fault of tool",
            "publisher": {"category": "vendor", "name": "Example", "namespace": "https://example.org"},
            "notes": [{"category": "summary", "title": "Summary", "text": "A fault of tool."}],
            "tracking": {
                "id": "EXAMPLE-1",
                "status": "final",
                "version": "1",
                "initial_release_date": DATE,
                "current_release_date": DATE,
                "revision_history": [{"date": DATE, "number": "1", "summary": "First"}],
            },
        },
        "product_tree": {"branches": [{"category": "vendor", "name": "Example", "branches": [tool]}]},
        "vulnerabilities": [
            {
                "cve": "CVE-2026-0001",
                "notes": [{"category": "description", "title": "Description", "text": "A fault."}],
                "product_status": {"fixed": ["FIX"], "known_affected": ["AFF"]},
                "remediations": [{"category": "vendor_fix", "details": "Update.", "product_ids": ["AFF"]}],
            }
        ],
    }
    with open(f"{name}.json", "w") as file:
        json.dump(document, file)
PY
# try NAME AFFECTED: what csaf-tool makes of that document
try() {
  python/bin/csaf-lib verify "$1.json" >said || { cat said; exit 1; }
  python/bin/python - "$1" <<'PY' | tee said
import sys

from csaf.parser import CSAFParser

parser = CSAFParser()
parser.parse_file(f"{sys.argv[1]}.json")
products = parser.get_product()
print(f"{sys.argv[1]}: FIX {products['FIX']['version']}, AFF {products['AFF']['version']}")
PY
  grep -qFx "$1: FIX 1.10-2, AFF $2" said || { echo "that has changed"; exit 1; }
  COLUMNS=100 python/bin/csaf-tool -i "$1.json" | sed -n '/^FIXED/,/^Remediations/p' | tee said
  printed=$(sed -n 's/^│ tool *│ \([^ ]*\) *│$/\1/p' said | paste -sd ' ')
  [ "$printed" = "1.10-2 $2" ] || { echo "that has changed"; exit 1; }
}
try 'range first' 'vers:deb/<1.10-2'
try 'version first' 1.10-2
