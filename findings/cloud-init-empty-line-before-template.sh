#!/bin/bash
# cloud-init: with an empty line in front, a Jinja template is rendered by another renderer
#
# Seen with: cloud-init 22.4.2-1+deb12u4 (Debian 12).
# Behaviour: user data is told by how it begins, without white space in front and in any case: "\n#Cloud-Config"
#   is cloud-config, and "\n## template: jinja" is a template. The renderer is then chosen by the first line as it
#   is, which is empty, so it is the "basic" one: `{{ v1.region }}` stays as it is, and `$NAME` is replaced, or
#   an error where no such value is – which are a script's own variables.
# Output seen: the same four lines give "region: x $HOME" without the empty line, and KeyError 'HOME' with it.
set -euo pipefail
cd "$(mktemp -d)"
apt-get -qq download cloud-init=22.4.2-1+deb12u4
dpkg -x cloud-init_*.deb unpacked
python3 -m venv python
python/bin/pip -q --disable-pip-version-check install jinja2==3.1.6 pyyaml==6.0.3 configobj==5.0.9 \
  jsonpatch==1.33 requests==2.32.5 oauthlib==3.3.1
PYTHONPATH=unpacked/usr/lib/python3/dist-packages python/bin/python - <<'END'
import sys
from cloudinit import handlers, templater, version
from cloudinit.handlers.jinja_template import render_jinja_payload

print("cloud-init", version.version_string())
DATA = "## template: jinja\n#cloud-config\nregion: {{ v1.region }} $HOME\n"
VALUES = {"v1": {"region": "x"}}
seen = []
for text in (DATA, "\n" + DATA):
    kind, renderer = handlers.type_from_starts_with(text), templater.detect_template(text)[0]
    try:
        result = render_jinja_payload(text, "user data", VALUES)
    except KeyError as error:
        result = f"KeyError {error}"
    print(repr(text[:8]), kind, renderer, repr(result))
    seen.append((kind, renderer, result))
if seen != [
    ("text/jinja2", "jinja", "#cloud-config\nregion: x $HOME\n"),
    ("text/jinja2", "basic", "KeyError 'HOME'"),
]:
    sys.exit("that has changed")
print("as found: the empty line changes the renderer, not the kind")
END
