#!/usr/bin/env python3
"""Checks what the pages of docs/ refer to, and runs the commands that they show.

  scripts/pages.py check [PROGRAM]          what `make lint` asks, in seconds
  scripts/pages.py run PROGRAM [PAGE…]      runs the blocks marked `run`
  scripts/pages.py long PROGRAM PAGE…       runs those marked `run: long`, too: guests and mirrors
  scripts/pages.py files PAGE DIRECTORY     writes the files that a page shows

`check` looks at links and their anchors, at the list of pages in mkdocs.yml, and at each `imgforge` command in a
block of code and in a message of src/: its command and its options have to be ones that PROGRAM knows.

A page that teaches says of each block of commands, in a comment before it, what a test does with it:

  <!-- run -->              it is run, in order, with the others of the page, in an empty directory
  <!-- run: long -->        only by `long`
  <!-- run: exit 4 -->      it has to end with this exit code
  <!-- file: NAME -->       the next block is the content of this file
  <!-- by hand: WHY -->     no test runs it
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import prose

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TEACHING = ("tutorials", "how-to", "coming-from")
# Pages of the site that lie beside docs/ (scripts/site.py).
TOP = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"]
BLOCK = re.compile(r"^( *)(?:<!-- ([^\n]+?) -->\n\1)?```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def pages():
    return [*(ROOT / name for name in TOP), *sorted(DOCS.rglob("*.md"))]


def blocks(page):
    """[(number of the line, comment before it, language, text)]"""
    text = page.read_text()
    for match in BLOCK.finditer(text):
        body = re.sub(f"^{match[1]}", "", match[4], flags=re.MULTILINE)
        yield text.count("\n", 0, match.start()) + 1, match[2] or "", match[3], body


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text))


@cache
def anchors(page):
    """What GitHub and mkdocs call the headings of a page."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).strip().lower()
        found.add(re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text)))
    return found


def links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"the link {target} leads nowhere"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"{target}: there is no such heading"


def navigation():
    """Every page of docs/ stands in the site's list once."""
    listed = re.findall(r"[ :]([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    for page in sorted(DOCS.rglob("*.md")):
        name = str(page.relative_to(DOCS))
        if listed.count(name) != 1:
            yield f"docs/{name}: mkdocs.yml lists it {listed.count(name)} times, not once"
    for name in listed:
        if not (DOCS / name).exists() and name not in TOP:
            yield f"mkdocs.yml: there is no docs/{name}"


@cache
def usage(program, verbs):
    """The options and commands below these words, or nothing where PROGRAM knows no such command."""
    said = subprocess.run([program, *verbs, "--help"], capture_output=True, text=True, check=False)
    if said.returncode:
        return None
    options = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*|-[A-Z])\b", said.stdout, re.MULTILINE))
    below = re.search(r"^Commands:\n((?:  .*\n)+)", said.stdout, re.MULTILINE)
    return options, set(re.findall(r"^  ([a-z]\S*)", below[1], re.MULTILINE)) if below else set()


def commands(text, language):
    """Each call of imgforge in a block of commands, as words."""
    text = re.sub(r"\\\n\s*", " ", text)
    for line in text.splitlines():
        if language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        for part in re.split(r"&&|\|\||[|;]|\$\(", line):
            try:
                words = shlex.split(part.rstrip(") "), comments=True)
            except ValueError:
                continue
            while words and re.match(r"[A-Z_]+=|sudo$|timeout$|\d+[smh]?$|\S*run:|script:|\[", words[0]):
                words.pop(0)
            if words and words[0] == "imgforge":
                yield words[1:]


def wrong_command(program, words):
    verbs, valued = (), {"-C", "--directory", "--state", "--trust", "--connect", "--accel", "-j", "--progress"}
    rest = iter(words)
    for word in rest:
        known = usage(program, verbs)
        if word.startswith("-"):
            option = word.partition("=")[0]
            if word == "-v":
                continue
            if option not in known[0]:
                return f"`imgforge {' '.join(verbs)}` has no option {option}"
            if word in valued:
                next(rest, None)
        elif word in known[1]:
            verbs += (word,)
        elif known[1] and word[0].isalpha() and word.islower():
            return f"`imgforge {' '.join((*verbs, word))}` is not a command"
    return None


