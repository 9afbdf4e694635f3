#!/usr/bin/env python3
"""Prints docs/commands.md, of what PROGRAM says of each of its commands: scripts/commands.py PROGRAM"""
import os
import re
import subprocess
import sys


def help_of(program, verbs):
    env = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    said = subprocess.run([program, *verbs, "--help"], env=env, capture_output=True, text=True, check=True)
    return said.stdout


def below(text):
    commands = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.MULTILINE)
    return re.findall(r"^  ([a-z]\S*)", commands[1], re.MULTILINE) if commands else []


def section(program, verbs):
    text = help_of(program, verbs)
    # The global options stand once, at the top of the page; what ends the help is below them.
    own, _, rest = text.partition("\nGlobal options:\n")
    after = re.search(r"^(?=\S)", rest, re.MULTILINE)
    own += "\n" + rest[after.start():] if after else ""
    yield f"{'#' * (1 + len(verbs))} {' '.join(verbs)}", own.rstrip()
    for verb in below(text):
        yield from section(program, [*verbs, verb])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    top = help_of(program, [])
    common = re.split(r"^(?=\S)", top.split("\nGlobal options:\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    print("# Commands\n")
    print("This page is generated from the program: `imgforge COMMAND --help` says the same, `man imgforge-COMMAND` too.\n")
    print(f"## Options of every command\n\n```text\n{common.strip(chr(10))}\n```")
    for verb in below(top):
        for heading, text in section(program, [verb]):
            print(f"\n{heading}\n\n```text\n{text}\n```")


if __name__ == "__main__":
    main()
