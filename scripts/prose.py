#!/usr/bin/env python3
"""Checks the prose of README.md and docs/: no retired words, short lines, short sentences.

  scripts/prose.py check      what `make lint` asks: pages, and the strings of sources that are done
  scripts/prose.py strings    prints each retired word in the strings of src/, for who rewrites messages

The retired words are the table in docs/glossary.md. Tables and blocks of code are no prose. Pages and
modules that are not done stand in scripts/prose-todo.txt, which may only shrink: an entry that passes has to go.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TODO = ROOT / "scripts/prose-todo.txt"
COLUMNS, WORDS = 110, 25


def retired():
    """The table of the glossary: [(pattern, what to say)]."""
    rows = []
    page = (ROOT / "docs/glossary.md").read_text().split("## Retired words")[1]
    for row in page.splitlines():
        match = re.fullmatch(r"\| /(.+)/ \| (.+) \|", row)
        if match:
            rows.append((re.compile(match[1].replace("\\|", "|"), re.IGNORECASE), match[2]))
    assert len(rows) > 10, "docs/glossary.md: the table of retired words is not as it was"
    return rows


def prose(text):
    """Lines of prose: [(number, line)], without code, tables, comments and what a program writes."""
    fenced = comment = written = False
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        # `<!-- pack: begin -->` and `<!-- modules -->` begin what a program writes, until the line with `end`.
        if re.fullmatch(r"<!-- (\w+: (begin|end)|modules|targets|end of \w+) -->", bare):
            written = "end" not in bare
        elif written:
            continue
        elif bare.startswith("```"):
            fenced = not fenced
        elif not fenced:
            comment = (comment or "<!--" in line) and "-->" not in line
            if not (comment or bare.startswith(("|", "<")) or line.startswith("    ")):
                yield number, line


def plain(text):
    """Without markup: one word for a piece of code, the text for a link."""
    text = re.sub(r"`[^`]*`", "CODE", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"<[^>]*>|[*_]{1,2}", "", text)


def paragraphs(text):
    """[(number of the first line, text)]: a list's item is a paragraph of its own."""
    first, words, last = None, [], None
    for number, line in prose(text):
        item = re.match(r"\s*([-*+]|\d+\.) ", line)
        if words and (not line.strip() or line.startswith("#") or item or number != last + 1):
            yield first, " ".join(words)
            words = []
        last = number
        if line.strip() and not line.startswith("#"):
            first = first if words else number
            words.append(re.sub(r"^\s*([-*+]|\d+\.) |^!!! ?\w*|^> ?", "", line).strip())
    if words:
        yield first, " ".join(words)


def sentences(text):
    for number, paragraph in paragraphs(text):
        for sentence in re.split(r"(?<=[.!?:])\**\s+(?=[A-Z`*\"(\[])", plain(paragraph)):
            count = sum(1 for word in sentence.split() if re.search(r"\w", word))
            if count > WORDS:
                yield number, f"a sentence of {count} words, more than {WORDS}: {sentence[:60]}…"


def lines(text):
    for number, line in prose(text):
        # Nobody can break an address.
        columns = len(re.sub(r"\]\(https?:[^)]*\)", "]", line))
        if columns > COLUMNS:
            yield number, f"{columns} columns, more than {COLUMNS}"


def words(text, rows):
    headings = [(number, line) for number, line in prose(text) if line.startswith("#")]
    for number, paragraph in [*paragraphs(text), *headings]:
        for pattern, instead in rows:
            match = pattern.search(re.sub(r"`[^`]*`", "code", paragraph))
            if match:
                yield number, f"`{match[0]}` is a retired word; say: {instead}"


# Comments, characters, raw strings (the first group is their `#`), and strings (the second group).
TOKEN = re.compile(r"""//[^\n]*|'(?:\\.[^']*|[^'\\])'|b?r(#*)".*?"\1|b?"((?:[^"\\]|\\.)*)\"""", re.DOTALL)


def literals(source):
    """The strings of a source, with their lines joined; none of comments or tests: [(number, text)]."""
    text = source.read_text().split("#[cfg(test)]")[0]
    for token in TOKEN.finditer(text):
        if token[2]:
            yield text.count("\n", 0, token.start()) + 1, re.sub(r"\\\n\s*", "", token[2])


def strings(source, rows):
    """Retired words in the strings of a source."""
    for number, literal in literals(source):
        for pattern, instead in rows:
            match = pattern.search(literal)
            if match:
                yield number, f"`{match[0]}` is a retired word; say: {instead}"


def help_texts(page, rows):
    """Retired words in what `--help` says: the blocks of docs/commands.md."""
    for number, line in enumerate(page.read_text().splitlines(), 1):
        for pattern, instead in rows:
            match = pattern.search(line)
            if match:
                yield number, f"`{match[0]}` is a retired word in a `--help`; say: {instead}"


def findings():
    """{(check, what): [(place, message)]}: what is a page, or a module of src/."""
    rows, found = retired(), {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        name, text = str(page.relative_to(ROOT)), page.read_text()
        own = text.split("## Retired words")[0] if name == "docs/glossary.md" else text
        for check, what in [("lines", lines(text)), ("sentences", sentences(text)), ("words", words(own, rows))]:
            found[check, name] = [(f"{name}:{number}", said) for number, said in what]
    helps = help_texts(ROOT / "docs/commands.md", rows)
    found["help", "docs/commands.md"] = [(f"docs/commands.md:{number}", said) for number, said in helps]
    for source in sorted((ROOT / "src").rglob("*.rs")):
        module = "src/" + source.relative_to(ROOT / "src").parts[0]
        place = source.relative_to(ROOT)
        said = [(f"{place}:{number}", text) for number, text in strings(source, rows)]
        found.setdefault(("strings", module), []).extend(said)
    return found


def check():
    todo = {tuple(line.split()) for line in TODO.read_text().splitlines() if line and not line.startswith("#")}
    found, bad = findings(), []
    for (what, name), said in found.items():
        if (what, name) in todo:
            if not said:
                bad.append(f"scripts/prose-todo.txt: `{what} {name}` is done: remove the line")
        else:
            bad += [f"{place}: {message}" for place, message in said]
    bad += [f"scripts/prose-todo.txt: there is no {name}" for what, name in todo if (what, name) not in found]
    for line in bad:
        print(line)
    return bool(bad)


def main():
    match sys.argv[1:]:
        case ["check"]:
            sys.exit(check())
        case ["strings"]:
            for (what, _), said in findings().items():
                if what == "strings":
                    for place, message in said:
                        print(f"{place}: {message}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
