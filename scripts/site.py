"""What mkdocs does to the pages of docs/ on their way to the site (`hooks:` of mkdocs.yml).

* SECURITY.md, CONTRIBUTING.md and CHANGELOG.md of the top become pages, and links to them hold.
* "Proven by", which is for who changes imgforge, is folded.
* Each page ends with the version that it describes, and the day of its last change.
"""
import re
import subprocess
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
TOP = ["SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"]
VERSION = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def git(*args):
    said = subprocess.run(["git", "-C", ROOT, *args], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def on_files(files, config):
    for name in TOP:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown, page, config, files):
    name = page.file.src_uri
    up = "../" * (name.count("/") + 1)
    markdown = markdown.replace("](docs/", "](") if name in TOP else markdown.replace(f"]({up}", f"]({up[3:]}")
    markdown = re.sub(r"^## Proven by\n(.*)", fold, markdown, flags=re.MULTILINE | re.DOTALL)
    source = name if name in TOP else f"docs/{name}"
    changed = git("log", "-1", "--format=%cs", "--", source) or git("log", "-1", "--format=%cs")
    return f"{markdown}\n\n---\n\n*This page describes imgforge {VERSION}. Last change: {changed}.*\n"


def fold(match):
    body = "".join(f"    {line}\n" if line else "\n" for line in match[1].splitlines())
    return f'??? info "Proven by"\n\n{body}'
