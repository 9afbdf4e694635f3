#!/usr/bin/env python3
"""Prints docs/architecture.md as it has to be: its list of modules is made of the floors in src/lib.rs,
in their order, and of the first sentence of each module."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- modules -->\n", "<!-- end of modules -->\n"


def first_paragraph(name):
    """What the module says of itself first, on one line."""
    file = ROOT / "src" / f"{name}.rs"
    text = (file if file.exists() else ROOT / "src" / name / "mod.rs").read_text()
    return " ".join(line[4:] for line in re.match(r"(//! .*\n)+", text)[0].splitlines())


def floors():
    for line in (ROOT / "src/lib.rs").read_text().splitlines():
        if module := re.match(r"//! \* `(\w+)`", line):
            yield f"| `{module[1]}` | {first_paragraph(module[1])} |"
        elif heading := re.match(r"//! (\w.*):$", line):
            yield f"\n**{heading[1]}**\n\n| | |\n|---|---|"


page = (ROOT / "docs/architecture.md").read_text()
before, _, rest = page.partition(BEGIN)
print(before + BEGIN + "\n".join(floors()) + "\n\n" + END + rest.partition(END)[2], end="")