def check(program):
    bad = list(navigation())
    for page in pages():
        name = page.relative_to(ROOT)
        bad += [f"{name}: {said}" for said in links(page)]
        if name.name == "CHANGELOG.md":
            continue
        for line, comment, language, text in blocks(page):
            if language in ("sh", "console", "bash") and program:
                for words in commands(text, language):
                    said = wrong_command(program, words)
                    if said:
                        bad.append(f"{name}:{line}: {said}")
            marked = re.match(r"run\b|file: |by hand: .", comment)
            if language == "sh" and name.parts[:1] == ("docs",) and name.parts[1] in TEACHING and not marked:
                bad.append(f"{name}:{line}: this block says neither `run` nor `by hand: WHY`")
    bad += messages(program) if program else []
    for line in bad:
        print(line)
    return bool(bad)


def messages(program):
    """What is wrong with the commands that messages name."""
    for source in sorted((ROOT / "src").rglob("*.rs")):
        for number, text in prose.literals(source):
            for command in re.findall(r"`imgforge ([^`]+)`", text):
                said = wrong_command(program, re.sub(r"\{[^}]*\}", "VALUE", command).split())
                if said:
                    yield f"{source.relative_to(ROOT)}:{number}: {said}"


def script(page, long):
    """A page as one script, and how many of its blocks that runs."""
    out, count = ["set -eu"], 0
    for line, comment, language, text in blocks(page):
        if comment.startswith("file: "):
            name = shlex.quote(comment[6:])
            out.append(f"mkdir -p \"$(dirname {name})\"; cat > {name} <<'END OF THE FILE'\n{text}END OF THE FILE")
        elif comment.startswith("run") and (long or "long" not in comment):
            count += 1
            out.append(f"echo '{page.name}:{line}' >&3")
            want = re.search(r"exit (\d+)", comment)
            if want:
                out.append(f"code=0; ( {text.strip()}\n) || code=$?; test $code = {want[1]}")
            else:
                out.append(text)
    return "\n".join(out), count


def run(program, names, long):
    failed = total = 0
    wanted = [Path(name).resolve() for name in names]
    for page in wanted or [page for page in pages() if page.parent.name in TEACHING]:
        text, count = script(page, long)
        if not count:
            continue
        total += count
        with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
            os.makedirs(f"{scratch}/bin")
            os.symlink(Path(program).resolve(), f"{scratch}/bin/imgforge")
            os.makedirs(f"{scratch}/here")
            path = f"{scratch}/bin:{os.environ['PATH']}"
            env = {**os.environ, "PATH": path, "HOME": scratch, "XDG_STATE_HOME": f"{scratch}/state", "NO_COLOR": "1"}
            # As root the state directory is one of the whole host.
            wrapper = f'imgforge() {{ command imgforge --state "{scratch}/imgforge" "$@"; }}\n'
            said = subprocess.run(["bash", "-c", f"exec 3>&1\n{wrapper}{text}"], cwd=f"{scratch}/here", env=env,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if said.returncode:
            failed += 1
            last = [line for line in said.stdout.splitlines() if line.startswith(f"{page.name}:")][-1:]
            print(f"{page.relative_to(ROOT)}: exit code {said.returncode} at {last}\n{said.stdout}{said.stderr}")
    print(f"{total} blocks of commands were run")
    return bool(failed) or (not total)


def main():
    match sys.argv[1:]:
        case ["check"]:
            sys.exit(check(None))
        case ["check", program]:
            sys.exit(check(program))
        case ["run", program, *names]:
            sys.exit(run(program, names, False))
        case ["files", page, directory]:
            for _, comment, _, text in blocks(Path(page)):
                if comment.startswith("file: "):
                    file = Path(directory, comment[6:])
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text)
        case ["long", program, *names]:
            sys.exit(run(program, names, True))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
